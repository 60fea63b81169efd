"""Sliced Wasserstein distance against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caloforge.distances.sliced import sliced_wasserstein


def _sample(seed: int, n: int = 4000, features: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, features))


def test_a_shift_along_one_feature() -> None:
    """W₁ of a shift d is |θ·d|; its mean over unit vectors of five dimensions is |d| Γ(5/2)/(√π Γ(3))."""
    y = _sample(0)
    x = y + np.array([3.0, 0, 0, 0, 0]) * y.std(axis=0)
    expected = 3.0 * math.gamma(2.5) / (math.sqrt(math.pi) * math.gamma(3))
    assert sliced_wasserstein(x, y, 2000) == pytest.approx(expected, rel=0.05)


def test_a_correlation_that_no_single_feature_shows() -> None:
    y, z = _sample(1, 3000, 2), _sample(2, 3000, 2)
    mixed = np.stack([z[:, 0], 0.95 * z[:, 0] + math.sqrt(1 - 0.95**2) * z[:, 1]], axis=1)
    assert sliced_wasserstein(mixed, y) > 5 * sliced_wasserstein(z, y)


def test_equal_samples_units_and_constant_features() -> None:
    x, y = _sample(3, 500), _sample(4, 700)
    assert sliced_wasserstein(y, y) == 0
    scale, shift = np.array([1e-3, 1, 1e3, 1e6, 10]), np.array([5, 0, -1e3, 1, 0.0])
    assert sliced_wasserstein(scale * x + shift, scale * y + shift) == pytest.approx(sliced_wasserstein(x, y), rel=1e-9)
    with_constant = [np.column_stack([sample, np.full(len(sample), 7.0)]) for sample in (x, y)]
    assert sliced_wasserstein(*with_constant) == pytest.approx(sliced_wasserstein(x, y), rel=1e-9)


def test_the_baseline_falls_with_the_root_of_the_size() -> None:
    few, many = (
        np.mean([sliced_wasserstein(_sample(2 * k + 10, n), _sample(2 * k + 11, n), 50) for k in range(6)])
        for n in (250, 4000)
    )
    assert few / many == pytest.approx(4, rel=0.25)
