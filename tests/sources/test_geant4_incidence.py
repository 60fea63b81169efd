"""Particles that enter at angles: their frame, voxels along their direction, and Geant4 with laws of conditions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge.conditions import Columns
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import Detector, detector_from_plain, load_detector
from caloforge.sources.geant4.incidence import Incidence, drawn, incidences, incident_law
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate
from caloforge.sources.geant4.voxels import fill_along


def sandwich(**changes: Any) -> Detector:
    """Four layers of a lead and an argon slab, 10 mm each, read out in rings."""
    layers = [{"id": k, "r_edges": [0, 10, 30, 100], "n_alpha": 4} for k in range(4)]
    pair = [{"material": "G4_Pb", "thickness": 4}, {"material": "G4_lAr", "thickness": 6, "active": True}]
    plain = {
        "name": "sandwich",
        "geometry": {"name": "sandwich", "layers": layers},
        "sampling_fraction": 0.5,
        "slabs": [{"repeat": 4, "layer": 0, "layer_step": 1, "slabs": pair}],
    }
    return detector_from_plain({**plain, **changes}, "sandwich")


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("phi", [0.0, 2.0, -3.0])
def test_the_axis_of_the_frame_is_the_direction(theta: float, phi: float) -> None:
    incidence = Incidence(theta, phi, 3.0, -2.0)
    direction = np.array(incidence.direction)
    assert np.linalg.norm(direction) == pytest.approx(1)
    points = np.array([3.0, -2.0, 0.0]) + np.outer([0.0, 5.0, 20.0], direction)
    assert incidence.in_frame(points) == pytest.approx(np.array([[0, 0, 0], [0, 0, 5], [0, 0, 20]]), abs=1e-12)
    start = np.array(incidence.start(0.01))
    assert start[2] == -0.01
    assert np.cross(start - [3.0, -2.0, 0.0], direction) == pytest.approx(np.zeros(3), abs=1e-15)
    normal = incidence.in_frame(np.array([[3.0, -2.0, 1.0]]))[0]
    assert normal == pytest.approx([-math.sin(theta), 0, math.cos(theta)], abs=1e-12)  # x' is in its plane


def test_layers_begin_where_the_one_before_ends() -> None:
    assert sandwich().layer_edges.tolist() == [0, 10, 20, 30, 40]
    assert load_detector("w-si").layer_edges == pytest.approx(3.4 * np.arange(46))
    layers = [{"id": k, "r_edges": [0, 10], "z_edges": [5 * k, 5 * k + 5]} for k in range(4)]
    assert sandwich(geometry={"name": "z", "layers": layers}).layer_edges.tolist() == [0, 5, 10, 15, 20]


def test_deposits_belong_to_the_layer_along_the_direction() -> None:
    """At 60 degrees a point 7 mm deep on the axis is 14 mm along it: in the second layer."""
    detector = sandwich()
    deposits = [np.empty((0, 4))] * 4
    incidence = Incidence(math.radians(60), 0.0)
    on_axis = 14 * np.array(incidence.direction)
    beside = on_axis - np.array([0, 20.0, 0])  # y' = -20: the second ring, alpha = -pi/2
    deposits[0] = np.array([[3.0, *(2 * on_axis)], [5.0, *(2 * beside)], [7.0, 0.0, 0.0, 2 * 1000.0]])
    found = fill_along(detector, deposits, incidence)
    second = found.reshape(4, 4, 3)[1]
    assert second[:, 0].sum() == pytest.approx(6)
    assert second[0:2, 1].sum() == pytest.approx(10)
    assert found.sum() == pytest.approx(16)  # the third lies behind all layers


def test_columns_become_particles() -> None:
    columns = Columns.of({"x": [1.0, 2.0], "theta": [0.1, 0.2]}, 2)
    assert incidences(columns, 2) == [Incidence(theta=0.1, x=1.0), Incidence(theta=0.2, x=2.0)]
    assert incidences(None, 2) == [Incidence(), Incidence()]


def test_azimuths_are_uniform_unless_they_have_a_law() -> None:
    found = drawn(incident_law("list:100", ("theta=uniform:0:60deg",)), 2000, 1, 1000)
    assert set(found.conditions) == {"theta", "phi"}
    assert found.conditions["phi"].min() < -3.0 < 3.0 < found.conditions["phi"].max()
    fixed = drawn(incident_law("list:100", ("theta=0.5", "phi=0")), 5, 1, 1000)
    assert set(fixed.conditions["phi"]) == {0.0}
    assert drawn(incident_law("list:100", ()), 5, 1, 1000).conditions == Columns.none(5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conditions": ("theta=uniform:0:90deg",), "n": 20_000}, None),
        ({"conditions": ("theta=90deg",)}, "must be below 90 deg"),
        ({"conditions": ("x=gauss:0:20m",)}, "beyond the detector's front face"),
        ({"conditions": ("pdg=11",)}, "does not simulate the condition pdg; it takes theta, phi, x, y"),
        ({"conditions": ("theta=1",), "angle": 0.5}, "given twice"),
        ({"conditions": ("x=1",), "position": (1.0, 0.0)}, "given twice"),
        ({"frame": "particle", "angle": 0.5}, "needs its angle and position as conditions"),
        ({"frame": "beam"}, "detector or particle, not 'beam'"),
    ],
)
def test_requests_that_cannot_be(changes: dict[str, Any], message: str | None) -> None:
    wanted: dict[str, Any] = {"particle": "gamma", "energies": "list:100", "n": 50, "seed": 5, "data": _NoTables()}

    def ask() -> None:
        SimulationRequest(detector=sandwich(), **{**wanted, **changes}).draw_incident()

    if message is None:
        ask()
    else:
        with pytest.raises(CaloforgeError, match=message):
            ask()


class _NoTables:
    """Tables that nobody looks at."""

    def require(self, physics_list: str) -> None:
        return None


def request(data: FoundData, **changes: Any) -> SimulationRequest:
    wanted = {"particle": "gamma", "energies": "uniform:40:120", "n": 12, "seed": 5, **changes}
    return SimulationRequest(detector=sandwich(), data=data, **wanted)


def test_angles_are_drawn_stored_and_resumed(data: FoundData, tmp_path: Path) -> None:
    tilted = request(data, conditions=("theta=uniform:0:60deg", "x=gauss:0:3mm"), frame="particle")
    simulate(tilted, tmp_path / "one.h5")
    simulate(tilted, tmp_path / "two.h5", workers=2)
    one = Showers.read(tmp_path / "one.h5")
    assert one == Showers.read(tmp_path / "two.h5")
    assert set(one.conditions) == {"theta", "phi", "x"}
    with ShowerFile(tmp_path / "one.h5") as file:
        assert str(file.attributes["frame"]).startswith(TURNING_FRAME)
        assert file.attributes["condition_laws"] == ("phi=uniform:-180:180deg, theta=uniform:0:60deg, x=gauss:0:3mm")
        assert "angle_rad" not in file.attributes
    fewer = request(data, n=7, conditions=tilted.conditions, frame="particle")
    simulate(fewer, tmp_path / "grown.h5")
    simulate(tilted, tmp_path / "grown.h5", append=True)
    assert Showers.read(tmp_path / "grown.h5") == one
    with pytest.raises(CaloforgeError, match=r"was written with conditions = .*theta=uniform:0:60deg"):
        simulate(request(data, n=13, conditions=("theta=0.5",), frame="particle"), tmp_path / "grown.h5", append=True)


def test_a_mesh_that_follows_the_particle_holds_its_axis(data: FoundData, tmp_path: Path) -> None:
    """At 50 degrees the shower leaves the axis of the detector's mesh, but not that of its own."""
    for frame in ("particle", "detector"):
        tilted = request(data, n=20, energies="list:300", conditions=("theta=50deg",), frame=frame)
        simulate(tilted, tmp_path / f"{frame}.h5")
    own, detector = (Showers.read(tmp_path / f"{frame}.h5") for frame in ("particle", "detector"))
    inner = np.array([ring == 0 for _ in range(16) for ring in range(3)])
    assert own.voxels[:, inner].sum() > 1.5 * detector.voxels[:, inner].sum()


def test_normal_incidence_is_the_same_in_both_frames(data: FoundData, tmp_path: Path) -> None:
    plain, along = tmp_path / "plain.h5", tmp_path / "along.h5"
    simulate(request(data), plain)
    simulate(request(data, frame="particle"), along)
    a, b = Showers.read(plain), Showers.read(along)
    assert np.allclose(a.voxels, b.voxels, rtol=1e-5)
