"""Checkpoints: what a training needs to be resumed, in one file that is whole or absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError, option
from caloforge.files import atomic_path
from caloforge.training.callbacks import Record

FORMAT = 2
"""Version of the layout; 1 was that of a single optimiser per stage."""


class Progress(TypedDict):
    """How far an epoch has got.

    batches: number of those done. random: state of the random-number generators, of the CPU and of the device.
    totals, counts: of the losses so far, by name.
    """

    batches: int
    random: list[Tensor]
    totals: dict[str, float]
    counts: dict[str, int]


class Checkpoint(TypedDict):
    """The state after an epoch, or within one.

    stage: index. epoch: of the stage, counted from 0; -1 in its first one. ended: whether it was the stage's last one.
    history: all records. model: its state. optimizers: their states. average, best: those of the stage, if any.
    progress: in the following epoch, if that was begun.
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
    progress: Progress | None


KINDS = {
    "stage": int,
    "epoch": int,
    "ended": bool,
    "history": Sequence,
    "model": dict,
    "optimizers": list,
    "average": dict | None,
    "best": dict,
    "progress": dict | None,
}
"""Types of the entries of a checkpoint."""


class _Stream:
    """A binary file that keeps the first failure: PyTorch reports another one, of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        self.file.flush()


def write_checkpoint(path: Path, state: Checkpoint) -> None:
    """Write the state, atomically.

    Raises:
        CannotWrite: the disk is full; an earlier checkpoint is kept.
    """
    with atomic_path(path) as partial, partial.open("wb", buffering=0) as file:
        stream = _Stream(file)
        try:
            torch.save(state, stream)  # type: ignore[arg-type]
        except Exception:
            if stream.failure is not None:
                raise stream.failure from None
            raise


def read_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Read a state.

    Raises:
        CaloforgeError: the file cannot be read, or was written by another version.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CaloforgeError(
            f"{path} cannot be read as a checkpoint ({reason:.200}); start the run anew with "
            f"{option('overwrite', True)}"
        ) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CaloforgeError(
            f"{path} was written by another version of caloforge; start the run anew with {option('overwrite', True)}"
        )
    for name, kind in KINDS.items():
        if not isinstance(state.get(name), kind):
            raise _damaged(path, f"'{name}' is missing or of another type")
    if state["stage"] < 0 or state["epoch"] < (0 if state.get("progress") is None else -1):
        raise _damaged(path, "stage or epoch is negative")
    state.setdefault("progress", None)  # which earlier versions did not write
    return state  # type: ignore[return-value]


@contextmanager
def restoring(path: Path | None) -> Iterator[None]:
    """Turn whatever a state that does not fit raises inside the block into one error.

    Raises:
        CaloforgeError: something was raised.
    """
    try:
        yield
    except CaloforgeError:
        raise
    except Exception as error:
        raise _damaged(path, (str(error).splitlines() or [type(error).__name__])[0]) from None


def _damaged(path: Path | None, reason: str) -> CaloforgeError:
    return CaloforgeError(
        f"{path} does not fit the model that is trained ({reason:.200}); start the run anew with "
        f"{option('overwrite', True)}"
    )
