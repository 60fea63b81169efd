"""One stage of a training, epoch by epoch: order and noise of each, steps, validation, checkpoints, the best epoch.

The order of the batches and all noise are functions of (seed, stage, epoch), so that a stage that is resumed, within an
epoch too, goes on as if nothing had happened.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import Pair, ShowerDataset, TimedRows
from caloforge.models.stages import TrainingBatch
from caloforge.sharing import sharing
from caloforge.simulator import AnySimulator
from caloforge.training.acceleration import accelerated
from caloforge.training.callbacks import Callback, Callbacks, Metric, Record, Trainer
from caloforge.training.carried import with_carried_rate
from caloforge.training.checkpoint import FORMAT, Checkpoint, Progress, restoring, write_checkpoint
from caloforge.training.distributed import (
    Gradients,
    Piece,
    Processes,
    check_batch_size,
    noticing_loss,
    pieces,
)
from caloforge.training.interruption import deferred_signals
from caloforge.training.machine import derived_seed, generator_states, restore_generators, seeded
from caloforge.training.settings import SCHEDULES, TrainingSettings, check_stages
from caloforge.training.step_losses import check_finite_losses, diverged, named
from caloforge.training.store import Store
from caloforge.training.weights import Average, Best, copied

CHECKPOINT_SECONDS = 20.0
"""Least time between two checkpoints within a stage."""


class TrainingTask:
    """What all stages of a training share; arguments as of `caloforge.training.loop.fit`."""

    def __init__(
        self,
        team: Processes,
        model: ShowerModel,
        training: ShowerDataset | Pair,
        validation: ShowerDataset | Pair,
        settings: TrainingSettings,
        metrics: Mapping[str, Metric],
        callbacks: Sequence[Callback],
        checkpoint: Path | None,
        simulator: AnySimulator | None,
        store: Store | None,
    ) -> None:
        self.team, self.model, self.settings, self.metrics = team, model, settings, metrics
        self.callbacks = Callbacks(callbacks)
        self.checkpoint, self.store = checkpoint, store or Store()
        self.device = team.device(settings.device)
        self.training, self.validation = (
            (data if isinstance(data, ShowerDataset) else ShowerDataset.of(*data)).to(self.device)
            for data in (training, validation)
        )
        self.stages = model.stages()
        check_stages(model, settings, metrics)
        for stage in self.stages:
            check_batch_size(team, settings.for_stage(stage.name).batch_size)
        first = self.stages[0]
        self.trainer = Trainer(model, first, settings.for_stage(first.name), simulator=simulator)


class StageRun:
    """One stage, from its first epoch, or the one after a checkpoint, to its last."""

    def __init__(self, task: TrainingTask, number: int, state: Checkpoint | None) -> None:
        self.task, self.number, self.trainer, self.model, self.team = task, number, task.trainer, task.model, task.team
        self.stage, self.settings, self.device = task.trainer.stage, task.trainer.settings, task.device
        carried = self.trainer.carried.parameters(self.model)
        self.carried = [p for p in self.stage.parameters if id(p) in carried]
        self.frozen = len(self.carried) == len(self.stage.parameters) and self.settings.carried_rate == 0
        self.optimizers = self.stage.optimizers(self.settings)
        for optimizer in self.optimizers:
            with_carried_rate(optimizer, carried, self.settings.carried_rate)
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.gradients = Gradients(self.team)
        for optimizer in self.optimizers:
            self.gradients.watch(optimizer)
            if self.settings.clip_norm is not None:
                optimizer.register_step_pre_hook(self._clip)
        self.progress: Progress | None = None if state is None else state["progress"]
        self.ended = state is not None and state["ended"]
        self.training, self.validation = (
            replace(data, rows=TimedRows(data.rows)) for data in self._prepare(fitted=state is not None)
        )
        self.trainer.n_batches = math.ceil(len(self.training) / self.settings.batch_size)
        self.average = None if self.settings.ema is None else Average(self.stage, self.settings.ema)
        self.best = Best()
        if state is not None:
            with restoring(task.checkpoint):
                self.best = Best(**state["best"])
                for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
                    optimizer.load_state_dict(stored)
                if self.average is not None and state["average"] is not None:
                    self.average.load(state["average"])

    def _seeded(self, *words: int | str) -> Any:
        return seeded(derived_seed(self.task.settings.seed, self.stage.name, *words))

    @torch.no_grad()
    def _prepare(self, fitted: bool) -> tuple[ShowerDataset, ShowerDataset]:
        """What the stage is trained and validated on; a resumed stage has its constants already."""
        self.model.eval()
        if self.ended:  # and nothing is left to be trained
            return self.task.training, self.task.validation
        if not fitted:
            with self._seeded("fit"):
                self.team.same_state(self.model, self._fit)
        if self.frozen:  # there is nothing to train
            return self.task.training, self.task.validation
        store, what = self.task.store, f"the data of stage '{self.stage.name}'"
        # A seed of its own: a resumed stage, which is not fitted again, has the same data.
        with self._seeded("view"):
            training, validation = (
                store.kept(self.stage.prepare(data), what, for_stage=True)
                for data in (self.task.training, self.task.validation)
            )
        return training, validation

    def _fit(self) -> None:
        """Set the stage's constants; weights carried over stay as they are."""
        kept = [parameter.clone() for parameter in self.carried]
        self.stage.fit(self.task.training)
        for parameter, value in zip(self.carried, kept, strict=True):
            parameter.copy_(value)

    def run(self) -> None:
        if not self.frozen:
            with deferred_signals() as signalled:
                self._epochs(signalled)
        if self.best.weights is not None:
            self.model.load_state_dict(self.best.weights)

    def forget_data(self) -> None:
        """Give up the data: hooks of the optimisers keep this object until the next garbage collection."""
        self.training, self.validation = self.task.training, self.task.validation

    def _epochs(self, signalled: Callable[[], bool]) -> None:
        trainer, settings, average = self.trainer, self.settings, self.average
        last_written = time.monotonic()
        while trainer.epoch < settings.epochs and not self.ended and not trainer._stage_stopped:
            if settings.patience is not None and trainer.epoch > self.best.epoch + settings.patience:
                break
            self._epoch(signalled)
            # A training that is stopped as a whole can be resumed in the middle of the stage.
            self.ended = trainer.epoch + 1 == settings.epochs or (trainer._stage_stopped and not trainer._stopped)
            if average is not None and not self.ended:
                average.swap()
            if self.team.total([float(signalled())])[0] > 0:
                self._stop()
            if time.monotonic() - last_written > CHECKPOINT_SECONDS or trainer._stage_stopped or self.ended:
                self._write_checkpoint()
                last_written = time.monotonic()
            trainer.epoch += 1
        if average is not None and not self.ended:
            average.swap()

    def _stop(self, progress: Progress | None = None) -> NoReturn:
        """Write a checkpoint, for which all processes wait, and end."""
        self.team.from_first(lambda: self._write_checkpoint(progress))
        raise KeyboardInterrupt

    def _epoch(self, signalled: Callable[[], bool]) -> None:
        """Train and evaluate one epoch; leaves the averaged weights in the model."""
        trainer, settings, epoch = self.trainer, self.settings, self.trainer.epoch
        started, waited = time.monotonic(), self._waited()
        with self._seeded(epoch):
            losses, rate = self._train(signalled)
        if self.average is not None:
            self.average.swap()
        self.model.eval()
        # The same noise after each epoch, so that epochs differ by their weights alone.
        with self._seeded("validation"):
            validation = self._validation_loss()
        if math.isnan(validation):  # the last step of the epoch may be the one that broke the weights
            raise diverged("validation loss", self.stage, validation, epoch, settings)
        record: Record = {
            "stage": self.stage.name,
            "epoch": epoch + 1,
            "epochs": settings.epochs,
            "loss": losses.pop("loss"),
            "validation_loss": validation,
            "learning_rate": rate,
            **losses,
        }
        with self._seeded(epoch, "metrics"):
            record |= self.team.from_first(self._measured)
        if settings.select != "last" and record[settings.select] < self.best.value:
            self.best = Best(record[settings.select], epoch, copied(self.model))
        seconds = {"seconds": time.monotonic() - started, "data_seconds": self._waited() - waited}
        record |= trainer._entry | {name: round(value, 3) for name, value in seconds.items()}
        trainer.history.append(record)
        trainer._entry = record
        with self._seeded(epoch, "callbacks"):
            self.task.callbacks.epoch_done(trainer)
        trainer._entry = {}
        trainer._stage_stopped, trainer._stopped = self.team.from_first(
            lambda: (trainer._stage_stopped, trainer._stopped)
        )

    def _waited(self) -> float:
        """Seconds of the stage in which it waited for data."""
        return sum(data.rows.seconds for data in (self.training, self.validation) if isinstance(data.rows, TimedRows))

    def _train(self, signalled: Callable[[], bool]) -> tuple[dict[str, float], float]:
        """The epoch's mean losses by name, and its learning rate.

        Raises:
            KeyboardInterrupt: one of the processes was `signalled`; the checkpoint is of the last step.
        """
        trainer, settings, epoch = self.trainer, self.settings, self.trainer.epoch
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * SCHEDULES[settings.schedule](epoch, settings.epochs)
                group["lr"] *= 0.5 ** sum(epoch >= done for done in settings.halve_after)
        self.model.train()
        order = torch.randperm(len(self.training))
        done: Progress = self.progress or {"batches": 0, "random": [], "totals": {}, "counts": {}}
        self.progress = None
        if done["random"]:
            restore_generators(done["random"], self.device)
        totals, counts = done["totals"], done["counts"]
        left = pieces(
            self.team, order[done["batches"] * settings.batch_size :], settings.batch_size, settings.accumulate
        )
        sums: dict[str, float] = {}
        n = 0
        for piece, rows in self._drawn(self.training, left):
            number = epoch * trainer.n_batches + done["batches"]
            with self._taking(piece):
                x, c = self.training.mapped(rows)
                with accelerated(self.stage.name, settings, self.device), noticing_loss():
                    losses = self.stage.step(TrainingBatch(x, c, number), self.optimizers)
            for name, value in named(self.stage, losses).items():
                sums[name] = sums.get(name, 0.0) + value * piece.weight
            n += piece.part.total
            if not piece.last:
                continue
            if self.average is not None:
                self.average.update()
            *means, stops = self.team.total([*sums.values(), float(signalled())])
            trainer.losses = dict(zip(sums, means, strict=True))
            check_finite_losses(self.stage, settings, epoch, trainer.losses)
            for name, value in trainer.losses.items():
                totals[name] = totals.get(name, 0.0) + value * n
                counts[name] = counts.get(name, 0) + n
            done["batches"] += 1
            sums, n = {}, 0
            self.task.callbacks.batch_done(trainer)
            if stops:
                self._stop(done | {"random": generator_states(self.device)})
        return {name: total / counts[name] for name, total in totals.items()}, self.optimizers[0].param_groups[0]["lr"]

    @staticmethod
    def _drawn(data: ShowerDataset, chosen: Iterable[Piece]) -> Iterator[tuple[Piece, Pair]]:
        """Pieces and their rows, before the maps of the data."""
        chosen = list(chosen)
        return zip(chosen, data.stream(piece.rows for piece in chosen), strict=True)

    @contextmanager
    def _taking(self, piece: Piece) -> Iterator[None]:
        """Inside the block, what is computed is of a piece."""
        self.gradients.piece = piece
        with sharing(piece.part):
            yield

    def _clip(self, optimizer: torch.optim.Optimizer, *others: Any) -> None:
        parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        assert self.settings.clip_norm is not None
        torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_norm)

    def _measured(self) -> Record:
        """The values of the metrics that are evaluated in this epoch."""
        values = {}
        for name, metric in self.task.metrics.items():
            value = metric(self.trainer)
            if value is not None:
                values[name] = float(value)
            elif name == self.settings.select:
                raise CaloforgeError(f"the metric '{name}' is None, but 'select' needs it after every epoch")
        return values

    @torch.no_grad()
    def _validation_loss(self) -> float:
        total = 0.0
        chosen = pieces(self.team, torch.arange(len(self.validation)), self.settings.batch_size)
        for piece, rows in self._drawn(self.validation, chosen):
            with self._taking(piece), noticing_loss():
                total += self.stage.loss(*self.validation.mapped(rows)).sum().item() / piece.copies
        return self.team.total([total])[0] / len(self.validation)

    def _write_checkpoint(self, progress: Progress | None = None) -> None:
        """Write the state after an epoch, or within one with its progress."""
        if self.task.checkpoint is None or not self.team.first:
            return
        average, best = self.average, self.best
        state: Checkpoint = {
            "format": FORMAT,
            "stage": self.number,
            "epoch": self.trainer.epoch if progress is None else self.trainer.epoch - 1,
            "ended": self.ended,
            "history": self.trainer.history,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": None if average is None else average.state(),
            "best": {"value": best.value, "epoch": best.epoch, "weights": best.weights},
            "progress": progress,
        }
        write_checkpoint(self.task.checkpoint, state)
