"""Whether a run is fit for what it is asked: how it was trained, and which showers its energies are taken from.

Energies outside the trained range are `caloforge.energies.outside_range`; conditions outside theirs are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caloforge.geometry import Geometry
from caloforge.simulator.sorts import AnySimulator

FEW_SHOWERS = 1000
"""A generator trained on fewer showers than this is a test of the program, not a generator."""


def shortcomings(simulator: AnySimulator) -> list[str]:
    """Remarks on a training that was too short for showers of use, each a sentence; none for most runs."""
    known, found = simulator.provenance, []
    epochs = known.get("training_epochs")
    stages = known.get("training_seconds")
    if isinstance(epochs, Mapping) and epochs:
        short = [str(name) for name, n in epochs.items() if n <= 1]
        if short:
            which = "all stages" if len(short) == len(epochs) else f"the stages {', '.join(short)}"
            found.append(f"{which} of this run were trained for one epoch")
    elif isinstance(stages, Mapping) and stages and known.get("n_epochs", len(stages) + 1) <= len(stages):
        found.append("all stages of this run were trained for one epoch")
    n = known.get("training_showers")
    if isinstance(n, int) and n < FEW_SHOWERS:
        found.append(f"the run was trained on {n} showers only")
    return [f"{text}: expect showers far from Geant4" for text in found]


def mismatches(simulator: AnySimulator, geometry: Geometry | None, attributes: Mapping[str, Any]) -> list[str]:
    """In what showers differ from those that a run was trained on, each a sentence.

    Args:
        simulator: the run.
        geometry: of the showers; None of points.
        attributes: of their file.
    """
    found, own = [], simulator.geometry
    if geometry is not None and isinstance(own, Geometry) and not geometry.has_voxels_of(own):
        found.append(
            f"the energies come from showers in '{geometry.name}' ({geometry.n_voxels} voxels); the run generates "
            f"'{own.name}' ({own.n_voxels} voxels)"
        )
    for key, what in (("particle", "particle"), ("detector", "detector")):
        theirs, ours = attributes.get(key), simulator.provenance.get(key)
        if isinstance(theirs, str) and isinstance(ours, str) and "unknown" not in (theirs, ours) and theirs != ours:
            found.append(f"the energies come from showers with {what} {theirs}; the run was trained with {ours}")
    return found
