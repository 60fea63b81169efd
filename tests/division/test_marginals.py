"""Parts given their whole: tables that know the distribution, numbers z that are N(0, 1), and the way back."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from caloforge.division.marginals import ConditionalMarginals, drawn

LEAST = 0.5


def _parts(n: int, seed: int = 1, chance: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two parts e = e₀ (W/e₀)^g with g = 0.2 + 0.6 v², v uniform, or nothing with a chance; one whole W."""
    generator = torch.Generator().manual_seed(seed)
    wholes = LEAST * torch.exp(1 + 6 * torch.rand(n, 1, generator=generator))
    g = 0.2 + 0.6 * torch.rand(n, 2, generator=generator) ** 2
    e = LEAST * (wholes / LEAST) ** g
    return torch.where(torch.rand(n, 2, generator=generator) < chance, 0.0, e), wholes


def _fitted(n: int = 20_000, types: tuple[int, int] = (0, 1), knots: int = 12) -> ConditionalMarginals:
    marginals = ConditionalMarginals(torch.tensor(types), LEAST, knots)
    e, wholes = _parts(n)
    marginals.fit(e, wholes.expand(n, max(types) + 1))
    return marginals


@pytest.mark.parametrize("types", [(0, 1), (0, 0)])
def test_numbers_of_new_parts_are_normal(types: tuple[int, int]) -> None:
    e, wholes = _parts(4000, seed=2)
    torch.manual_seed(3)
    z = drawn(_fitted(types=types).intervals(e, wholes.expand(4000, max(types) + 1)))
    for column in z.T:
        assert stats.kstest(column.numpy(), "norm").pvalue > 0.01
    low = wholes[:, 0] < wholes[:, 0].median()  # and at each whole by itself
    assert stats.kstest(z[low].flatten().numpy(), "norm").pvalue > 0.01


def test_normal_numbers_become_parts_of_the_true_distribution() -> None:
    marginals = _fitted()
    torch.manual_seed(4)
    wholes = torch.full((20_000, 2), 60.0)  # between knots
    draws = marginals.draws(torch.randn(20_000, 2), wholes)
    e, place = marginals.energies(draws), draws.place()
    something = place > 0
    assert something.double().mean().item() == pytest.approx(0.7, abs=0.02)
    g = torch.log(e[something] / LEAST) / torch.log(torch.tensor(60.0 / LEAST))
    truth = stats.uniform.cdf
    v = ((g - 0.2) / 0.6).clamp(0, 1).sqrt().numpy()
    assert stats.ks_1samp(v, truth).statistic < 0.03  # the tables themselves know 20 000 parts at 12 knots


def test_there_and_back_again() -> None:
    marginals = _fitted()
    e, wholes = _parts(3000, seed=5)
    wholes = wholes.expand_as(e)
    draws = marginals.draws(drawn(marginals.intervals(e, wholes)), wholes)
    back, place = marginals.energies(draws), draws.place()
    assert torch.equal(place > 0, e > 0)
    g, g_back = (torch.log(part[e > 0] / LEAST) / torch.log(wholes[e > 0] / LEAST) for part in (e, back))
    inside = (g > 0.201) & (g < 0.79)  # beyond the outermost quantiles there is no table
    assert inside.double().mean() > 0.9
    torch.testing.assert_close(g_back[inside], g[inside], atol=1e-5, rtol=0)


def test_intervals_of_nothing_and_of_everything() -> None:
    """By hand: of ten thousand parts 30 % get nothing, 20 % all of the whole, the others half of it (in logs)."""
    whole = torch.full((10_000, 1), 50.0)
    e = LEAST * (whole / LEAST) ** 0.5
    e[:3000], e[3000:5000] = 0, 50
    marginals = ConditionalMarginals(torch.tensor([0]), LEAST, 2)
    marginals.fit(e, whole)
    seen = torch.tensor([[0.0], [50.0], [5.0], [LEAST * 10], [0.0]])
    low, high = marginals.intervals(seen, torch.tensor([[50.0], [50.0], [50.0], [50.0], [0.0]]))[..., 0]
    assert (low[0], high[0]) == (0, pytest.approx(0.3, abs=1e-6))
    assert low[1].item() == pytest.approx(0.8, abs=0.036)  # entries of the table are 0.035 apart here
    assert high[1] == 1
    assert low[2].item() == pytest.approx(0.3, abs=0.01)
    assert high[2].item() == pytest.approx(0.8, abs=0.036)
    assert (low[4], high[4]) == (0, 1)  # no whole: anywhere


def test_few_incident_energies_are_knots() -> None:
    whole = torch.tensor([64.0, 256.0, 1024.0]).repeat(400)[:, None]
    generator = torch.Generator().manual_seed(1)
    e = whole * (0.9 + 0.1 * torch.rand(1200, 1, generator=generator))
    marginals = ConditionalMarginals(torch.tensor([0]), LEAST, 8)
    marginals.fit(e, whole)
    torch.testing.assert_close(marginals.log_whole[0, :3].exp() * LEAST, torch.tensor([64.0, 256.0, 1024.0]))
    assert (marginals.log_whole.diff(dim=1) > 0).all()


def test_parts_without_a_whole_leave_the_tables_finite() -> None:
    marginals = ConditionalMarginals(torch.tensor([0, 1]), LEAST, 4)
    e = torch.zeros(50, 2)
    e[:, 0] = 3
    marginals.fit(e, torch.tensor([3.0, 0.0]).expand(50, 2))
    draws = marginals.draws(torch.randn(50, 2), torch.tensor([3.0, 0.0]).expand(50, 2))
    e, place = marginals.energies(draws), draws.place()
    assert torch.isfinite(e).all()
    assert torch.isfinite(place).all()
