"""Neighbouring hits, isolated hits and clusters, against images counted by hand and scipy's labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from caloforge import observables
from caloforge.geometry import Geometry, load_geometry
from caloforge.showers import Showers

NAMES = ("pairs_around", "pairs_outwards", "isolated", "clusters")


def _showers(geometry: Geometry, position: int, images: np.ndarray) -> Showers:
    voxels = np.zeros((len(images), geometry.n_voxels), dtype=np.float32)
    voxels[:, geometry.slices[position]] = 10 * images.reshape(len(images), -1)
    return Showers(np.full(len(images), 1000.0), voxels, geometry)


def _values(geometry: Geometry, position: int, images: np.ndarray) -> list[list[float]]:
    layer = geometry.layers[position].id
    found = observables.compute(_showers(geometry, position, images), [f"{name}_{layer}" for name in NAMES])
    return np.stack([found[f"{name}_{layer}"] for name in NAMES], axis=1).tolist()


def test_counted_by_hand_on_a_circle() -> None:
    geometry = load_geometry("ds1-photons")
    shape = geometry.layers[1].shape
    images = np.zeros((4, *shape))
    images[1, 0, 0] = images[1, -1, 0] = 1  # neighbours around the circle
    images[2, 3, 4] = images[2, 3, 5] = images[2, 4, 5] = images[2, 7, 9] = 1  # an L, and one alone
    images[3, 2, 0] = images[3, 2, shape[1] - 1] = 1  # the innermost and the outermost ring are no neighbours
    assert _values(geometry, 1, images) == [[0, 0, 0, 0], [1, 0, 0, 1], [1, 1, 1, 2], [0, 0, 2, 2]]


def test_rows_and_columns_of_a_cartesian_layer_end() -> None:
    geometry = load_geometry("calogan")
    rows, columns = geometry.layers[1].shape
    images = np.zeros((2, rows, columns))
    images[0, 0, 0] = images[0, -1, 0] = images[0, 0, -1] = 1  # opposite ends are no neighbours
    images[1, 4, 5] = images[1, 5, 5] = images[1, 5, 6] = 1
    assert _values(geometry, 1, images) == [[0, 0, 3, 3], [1, 1, 0, 1]]


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6])
def test_clusters_are_those_of_scipy(fraction: float) -> None:
    geometry = load_geometry("calogan")
    images = np.random.default_rng(1).random((50, *geometry.layers[1].shape)) < fraction
    found = [row[3] for row in _values(geometry, 1, images.astype(float))]
    assert found == [ndimage.label(image)[1] for image in images]


def test_around_the_circle_it_does_not_matter_where_alpha_begins() -> None:
    geometry = load_geometry("ds1-photons")
    images = (np.random.default_rng(2).random((50, *geometry.layers[2].shape)) < 0.3).astype(float)
    assert _values(geometry, 2, images) == _values(geometry, 2, np.roll(images, 3, axis=1))


def test_hits_are_in_clusters_or_isolated() -> None:
    geometry = load_geometry("ds1-photons")
    images = (np.random.default_rng(3).random((50, *geometry.layers[2].shape)) < 0.4).astype(float)
    for image, (around, outwards, isolated, clusters) in zip(images, _values(geometry, 2, images), strict=True):
        hits = image.sum()
        assert isolated <= clusters <= isolated + (hits - isolated) / 2
        assert clusters >= hits - around - outwards  # a pair joins two clusters at most


def test_layers_without_neighbours_have_none_of_them() -> None:
    geometry = load_geometry("ds1-photons")
    single = geometry.layer_ids[0]  # one alpha bin
    assert not any(f"{name}_{single}" in observables.available(geometry) for name in NAMES)
