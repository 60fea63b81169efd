"""The file that DDML plays back: showers on Cartesian cells, energy kept."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.export.card import card_path
from caloforge.export.ddml import export_ddml, playback_settings
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.models.caloman import CaloMan
from caloforge.showers import Showers
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
    card = export_ddml(simulator(), energies, path, seed=4, batch_size=10, grid="own")
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
        with pytest.raises(CaloforgeError, match="do not suit a mesh of radius 6 mm"):
            export_ddml(simulator(), energies, path, seed=1, cell_size=size, grid="own")
    with pytest.raises(CaloforgeError, match="incident energy 0 is -1 MeV"):
        export_ddml(simulator(), -energies / 100, path, seed=1)
    with pytest.raises(CaloforgeError, match=r"reach 31\.2 mm .* of 'ds2' 41\.85 mm: energy would be lost"):
        export_ddml(simulator(load_geometry("ds2")), energies, path, seed=1, cell_size=2.1)
    with pytest.raises(CaloforgeError, match=r"has 45 layers, the file 30: add layers=45 .*NCellsZ = 45"):
        export_ddml(simulator(load_geometry("ds2")), energies, path, seed=1)
    for wrong in ({"grid": 3}, {"layers": 2.5}, {"unit": "GeV"}):
        with pytest.raises(CaloforgeError, match=next(iter(wrong))):
            playback_settings(wrong)
    with pytest.raises(CaloforgeError, match="grid=mine: give bibae or own"):
        export_ddml(simulator(), energies, path, seed=1, grid="mine")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [7, 23])
def test_the_file_has_to_cover_every_trigger(n: int, tmp_path: Path) -> None:
    """DDML reads on past the last shower: what a user sees first says so, with the number."""
    card = export_ddml(simulator(), np.full(n, 100.0), tmp_path / "d.h5", seed=4)
    assert card["showers"] == n
    assert "at least as many showers as there are triggers" in card["end_of_file"]
    with h5py.File(tmp_path / "d.h5") as file:
        assert file.attrs["end_of_file"] == card["end_of_file"]
        assert len(file["layers"]) == n
    shown = ast.get_docstring(ast.parse((tmp_path / "d_steer.py").read_text()))
    assert shown is not None
    said = " ".join(shown.split())
    assert f"The file holds {n} showers, which have to cover every trigger" in said
    assert "DDML does not start again at its end" in said


class Fixed(Simulator):
    """Gives one shower: 7 MeV in layer 3 around alpha = 0, 5 MeV in layer 1 around alpha = pi/2."""

    def stream(self, energies: np.ndarray, *args: Any, **kwargs: Any) -> Iterator[Showers]:
        voxels = np.zeros((1, 5, 8, 3), dtype=np.float32)
        voxels[0, 3, 3:5, 2], voxels[0, 1, 5:7, 2] = 3.5, 2.5
        yield Showers(energies, voxels.reshape(1, -1), MESH)


def test_ddml_reads_it_back(tmp_path: Path) -> None:
    """The loops of DDML's LoadHdf5 and RegularGridTwoAngleBIBAEModel, from their description."""
    known = simulator()
    export_ddml(Fixed(MESH, known.transforms, known.model), np.array([100.0]), tmp_path / "d.h5", seed=1)
    with h5py.File(tmp_path / "d.h5") as file:
        flat = file["layers"][...].ravel()
    cell, first, second = 5.088333, 77 / 5.088333, 137 / 5.088333
    found: dict[int, list[tuple[float, float, float]]] = {}
    number = 0
    for layer in range(30):
        for i in range(30):
            for j in range(49):
                if flat[number] > 0:
                    point = ((j - second + 0.5) * cell, (i - first + 0.5) * cell, float(flat[number]))
                    found.setdefault(layer, []).append(point)
                number += 1
    assert number == len(flat)
    steering = ast.parse((tmp_path / "d_steer.py").read_text())
    given: dict[str, Any] = {}
    for node in ast.walk(steering):
        if isinstance(node, ast.Assign):
            targets = [
                t for target in node.targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value] * len(targets)
            known_values = zip(targets, values, strict=True)
            given |= {t.attr: v.value for t, v in known_values if isinstance(t, ast.Attribute) and hasattr(v, "value")}
    assert (given["NCellsX"], given["NCellsY"], given["NCellsZ"]) == (30, 49, 30)
    assert given["CellSizeX"] == given["CellSizeY"] == pytest.approx(cell, rel=1e-6)
    assert given["FilePath"] == "d.h5"
    assert sorted(found) == [1, 3]
    for layer, energy, direction in ((3, 7.0, (1, 0)), (1, 5.0, (0, 1))):
        x, y, e = np.array(found[layer]).T
        assert e.sum() == pytest.approx(energy, rel=1e-5)  # MeV
        mean = (x * e).sum() / e.sum(), (y * e).sum() / e.sum()
        # Between 4 and 6 mm from the axis, spread over ± 45°; cells of 5 mm move the mean by less than half a cell.
        radius = 2 / 3 * (6**3 - 4**3) / (6**2 - 4**2) * np.sin(np.pi / 4) / (np.pi / 4)
        np.testing.assert_allclose(mean, radius * np.array(direction), atol=cell / 2)
        assert mean[0] * direction[0] + mean[1] * direction[1] > 2
