"""A trained run within Geant4: what it refuses, what it makes, and events that do not depend on workers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.conditions import KNOWN
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.simulator.within_geant4 import RunMaker, within_geant4
from caloforge.sources.geant4.datasets import find_data
from caloforge.sources.geant4.detector import load_detector
from caloforge.sources.geant4.fast import fast_seed
from caloforge.sources.geant4.gun import Primary
from caloforge.sources.geant4.incidence import Incidence
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate
from caloforge.transforms import TrainedConditions
from caloforge.transforms.trained_conditions import TrainedCondition
from caloforge.zoo import find_run

PHOTONS = find_run("flagship-atlas-like")


class _NoTables:
    """Tables that nobody looks at."""

    def require(self, physics_list: str) -> None:
        return None


def request(gun: str, detector: str = "atlas-like", **changes: Any) -> SimulationRequest:
    wanted: dict[str, Any] = {"particle": "", "energies": "", "n": 4, "seed": 1, "data": _NoTables(), **changes}
    return SimulationRequest(detector=load_detector(detector), gun=gun, **wanted)


@pytest.mark.parametrize(
    ("asked", "above", "message"),
    [
        (request("gamma 1GeV", "w-si"), None, "'w-si' has the voxels of ds2, the run those of ds1-photons"),
        (request("2 e- 1GeV, pi+ 1GeV"), None, r"trained on gamma, and none is shot \(e-, pi\+\)"),
        (request("gamma 100MeV"), 50.0, r"showers of 256 MeV … 16\.38 GeV, not of 100 MeV.*fast_above='256MeV'"),
        (request("e- 1GeV, gamma 20GeV"), None, "not of 20 GeV: shoot lower energies"),
        (request("gamma 1GeV", conditions=("theta=20deg",)), None, "at normal incidence alone, not at theta = 20 deg"),
        (request("gamma 1GeV", angle=0.1), None, "not at theta = 5.73 deg"),
        (request("gamma 1GeV"), 20e3, r"at most 16\.38 GeV, the highest energy of the run, not 20000 MeV"),
        (request("gamma 1GeV"), -1.0, "must be above 0"),
        (
            request("", particle="gamma", energies="list:1GeV", frame="particle"),
            None,
            "mesh of the run stays with the detector",
        ),
    ],
)
def test_what_a_run_cannot_do(asked: SimulationRequest, above: float | None, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message) as caught:
        within_geant4(PHOTONS, asked, above)
    assert "\n" not in str(caught.value)


def test_another_detector_of_the_same_voxels() -> None:
    mine = replace(load_detector("atlas-like"), name="mine")
    with pytest.raises(CaloforgeError, match="trained in the detector 'atlas-like', not in 'mine'"):
        within_geant4(PHOTONS, replace(request("gamma 1GeV"), detector=mine))


def test_what_it_says_and_takes_along() -> None:
    fast = within_geant4(PHOTONS, request("gamma 100MeV:16GeV, pi+ 5GeV", conditions=("x=uniform:-20:20mm",)))
    assert fast.above == 256
    assert [note.split()[0] for note in fast.approximations] == ["voxels", "showers", "the"]
    assert "FTFP_BERT" in fast.approximations[2]
    assert len(within_geant4(PHOTONS, request("gamma 1GeV")).approximations) == 1
    assert pickle.loads(pickle.dumps(fast)) == fast
    assert fast.facts()["fast_run"] == "flagship-atlas-like"
    assert fast.config() != within_geant4(PHOTONS, request("gamma 1GeV"), above=1000.0).config()


def slanted() -> Simulator:
    """The shipped run, said to be trained with angles, on two particles, and with a mesh that turns."""
    run = Simulator.load(PHOTONS)
    entries = (
        TrainedCondition.of(KNOWN["theta"], np.array([0.0, 1.0])),
        TrainedCondition.of(KNOWN["pdg"], np.array([22.0, 11.0])),
    )
    return replace(
        run,
        conditions=TrainedConditions(entries, ("phi",)),
        provenance={**run.provenance, "frame": TURNING_FRAME},
    )


def test_particles_angles_and_meshes() -> None:
    plain, turning = RunMaker(Simulator.load(PHOTONS), None, "detector"), RunMaker(slanted(), 500.0, "detector")
    straight, tilted = Primary("gamma", 1000, Incidence(x=3.0)), Primary("e-", 1000, Incidence(0.5, 1.0, 3.0, 4.0))
    assert plain.accepts(straight)
    assert not plain.accepts(Primary("gamma", 1000, Incidence(0.5)))
    assert not plain.accepts(Primary("e-", 1000))
    assert not plain.accepts(Primary("gamma", 255))
    assert plain.mesh(straight) == Incidence(x=3.0)
    assert plain.mesh(Primary("gamma", 1000)) is None
    assert sorted(turning.particles) == ["e-", "gamma"]
    assert turning.accepts(tilted)
    assert not turning.accepts(Primary("e-", 499))
    assert "theta 0 deg … 57.3 deg, not at 68.75 deg" in turning.reason(Primary("e-", 1000, Incidence(1.2)))
    assert turning.mesh(tilted) == Incidence(0.5, 1.0, 3.0, 4.0)
    assert RunMaker(slanted(), None, "particle").mesh(tilted) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fast-above", "1GeV"], "--fast-above and --trust are for a run: give it by --fast RUN"),
        (["--fast", "flagship-atlas"], "flagship-atlas"),
        (["--fast", "flagship-w-si"], "'atlas-like' has the voxels of ds1-photons, the run those of ds2"),
        (
            ["--fast", "flagship-atlas-like", "--fast-above", "20GeV"],
            r"--fast-above must be .* at most 16\.38 GeV",
        ),
        (["--fast", "flagship-atlas-like", "--fast-above", "far"], "'far' is not a valid energy"),
    ],
)
def test_mistakes_on_the_command_line(geant4_tables: Path, tmp_path: Path, words: list[str], message: str) -> None:
    start = ["simulate", "geant4", "-d", "atlas-like", "-o", str(tmp_path / "x.h5"), "--gun", "2 gamma 1GeV", "-n", "2"]
    result = CliRunner().invoke(app, [*start, "--geant4-data", str(geant4_tables), *words])
    assert isinstance(result.exception, CaloforgeError), result.output
    with pytest.raises(CaloforgeError, match=message):
        raise result.exception
    assert list(tmp_path.iterdir()) == []


def test_events_within_geant4(geant4_tables: Path, tmp_path: Path) -> None:
    full = request("2 gamma 300MeV, e- 100MeV", data=find_data(geant4_tables), n=3, seed=2)
    fast = replace(full, fast=within_geant4(PHOTONS, full))
    simulate(fast, tmp_path / "fast.h5")
    made = Showers.read(tmp_path / "fast.h5")
    # Two photons straight ahead: their showers as the run makes them, and what Geant4 leaves of the electron.
    maker, photon = RunMaker(Simulator.load(PHOTONS), None, "detector"), Primary("gamma", 300.0, Incidence())
    photons = np.stack([maker.make([photon, photon], fast_seed(2, event)).sum(axis=0) for event in range(3)])
    electron = made.voxels - photons
    assert electron.min() > -1e-3
    assert 0.2 < electron.sum() / (3 * 100) < 1.5
    with ShowerFile(tmp_path / "fast.h5") as file:
        assert file.attributes["fast_above_mev"] == 256
        assert "1 MeV are empty" in file.attributes["fast_approximations"]
    # Neither a full simulation nor another least energy continues the file.
    for other in (replace(full, n=4), replace(full, n=4, fast=within_geant4(PHOTONS, full, above=280.0))):
        with pytest.raises(CaloforgeError, match="was written with fast = "):
            simulate(other, tmp_path / "fast.h5", append=True)
