"""Nearest neighbours, precision, recall, density and coverage worked out by hand."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from caloforge.distances.prdc import NearestSoFar, logarithms, prdc, surroundings
from caloforge.neighbours import nearest_distances


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def means(generated: np.ndarray, real: np.ndarray, k: int) -> dict[str, float]:
    return {name: float(terms.mean()) for name, terms in prdc(generated, real, k).items()}


def test_prdc_on_a_line() -> None:
    # Radii to the nearest neighbour: real 1, 1, 4 (at 0, 1, 5); generated 1.5, 1.5, 7.5 (at 0.5, 2, 9.5).
    found = means(column(0.5, 2.0, 9.5), column(0.0, 1.0, 5.0), k=1)
    # 0.5 lies in the balls of 0 and 1; 2 in those of 1 and 5; 9.5 in none.
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["density"] == pytest.approx(4 / 3)
    # Each real ball holds a generated shower; 0 and 1 lie in generated balls, and 5 in that of 9.5.
    assert found["coverage"] == 1
    assert found["recall"] == 1


def test_mode_collapse_and_strangers() -> None:
    rng = np.random.default_rng(1)
    real = rng.normal(size=(400, 4)).astype(np.float32)
    collapsed = (real[:1] + 1e-3 * rng.normal(size=(400, 4))).astype(np.float32)
    found = means(collapsed, real, 5)
    assert found["precision"] == 1
    assert found["recall"] < 0.05
    assert found["coverage"] < 0.1
    far = means(real + 100, real, 5)
    assert set(far.values()) == {0.0}


def test_equal_distributions() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 1000, 3)).astype(np.float32)
    found = means(a, b, 5)
    # E[density] = 1 and E[coverage] = 1 − (n−1)…(n−k)/((2n−1)…(2n−k)) ≈ 1 − 2^−k.
    assert found["density"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(1 - 2**-5, abs=0.02)
    assert found["precision"] == pytest.approx(found["recall"], abs=0.05)


def test_radii_agree_with_scikit_learn() -> None:
    y = np.random.default_rng(3).normal(50, 1, (60, 6)).astype(np.float32)
    distances, _ = NearestNeighbors(n_neighbors=6, algorithm="brute").fit(y).kneighbors(y)
    found = surroundings(y, 5)
    np.testing.assert_allclose(np.sqrt(found.radii), distances[:, 5], rtol=1e-3)
    np.testing.assert_allclose(found.nearest, distances[:, 1], rtol=1e-4)


def test_nearest_in_the_own_sample_tells_copies_from_near_copies() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(100, 1, (50, 20)).astype(np.float32)
    x = y[:3].copy()
    x[1, 0] += 0.01
    assert surroundings(y).nearest.min() > 1
    assert surroundings(np.concatenate([y, x])).nearest[:3] == pytest.approx([0, 0.01, 0], rel=1e-3)


def test_known_surroundings_change_nothing() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 50, 3)).astype(np.float32)
    known = prdc(x, y, around=(surroundings(x), surroundings(y)))
    for name, terms in prdc(x, y).items():
        np.testing.assert_array_equal(known[name], terms)


def test_nearest_chunk_by_chunk() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(90, 4)).astype(np.float32)
    search = NearestSoFar(x)
    for start in range(0, 90, 25):
        search.update(y[start : start + 25])
    np.testing.assert_allclose(search.distances, nearest_distances(x, y))


def test_logarithms_take_zero_for_a_tenth_of_an_mev() -> None:
    found = logarithms(np.array([[0.0, 1.0, 100.0]], dtype=np.float32))
    np.testing.assert_allclose(found, [[-1, 0, 2]], atol=1e-6)
