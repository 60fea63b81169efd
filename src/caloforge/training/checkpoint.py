"""Checkpoints: what a training needs to be resumed, in one file that is whole or absent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import torch

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path
from caloforge.training.callbacks import Record

FORMAT = 2
"""Version of the layout; 1 was that of a single optimiser per stage."""


class Checkpoint(TypedDict):
    """The state after an epoch.

    stage: index. epoch: of the stage, counted from 0. ended: whether it was the stage's last one. history: all records.
    model: its state. optimizers: their states. average, best: those of the stage, if any.
    """

    format: int
    stage: int
    epoch: int
    ended: bool
    history: Sequence[Record]
    model: dict[str, Any]
    optimizers: list[dict[str, Any]]
    average: dict[str, Any] | None
    best: dict[str, Any]


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write the state, atomically."""
    with atomic_path(path) as partial:
        torch.save(state, partial)


def read_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Read a state.

    Raises:
        CaloforgeError: the file cannot be read, or was written by another version.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise CaloforgeError(f"{path} cannot be read as a checkpoint: {reason}") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CaloforgeError(f"{path} was written by another version of caloforge; start the run anew with --overwrite")
    return state  # type: ignore[return-value]
