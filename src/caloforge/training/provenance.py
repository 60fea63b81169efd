"""Provenance of a run: what it was trained on, by which command, and for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from caloforge import __version__
from caloforge.timing.memory import peak_mb
from caloforge.training.callbacks import Record
from caloforge.training.recipe import Recipe
from caloforge.training.training_set import TrainingShowers


def provenance_of_training(
    recipe: Recipe,
    files: list[str],
    training: TrainingShowers,
    exclude_energies: Sequence[float],
    history: list[Record],
    command: str,
) -> dict[str, Any]:
    """Plain data that is stored with a run and passed on to its showers.

    Args:
        recipe: of the training. files: names of the training files.
        training: what it was trained on. exclude_energies: MeV.
        history: a record per epoch.
        command: how it was called; may be empty.
    """
    seconds: dict[str, float] = {}
    epochs = Counter(record["stage"] for record in history)
    for record in history:
        seconds[record["stage"]] = round(seconds.get(record["stage"], 0.0) + record["seconds"], 1)
    waited = sum(record.get("data_seconds", 0.0) for record in history)
    return {
        "caloforge_version": __version__,
        "training_file": ", ".join(files),
        "training_showers": len(training),
        "training_seed": recipe.training.seed,
        "excluded_energies_mev": [float(e) for e in exclude_energies],
        **(
            {"training_angle_rad": float(training.attributes["angle_rad"])}
            if "angle_rad" in training.attributes
            else {}
        ),
        **({"frame": training.attributes["frame"]} if _has_conditions(training) else {}),
        "training_source": str(training.attributes.get("source", "unknown")),
        "particle": str(training.attributes.get("particle", "unknown")),
        "detector": str(training.attributes.get("detector", "unknown")),
        "training_seconds": seconds,
        "waiting_for_data": round(waited / max(1e-3, sum(record["seconds"] for record in history)), 4),
        "peak_memory_mb": round(peak_mb()),
        "n_epochs": len(history),
        "training_epochs": dict(epochs),
        **({"training_command": command} if command else {}),
    }


def _has_conditions(training: TrainingShowers) -> bool:
    """Whether the showers have further conditions, and say what their mesh is aligned with."""
    trained = training.trained
    return "frame" in training.attributes and bool(trained.entries or trained.superfluous)
