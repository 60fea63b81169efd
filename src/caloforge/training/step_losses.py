"""Losses of a step: their names, and what is said where they are no longer finite."""

from __future__ import annotations

import math
from collections.abc import Mapping

from caloforge.errors import CaloforgeError, either
from caloforge.models.stages import Losses, Stage, StageSettings
from caloforge.training.callbacks import OWN_KEYS


def named(stage: Stage, losses: Losses) -> dict[str, float]:
    """The losses of a step as numbers, their total first.

    Raises:
        CaloforgeError: one has a name that records of epochs have for something else.
    """
    values = {name: float(value) for name, value in losses.items()}
    found = {"loss": values.pop("loss") if "loss" in values else sum(values.values()), **values}
    if clash := OWN_KEYS.intersection(values):
        raise CaloforgeError(f"stage '{stage.name}' has a loss called '{min(clash)}'; choose another name")
    return found


def check_finite_losses(stage: Stage, settings: StageSettings, epoch: int, losses: Mapping[str, float]) -> None:
    """Check the losses of a step.

    Raises:
        CaloforgeError: one is not finite.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            raise diverged(name, stage, value, epoch, settings)


def diverged(what: str, stage: Stage, value: float, epoch: int, settings: StageSettings) -> CaloforgeError:
    """The error for a loss that is not finite; it names the settings to change."""
    key = (
        either("--set ", "") + f"training.stages.{stage.name}"
    )  # holds whether or not the stage has settings of its own
    clip = "none" if settings.clip_norm is None else f"{settings.clip_norm:g}"
    remedy = f", or train in float32 ({key}.precision=float32)" if settings.precision == "bf16" else ""
    return CaloforgeError(
        f"the {what} of stage '{stage.name}' became {value} in epoch {epoch + 1}: lower the learning rate "
        f"({key}.learning_rate={settings.learning_rate / 10:g}, now {settings.learning_rate:g}) or bound the gradient "
        f"({key}.clip_norm={(settings.clip_norm or 10) / 10:g}, now {clip}){remedy}"
    )
