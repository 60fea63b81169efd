"""Defaults that a benchmark takes from the run: energies, particle and detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.energies import parse_spectrum
from caloforge.errors import CaloforgeError, option
from caloforge.simulator import Simulator
from caloforge.sources.geant4.datasets import find_data
from caloforge.sources.geant4.detector import load_detector, shipped_detectors
from caloforge.sources.geant4.incidence import Frame
from caloforge.sources.geant4.request import SimulationRequest, binding_version

N_ENERGIES = 7
"""Number of energies timed by default, in equal logarithmic steps over the training range."""


def energies_to_time(simulator: Simulator, spectrum: str | None = None) -> tuple[str, np.ndarray]:
    """Incident energies for a benchmark.

    Args:
        simulator: the run.
        spectrum: a list of energies, e.g. `list:256,...,16384`; None takes `N_ENERGIES` from the training range.

    Returns:
        The spectrum, and its distinct energies in MeV, sorted.

    Raises:
        CaloforgeError: the run does not record its training range, or `spectrum` is not a list.
    """
    if spectrum is None:
        if simulator.energy_range is None:
            raise CaloforgeError(
                f"the run does not record its energy range: add {option('energies', 'list:256,...,16384')}"
            )
        between = np.unique(np.geomspace(*simulator.energy_range, N_ENERGIES))
        spectrum = "list:" + ",".join(f"{energy:.6g}" for energy in between)
    if not spectrum.startswith("list:"):
        raise CaloforgeError(f"'{spectrum}' is not a list of energies such as list:256,...,16384")
    return spectrum, np.unique(parse_spectrum(spectrum).draw(None, np.random.default_rng(0)))


def geant4_request(
    simulator: Simulator,
    spectrum: str,
    *,
    detector: str | None = None,
    particle: str | None = None,
    data: Path | None = None,
    seed: int = 1,
) -> SimulationRequest:
    """The Geant4 simulation to compare a run with: at its angle, and with its mesh of voxels.

    Args:
        simulator: the run.
        spectrum: incident energies.
        detector: name or file; None uses that of the training showers.
        particle: its Geant4 name; None uses that of the training showers.
        data: folder of the Geant4 data sets; None uses Geant4's environment variables.
        seed: random seed.

    Raises:
        CaloforgeError: geant4-pybind is not installed, or the run records neither particle nor detector.
    """
    binding_version()
    particle = particle or simulator.provenance.get("particle", "unknown")
    if particle == "unknown":
        raise CaloforgeError(f"the run does not record its particle: add {option('particle', 'gamma')} (or e-, e+, …)")
    named = detector or simulator.provenance.get("detector")
    if detector is None and named not in shipped_detectors():
        fitting = [d for d in shipped_detectors() if load_detector(d).geometry.layers == simulator.geometry.layers]
        choice = f" {fitting[0]}, if it was trained on that" if len(fitting) == 1 else ""
        raise CaloforgeError(f"the run does not record its detector: add {option('detector')}{choice}")
    frame: Frame = "particle" if str(simulator.provenance.get("frame", "")).startswith(TURNING_FRAME) else "detector"
    angle = float(simulator.provenance.get("training_angle_rad", 0.0))
    return SimulationRequest(
        load_detector(str(named)), str(particle), spectrum, None, seed, find_data(data), angle=angle, frame=frame
    )


def description(simulator: Simulator) -> dict[str, Any]:
    """Properties that identify a run in the results of a benchmark."""
    keys = ("recipe", "weights_sha256", "caloforge_version", "training_source", "particle", "training_showers")
    known = {key: simulator.provenance[key] for key in keys if key in simulator.provenance}
    return {"geometry": simulator.geometry.name, "n_parameters": simulator.n_parameters, **known}
