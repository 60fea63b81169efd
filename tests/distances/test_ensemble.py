"""Pulls of an ensemble where the answer is known: trainings with systematic shifts of known size and law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from caloforge.distances.ensemble import EnsemblePulls, ensemble_pulls, merged, width

BINS, SHOWERS = 40, 4_000
TRUTH = np.full(BINS, 1 / BINS)

Shift = Callable[[np.random.Generator], np.ndarray]


def drawn(rng: np.random.Generator, shift: np.ndarray, n: int = SHOWERS) -> np.ndarray:
    """Counts of n showers whose fractions differ from the truth by `shift` (B,), relatively."""
    law = np.clip(TRUTH * (1 + shift), 0, None)
    return rng.multinomial(n, law / law.sum())


def pulls_of(rng: np.random.Generator, k: int, size: float, bias: float = 0.0, n: int = SHOWERS) -> EnsemblePulls:
    """Trainings with independent shifts in every bin (`size`), and Geant4 with one more of them and a `bias`."""
    trainings = [drawn(rng, size * rng.standard_normal(BINS), n) for _ in range(k)]
    geant4 = drawn(rng, np.hypot(size, bias) * rng.standard_normal(BINS))
    found = ensemble_pulls(np.array(trainings), geant4)
    assert found is not None
    return found


@pytest.mark.parametrize("k", [2, 3, 5, 10])
@pytest.mark.parametrize("size", [0.0, 0.1, 0.25])
def test_pulls_are_standard_normal_for_any_size_of_the_systematic_and_any_k(k: int, size: float) -> None:
    rng = np.random.default_rng(k)
    found = np.concatenate([pulls_of(rng, k, size).pulls for _ in range(60)])
    assert width(found) == pytest.approx(1, abs=4 / np.sqrt(2 * len(found)) + 0.03)
    assert abs(found.mean()) < 0.05
    assert np.mean(np.abs(found) > 2) == pytest.approx(0.0455, abs=0.02)


def test_trainings_about_the_truth_are_nearer_than_one_of_them() -> None:
    """Shifts of 25 % against 10 % of statistics: s (1 + 1/k)^½ for a difference of s / k^½ and Geant4's statistics."""
    rng, k = np.random.default_rng(1), 20
    found = []
    for _ in range(40):
        trainings = np.array([drawn(rng, 0.25 * rng.standard_normal(BINS)) for _ in range(k)])
        result = ensemble_pulls(trainings, drawn(rng, np.zeros(BINS)))
        assert result is not None
        found.append(result.pulls)
    expected = np.sqrt((0.25**2 / k + 0.1**2 * (1 + 1 / k)) / ((0.25**2 + 0.1**2) * (1 + 1 / k)))
    assert width(np.concatenate(found)) == pytest.approx(expected, rel=0.08)


def test_a_bias_that_all_share_gives_its_width() -> None:
    """With many trainings Student's t is a Gaussian, and the width that of differences over that of trainings."""
    rng, k, size, bias = np.random.default_rng(2), 100, 0.1, 0.2
    found = np.concatenate([pulls_of(rng, k, size, bias).pulls for _ in range(40)])
    statistics = BINS / SHOWERS * (1 - 1 / BINS)
    per_training = (size**2 + statistics) * (1 + 1 / k)
    assert width(found) == pytest.approx(np.sqrt((per_training + bias**2) / per_training), rel=0.05)


def test_a_small_generated_sample_widens_nothing_and_a_large_one_leaves_the_statistics_of_geant4() -> None:
    rng = np.random.default_rng(3)
    few = np.concatenate([pulls_of(rng, 5, 0.0, n=1_500).pulls for _ in range(60)])
    many = np.concatenate([pulls_of(rng, 5, 0.0, n=40_000).pulls for _ in range(60)])
    assert 0.5 < width(few) < 1
    assert width(many) == pytest.approx(1, abs=0.06)


@pytest.mark.parametrize(("size", "expected"), [(0.0, 1.0), (0.1, np.sqrt(2)), (0.3, np.sqrt(10))])
def test_the_spread_in_units_of_statistics(size: float, expected: float) -> None:
    """4 000 showers in 40 bins: 10 % per bin by statistics."""
    rng = np.random.default_rng(4)
    found = [pulls_of(rng, 5, size) for _ in range(40)]
    ratios = np.array([each.ratio for each in found])
    assert ratios.mean() == pytest.approx(expected, rel=0.04)
    assert np.mean([each.spread for each in found]) == pytest.approx(size, abs=0.02)
    if size == 0:
        assert ratios.std() == pytest.approx(found[0].ratio_error, rel=0.4)


def test_the_difference_to_geant4_is_free_of_statistics() -> None:
    rng = np.random.default_rng(5)
    shift = 0.2 * np.resize([1.0, -1.0], BINS)
    found = ensemble_pulls(np.array([drawn(rng, shift) for _ in range(8)]), drawn(rng, np.zeros(BINS)))
    assert found is not None
    assert found.difference == pytest.approx(0.2, abs=0.04)
    assert found.spread < 0.05
    assert found.width > 1.5
    assert found.of_trainings.shape == (8, BINS)
    assert max(map(width, found.of_trainings)) < 1.4


def test_two_trainings_have_no_others_and_few_showers_no_pulls() -> None:
    rng = np.random.default_rng(6)
    assert pulls_of(rng, 2, 0.1).of_trainings.shape == (0, BINS)
    assert ensemble_pulls(np.array([[9, 9], [8, 10]]), np.array([9, 9])) is None


def test_equal_counts_give_finite_pulls() -> None:
    found = ensemble_pulls(np.array([[500, 500, 500]] * 3), np.array([0, 500, 1000]))
    assert found is not None
    assert np.isfinite(found.pulls).all()


def test_bins_are_merged_until_the_smallest_sample_has_enough() -> None:
    counts = np.array([[10.0, 20.0, 30.0, 2.0, 3.0], [100.0, 200.0, 300.0, 20.0, 30.0]])
    np.testing.assert_array_equal(merged(counts), [[30, 35], [300, 350]])
