"""The file that DDML plays back: showers on Cartesian cells, energy kept."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.card import card_path
from caloforge.export.ddml import export_ddml
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
    with pytest.raises(CaloforgeError, match="ddml-hdf5 needs a regular mesh"):
        export_ddml(simulator(load_geometry("ds1-photons")), energies, path, seed=1)
    for size in (0.0, 0.01, 100.0, float("nan")):
        with pytest.raises(CaloforgeError, match="does not suit a mesh of radius 6 mm"):
            export_ddml(simulator(), energies, path, seed=1, cell_size=size)
    with pytest.raises(CaloforgeError, match="incident energy 0 is -1 MeV"):
        export_ddml(simulator(), -energies / 100, path, seed=1)
    assert not list(tmp_path.iterdir())
