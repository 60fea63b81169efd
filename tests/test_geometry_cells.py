"""Square cells over a polar layer: areas add up, a disc is a disc, directions are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caloforge.geometry import Layer, load_geometry
from caloforge.geometry.cells import cell_edges, shared_areas

POLAR = Layer(0, (0.0, 2.0, 4.0, 6.0), 8)


@pytest.mark.parametrize("layer", [POLAR, load_geometry("ds2").layers[0], Layer(0, (1.0, 4.0, 9.0), 1)])
def test_the_cells_of_a_voxel_have_its_area(layer: Layer) -> None:
    areas = shared_areas(layer, cell_edges(layer))
    np.testing.assert_allclose(areas.sum(axis=0), layer.areas, rtol=1e-12)
    assert areas.data.min() > 0


def test_cells_cover_the_layer() -> None:
    edges = cell_edges(POLAR)
    np.testing.assert_allclose(edges, np.arange(-6, 7, 2))
    np.testing.assert_allclose(cell_edges(load_geometry("ds2").layers[0])[[0, -1]], [-41.85, 41.85])
    assert cell_edges(POLAR, 5.0).tolist() == [-10, -5, 0, 5, 10]


def test_a_cell_within_the_layer_keeps_its_area() -> None:
    """A disc: a cell inside it has its own area in it, a corner outside has none."""
    layer = Layer(0, (0.0, 3.0, 6.0), 6)
    grid = shared_areas(layer, cell_edges(layer, 1.0)).sum(axis=1).reshape(12, 12)
    inside = grid[2:10, 2:10]  # corners at 4·√2 = 5.66 mm
    np.testing.assert_allclose(inside, 1, rtol=0.12)
    assert inside.mean() == pytest.approx(1, rel=5e-3)
    assert grid[0, 0] == 0


def test_directions_are_kept() -> None:
    """A voxel's energy lands around its own centre: x = r cos(alpha), y = r sin(alpha)."""
    layer, edges = POLAR, cell_edges(POLAR, 0.5)
    middles = (edges[:-1] + edges[1:]) / 2
    shares = (shared_areas(layer, edges).toarray() / layer.areas).reshape(len(middles), len(middles), layer.n_voxels)
    x, y = np.einsum("xyv,x->v", shares, middles), np.einsum("xyv,y->v", shares, middles)
    # The centre of gravity of a piece of a ring, by integration.
    half = math.pi / layer.n_alpha
    lo, hi = np.array(layer.r_edges[:-1]), np.array(layer.r_edges[1:])
    radius = np.tile(2 / 3 * (hi**3 - lo**3) / (hi**2 - lo**2) * math.sin(half) / half, layer.n_alpha)
    np.testing.assert_allclose(x, radius * np.cos(layer.alpha), atol=0.05)
    np.testing.assert_allclose(y, radius * np.sin(layer.alpha), atol=0.05)
