"""`fit`: one loop that trains anything with stages, and resumes as if it had never stopped.

Each epoch draws its order and its noise from seeds derived from (seed, stage, epoch), and the learning rate is a
closed function of the epoch, so that a checkpoint needs only weights, optimiser and history: a run that was stopped
and resumed ends with the same weights as one that was not.

A stage keeps its last weights, or those of the epoch with the lowest value of a metric (`select`).
"""

from __future__ import annotations

import math
import re
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path
from caloforge.models.base import ShowerModel, Stage
from caloforge.registry import validation_error

SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda epoch, epochs: 1.0,
    "cosine": lambda epoch, epochs: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),
}
"""Learning-rate schedules: factor on the learning rate during an epoch (0 … epochs − 1)."""

CHECKPOINT_SECONDS = 20.0
"""Least time between two checkpoints within a stage."""


class StageSettings(BaseModel):
    """How one stage is trained.

    epochs: passes over the training set. batch_size: showers per step. learning_rate: of the optimizer, at the
    start. optimizer: `adam` (AdamW where weight_decay is above zero) or `rmsprop`. schedule: `constant` or `cosine`
    (annealed to zero over the epochs). halve_after: numbers of epochs after each of which the learning rate is
    halved. clip_norm: bound on the gradient's norm, null for none. weight_decay: pull of the weights to zero. ema:
    decay per step of an exponential moving average of the weights, null for none; the averaged weights are the ones
    that are validated, selected and kept. select: `last`, `validation_loss`, or a metric's name: which epoch's
    weights are kept. patience: stop after so many epochs without a better value of `select`, null for never.
    select_showers: showers generated for a metric that needs them.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    epochs: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    schedule: Literal["constant", "cosine"] = "constant"
    halve_after: list[PositiveInt] = []
    clip_norm: PositiveFloat | None = None
    weight_decay: NonNegativeFloat = 0.0
    ema: float | None = Field(None, gt=0, lt=1)
    optimizer: Literal["adam", "rmsprop"] = "adam"
    select: str = "last"
    patience: PositiveInt | None = None
    select_showers: PositiveInt = 50_000


class TrainingSettings(StageSettings):
    """How a model is trained: a stage's settings for all stages, and what differs in some.

    seed: of everything random. device: `auto` takes a GPU where there is one. validation_fraction: share of the
    training file set aside, unless a validation file is given. stages: per stage, the settings that differ.
    """

    seed: int = Field(1, ge=0)
    device: str = "auto"
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    stages: dict[str, dict[str, Any]] = {}

    def for_stage(self, name: str) -> StageSettings:
        """The settings of one stage.

        Raises:
            CaloforgeError: a key of the stage is unknown or has a wrong value.
        """
        shared = self.model_dump(include=set(StageSettings.model_fields))
        try:
            return StageSettings(**{**shared, **self.stages.get(name, {})})
        except ValidationError as error:
            raise validation_error(error, f"training.stages.{name}", StageSettings) from None


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


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a GPU where there is one, else the CPU.

    Raises:
        CaloforgeError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise CaloforgeError(f"device '{name}' is not known: give cpu, cuda, cuda:N, mps or auto")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise CaloforgeError(f"device '{name}' cannot be used here: {reason}; give cpu or auto") from None
    return device


def derived_seed(*words: int | str) -> int:
    """A seed made of several numbers and names, independent for each combination."""
    numbers = [zlib.crc32(word.encode()) if isinstance(word, str) else word for word in words]
    # The count goes in too: a seed sequence takes (1,) and (1, 0) for the same.
    return int(np.random.SeedSequence([len(numbers), *numbers]).generate_state(1, np.uint64)[0] >> 1)


def check_stages(stages: Sequence[Stage], settings: TrainingSettings, metrics: Collection[str] = ()) -> None:
    """Check that the settings speak of the stages that a model has, and of metrics that are known.

    Raises:
        CaloforgeError: a stage or metric is unknown, patience has nothing to watch, or nothing can be trained.
    """
    names = [stage.name for stage in stages]
    known = ["last", "validation_loss", *metrics]
    unknown = sorted(set(settings.stages) - set(names))
    if unknown:
        raise CaloforgeError(f"training.stages: unknown key '{unknown[0]}' (the model has: {', '.join(names)})")
    for stage in stages:
        chosen = settings.for_stage(stage.name)
        if chosen.select not in known:
            raise CaloforgeError(f"stage '{stage.name}' selects by '{chosen.select}'; known are {', '.join(known)}")
        if chosen.select == "last" and chosen.patience is not None:
            raise CaloforgeError(f"stage '{stage.name}' has patience, but 'select: last' gives it nothing to watch")
        if len(stage.parameters) == 0:
            raise CaloforgeError(f"stage '{stage.name}' has no parameters to train; does the model define any?")


def fit(
    model: ShowerModel,
    x: Tensor,
    c: Tensor,
    x_valid: Tensor,
    c_valid: Tensor,
    settings: TrainingSettings,
    *,
    metrics: Mapping[str, Metric] | None = None,
    checkpoint: Path | None = None,
    resume: bool = False,
    observer: Observer | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place, stage by stage.

    Args:
        model: what to train.
        x: (N, F) training features in transformed space. c: (N, C) conditions.
        x_valid, c_valid: the same, held out.
        settings: epochs, batches, learning rate …, per stage where they differ.
        metrics: by name, what `settings.select` may refer to besides `last` and `validation_loss`.
        checkpoint: file to write checkpoints to, and to resume from.
        resume: go on from `checkpoint`.
        observer: is told of every stage, batch and epoch.

    Returns:
        The log: one mapping per epoch with stage, epoch, losses, learning rate, seconds and metrics.

    Raises:
        CaloforgeError: a stage or metric is unknown, the checkpoint does not fit, or the loss is no longer finite.
        KeyboardInterrupt: passed on; the checkpoint holds a completed epoch.
    """
    return _Training(model, x, c, x_valid, c_valid, settings, metrics or {}, checkpoint, observer or Observer()).run(
        resume
    )


