"""Cells and voxels: energy, constant density and centre of energy, there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.geometry.cells import shared_areas
from caloforge.transforms import build_transforms, specification_of
from caloforge.transforms.cartesian_cells import CartesianCells

DS2 = load_geometry("ds2")
C = torch.ones(2, 1)


@pytest.fixture(scope="module")
def cells() -> CartesianCells:
    return CartesianCells(cells=12, geometry=DS2)


def _showers() -> torch.Tensor:
    return torch.rand(2, DS2.n_voxels, generator=torch.Generator().manual_seed(1)) ** 8


def test_energy_is_kept_layer_by_layer_both_ways(cells: CartesianCells) -> None:
    x = _showers()
    there, _ = cells(x, C)
    back, _ = cells.inverse(there, C)
    assert there.shape == (2, 45 * 144)
    layers = x.view(2, 45, -1).sum(dim=2)
    torch.testing.assert_close(there.view(2, 45, -1).sum(dim=2), layers)
    torch.testing.assert_close(back.view(2, 45, -1).sum(dim=2), layers)


def test_a_constant_density_stays_constant(cells: CartesianCells) -> None:
    areas = torch.from_numpy(np.tile(DS2.layers[0].areas, 45)).float().expand(2, -1)
    there, _ = cells(areas, C)
    square = there.view(2, 45, 12, 12)[0, 0]
    assert square[0, 0] == 0  # a corner, outside the circle
    side = 2 * 41.85 / 12
    torch.testing.assert_close(square[4:8, 4:8], torch.full((4, 4), side**2), rtol=0.02, atol=0)
    torch.testing.assert_close(cells.inverse(there, C)[0], areas)


def test_areas_against_a_quarter(cells: CartesianCells) -> None:
    """Two by two cells are quarters of the disc, and 16 bins of alpha are cut by none of their edges."""
    layer = DS2.layers[0]
    areas = shared_areas(layer, np.array([-41.85, 0.0, 41.85])).toarray()  # type: ignore[arg-type]
    np.testing.assert_allclose(areas.sum(axis=1), np.pi * 41.85**2 / 4)
    column, row = layer.eta > 0, layer.phi > 0
    np.testing.assert_allclose(areas[2 * column.astype(int) + row, np.arange(144)], layer.areas)


def test_the_centre_of_energy_is_kept(cells: CartesianCells) -> None:
    """One voxel far out at alpha = 0.2 rad: the cells' centre lies where the voxel's does, within a millimetre."""
    x = torch.zeros(2, 45, 16, 9)
    x[:, 3, 8, 6] = 1.0
    there = cells(x.flatten(1), C)[0].view(2, 45, 12, 12)[0, 3]
    middle = torch.from_numpy((np.arange(12) + 0.5) / 12 * 2 * 41.85 - 41.85).float()
    voxel = 8 * 9 + 6
    assert float(there.sum(dim=1) @ middle) == pytest.approx(DS2.layers[0].eta[voxel], abs=1.0)
    assert float(there.sum(dim=0) @ middle) == pytest.approx(DS2.layers[0].phi[voxel], abs=1.0)


def test_made_again_from_its_settings_and_not_saved(cells: CartesianCells) -> None:
    chain = build_transforms([{"kind": "cartesian_cells", "cells": 12}], DS2)
    assert specification_of(chain) == [{"kind": "cartesian_cells", "cells": 12}]
    assert chain.state_dict() == {}
    x = _showers()
    torch.testing.assert_close(chain(x, C)[0], cells(x, C)[0])


def test_refused(small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match="cartesian_cells needs the same r and alpha bins"):
        CartesianCells(geometry=small_geometry)
    with pytest.raises(CaloforgeError, match="'cells' must be at least 2, not 1"):
        CartesianCells(cells=1, geometry=DS2)
