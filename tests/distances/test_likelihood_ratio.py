"""The learned likelihood ratio: Gaussians whose ratio is known, scikit-learn's logistic regression, exact p-values."""

from __future__ import annotations

import numpy as np
import pytest

from caloforge.distances import likelihood_ratio as learned
from caloforge.distances.permutation_tests import Labels, p_values


def drawn(n: int, shift: float, seed: int, features: int = 1, permutations: int = 40) -> tuple[np.ndarray, Labels]:
    """n showers per sample in random order, the generated ones shifted in the first feature."""
    rng = np.random.default_rng(seed)
    generated = rng.permutation(np.repeat([1, 0], n))
    x = rng.normal(size=(2 * n, features)).astype(np.float32)
    x[:, 0] += shift * generated
    return x, Labels.of(generated, np.zeros(2 * n, dtype=int), permutations, rng)


def test_of_two_gaussians_it_is_their_likelihood_ratio() -> None:
    """Of unit Gaussians a distance d apart, 2 Σ ln p/q is n d² on average."""
    t = learned.likelihood_ratio(*drawn(4000, 0.5, 1))
    assert t[0] - t[1:].mean() == pytest.approx(4000 * 0.25, rel=0.15)
    assert t[1:].max() < 60


def test_it_is_logistic_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn minimises the same loss, C = 1 / (λ N), and 30 steps of bounded curvature reach its minimum."""
    from sklearn.linear_model import LogisticRegression

    x, labels = drawn(600, 0.7, 2, features=2, permutations=1)
    monkeypatch.setattr(learned, "STEPS", 30)
    t = learned.likelihood_ratio(x, labels, centres=20)
    features, y = learned._features(x, x[:20]), labels.columns[:, 0]
    fitted = LogisticRegression(C=1 / (learned.RIDGE * len(x)), fit_intercept=False, tol=1e-8, max_iter=2000)
    f = fitted.fit(features, y).decision_function(features)
    assert t[0] == pytest.approx(2 * (f[y == 1].sum() - np.expm1(f[y == 0]).sum()), rel=0.01)


def test_samples_of_different_size_are_balanced() -> None:
    """Three reference showers for each generated one: without weights f would be ln 1/3 everywhere."""
    rng = np.random.default_rng(3)
    generated = rng.permutation(np.repeat([1, 0], [500, 1500]))
    x = rng.normal(size=(2000, 2)).astype(np.float32)
    t = learned.likelihood_ratio(x, Labels.of(generated, np.zeros(2000, dtype=int), 60, rng), centres=20)
    assert abs(t[0] - t[1:].mean()) < 3.5 * t[1:].std()
    assert (t > 0).all()


def test_p_values_are_exact() -> None:
    """Of 200 pairs of equal samples 10 % have p ≤ 0.1 (3 σ: 3.6 to 16.4 %), of a part of the showers too."""
    small = 0
    for toy in range(200):
        x, labels = drawn(80, 0.0, 100 + toy, features=3, permutations=19)
        t = learned.likelihood_ratio(x[:100], Labels(labels.columns[:100]), centres=15)
        small += int(p_values(t)[0] <= 0.1)
    assert 0.036 < small / 200 < 0.164