class _Training:
    def __init__(
        self,
        model: ShowerModel,
        x: Tensor,
        c: Tensor,
        x_valid: Tensor,
        c_valid: Tensor,
        settings: TrainingSettings,
        metrics: Mapping[str, Metric],
        checkpoint: Path | None,
        observer: Observer,
    ) -> None:
        self.model, self.settings, self.metrics = model, settings, metrics
        self.x, self.c, self.x_valid, self.c_valid = x, c, x_valid, c_valid
        self.checkpoint, self.observer = checkpoint, observer
        self.device = choose_device(settings.device)
        self.stages = model.stages()
        self.history: list[dict[str, Any]] = []
        check_stages(self.stages, settings, metrics)

    def run(self, resume: bool) -> list[dict[str, Any]]:
        state = self._load_checkpoint() if resume else None
        first_stage = 0
        self.model.to(self.device)
        if state is not None:
            first_stage = state["stage"]
            self.history = state["history"]
            self.model.load_state_dict(state["model"])
            self.observer.resumed(self.history)
        for number in range(first_stage, len(self.stages)):
            self._run_stage(number, state if number == first_stage else None)
        self.model.eval()
        return self.history

    def _run_stage(self, number: int, state: dict[str, Any] | None) -> None:
        stage, settings = self.stages[number], self.settings.for_stage(self.stages[number].name)
        optimizer = _optimizer(stage, settings)
        first_epoch, best = 0 if state is None else state["epoch"] + 1, _Best()
        # Before the views: some take minutes, and who watches shall know what is going on.
        self.observer.stage_started(stage.name, settings, first_epoch, math.ceil(len(self.x) / settings.batch_size))
        x, x_valid = self._views(stage, fit=state is None)
        average = None if settings.ema is None else _Average(stage, settings.ema)
        if state is not None:
            best = _Best(**state["best"])
            optimizer.load_state_dict(state["optimizer"])
            if average is not None:
                average.load(state["average"])
        last_written = time.monotonic()
        for epoch in range(first_epoch, settings.epochs):
            if settings.patience is not None and epoch > best.epoch + settings.patience:
                break
            started = time.monotonic()
            with _seeded(derived_seed(self.settings.seed, stage.name, epoch)):
                loss, rate = self._train_epoch(stage, settings, optimizer, average, x, epoch)
            if average is not None:
                average.swap()
            # The same noise after each epoch, so that epochs differ by their weights alone.
            with _seeded(derived_seed(self.settings.seed, stage.name, "validation")):
                validation = self._validation_loss(stage, x_valid, settings.batch_size)
            if math.isnan(validation):  # the last step of the epoch may be the one that broke the weights
                raise _diverged("validation loss", stage, validation, epoch, settings)
            record: dict[str, Any] = {
                "stage": stage.name,
                "epoch": epoch + 1,
                "epochs": settings.epochs,
                "loss": loss,
                "validation_loss": validation,
                "learning_rate": rate,
            }
            if settings.select in self.metrics:
                self.model.eval()
                record[settings.select] = self.metrics[settings.select](epoch, settings)
            if settings.select != "last" and record[settings.select] < best.value:
                best = _Best(record[settings.select], epoch, _copied(self.model))
            if average is not None and epoch + 1 < settings.epochs:
                average.swap()
            record["seconds"] = round(time.monotonic() - started, 3)
            self.history.append(record)
            self.observer.epoch_done(record)
            if time.monotonic() - last_written > CHECKPOINT_SECONDS or epoch + 1 == settings.epochs:
                self._write_checkpoint(number, epoch, optimizer, average, best)
                last_written = time.monotonic()
        if best.weights is not None:
            self.model.load_state_dict(best.weights)

    @torch.no_grad()
    def _views(self, stage: Stage, fit: bool) -> tuple[Tensor, Tensor]:
        """What a stage sees of the training and the validation set; a resumed stage has its constants already."""
        self.model.eval()
        with _seeded(derived_seed(self.settings.seed, stage.name, "view")):
            if fit and stage.fit is not None:
                stage.fit(self.x.to(self.device), self.c.to(self.device))
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
        average: _Average | None,
        x: Tensor,
        epoch: int,
    ) -> tuple[float, float]:
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
            self.observer.batch_done(value)
        return total / len(x), rate

    @torch.no_grad()
    def _validation_loss(self, stage: Stage, x: Tensor, batch_size: int) -> float:
        self.model.eval()
        parts = zip(x.split(batch_size), self.c_valid.split(batch_size), strict=True)
        total = sum(stage.loss(a.to(self.device), b.to(self.device)).sum().item() for a, b in parts)
        return total / len(x)

    def _write_checkpoint(
        self, stage: int, epoch: int, optimizer: torch.optim.Optimizer, average: _Average | None, best: _Best
    ) -> None:
        if self.checkpoint is None:
            return
        state = {
            "stage": stage,
            "epoch": epoch,
            "history": self.history,
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
            raise CaloforgeError(f"{self.checkpoint} is no readable checkpoint: {reason}") from None


class _Average:
    """Exponential moving average of a stage's weights; the first steps count less, so that the start is forgotten."""

    def __init__(self, stage: Stage, decay: float) -> None:
        self.weights: list[Tensor] = list(stage.parameters)
        self.decay, self.steps = decay, 0
        self.averages = [weight.detach().clone() for weight in self.weights]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        torch._foreach_lerp_(
            self.averages, tuple(self.weights), 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights and their averages."""
        for weight, average in zip(self.weights, self.averages, strict=True):
            kept = weight.clone()
            weight.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "averages": self.averages}

    def load(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for average, stored in zip(self.averages, state["averages"], strict=True):
            average.copy_(stored)


class _Best:
    """The best epoch of a stage so far."""

    def __init__(self, value: float = math.inf, epoch: int = -1, weights: dict[str, Tensor] | None = None) -> None:
        self.value, self.epoch, self.weights = value, epoch, weights


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


def _optimizer(stage: Stage, settings: StageSettings) -> torch.optim.Optimizer:
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(stage.parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    # The fused step takes a sixth of the time of the default one on a CPU, and gives the same update.
    if settings.weight_decay > 0:
        return torch.optim.AdamW(
            stage.parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.Adam(stage.parameters, settings.learning_rate, fused=True)


def _copied(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class _seeded:
    """Run a block with the global random state seeded, and put the state back afterwards."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self.fork = torch.random.fork_rng()
        self.fork.__enter__()
        torch.manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)
