"""Distances of known histograms and samples."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance

from caloforge.distances.one_dimensional import (
    kullback_leibler,
    separation_power,
    separation_powers,
    wasserstein,
    wasserstein_weighted,
)


@pytest.mark.parametrize(
    ("h", "g", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 0.0),
        ([1, 2, 3], [10, 20, 30], 0.0),
        ([5, 0, 0], [0, 7, 2], 1.0),
        ([1, 1], [1, 3], 0.5 * (0.25**2 / 0.75 + 0.25**2 / 1.25)),
        ([1, 0], [1, 1], 0.5 * (0.5**2 / 1.5 + 0.5)),
        ([0, 0], [4, 1], 1.0),
        ([0, 0], [0, 0], 0.0),
    ],
)
def test_separation_power_of_known_histograms(h: list[int], g: list[int], expected: float) -> None:
    assert separation_power(np.array(h), np.array(g)) == pytest.approx(expected, abs=1e-15)
    assert separation_power(np.array(g), np.array(h)) == pytest.approx(expected, abs=1e-15)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, (2, 3, 8), elements=st.integers(0, 1000)))
def test_separation_power_is_bounded_and_symmetric(pair: np.ndarray) -> None:
    forth, back = separation_powers(pair[0], pair[1]), separation_powers(pair[1], pair[0])
    np.testing.assert_allclose(forth, back, atol=1e-14)
    assert np.all((forth >= 0) & (forth <= 1 + 1e-14))


def test_separation_power_at_the_floor_is_bins_over_twice_n() -> None:
    # E[S] = (B - 1) / (2N) for two samples of N in B equally filled bins, to leading order in B/N.
    rng = np.random.default_rng(5)
    h, g = (rng.multinomial(4000, np.full(20, 1 / 20), size=400) for _ in range(2))
    assert separation_powers(h, g).mean() == pytest.approx(19 / 8000, rel=0.03)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)),
    arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e3, 1e3)),
)
def test_wasserstein_equals_scipy(u: np.ndarray, v: np.ndarray) -> None:
    assert wasserstein(u, v) == pytest.approx(wasserstein_distance(u, v), abs=1e-9)


def test_wasserstein_of_a_shift_is_the_shift() -> None:
    u = np.random.default_rng(1).normal(size=500)
    assert wasserstein(u, u + 0.37) == pytest.approx(0.37)


def test_weighted_wasserstein_equals_scipy_and_knows_moved_mass() -> None:
    positions = np.array([0.0, 1.0, 3.0, 7.0])
    h, g = np.array([[4.0, 0, 0, 0], [1, 2, 3, 4]]), np.array([[0, 0, 0, 2.0], [4, 1, 1, 2]])
    found = wasserstein_weighted(positions, h, g)
    assert found[0] == pytest.approx(7.0)
    assert found[1] == pytest.approx(wasserstein_distance(positions, positions, h[1], g[1]))


def test_kullback_leibler() -> None:
    h, g = np.array([[30, 10, 0]]), np.array([[10, 30, 0]])
    p, q = np.array([30.5, 10.5]) / 41, np.array([10.5, 30.5]) / 41
    assert kullback_leibler(h, g)[0] == pytest.approx(float((q * np.log(q / p)).sum()))
    assert kullback_leibler(h, h)[0] == 0
    assert math.isfinite(kullback_leibler(np.array([[5, 0]]), np.array([[0, 5]]))[0])
    assert kullback_leibler(np.zeros((1, 3)), np.zeros((1, 3)))[0] == 0
