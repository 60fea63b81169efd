"""Polar voxels on Cartesian cells: energy kept, areas right, and the file that DDML plays back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.cartesian import cell_edges, shares
from caloforge.export.ddml import export_ddml
from caloforge.export.graph import card_path
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.models.caloman import CaloMan
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

MESH = Geometry("mesh", tuple(Layer(k, (0.0, 2.0, 4.0, 6.0), 8) for k in range(5)), threshold=0.1)


def simulator(geometry: Geometry = MESH) -> Simulator:
    torch.manual_seed(1)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction", "maximum": 1.0}]
    model = CaloMan(geometry.n_voxels, 1, latent_dim=3, hidden=[8], flow_layers=1, flow_width=8)
    with torch.no_grad():
        model.autoencoder.decoder[-1].bias += 0.3
    return Simulator(geometry, build_transforms(chain, geometry), model, {"energy_range_mev": [10.0, 1000.0]})


@pytest.mark.parametrize("layer", [MESH.layers[0], load_geometry("ds2").layers[0], Layer(0, (1.0, 4.0, 9.0), 1)])
def test_no_energy_is_lost_or_made(layer: Layer) -> None:
    matrix = shares(layer, cell_edges(layer))
    np.testing.assert_allclose(matrix.sum(axis=0), 1, rtol=1e-12)
    assert matrix.data.min() > 0


def test_cells_cover_the_layer() -> None:
    edges = cell_edges(MESH.layers[0])
    np.testing.assert_allclose(edges, np.arange(-6, 7, 2))
    np.testing.assert_allclose(cell_edges(load_geometry("ds2").layers[0])[[0, -1]], [-41.85, 41.85])
    assert cell_edges(MESH.layers[0], 5.0).tolist() == [-10, -5, 0, 5, 10]


def test_shares_are_shares_of_area() -> None:
    """A disc of even density: a cell inside it gets its own area, over the disc's."""
    layer = Layer(0, (0.0, 3.0, 6.0), 6)
    cells = shares(layer, cell_edges(layer, 1.0)) @ (layer.areas / layer.areas.sum())
    grid = cells.reshape(12, 12)
    inside = grid[2:10, 2:10]  # corners at 4·√2 = 5.66 mm
    np.testing.assert_allclose(inside, 1 / (math.pi * 36), rtol=0.12)
    assert inside.mean() == pytest.approx(1 / (math.pi * 36), rel=5e-3)
    assert grid[0, 0] == 0


def test_directions_are_kept() -> None:
    """A voxel's energy lands around its own centre: x = r cos(alpha), y = r sin(alpha)."""
    layer, edges = MESH.layers[0], cell_edges(MESH.layers[0], 0.5)
    middles = (edges[:-1] + edges[1:]) / 2
    matrix = shares(layer, edges).toarray().reshape(len(middles), len(middles), layer.n_voxels)
    x, y = np.einsum("xyv,x->v", matrix, middles), np.einsum("xyv,y->v", matrix, middles)
    # The centre of gravity of a piece of a ring, by integration.
    half = math.pi / layer.n_alpha
    lo, hi = np.array(layer.r_edges[:-1]), np.array(layer.r_edges[1:])
    radius = np.tile(2 / 3 * (hi**3 - lo**3) / (hi**2 - lo**2) * math.sin(half) / half, layer.n_alpha)
    np.testing.assert_allclose(x, radius * np.cos(layer.alpha), atol=0.05)
    np.testing.assert_allclose(y, radius * np.sin(layer.alpha), atol=0.05)


def test_the_file_holds_the_showers(tmp_path: Path) -> None:
    path, energies = tmp_path / "d.h5", np.resize([1.0, 100.0, 500.0], 23)
    card = export_ddml(simulator(), energies, path, seed=4, batch_size=10)
    inside = energies.clip(10, 1000)
    showers = simulator().generate(inside, 4, batch_size=10)
    with h5py.File(path) as file:
        cells = file["layers"][...]
        assert file["layers"] == file["events"]
        np.testing.assert_array_equal(file["incident_energies"][:, 0], inside)
        assert file.attrs["format"] == "ddml-hdf5"
    assert cells.shape == (23, 6, 6, 5)
    np.testing.assert_allclose(1000 * cells.sum(axis=(1, 2, 3)), showers.deposited, rtol=1e-5)
    per_layer = showers.voxels.reshape(23, 5, 24).sum(axis=2)
    np.testing.assert_allclose(1000 * cells.sum(axis=(1, 2)), per_layer, rtol=1e-4, atol=1e-4)
    assert json.loads(card_path(path).read_text()) == card
    assert card["dataset"]["layers"]["shape"] == [23, 6, 6, 5]


def test_what_does_not_suit_is_refused(tmp_path: Path) -> None:
    path, energies = tmp_path / "d.h5", np.array([100.0])
    with pytest.raises(CaloforgeError, match="ddml-hdf5 takes a regular mesh"):
        export_ddml(simulator(load_geometry("ds1-photons")), energies, path, seed=1)
    for size in (0.0, 0.01, 100.0, float("nan")):
        with pytest.raises(CaloforgeError, match="do not suit a mesh of radius 6 mm"):
            export_ddml(simulator(), energies, path, seed=1, cell_size=size)
    with pytest.raises(CaloforgeError, match="incident energy 0 is -1 MeV"):
        export_ddml(simulator(), -energies / 100, path, seed=1)
    assert not list(tmp_path.iterdir())
