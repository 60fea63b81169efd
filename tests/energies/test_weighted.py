"""Weights of showers: effective sample size, means at each energy, and draws with given probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from caloforge.energies.weighted import accepted, at_energy, effective_size, resampled
from caloforge.errors import CaloforgeError

RNG = np.random.default_rng(3)
ENERGIES = np.resize([100.0, 200.0, 400.0], 3000)


def test_effective_sizes_worked_out_by_hand() -> None:
    assert effective_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_size(np.array([5.0, 0.0, 0.0])) == pytest.approx(1)


@pytest.mark.parametrize("energies", [ENERGIES, RNG.uniform(1e3, 1e5, 3000)], ids=["discrete", "continuous"])
def test_weights_have_mean_1_at_each_energy(energies: np.ndarray) -> None:
    weights = at_energy(RNG.exponential(energies), energies)  # which favour high energies
    for low, high in zip(edges := np.quantile(energies, [0, 0.3, 0.6, 1]), edges[1:], strict=False):
        inside = (energies >= low) & (energies <= high)
        assert weights[inside].mean() == pytest.approx(1, abs=0.03 if energies is ENERGIES else 0.15)
    assert weights.mean() == pytest.approx(1)


def test_each_shower_is_accepted_with_its_probability() -> None:
    weights, energies = np.array([0.2, 1.0, 0.5, 0.8, 0.0, 0.5]), np.array([1.0, 1, 1, 2, 2, 2])
    draws = [accepted(weights, energies, seed) for seed in range(2000)]
    often = np.bincount(np.concatenate(draws), minlength=6) / len(draws)
    error = np.sqrt(weights * (1 - weights) / len(draws))
    assert (np.abs(often - weights) <= 4 * error).all()
    assert all((np.diff(rows) > 0).all() for rows in draws)


def test_draws_keep_the_spectrum() -> None:
    """As many showers of each energy as expected, to less than 1: independent draws would scatter by 20."""
    weights = at_energy(RNG.uniform(0.1, 1, len(ENERGIES)), ENERGIES)
    rows = accepted(weights, ENERGIES, 1)
    for energy in np.unique(ENERGIES):
        expected = (weights[energy == ENERGIES] / weights.max()).sum()
        assert abs(np.count_nonzero(ENERGIES[rows] == energy) - expected) < 1


def test_equal_weights_keep_every_shower_and_no_weight_none() -> None:
    assert len(accepted(np.full(3000, 0.7), ENERGIES, 1)) == 3000
    with pytest.raises(CaloforgeError, match="no weight is above zero"):
        accepted(np.zeros(3), np.ones(3), 1)


def test_draws_are_reproducible() -> None:
    weights = RNG.uniform(0, 1, len(ENERGIES))
    assert np.array_equal(accepted(weights, ENERGIES, 4), accepted(weights, ENERGIES, 4))
    assert not np.array_equal(accepted(weights, ENERGIES, 4), accepted(weights, ENERGIES, 5))


def test_resampling_repeats_showers_by_their_weight() -> None:
    weights, rng = np.array([3.0, 1.0, 0.5, 0.5]), np.random.default_rng(1)
    draws = [np.bincount(resampled(weights, 5, rng), minlength=4) for _ in range(500)]
    assert {tuple(times) for times in draws} == {(3, 1, 1, 0), (3, 1, 0, 1)}
    assert np.array_equal(resampled(np.full(50, 0.7), 50, rng), np.arange(50))
    assert len(np.unique(resampled(np.ones(3000), 1000, rng))) == 1000
