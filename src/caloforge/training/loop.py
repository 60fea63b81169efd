"""`fit`: one loop that trains anything with stages, and resumes as if it had never been interrupted.

Each epoch draws its order and its noise from seeds derived from (seed, stage, epoch), and the learning rate is a
closed function of the epoch, so that a checkpoint needs only weights, optimiser and history: a run that was stopped
and resumed ends with the same weights as one that was not.

A stage keeps its last weights, or those of the epoch with the lowest value of a metric (`select`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path
from caloforge.models.base import ShowerModel, Stage
from caloforge.simulator import Simulator
from caloforge.training.callbacks import Callback, Callbacks, Metric, Record, Trainer
from caloforge.training.machine import choose_device, derived_seed, seeded
from caloforge.training.settings import SCHEDULES, StageSettings, TrainingSettings, check_stages
from caloforge.training.weights import Average, Best, copied, make_optimizer

CHECKPOINT_SECONDS = 20.0
"""Least time between two checkpoints within a stage."""


def fit(
    model: ShowerModel,
    x: Tensor,
    c: Tensor,
    x_valid: Tensor,
    c_valid: Tensor,
    settings: TrainingSettings,
    *,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    simulator: Simulator | None = None,
) -> list[Record]:
    """Train `model` in place, stage by stage.

    Args:
        model: what to train.
        x: (N, F) training features in transformed space. c: (N, C) conditions.
        x_valid, c_valid: the same, held out.
        settings: epochs, batches, learning rate …, per stage where they differ.
        metrics: by name, evaluated and logged after every epoch of every stage; what `settings.select` may refer to
            besides `last` and `validation_loss`. A metric that is costly, or belongs to one stage, returns None where
            it is not to be evaluated: `None if trainer.epoch % 10 else …`.
        callbacks: told of every stage, batch and epoch; they may log numbers and end the training.
        checkpoint: file to write checkpoints to, and to resume from.
        resume: continue from `checkpoint`.
        simulator: what the model is part of, for callbacks and metrics.

    Returns:
        The history: one record per epoch with stage, epoch, losses, learning rate, seconds, metrics and what callbacks
        logged.

    Raises:
        CaloforgeError: a stage or metric is unknown, the checkpoint does not fit, or the loss is no longer finite.
        KeyboardInterrupt: passed on; the checkpoint holds a completed epoch.
    """
    loop = _Loop(model, (x, c), (x_valid, c_valid), settings, metrics or {}, callbacks, checkpoint, simulator)
    return loop.run(resume)


Pair = tuple[Tensor, Tensor]


class _Loop:
    def __init__(
        self,
        model: ShowerModel,
        training: Pair,
        validation: Pair,
        settings: TrainingSettings,
        metrics: Mapping[str, Metric],
        callbacks: Sequence[Callback],
        checkpoint: Path | None,
        simulator: Simulator | None,
    ) -> None:
        self.model, self.settings, self.metrics, self.callbacks = model, settings, metrics, Callbacks(callbacks)
        (self.x, self.c), (self.x_valid, self.c_valid) = training, validation
        self.checkpoint = checkpoint
        self.device = choose_device(settings.device)
        self.stages = model.stages()
        check_stages(self.stages, settings, metrics)
        first = self.stages[0]
        self.trainer = Trainer(model, first, settings.for_stage(first.name), simulator=simulator)

    def run(self, resume: bool) -> list[Record]:
        state = self._load_checkpoint() if resume else None
        trainer, first_stage = self.trainer, 0
        self.model.to(self.device)
        if state is not None:
            first_stage = state["stage"]
            trainer.history = state["history"]
            self.model.load_state_dict(state["model"])
        self.callbacks.training_started(trainer)
        for number in range(first_stage, len(self.stages)):
            if not trainer._stopped:
                self._run_stage(number, state if number == first_stage else None)
        self.model.eval()
        self.callbacks.training_done(trainer)
        return trainer.history

    def _run_stage(self, number: int, state: dict[str, Any] | None) -> None:
        stage, settings = self.stages[number], self.settings.for_stage(self.stages[number].name)
        trainer = self.trainer
        optimizer = make_optimizer(stage, settings)
        best = Best()
        trainer.stage, trainer.settings = stage, settings
        trainer.epoch = 0 if state is None else state["epoch"] + 1
        trainer.n_batches = math.ceil(len(self.x) / settings.batch_size)
        trainer._stage_stopped = ended = state is not None and state["ended"]
        # Before the views: some take minutes, and who watches shall know what is going on.
        self.callbacks.stage_started(trainer)
        x, x_valid = self._views(stage, fit=state is None)
        average = None if settings.ema is None else Average(stage, settings.ema)
        if state is not None:
            best = Best(**state["best"])
            optimizer.load_state_dict(state["optimizer"])
            if average is not None:
                average.load(state["average"])
        last_written = time.monotonic()
        while trainer.epoch < settings.epochs and not trainer._stage_stopped:
            epoch = trainer.epoch
            if settings.patience is not None and epoch > best.epoch + settings.patience:
                break
            started = time.monotonic()
            with seeded(derived_seed(self.settings.seed, stage.name, epoch)):
                loss, rate = self._train_epoch(stage, settings, optimizer, average, x)
            if average is not None:
                average.swap()
            # The same noise after each epoch, so that epochs differ by their weights alone.
            with seeded(derived_seed(self.settings.seed, stage.name, "validation")):
                validation = self._validation_loss(stage, x_valid, settings.batch_size)
            if math.isnan(validation):  # the last step of the epoch may be the one that broke the weights
                raise _diverged("validation loss", stage, validation, epoch, settings)
            record: Record = {
                "stage": stage.name,
                "epoch": epoch + 1,
                "epochs": settings.epochs,
                "loss": loss,
                "validation_loss": validation,
                "learning_rate": rate,
            }
            self.model.eval()
            with seeded(derived_seed(self.settings.seed, stage.name, epoch, "metrics")):
                record |= self._measured(settings)
            if settings.select != "last" and record[settings.select] < best.value:
                best = Best(record[settings.select], epoch, copied(self.model))
            record |= trainer._entry | {"seconds": round(time.monotonic() - started, 3)}
            trainer.history.append(record)
            trainer._entry = record
            with seeded(derived_seed(self.settings.seed, stage.name, epoch, "callbacks")):
                self.callbacks.epoch_done(trainer)
            trainer._entry = {}
            # A training that is stopped as a whole can be resumed in the middle of the stage.
            ended = epoch + 1 == settings.epochs or (trainer._stage_stopped and not trainer._stopped)
            if average is not None and not ended:
                average.swap()
            if time.monotonic() - last_written > CHECKPOINT_SECONDS or trainer._stage_stopped or ended:
                self._write_checkpoint(number, ended, optimizer, average, best)
                last_written = time.monotonic()
            trainer.epoch += 1
        if average is not None and not ended and best.weights is None:
            average.swap()
        if best.weights is not None:
            self.model.load_state_dict(best.weights)
        self.callbacks.stage_done(trainer)

    @torch.no_grad()
    def _views(self, stage: Stage, fit: bool) -> tuple[Tensor, Tensor]:
        """What a stage sees of the training and the validation set; a resumed stage has its constants already."""
        self.model.eval()
        if fit and stage.fit is not None:
            with seeded(derived_seed(self.settings.seed, stage.name, "fit")):
                stage.fit(self.x.to(self.device), self.c.to(self.device))
        # A seed of its own: a resumed stage, which is not fitted again, has the same view.
        with seeded(derived_seed(self.settings.seed, stage.name, "view")):
            return self._view(stage, self.x, self.c), self._view(stage, self.x_valid, self.c_valid)

    def _view(self, stage: Stage, x: Tensor, c: Tensor) -> Tensor:
        if stage.view is None:
            return x
        parts = zip(x.split(8192), c.split(8192), strict=True)
        return torch.cat([stage.view(a.to(self.device), b.to(self.device)) for a, b in parts])

    def _train_epoch(
        self,
        stage: Stage,
        settings: StageSettings,
        optimizer: torch.optim.Optimizer,
        average: Average | None,
        x: Tensor,
    ) -> tuple[float, float]:
        epoch = self.trainer.epoch
        rate = settings.learning_rate * SCHEDULES[settings.schedule](epoch, settings.epochs)
        rate *= 0.5 ** sum(epoch >= done for done in settings.halve_after)
        for group in optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(settings.batch_size):
            batch, conditions = x[rows].to(self.device), self.c[rows].to(self.device)
            losses = stage.loss(batch, conditions)
            _check_loss(stage, losses, len(rows))
            loss = losses.mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if settings.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(stage.parameters, settings.clip_norm)
            optimizer.step()
            if average is not None:
                average.update()
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged("loss", stage, value, epoch, settings)
            total += value * len(rows)
            self.trainer.losses = {"loss": value}
            self.callbacks.batch_done(self.trainer)
        return total / len(x), rate

    def _measured(self, settings: StageSettings) -> Record:
        """The values of the metrics that are evaluated in this epoch."""
        values = {}
        for name, metric in self.metrics.items():
            value = metric(self.trainer)
            if value is not None:
                values[name] = float(value)
            elif name == settings.select:
                raise CaloforgeError(f"the metric '{name}' is None, but 'select' needs it after every epoch")
        return values

    @torch.no_grad()
    def _validation_loss(self, stage: Stage, x: Tensor, batch_size: int) -> float:
        self.model.eval()
        parts = zip(x.split(batch_size), self.c_valid.split(batch_size), strict=True)
        total = sum(stage.loss(a.to(self.device), b.to(self.device)).sum().item() for a, b in parts)
        return total / len(x)

    def _write_checkpoint(
        self, stage: int, ended: bool, optimizer: torch.optim.Optimizer, average: Average | None, best: Best
    ) -> None:
        if self.checkpoint is None:
            return
        state = {
            "stage": stage,
            "epoch": self.trainer.epoch,
            "ended": ended,
            "history": self.trainer.history,
            "model": self.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": None if average is None else average.state(),
            "best": {"value": best.value, "epoch": best.epoch, "weights": best.weights},
        }
        with atomic_path(self.checkpoint) as partial:
            torch.save(state, partial)

    def _load_checkpoint(self) -> dict[str, Any] | None:
        if self.checkpoint is None or not self.checkpoint.exists():
            return None
        try:
            return torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise CaloforgeError(f"{self.checkpoint} cannot be read as a checkpoint: {reason}") from None


def _diverged(what: str, stage: Stage, value: float, epoch: int, settings: StageSettings) -> CaloforgeError:
    key = f"--set training.stages.{stage.name}"  # holds whether or not the stage has settings of its own
    clip = "none" if settings.clip_norm is None else f"{settings.clip_norm:g}"
    return CaloforgeError(
        f"the {what} of stage '{stage.name}' became {value} in epoch {epoch + 1}: lower the learning rate "
        f"({key}.learning_rate={settings.learning_rate / 10:g}, now {settings.learning_rate:g}) or bound the gradient "
        f"({key}.clip_norm={(settings.clip_norm or 10) / 10:g}, now {clip})"
    )


def _check_loss(stage: Stage, losses: Tensor, n: int) -> None:
    if losses.shape != (n,):
        raise CaloforgeError(
            f"the loss of stage '{stage.name}' has the shape {tuple(losses.shape)}; it must be one number per shower, "
            f"({n},), neither summed nor averaged over the batch"
        )
    if not losses.requires_grad:
        raise CaloforgeError(f"the loss of stage '{stage.name}' depends on none of the model's parameters")
