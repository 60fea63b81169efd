"""What watches a training: progress bars on the terminal, and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import TaskID

from caloforge.cli.console import progress_bar
from caloforge.errors import missing_extra
from caloforge.training import Observer, StageSettings


class TrainingBars(Observer):
    """A bar per stage with batches per second, time left and the latest losses."""

    def __init__(self) -> None:
        self._bar = progress_bar()
        self._task: TaskID | None = None
        self._settings: StageSettings | None = None
        self._epoch = 0
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

    def stage_started(self, stage: str, settings: StageSettings, first_epoch: int, n_batches: int) -> None:
        if self._task is None:
            self._bar.start()
        self._finish()
        self._settings, self._epoch, self._validation = settings, first_epoch, ""
        self._sum, self._batches = 0.0, 0
        self._task = self._bar.add_task(
            stage,
            total=settings.epochs * n_batches,
            completed=first_epoch * n_batches,
            unit="batch",
            remark="preparing",
        )

    def batch_done(self, loss: float) -> None:
        self._sum, self._batches = self._sum + loss, self._batches + 1
        self._show(self._epoch + 1, self._sum / self._batches, advance=1)

    def epoch_done(self, record: dict[str, Any]) -> None:
        self._epoch, self._sum, self._batches = record["epoch"], 0.0, 0
        self._validation = f" valid {record['validation_loss']:.4g}"
        if "separation_power" in record:
            self._validation += f" S {record['separation_power']:.4f}"
        self._show(self._epoch, record["loss"])

    def _show(self, epoch: int, loss: float, advance: int = 0) -> None:
        """The mean loss of `epoch` so far, beside what the last finished epoch gave on the validation set."""
        assert self._task is not None
        assert self._settings is not None
        remark = f"epoch {epoch}/{self._settings.epochs} loss {loss:.4g}{self._validation}"
        self._bar.update(self._task, advance=advance, remark=remark)

    def _finish(self) -> None:
        """A stage that patience ended has no batches left to come."""
        if self._task is not None:
            self._bar.update(self._task, total=self._bar.tasks[self._task].completed)


class TensorBoard(Observer):
    """Every number of an epoch's record as a TensorBoard scalar, and everything passed on."""

    def __init__(self, folder: Path, bars: TrainingBars) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise missing_extra("tensorboard", "tensorboard", "--tensorboard") from None
        self._folder, self._make, self._bars = folder, SummaryWriter, bars
        self._writer: Any = None

    def __enter__(self) -> TensorBoard:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, value, trace)
        if self._writer is not None:
            self._writer.close()

    def stage_started(self, stage: str, settings: StageSettings, first_epoch: int, n_batches: int) -> None:
        # Made only now: the run's folder exists once the training has checked it.
        self._writer = self._writer or self._make(str(self._folder))
        self._bars.stage_started(stage, settings, first_epoch, n_batches)

    def batch_done(self, loss: float) -> None:
        self._bars.batch_done(loss)

    def epoch_done(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{record['stage']}/{name}", value, record["epoch"])
        self._bars.epoch_done(record)
