"""Sharing among voxels of equal mean: energy and spots are kept, and land where the geometry says."""

import numpy as np
import pytest
from scipy.stats import chisquare

from caloforge.geometry import BUILTIN, CartesianLayer, Geometry, Layer, load_geometry
from caloforge.sources.parametric.equal_mean import Cells, component_shares

SMALL = Geometry(
    "small", (Layer(0, (0.0, 1.0, 3.0)), Layer(1, (0.0, 2.0, 5.0), 3), CartesianLayer(2, (-1, 0, 1), (0, 4)))
)


def test_rings_hold_the_voxels_that_the_row_order_says() -> None:
    # Layer 1 has 3 alpha bins and 2 radial bins, r fastest: its inner ring is voxels 2, 4, 6 of the row.
    spread = Cells(SMALL).spread(np.array([[10.0, 20.0, 30.0, 60.0, 5.0, 7.0]]))
    assert spread.tolist() == [[10.0, 20.0, 10.0, 20.0, 10.0, 20.0, 10.0, 20.0, 5.0, 7.0]]


@pytest.mark.parametrize("name", BUILTIN)
def test_voxels_of_a_cell_share_layer_and_radius(name: str) -> None:
    geometry = load_geometry(name)
    cells = Cells(geometry)
    label = np.arange(len(cells.first), dtype=float) + 1
    owner = np.rint(cells.spread((label * cells.copies)[None])[0]).astype(int) - 1
    assert np.bincount(owner).tolist() == cells.copies.tolist()
    for values in (geometry.layer_index, geometry.r):
        assert np.array_equal(values, values[cells.first[owner]])


def test_spots_are_kept_few_or_many() -> None:
    counts = np.random.default_rng(0).poisson(np.geomspace(0.01, 1e4, 6), (50, 6))
    shared = Cells(SMALL).share(counts, np.random.default_rng(1))
    rings = shared[:, 2:8].reshape(50, 3, 2).sum(axis=1)
    assert np.array_equal(np.hstack([shared[:, :2], rings, shared[:, 8:]]), counts)


@pytest.mark.parametrize("spots", [2, 500])
def test_spots_fall_equally_on_the_voxels_of_a_ring(spots: int) -> None:
    counts = np.zeros((3000 // spots * 20, 6), dtype=int)
    counts[:, 2] = spots
    totals = Cells(SMALL).share(counts, np.random.default_rng(2)).sum(axis=0)[[2, 4, 6]]
    assert chisquare(totals).pvalue > 1e-3


def test_cartesian_and_polar_cells_agree_on_what_they_both_cover() -> None:
    radius = np.array([3.0, 8.0])
    edges = tuple(np.linspace(-300, 300, 301))
    squares = component_shares(CartesianLayer(0, edges, edges), radius).reshape(2, 300, 300)
    middle = np.arange(-299, 300, 2.0)
    inside = np.hypot(middle[:, None], middle) < 40
    ring = component_shares(Layer(0, (0.0, 40.0)), radius)[:, 0]
    assert squares[:, inside].sum(axis=1) == pytest.approx(ring, rel=2e-3)
