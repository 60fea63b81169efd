"""Nearest neighbours within and between samples, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from caloforge import neighbours
from caloforge.errors import CaloforgeError
from caloforge.neighbours import distinct_points, nearest_distances, nearest_neighbours, squared_distances


def test_neighbours_are_the_brute_force_ones_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(157, 6))
    table = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=2))
    np.fill_diagonal(table, np.inf)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 8 * 157 * 10)  # blocks of ten rows and one of seven
    steps: list[int] = []
    distances, indices = nearest_neighbours(x, 7, steps.append)
    np.testing.assert_array_equal(indices.numpy(), np.argsort(table, axis=1)[:, :7])
    np.testing.assert_allclose(distances.numpy(), np.sort(table, axis=1)[:, :7], rtol=1e-12)
    assert sum(steps) == 157
    assert len(steps) > 10


def test_close_pairs_far_from_the_origin_keep_their_distance() -> None:
    x = np.array([[1e6, 0.0], [1e6, 1e-3], [-1e6, 0.0], [-1e6, 2e-3]])
    distances, indices = nearest_neighbours(x, 1)
    np.testing.assert_allclose(distances[:, 0].numpy(), [1e-3, 1e-3, 2e-3, 2e-3], rtol=1e-9)
    assert indices[:, 0].tolist() == [1, 0, 3, 2]


def test_distinct_points_keep_their_order_and_know_negative_zero() -> None:
    kept, n_duplicates = distinct_points(np.array([[2.0, 0.0], [1.0, 0.0], [2.0, -0.0], [1.0, 3.0], [1.0, 0.0]]))
    assert kept.tolist() == [[2, 0], [1, 0], [1, 3]]
    assert n_duplicates == 2


@pytest.mark.parametrize(("k", "needed"), [(0, "at least 1"), (4, "5 distinct")])
def test_number_of_neighbours_out_of_range(k: int, needed: str) -> None:
    with pytest.raises(CaloforgeError, match=needed):
        nearest_neighbours(np.eye(4), k)


def test_squared_distances_between_samples_are_the_brute_force_ones() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(50, 1, (40, 6)).astype(np.float32), rng.normal(50, 1, (60, 6)).astype(np.float32)
    expected = ((x[:, None].astype(float) - y[None]) ** 2).sum(-1)
    np.testing.assert_allclose(squared_distances(x, y, rows=7), expected, rtol=1e-4, atol=1e-4)


def test_nearest_distance_tells_copies_from_near_copies() -> None:
    y = np.random.default_rng(4).normal(100, 1, (50, 20)).astype(np.float32)
    x = y[:3].copy()
    x[1, 0] += 0.01
    found = nearest_distances(x, y)
    assert found[0] == found[2] == 0
    assert found[1] == pytest.approx(0.01, rel=1e-3)
