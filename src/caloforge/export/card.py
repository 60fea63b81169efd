"""The card of an exported file: JSON next to it, with everything that a user of the file needs to know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from caloforge import __version__
from caloforge.export.formats import Target
from caloforge.models import MODELS
from caloforge.simulator import Simulator
from caloforge.transforms import ReadoutThreshold

CARD_VERSION = 1
"""Raised where a program that reads cards would misunderstand a new one."""


def card_path(path: Path) -> Path:
    """Path of the card of an exported file."""
    return path.with_name(path.name + ".json")


def provenance_of(simulator: Simulator) -> dict[str, Any]:
    """Geometry, units, training data, versions and hash of the weights."""
    known = simulator.provenance
    keys = ("recipe", "particle", "detector", "training_file", "training_source", "training_showers")
    return {
        "units": {"energy": "MeV unless stated otherwise", "length": "mm", "angle": "rad"},
        "readout_threshold_mev": max(thresholds_of(simulator), default=0.0),
        "model": MODELS.name_of(type(simulator.model)),
        "n_parameters": simulator.n_parameters,
        "weights_sha256": known.get("weights_sha256", "unknown"),
        "training": {key: known[key] for key in keys if key in known},
        "caloforge_version": __version__,
        "torch_version": str(torch.__version__),
        "geometry": simulator.geometry.to_dict(),
    }


def incidence_of(simulator: Simulator) -> str:
    """Description of the angle of incidence of the training showers."""
    known = {entry.kind.name: entry.span for entry in simulator.conditions.entries}
    if angles := [f"{name} {known[name]}" for name in ("theta", "polar", "phi") if name in known]:
        return ", ".join(angles)
    angle = simulator.provenance.get("training_angle_rad")
    return "unknown: the training file does not say" if angle is None else f"{float(angle):g} rad from the shower axis"


def conditions_of(target: Target) -> list[dict[str, Any]]:
    """The conditions that an exported generator knows, their trained ranges, and the values of those that are fixed."""
    found = []
    for entry in target.conditions.entries:
        fixed = target.fixed.get(entry.kind.name, entry.low if entry.is_fixed else None)
        found.append({**entry.to_dict(), **({} if fixed is None else {"fixed": fixed})})
    return found


def thresholds_of(simulator: Simulator) -> list[float]:
    """The readout thresholds, in MeV, applied by the simulator's transforms."""
    return [transform.value for transform in simulator.transforms if isinstance(transform, ReadoutThreshold)]
