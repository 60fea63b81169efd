"""Geant4 itself, with the reduced tables where they are at hand: the same events however they are made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4 import simulation
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import Detector, detector_from_plain, load_detector
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import CPU_COLUMN, partial_path, simulate


def toy(**changes: Any) -> Detector:
    """Eight pairs of lead and argon in two layers, both active in the second."""
    plain: dict[str, Any] = {
        "name": "toy",
        "geometry": {
            "name": "toy",
            "layers": [
                {"id": 0, "r_edges": [0, 10, 30, 100], "n_alpha": 6},
                {"id": 5, "phi_edges": [-200, -50, 0, 50, 200], "eta_edges": [-100, 0, 100]},
            ],
        },
        "sampling_fraction": {0: 0.2, 5: 1},
        "slabs": [
            {
                "repeat": 4,
                "layer": 0,
                "slabs": [
                    {"material": "G4_Pb", "thickness": 3},
                    {"material": "G4_lAr", "thickness": 5, "active": True},
                ],
            },
            {
                "repeat": 4,
                "slabs": [
                    {"material": "G4_Pb", "thickness": 6, "layer": 5},
                    {"material": "G4_lAr", "thickness": 5, "layer": 5},
                ],
            },
        ],
    }
    return detector_from_plain({**plain, **changes}, "toy")


def request(data: FoundData, detector: Detector | None = None, **changes: Any) -> SimulationRequest:
    wanted = {"particle": "gamma", "energies": "uniform:40:120", "n": 12, "seed": 5, **changes}
    return SimulationRequest(detector=detector or toy(), data=data, **wanted)


def same(first: Path, second: Path) -> bool:
    a, b = Showers.read(first), Showers.read(second)
    return np.array_equal(a.energies, b.energies) and np.array_equal(a.voxels, b.voxels)


class _Killed(Exception):
    pass


def test_workers_interruption_and_appending_change_nothing(
    data: FoundData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "BLOCK_ENERGY", 150.0)  # blocks of two or three events
    one, two, resumed = tmp_path / "one.h5", tmp_path / "two.h5", tmp_path / "resumed.h5"
    summary = simulate(request(data), one)
    simulate(request(data), two, workers=2)
    assert same(one, two)
    assert not partial_path(one).exists()

    heard: list[int] = []

    def kill(done: int, n: int) -> None:
        heard.append(done)
        if done >= 4:
            raise _Killed

    with pytest.raises(_Killed):
        simulate(request(data), resumed, progress=kill)
    assert not resumed.exists()
    assert heard[0] == 0
    with pytest.raises(CaloforgeError, match="written with seed = 5, now 6 is asked for"):
        simulate(request(data, seed=6), resumed)
    heard.clear()
    again = simulate(request(data), resumed, progress=lambda done, n: heard.append(done))
    assert heard[0] >= 4
    assert heard[-1] == 12
    assert again.simulated == 12 - heard[0]
    assert same(one, resumed)

    # A file of eight events, appended to: the same twelve, the first eight not simulated again.
    simulate(request(data, n=8), tmp_path / "eight.h5")
    with pytest.raises(CaloforgeError, match=r"exists: use append=True .* or overwrite=True"):
        simulate(request(data), tmp_path / "eight.h5")
    with pytest.raises(CaloforgeError, match=r"written with cut = 0\.7, now 1\.0"):
        simulate(request(data, cut=1.0), tmp_path / "eight.h5", append=True)
    assert not partial_path(tmp_path / "eight.h5").exists()
    assert simulate(request(data), tmp_path / "eight.h5", append=True).simulated == 4
    assert same(one, tmp_path / "eight.h5")

    with ShowerFile(one) as file:
        cpu = file.column(CPU_COLUMN)
        assert cpu is not None
        assert (cpu > 0).all()
        assert summary.cpu_seconds == pytest.approx(cpu.sum())
        assert summary.cpu_ms_per_gev == pytest.approx(1e6 * cpu.sum() / file.energies().sum())
        said = file.attributes
        assert json.loads(said["detector_file"]) == toy().source
        assert said["physics_list"] == "G4EmStandardPhysics"
        assert said["geant4_version"].startswith("11.")
        assert said["seed"] == 5
        assert "livermore" in said["data_sets"]
        assert 40 <= file.energies().min() < file.energies().max() <= 120
        assert file.geometry == toy().geometry


def test_energy_is_conserved_where_everything_is_active(data: FoundData, tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    simulate(request(data, load_detector("calogan"), particle="e+", energies="list:150,300", n=6), path)
    showers = Showers.read(path)
    ratio = showers.deposited / showers.energies
    # A positron brings two electron masses more; some photons leave through front and sides.
    assert ((showers.deposited < showers.energies + 1.03) & (ratio > 0.8)).all()
    assert ratio.mean() > 0.95
    assert showers.energies.tolist() == [150, 300] * 3


def test_position_and_angle_move_the_shower(data: FoundData, tmp_path: Path) -> None:
    strips = [{"id": i, "phi_edges": list(range(-100, 101, 4)), "eta_edges": [-500, 500]} for i in (0, 5)]
    detector = toy(geometry={"name": "strips", "layers": strips})
    beam = {"position": (-30.0, 0.0), "angle": 0.8}
    simulate(request(data, detector, energies="list:400", n=6, **beam), tmp_path / "a.h5")
    showers = Showers.read(tmp_path / "a.h5")
    x = [
        np.average(showers.geometry.phi[part], weights=showers.voxels[:, part].sum(0))
        for part in showers.geometry.slices
    ]
    # The first layer lies at z = 0 … 32 mm, the second at 32 … 76 mm: between -30, 3 and 48 mm on the tilted axis.
    assert -22 < x[0] < 0
    assert 5 < x[1] < 40


def test_materials_that_cannot_be_simulated(data: FoundData, tmp_path: Path) -> None:
    def slabs(material: str) -> list[dict[str, Any]]:
        return [{"material": material, "thickness": 1}, *toy().source["slabs"]]

    with pytest.raises(CaloforgeError, match="NIST table has no material 'G4_UNOBTAINIUM'"):
        simulate(request(data, toy(slabs=slabs("G4_UNOBTAINIUM"))), tmp_path / "a.h5")
    with pytest.raises(CaloforgeError, match=r"G4_Cu contains Cu \(Z = 29\), for which .* has no tables"):
        simulate(request(data, toy(slabs=slabs("G4_Cu"))), tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


def test_command_line(geant4_tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "g4.h5"
    words = ["simulate", "geant4", "-d", "w-si", "-p", "e-", "-e", "list:200", "-n", "2", "-s", "3"]
    result = CliRunner().invoke(app, [*words, "-o", str(out), "--geant4-data", str(geant4_tables)])
    assert result.exit_code == 0, result.output
    assert "2 showers of e- in w-si" in result.output
    assert "ms of CPU per GeV" in result.output.replace("\n", " ")
    with ShowerFile(out) as file:
        assert file.geometry.name == "ds2"
        assert file.attributes["command"] == (
            "caloforge simulate geant4 -d w-si -p e- -e list:200 -n 2 --seed 3 --angle 0 --position 0,0 --cut 0.7 "
            "-o g4.h5"
        )
        assert 0.5 < (file.read().deposited / 200).mean() < 1.5
    assert "geant4_pybind" not in sys.modules  # it may ask on standard input: workers alone import it


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "pi-"], "FTFP_BERT needs .* G4PARTICLEXS4.2"),
        (["-p", "axion"], "unknown particle 'axion'"),
        (["-d", "cms"], "unknown detector 'cms'"),
        (["--angle", "steep"], "'steep' is not a valid angle"),
        (["--angle", "95deg"], "must be from 0 to below 90 deg .* not 95 deg "),
        (["--position", "1"], "'1' is not a valid point"),
        (["--position", "1,20000"], "not on the detector's front face"),
        (["--cut", "0"], "production cut must be above 0"),
        (["-s", "-1"], "seed must be at least 0"),
        (["-w", "0"], "number of workers must be at least 1"),
        (["--geant4-data", "/nowhere"], "/nowhere is not a directory"),
        (["-e", "flat:1:2"], "is not a valid energy spectrum"),
    ],
)
def test_mistakes_on_the_command_line(geant4_tables: Path, tmp_path: Path, words: list[str], message: str) -> None:
    start = ["simulate", "geant4", "-d", "w-si", "-p", "e-", "-e", "list:100", "-o", str(tmp_path / "x.h5")]
    result = CliRunner().invoke(app, [*start, "--geant4-data", str(geant4_tables), *words])
    assert isinstance(result.exception, CaloforgeError)
    with pytest.raises(CaloforgeError, match=message):
        raise result.exception
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_photons_agree_with_the_sample_at_hand(data: FoundData, tmp_path: Path, real: Any) -> None:
    path = tmp_path / "g4.h5"
    simulate(request(data, load_detector("atlas-like"), energies="list:512", n=300), path, workers=2)
    reference = Showers.read(real("photons-atlas-like/test.h5"))
    reference = reference[reference.energies == 512]
    ours = Showers.read(path)
    for get in (lambda s: s.deposited, *(lambda s, i=i: s.layer(i).sum((1, 2)) for i in (0, 1, 2))):
        a, b = get(ours).astype(float), get(reference).astype(float)
        error = np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)
        assert abs(a.mean() - b.mean()) < 4 * error
