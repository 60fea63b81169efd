"""Equivalent numbers of showers: constants known from theory, and numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from caloforge.distances.equivalent import CELLS, DRAWS, TAIL, Ordered, constants, equivalent, measure, subset_sizes

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def integers(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.poisson(3.0, n).astype(float)


def subsets(rng: np.random.Generator, m: int) -> list[np.ndarray]:
    return [rng.permutation(m)[:size] for size in subset_sizes(m) for _ in range(DRAWS)]


def numbers(draw: Draw, sample: Callable[[np.random.Generator], np.ndarray], m: int, toys: int) -> np.ndarray:
    """(toys, 2) equivalent numbers of samples against references of m."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(toys):
        x, y = sample(rng), draw(rng, m)
        ordered, rows = Ordered.of(x, y), subsets(rng, m)
        c = of_subsets(ordered, len(x), m, rows)
        found.append(equivalent(ordered.distances(whole(len(x), m))[0], c, m))
    return np.array(found)


def of_subsets(ordered: Ordered, n: int, m: int, rows: list[np.ndarray]) -> np.ndarray:
    distances = ordered.distances(measure(n, m, [(None, each) for each in rows]))
    return constants(distances, np.array([len(each) for each in rows]), m)


def whole(n: int, m: int) -> np.ndarray:
    return measure(n, m, [(np.arange(n), np.arange(m))])


def test_distances_by_hand() -> None:
    ordered = Ordered.of(np.array([0.0, 1.0]), np.array([0.0, 3.0, 3.0, 3.0]))
    # F: 1/2 up to 1, then 1; G: 1/4 up to 3. The gap is 1/4 over [0, 1), 3/4 over [1, 3).
    assert ordered.distances(whole(2, 4)).tolist() == [[0.75, 0.25 + 2 * 0.75]]
    # Of the reference alone, its first two showers: F is 1/2 up to 3, G is 1/4.
    subset = measure(2, 4, [(None, np.array([0, 1])), (None, np.arange(4))])
    assert ordered.distances(subset).tolist() == [[0.25, 3 * 0.25], [0.0, 0.0]]


def test_distances_of_many_showers_are_those_at_a_few_thousand_values() -> None:
    """Against the exact ones of SciPy, with ties and a heavy tail."""
    rng = np.random.default_rng(5)
    for x, y in (
        (rng.normal(0.05, 1, 9000), rng.normal(0, 1, 8000)),
        (rng.poisson(3, 9000).astype(float), rng.poisson(3.1, 8000).astype(float)),
        (rng.pareto(2, 9000) * 1.1, rng.pareto(2, 8000)),
    ):
        ordered = Ordered.of(x, y)
        assert len(ordered.ends) <= CELLS + 2 * TAIL
        [(ks, w1)] = ordered.distances(whole(len(x), len(y)))
        assert ks == pytest.approx(ks_2samp(x, y).statistic, rel=0.03)
        assert w1 == pytest.approx(wasserstein_distance(x, y), rel=0.01)


def test_the_constant_of_a_continuous_observable_is_kolmogorovs() -> None:
    """The median of Kolmogorov's distribution is 0.8276, of any continuous distribution."""
    rng = np.random.default_rng(2)
    for draw in (normal, lambda rng, n: rng.exponential(size=n) ** 3):
        x = draw(rng, 20_000)
        rows = [rng.permutation(20_000)[:size] for size in (10_000, 5_000) for _ in range(150)]
        assert of_subsets(Ordered.of(x[:1], x), 1, len(x), rows)[0] == pytest.approx(0.8276, rel=0.06)


def test_numbers_by_hand() -> None:
    assert equivalent(0.1, 1.0, 10**9) == pytest.approx(100, rel=1e-6)  # 1/n = 0.1²
    assert equivalent(0.1, 1.0, 200) == pytest.approx(200)  # 1/n = 1/100 - 1/200
    assert equivalent([0.0, 0.01], [1.0, 1.0], 200).tolist() == [200, 200]  # not resolved
    assert subset_sizes(100) == [50, 25]
    assert subset_sizes(30) == []


@pytest.mark.parametrize("draw", [normal, integers])
def test_showers_are_worth_their_number(draw: Draw) -> None:
    """As often more as less than their true number, 300; single numbers scatter by a factor of about 2."""
    found = numbers(draw, lambda rng: draw(rng, 300), m=3000, toys=150)
    assert np.median(found, axis=0) == pytest.approx([300, 300], rel=0.25)
    assert ((found > 100) & (found < 1200)).mean() > 0.8


def test_duplicates_are_worth_nothing() -> None:
    """Of n = 400 showers 40 are replaced by copies of others: 320 count once and 40 twice, so that the variance of a
    mean is that of n² / (320 + 40 · 2²) = 333 showers. With 200 copies it is that of 400² / (200 · 2²) = 200."""

    def with_copies(rng: np.random.Generator, copies: int) -> np.ndarray:
        x = normal(rng, 400 - copies)
        return np.concatenate([x, x[:copies]])

    many = {k: np.median(numbers(normal, lambda rng, k=k: with_copies(rng, k), 2000, 200)) for k in (0, 40, 200)}
    assert many[200] / many[0] == pytest.approx(200 / 400, abs=0.12)
    assert many[40] / many[0] == pytest.approx(333 / 400, abs=0.15)


def test_a_shift_is_worth_what_its_distance_says() -> None:
    """Shifted by d = 0.1, normal distributions differ by KS = 2 Φ(d/2) - 1 = 0.0399 and by W₁ = d, however many there
    are: n = (c / KS)² = (0.8276 / 0.0399)² = 430 by KS."""
    found = numbers(normal, lambda rng: normal(rng, 60_000) + 0.1, m=60_000, toys=3)
    assert np.median(found, axis=0)[0] == pytest.approx(430, rel=0.3)
