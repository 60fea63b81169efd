"""What may watch a training, and what may judge its epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caloforge.training.settings import StageSettings

Metric = Callable[[int, StageSettings], float]
"""(epoch, settings of the stage) → a number, lower for better models; leaves the global random state alone."""


class Observer:
    """What may watch a training; the command line shows bars, tests count, the default is silent."""

    def resumed(self, history: list[dict[str, Any]]) -> None:
        """The training goes on from a checkpoint after the epochs in `history`."""

    def stage_started(self, stage: str, settings: StageSettings, first_epoch: int, n_batches: int) -> None:
        """A stage begins, or goes on at `first_epoch`."""

    def batch_done(self, loss: float) -> None:
        """A step was taken; `loss` is the batch's mean."""

    def epoch_done(self, record: dict[str, Any]) -> None:
        """An epoch ended; `record` is its line of the log."""
