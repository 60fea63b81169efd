"""Events of several particles: what a gun's words mean, what is refused, what a file says, and Geant4 itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import Detector, detector_from_plain
from caloforge.sources.geant4.gun import (
    GunEntry,
    Primary,
    draw_primaries,
    parse_gun,
    physics_list_of,
    primaries,
)
from caloforge.sources.geant4.incidence import Incidence, drawn, incident_law
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("gamma 5GeV", [("gamma", "list:5GeV")]),
        ("  3   e-  700 ", [("e-", "list:700")] * 3),
        ("2 gamma 1GeV:10GeV, 1 pi+ 5GeV", [("gamma", "uniform:1GeV:10GeV")] * 2 + [("pi+", "list:5GeV")]),
        ("e+ loguniform:1GeV:16GeV,e- uniform:1:2", [("e+", "loguniform:1GeV:16GeV"), ("e-", "uniform:1:2")]),
        ("100 gamma 1GeV", [("gamma", "list:1GeV")] * 100),
    ],
)
def test_words_of_a_gun(text: str, entries: list[tuple[str, str]]) -> None:
    assert parse_gun(text) == tuple(GunEntry(*entry) for entry in entries)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"'' is not a number of particles, a particle and an energy; write a gun as in '2 gamma"),
        ("gamma", "'gamma' is not a number of particles"),
        ("5GeV", "'5GeV' is not a number of particles"),
        ("2 gamma", "'2 gamma' is not a number of particles"),
        ("2 gamma 1GeV 2GeV", "'2 gamma 1GeV 2GeV' is not a number of particles"),
        ("gamma 1 GeV", "'gamma 1 GeV' is not a number of particles"),
        ("2 gamma 1GeV,", "'' is not a number of particles"),
        ("two gamma 1GeV", "'two gamma 1GeV' is not a number of particles"),
        ("0 gamma 1GeV", "'0 gamma 1GeV' must be a whole number from 1, not 0"),
        ("-1 gamma 1GeV", "a whole number from 1, not -1"),
        ("2.5 gamma 1GeV", "a whole number from 1, not 2.5"),
        ("101 gamma 1GeV", "more than 100 particles per event"),
        ("60 gamma 1GeV, 41 e- 1GeV", "more than 100 particles per event"),
        ("99999999999 gamma 1GeV", "more than 100 particles per event"),
        ("axion 1GeV", "unknown particle 'axion'"),
        ("gamma 0GeV", "'0GeV' must be above zero"),
        ("gamma -1GeV", "must be above zero"),
        ("gamma 1parsec", "'parsec' in '1parsec' is not a unit of energy"),
        ("gamma 10GeV:1GeV", "the lower energy must be below the upper one"),
        ("gamma 1GeV:2GeV:3GeV", "needs a lower and an upper energy"),
        ("gamma 1GeV:", "'' is not a valid energy"),
        ("gamma like:train.h5", "'like:train.h5' is not an energy of a gun"),
        ("gamma flat:1:2", "'flat:1:2' is not an energy of a gun"),
    ],
)
def test_words_that_are_no_gun(text: str, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message) as caught:
        parse_gun(text)
    assert "\n" not in str(caught.value)


def test_hadrons_decide_the_physics_list() -> None:
    assert physics_list_of(parse_gun("2 gamma 1GeV, e- 1GeV")) == "G4EmStandardPhysics"
    assert physics_list_of(parse_gun("2 gamma 1GeV, pi- 1GeV")) == "FTFP_BERT"


def test_particles_are_drawn_independently_and_the_first_as_if_alone() -> None:
    entries = parse_gun("2 gamma 1GeV:10GeV, pi+ 5GeV")
    found = draw_primaries(entries, ("x=uniform:-20:20mm",), 400, 7, 1000)
    alone = drawn(incident_law("uniform:1GeV:10GeV", ("x=uniform:-20:20mm",)), 400, 7, 1000)
    columns = found.conditions
    assert columns.names == ("energy_1", "x_1", "energy_2", "x_2", "energy_3", "x_3")
    assert [columns.kind(name).unit for name in ("energy_1", "x_1")] == ["MeV", "mm"]
    assert np.array_equal(columns["energy_1"], alone.energies)
    assert np.array_equal(columns["x_1"], alone.conditions["x"])
    assert np.array_equal(found.energies, columns["energy_1"] + columns["energy_2"] + 5000)
    correlations = np.corrcoef([columns[name] for name in ("energy_1", "energy_2", "x_1", "x_2", "x_3")])
    assert abs(correlations[np.triu_indices(5, 1)]).max() < 4 / 400**0.5
    with pytest.raises(CaloforgeError, match="need their number"):
        draw_primaries(entries, (), None, 7, 1000)


def test_columns_become_the_particles_of_events() -> None:
    columns = Columns.of({"energy_1": [1.0, 2.0], "energy_2": [3.0, 4.0], "x_2": [5.0, 6.0], "theta_2": [0.1, 0.2]}, 2)
    found = primaries(["gamma", "pi+"], np.array([4.0, 6.0]), columns)
    assert found[1] == (Primary("gamma", 2.0), Primary("pi+", 4.0, Incidence(theta=0.2, x=6.0)))
    single = primaries(["e-"], np.array([4.0]), Columns.of({"x": [1.0]}, 1))
    assert single == [(Primary("e-", 4.0, Incidence(x=1.0)),)]
    assert primaries(["e-"], np.array([4.0]), None) == [(Primary("e-", 4.0),)]


def strips() -> Detector:
    """Lead and argon, read out in strips of 10 mm along x."""
    layers = [{"id": 0, "phi_edges": list(range(-500, 501, 10)), "eta_edges": [-500, 500]}]
    pair = [{"material": "G4_Pb", "thickness": 3}, {"material": "G4_lAr", "thickness": 5, "layer": 0}]
    plain = {
        "name": "strips",
        "geometry": {"name": "strips", "layers": layers},
        "sampling_fraction": 0.2,
        "slabs": [{"repeat": 30, "slabs": pair}],
    }
    return detector_from_plain(plain, "strips")


def request(data: FoundData, gun: str, **changes: Any) -> SimulationRequest:
    wanted: dict[str, Any] = {"particle": "", "energies": "", "n": 8, "seed": 5, "gun": gun, **changes}
    return SimulationRequest(detector=strips(), data=data, **wanted)


def test_each_particle_showers_where_it_enters(data: FoundData, tmp_path: Path) -> None:
    simulate(request(data, "gamma 400, e- 100:200", conditions=("x=uniform:-300:300mm",)), tmp_path / "one.h5")
    events = Showers.read(tmp_path / "one.h5")
    columns, x = events.conditions, events.geometry.phi
    assert np.allclose(events.energies, columns["energy_1"] + columns["energy_2"])
    near = [abs(x - columns[f"x_{k}"][:, None]) < 60 for k in (1, 2)]
    far_apart = ~(near[0] & near[1]).any(axis=1)
    assert far_apart.sum() >= 4
    for k, mask in enumerate(near, start=1):
        ratio = (events.voxels * mask).sum(axis=1) / columns[f"energy_{k}"]
        assert 0.6 < ratio[far_apart].mean() < 1.3
    with ShowerFile(tmp_path / "one.h5") as file:
        assert file.attributes["gun"] == "gamma 400, e- 100:200"
        assert file.attributes["particle"] == "gamma,e-"
        assert file.attributes["condition_laws"] == "x=uniform:-300:300mm"
        assert "energies" not in file.attributes
    # Workers and shards change nothing, and a gun of one particle shoots what -p and -e do.
    simulate(request(data, "gamma 400"), tmp_path / "gun.h5", workers=2)
    alone = SimulationRequest(strips(), "gamma", "list:400", 8, 5, data)
    simulate(alone, tmp_path / "alone.h5")
    assert np.array_equal(Showers.read(tmp_path / "gun.h5").voxels, Showers.read(tmp_path / "alone.h5").voxels)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--particle and --energies, or --gun"),
        (["-p", "e-"], "--particle and --energies, or --gun"),
        (["-p", "e-", "-e", "list:100", "--gun", "e- 1GeV"], "--particle and --energies, or --gun"),
        (["--gun", "e- 1GeV", "-e", "list:100"], "--particle and --energies, or --gun"),
        (["--gun", "axion 1GeV", "-n", "1"], "unknown particle 'axion'"),
        (["--gun", "e- 1GeV"], "need their number"),
        (["--gun", "2 e- 1GeV", "-n", "2", "--frame", "particle"], "can follow one particle only"),
        (["--gun", "2 e- 1GeV, pi- 1GeV", "-n", "2"], "FTFP_BERT needs"),
        (["--gun", "2 e- 1GeV", "-n", "2", "--condition", "pdg=11"], "does not simulate the condition pdg"),
    ],
)
def test_mistakes_on_the_command_line(geant4_tables: Path, tmp_path: Path, words: list[str], message: str) -> None:
    start = ["simulate", "geant4", "-d", "w-si", "-o", str(tmp_path / "x.h5"), "--geant4-data", str(geant4_tables)]
    result = CliRunner().invoke(app, [*start, *words])
    assert isinstance(result.exception, CaloforgeError), result.output
    with pytest.raises(CaloforgeError, match=message):
        raise result.exception
    assert list(tmp_path.iterdir()) == []
