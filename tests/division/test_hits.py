"""Numbers of hits: a distribution whose tables are known, there and back, and no more parts than energy for them."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

from caloforge.division.hits import HitCounts, affordable
from caloforge.division.marginals import drawn

LEAST = 0.5


def _showers(n: int, energies: tuple[float, ...] = (10.0, 40.0, 160.0)) -> tuple[torch.Tensor, torch.Tensor]:
    """Two wholes: of 6 parts each hit with a probability that rises with W, one at least; and of 3 parts, always 2."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.tensor(energies).repeat_interleave(n)[:, None].repeat(1, 2)
    probability = (whole[:, :1] / 200).repeat(1, 5)
    hits = 1 + torch.bernoulli(probability, generator=generator).sum(dim=1)
    return torch.stack([hits, torch.full_like(hits, 2)], dim=1), whole


def test_tables_are_the_distribution_at_each_energy() -> None:
    n, wholes = _showers(20_000)
    counts = HitCounts(torch.tensor([6, 3]), LEAST, 4)
    counts.fit(n, wholes)
    for energy in (10.0, 40.0, 160.0):
        up_to = counts._up_to(torch.full((1, 2), energy))[0]
        expected = torch.from_numpy(scipy.stats.binom.cdf(range(5), 5, energy / 200)).float()
        torch.testing.assert_close(up_to[0], expected, atol=0.015, rtol=0)  # 4 standard deviations of a proportion
        torch.testing.assert_close(up_to[1], torch.tensor([0.0, 1, 1, 1, 1]))


def test_there_and_back_again() -> None:
    n, wholes = _showers(1000)
    wholes[::7] = 0
    n[::7] = 0
    counts = HitCounts(torch.tensor([6, 3]), LEAST, 4)
    counts.fit(n, wholes)
    torch.manual_seed(1)
    u = counts.intervals(n, wholes)
    assert (u[1] >= u[0]).all()
    z = drawn(u)
    assert torch.equal(counts.numbers(z, wholes), n)
    assert scipy.stats.kstest(z[:, 0].numpy(), "norm").pvalue > 1e-3
    assert counts.numbers(torch.full_like(z, 6.0), wholes).amax(dim=0).tolist() == [6, 2]


@pytest.mark.parametrize(("whole", "parts"), [(0.0, 0), (0.4, 1), (0.5, 1), (0.99, 1), (1.0, 2), (7.3, 14)])
def test_no_more_parts_than_energy_for_them(whole: float, parts: int) -> None:
    wholes = torch.full((1, 2), whole)
    assert affordable(wholes, LEAST).tolist() == [[parts, parts]]
    unmeasured = HitCounts(torch.tensor([6, 3]), LEAST, 4)
    assert unmeasured.numbers(torch.full((1, 2), 5.0), wholes).tolist() == [[min(parts, 6), min(parts, 3)]]
