"""Training callbacks of the command line: progress bars and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import TaskID

from caloforge.cli.console import progress_bar, stderr
from caloforge.errors import missing_extra
from caloforge.training import Callback, Trainer


class TrainingBars(Callback):
    """One bar per stage with batches per second, remaining time and the latest losses."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._task: TaskID | None = None
        self._epochs = 0
        self._sum, self._batches = 0.0, 0
        self._validation = ""

    def __enter__(self) -> TrainingBars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        if self._task is not None:
            self._bar.stop()

    def training_started(self, trainer: Trainer) -> None:
        if trainer.memory is not None:
            stderr.print(f"training {trainer.memory}", markup=False)
        if trainer.carried.names and trainer.simulator is not None:
            stderr.print(f"starting from {trainer.carried.origin}", markup=False)
            for line in trainer.carried.lines(trainer.model, trainer.model.stages()):
                stderr.print(f"  {line}", markup=False)

    def stage_started(self, trainer: Trainer) -> None:
        if self._task is None:
            self._bar.start()
        self._finish()
        self._epochs, self._validation = trainer.settings.epochs, ""
        self._sum, self._batches = 0.0, 0
        self._task = self._bar.add_task(
            trainer.stage.name,
            total=trainer.settings.epochs * trainer.n_batches,
            completed=trainer.epoch * trainer.n_batches,
            unit="batch",
            remark="preparing",
        )

    def batch_done(self, trainer: Trainer) -> None:
        self._sum, self._batches = self._sum + sum(trainer.losses.values()), self._batches + 1
        self._show(trainer.epoch + 1, self._sum / self._batches, advance=1)

    def epoch_done(self, trainer: Trainer) -> None:
        record = trainer.record
        self._sum, self._batches = 0.0, 0
        self._validation = f" valid {record['validation_loss']:.4g}"
        if "separation_power" in record:
            self._validation += f" S {record['separation_power']:.4f}"
        self._show(record["epoch"], record["loss"])

    def _show(self, epoch: int, loss: float, advance: int = 0) -> None:
        """Show the mean loss of `epoch` so far and the validation loss of the last finished epoch."""
        assert self._task is not None
        remark = f"epoch {epoch}/{self._epochs} loss {loss:.4g}{self._validation}"
        self._bar.update(self._task, advance=advance, remark=remark)

    def _finish(self) -> None:
        """Fill the bar of a stage that ended early."""
        if self._task is not None:
            self._bar.update(self._task, total=self._bar.tasks[self._task].completed)


class TensorBoard(Callback):
    """Every number of an epoch's record as a TensorBoard scalar.

    Args:
        folder: of the event files.

    Raises:
        CaloforgeError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise missing_extra("tensorboard", "tensorboard", "--tensorboard") from None
        self._folder, self._make = folder, SummaryWriter
        self._writer: Any = None

    def epoch_done(self, trainer: Trainer) -> None:
        # Created only now: the run folder exists once the inputs have been checked.
        self._writer = self._writer or self._make(str(self._folder))
        record = trainer.record
        for name, value in record.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{record['stage']}/{name}", value, record["epoch"])
        self._writer.flush()

    def training_done(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()
