"""`Training`: what is to be trained, on what, and where to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caloforge.recipes import Recipe


@dataclass(frozen=True)
class Training:
    """What `train` is asked to do.

    Args:
        recipe: a checked recipe. recipe_folder: where it lay; classes of the user's own are looked for there too.
        train: file of training showers. valid: file of validation showers; None splits off a part of `train`.
        out: the run's folder.
        exclude_energies: incident energies (MeV) to leave out of the training, to test interpolation.
        resume: go on with an interrupted run. overwrite: replace an earlier run.
    """

    recipe: Recipe
    recipe_folder: Path
    train: Path
    out: Path
    valid: Path | None = None
    exclude_energies: Sequence[float] = ()
    resume: bool = False
    overwrite: bool = False
