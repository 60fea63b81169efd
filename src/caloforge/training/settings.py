"""How a model is trained: a recipe's `training` section, for all stages and for each."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any

from pydantic import Field, ValidationError

from caloforge.configured import validation_error
from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel
from caloforge.models.stages import StageSettings

SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": lambda epoch, epochs: 1.0,
    "cosine": lambda epoch, epochs: 0.5 * (1 + math.cos(math.pi * epoch / epochs)),
}
"""Learning-rate schedules: factor on the learning rate during an epoch (0 … epochs − 1)."""


class TrainingSettings(StageSettings):
    """How a model is trained: a stage's settings for all stages, and what differs in some.

    seed: of everything random. device: `auto` takes a GPU where there is one. validation_fraction: share of the
    training file set aside, unless a validation file is given. memory_gb: how much of the showers, and of what stages
    keep of them, may be in memory (10⁹ bytes); the rest is read from scratch files. null is half of what is free. It
    does not change the result. stages: per stage, the settings that differ.
    """

    seed: int = Field(1, ge=0)
    device: str = "auto"
    validation_fraction: float = Field(0.2, gt=0, lt=1)
    memory_gb: float | None = Field(None, ge=0)
    stages: dict[str, dict[str, Any]] = Field(default_factory=dict)

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


def check_stages(model: ShowerModel, settings: TrainingSettings, metrics: Collection[str] = ()) -> None:
    """Check that the settings speak of stages that a model has or could have, and of metrics that are known.

    Raises:
        CaloforgeError: a stage or metric is unknown, patience has nothing to watch, or nothing can be trained.
    """
    stages = model.stages()
    names = [stage.name for stage in stages]
    known = ["last", "validation_loss", *metrics]
    unknown = sorted(set(settings.stages) - set(names) - model.absent_stages())
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
