"""Hits of cells: sums by hand, thresholds, what cannot be; with Geant4, the energy of the voxels of the same events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge import read_points
from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.showers import Showers
from caloforge.sources.geant4 import simulation
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import Detector, detector_from_plain, load_detector
from caloforge.sources.geant4.hit_cells import HitCells, layer_pitch
from caloforge.sources.geant4.journal import decode_hits, encode_hits
from caloforge.sources.geant4.minimum_ionising import most_probable_loss
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate


def one_voxel_per_layer() -> Detector:
    """Lead and argon in layers 0 and 5, each read out whole and uncalibrated."""
    pair = [{"material": "G4_Pb", "thickness": 3}, {"material": "G4_lAr", "thickness": 5, "active": True}]
    plain: dict[str, Any] = {
        "name": "whole",
        "geometry": {"name": "whole", "layers": [{"id": k, "r_edges": [0, 5000], "n_alpha": 1} for k in (0, 5)]},
        "sampling_fraction": 1,
        "slabs": [{"repeat": 3, "layer": k, "slabs": pair} for k in (0, 5)],
    }
    return detector_from_plain(plain, "whole")


def request(data: FoundData, **changes: Any) -> SimulationRequest:
    wanted = {"particle": "gamma", "energies": "uniform:100:300", "n": 8, "seed": 5, **changes}
    return SimulationRequest(detector=one_voxel_per_layer(), data=data, **wanted)


def test_hits_by_hand() -> None:
    """Twice the positions go in. Cells of 5 mm: from −2.5 to 2.5 mm around 0, and so on; 0.3 is below the threshold."""
    cells = HitCells(5.0, (0.5, 0.0), (0, 5))
    first = np.array([[1.0, 2 * 2.4, 0], [2.0, -2 * 2.4, 2 * 0.1], [4.0, 2 * 2.6, 0], [0.3, 0, 2 * 11.0]])
    second = np.array([[0.3, 0, -2 * 11.0], [0.0, 100, 100]])
    found = cells.hits([first, second])
    assert found.tolist() == pytest.approx(np.array([[0, 0, 0, 3], [5, 0, 0, 4], [0, -10, 5, 0.3]]))
    assert cells.hits([first[:0], second[:0]]).shape == (0, 4)


def test_the_most_probable_loss_by_hand() -> None:
    """0.6 mm of silicon: ξ = 0.1535 MeV · 0.4985 · 2.33 · 0.06 = 0.0107 MeV; ħω_p = 31.06 eV; ln(…) = 16.24."""
    loss = most_probable_loss([("G4_Si", 0.3), ("G4_Si", 0.3)])
    assert loss == pytest.approx(0.0107 * (16.24 + 0.2), rel=2e-3)
    assert loss == most_probable_loss([("G4_Si", 0.6)])
    assert loss > 2 * most_probable_loss([("G4_Si", 0.3)])  # thicker slabs have a higher loss per length
    assert most_probable_loss([]) == 0


def test_losses_in_different_slabs_add_up() -> None:
    """More than each by itself, as ln Ξ is larger than ln ξ."""
    pairs = [("G4_Si", 1.0), ("G4_PLASTIC_SC_VINYLTOLUENE", 3.0)]
    each = [most_probable_loss([pair]) for pair in pairs]
    assert sum(each) < most_probable_loss(pairs) < 1.2 * sum(each)


def test_a_threshold_in_mip_is_that_of_the_active_slabs_of_a_layer() -> None:
    silicon, argon = most_probable_loss([("G4_Si", 0.6)]), most_probable_loss([("G4_lAr", 15)])
    assert HitCells.parse("cell:5mm", "0.1MIP", load_detector("w-si")).thresholds == pytest.approx([0.1 * silicon] * 45)
    cells = HitCells.parse("cell:0.5cm", "2 MIP", one_voxel_per_layer())
    assert cells.pitch == 5
    assert cells.layers == (0, 5)
    assert cells.thresholds == pytest.approx([2 * argon] * 2)
    assert HitCells.parse("cell:5mm", "2e-1MIP", load_detector("w-si")).thresholds[0] == pytest.approx(0.2 * silicon)
    assert HitCells.parse("cell:5mm", "20keV", one_voxel_per_layer()).thresholds == pytest.approx([0.02] * 2)
    assert HitCells.parse("cell:5", "", one_voxel_per_layer()).thresholds == (0, 0)


def test_layers_of_equal_depth_have_a_pitch() -> None:
    assert layer_pitch(load_detector("w-si")) == pytest.approx({"layer_pitch_mm": 3.4})
    assert layer_pitch(load_detector("atlas-like")) == {}


@pytest.mark.parametrize(
    ("points", "threshold", "said"),
    [
        ("cells", "", "'cells' is not a size of cells in mm or cm: write cell:5mm"),
        ("cell:5GeV", "", "'cell:5GeV' is not a size of cells in mm or cm"),
        ("cell:0mm", "", "cells must be larger than 0"),
        ("cell:-5mm", "", "cells must be larger than 0"),
        ("cell:1e6mm", "", "smaller than half the detector's width"),
        ("cell:5mm", "0MIP", "'0MIP' is not a positive number of MIP"),
        ("cell:5mm", "abc", "'abc' is not a valid energy; .*; or a number of MIP, as in 0.1MIP"),
        ("cell:1.2.3mm", "", "is not a size of cells"),
        ("cell:5mm", "..MIP", r"'\.\.MIP' is not a positive number of MIP"),
        ("cell:5mm", "5 apples", "'apples' in '5 apples' is not a unit of energy"),
    ],
)
def test_cells_that_cannot_be(points: str, threshold: str, said: str) -> None:
    with pytest.raises(CaloforgeError, match=said):
        HitCells.parse(points, threshold, one_voxel_per_layer())


def test_journalled_hits_read_back() -> None:
    hits = [np.arange(8.0).reshape(2, 4), np.empty((0, 4)), np.ones((1, 4))]
    back, seconds = decode_hits(encode_hits(hits, np.array([0.5, 0.25, 1.0])), 3)
    assert seconds.tolist() == [0.5, 0.25, 1.0]
    assert len(back) == 3
    for one, other in zip(back, hits, strict=True):
        assert np.array_equal(one, other)


class _Killed(Exception):
    pass


def test_the_hits_of_events_have_the_energy_of_their_voxels(
    data: FoundData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layer by layer, to rounding; with two workers and after an interruption they are the same hits."""
    monkeypatch.setattr(simulation, "BLOCK_ENERGY", 400.0)
    voxels, hits, resumed = tmp_path / "voxels.h5", tmp_path / "hits.h5", tmp_path / "resumed.h5"
    simulate(request(data), voxels)
    simulate(request(data, points="cell:5mm"), hits, workers=2)
    showers, clouds = Showers.read(voxels), read_points(hits)
    assert np.array_equal(clouds.energies, showers.energies)
    for k, layer in enumerate((0, 5)):
        found = clouds.sums(clouds["energy"] * (clouds["layer"] == layer))
        assert found == pytest.approx(showers.voxels[:, k], rel=1e-5, abs=1e-6)
    assert clouds.counts.mean() > 3
    assert (clouds["x"] % 5 == 0).all()
    assert {"cell_pitch_mm", "hit_threshold_mev", "layer_pitch_mm", "detector_file"} <= clouds.attributes.keys()
    assert clouds.attributes["layer_pitch_mm"] == pytest.approx(24)

    def kill(done: int, n: int) -> None:
        if done >= 2:
            raise _Killed

    with pytest.raises(_Killed):
        simulate(request(data, points="cell:5mm"), resumed, progress=kill)
    with pytest.raises(CaloforgeError, match="written with cells"):
        simulate(request(data, points="cell:6mm"), resumed)
    simulate(request(data, points="cell:5mm"), resumed)
    assert read_points(resumed) == clouds

    cut = tmp_path / "cut.h5"
    simulate(request(data, points="cell:5mm", threshold="1MIP"), cut)
    least = most_probable_loss([("G4_lAr", 15)])
    above = clouds["energy"] >= np.float32(least)
    assert np.array_equal(read_points(cut)["energy"], clouds["energy"][above])


def test_command_line(geant4_tables: Path, tmp_path: Path) -> None:
    words = ["simulate", "geant4", "-d", "w-si", "-p", "e-", "-e", "list:200", "-n", "2", "--seed", "3"]
    words += ["--points", "cell:5mm", "--threshold", "0.1MIP", "--geant4-data", str(geant4_tables)]
    result = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "hits.h5")])
    assert result.exit_code == 0, result.output
    clouds = read_points(tmp_path / "hits.h5")
    assert len(clouds) == 2
    assert clouds["energy"].min() >= np.float32(0.1 * 0.388 * 0.6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": "1MIP"}, "a threshold is for hits of cells: give points=… cell:5mm too"),
        ({"points": "cell:5mm", "frame": "particle"}, "leave out the particle's frame"),
    ],
)
def test_requests_that_cannot_be(data: FoundData, changes: dict[str, str], said: str) -> None:
    with pytest.raises(CaloforgeError, match=said):
        request(data, **changes)
