"""Birks' law and the time gate: by hand, in detector files, and in Geant4 with hadrons."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import detector_from_plain, load_detector
from caloforge.sources.geant4.light import Light, visible_energy
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate


class _Step:
    """A step of a given deposit (MeV), length (mm) and end (ns)."""

    def __init__(self, deposit: float, length: float, time: float) -> None:
        self.GetTotalEnergyDeposit = lambda: deposit
        self.GetStepLength = lambda: length
        self.GetPostStepPoint = lambda: SimpleNamespace(GetGlobalTime=lambda: time)


@pytest.mark.parametrize(
    ("light", "charged", "step", "seen"),
    [
        # 2 MeV in 0.5 mm of scintillator: dE/dx = 4 MeV/mm, 1 + 0.194 · 4 = 1.776.
        (Light(birks=0.194), True, (2.0, 0.5, 1.0), 2.0 / 1.776),
        # A minimum-ionising particle in argon, 0.21 MeV/mm: 0.7 % less.
        (Light(birks=0.0348), True, (0.84, 4.0, 1.0), 0.84 / 1.007308),
        (Light(birks=0.194), False, (2.0, 0.5, 1.0), 2.0),
        (Light(birks=0.194), True, (2.0, 0.0, 1.0), 2.0),
        (Light(birks=0.194), True, (0.0, 0.0, 1.0), 0.0),
        (Light(), True, (2.0, 0.5, 1e9), 2.0),
        (Light(time_gate=150.0), True, (2.0, 0.5, 150.0), 2.0),
        (Light(time_gate=150.0), True, (2.0, 0.5, 150.1), 0.0),
        (Light(time_gate=150.0), False, (2.0, 0.5, 150.1), 0.0),
        (Light(birks=0.194, time_gate=150.0), True, (2.0, 0.5, 149.0), 2.0 / 1.776),
        (Light(birks=0.194, time_gate=150.0), True, (2.0, 0.5, 151.0), 0.0),
    ],
)
def test_visible_energy_by_hand(light: Light, charged: bool, step: tuple[float, float, float], seen: float) -> None:
    assert visible_energy(_Step(*step), light, charged)() == pytest.approx(seen, rel=1e-12)


PLAIN: dict[str, Any] = {
    "name": "toy",
    "geometry": {"name": "toy", "layers": [{"id": 0, "r_edges": [0, 500]}, {"id": 1, "r_edges": [0, 500]}]},
    "sampling_fraction": 1,
    "slabs": [
        {"material": "G4_Fe", "thickness": 20},
        {"material": "G4_lAr", "thickness": 50, "layer": 0},
        {"material": "G4_PLASTIC_SC_VINYLTOLUENE", "thickness": 50, "layer": 1},
        {"material": "G4_lAr", "thickness": 5, "layer": 1},
    ],
}


def plain(slab: int = 1, own: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """PLAIN with keys of the file changed, and keys of one slab added."""
    found = copy.deepcopy({**PLAIN, **changes})
    found["slabs"][slab].update(own or {})
    return found


def test_light_of_materials_and_of_single_slabs() -> None:
    plastic = "G4_PLASTIC_SC_VINYLTOLUENE"
    laws = {"birks": {"G4_lAr": 0.0348, plastic: 0.194}, "time_gate": {plastic: 150}}
    slabs = detector_from_plain(plain(3, {"birks": 0, "time_gate": 50}, **laws), "toy").slabs
    assert [slab.birks for slab in slabs] == [0, 0.0348, 0.194, 0]
    assert [slab.time_gate for slab in slabs] == [math.inf, math.inf, 150, 50]
    assert [s.time_gate for s in detector_from_plain(plain(time_gate=150), "toy").slabs] == [math.inf, 150, 150, 150]
    assert {(s.birks, s.time_gate) for s in load_detector("atlas-like").slabs} == {(0, math.inf)}
    hadronic = load_detector("atlas-like-hadronic")
    active = {(s.material, s.birks, s.time_gate) for s in hadronic.slabs if s.layer is not None}
    assert active == {("G4_lAr", 0.0348, 150), (plastic, 0.194, 150)}
    assert [sum(s.layer == i for s in hadronic.slabs) for i in hadronic.geometry.layer_ids] == [
        1,
        15,
        54,
        7,
        18,
        18,
        18,
    ]


@pytest.mark.parametrize(
    ("slab", "own", "changes", "facts"),
    [
        (1, {"birks": -1}, {}, ["slabs.1", "'birks' is -1"]),
        (1, {"birks": "strong"}, {}, ["slabs.1", "'birks' is 'strong'"]),
        (1, {"birks": math.inf}, {}, ["slabs.1", "'birks' is inf"]),
        (1, {"time_gate": 0}, {}, ["slabs.1", "'time_gate' is 0"]),
        (1, {"time_gate": math.nan}, {}, ["slabs.1", "'time_gate' is nan"]),
        (0, {"birks": 0.1}, {}, ["slabs.0", "'birks' is for active slabs"]),
        (0, {"time_gate": 10}, {}, ["slabs.0", "'time_gate' is for active slabs"]),
        (1, {}, {"birks": 0.0348}, ["birks", "0.0348"]),
        (1, {}, {"birks": {"G4_Fe": 0.1}}, ["birks: no active slab is of G4_Fe", "G4_lAr"]),
        (1, {}, {"time_gate": {"G4_Si": 10}}, ["time_gate: no active slab is of G4_Si"]),
        (1, {}, {"birks": {"G4_lAr": -0.1}}, ["-0.1"]),
        (1, {}, {"time_gate": -5}, ["time_gate", "-5"]),
    ],
)
def test_what_a_file_may_not_say_about_light(
    slab: int, own: dict[str, Any], changes: dict[str, Any], facts: list[str]
) -> None:
    with pytest.raises(CaloforgeError) as caught:
        detector_from_plain(plain(slab, own, **changes), "toy")
    assert all(fact in str(caught.value) for fact in facts), caught.value
    assert "\n" not in str(caught.value)


def shower(tables: FoundData, path: Path, own: dict[str, Any], **request: Any) -> Showers:
    """Ten showers in PLAIN, each with the same random numbers whatever the light."""
    wanted = {"particle": "proton", "energies": "list:250", "n": 10, "seed": 3, **request}
    simulate(SimulationRequest(detector=detector_from_plain(plain(**own), "toy"), data=tables, **wanted), path)
    return Showers.read(path)


def test_protons_are_quenched_and_late_deposits_lost(hadronic_data: FoundData, tmp_path: Path) -> None:
    full = shower(hadronic_data, tmp_path / "full.h5", {})
    law = {"birks": {"G4_lAr": 0.0348}, "time_gate": {"G4_PLASTIC_SC_VINYLTOLUENE": 1e-6}}
    seen = shower(hadronic_data, tmp_path / "seen.h5", law)
    quenched, late = seen.layer_energies.T
    # Slow protons lose 0.5 MeV/mm and more: more light is lost than by a minimum-ionising particle (0.7 %).
    assert 0.5 < quenched.sum() / full.layer_energies[:, 0].sum() < 0.98
    assert (quenched <= full.layer_energies[:, 0]).all()
    # The last slab, of argon, has no gate.
    assert 0 <= late.sum() < 0.2 * full.layer_energies[:, 1].sum()
    assert full.layer_energies.mean(axis=0).min() > 10
    with ShowerFile(tmp_path / "full.h5") as file:
        assert file.attributes["physics_list"] == "FTFP_BERT"


@pytest.mark.slow
def test_pions_agree_with_the_given_sample(hadronic_data: FoundData, tmp_path: Path, real: Any) -> None:
    path, detector = tmp_path / "pi.h5", load_detector("atlas-like-hadronic")
    wanted = {"particle": "pi+", "energies": "list:1024", "n": 300, "seed": 4}
    simulate(SimulationRequest(detector=detector, data=hadronic_data, **wanted), path, workers=2)
    reference = Showers.read(real("pions-atlas-like/test.h5"))
    reference = reference[reference.energies == 1024]
    ours = Showers.read(path)
    for get in (lambda s: s.deposited, *(lambda s, i=i: s.layer(i).sum((1, 2)) for i in (1, 2, 12))):
        a, b = get(ours).astype(float), get(reference).astype(float)
        error = np.hypot(a.std() / len(a) ** 0.5, b.std() / len(b) ** 0.5)
        assert abs(a.mean() - b.mean()) < 4 * error
