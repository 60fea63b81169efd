"""`Stage`: one part of a model's training, from its data to a step of its optimisers.

The training loop (`caloforge.training.loop`) runs a stage like this:

    stage.fit(training)                              # constants, from the training set; once, not after a resumption
    data = stage.prepare(training)                   # what the stage is trained on; the same for the validation set
    optimizers = stage.optimizers(settings)
    for batch in data, in random order, each epoch:  stage.step(batch, optimizers)
    the mean of stage.loss over the validation set, after each epoch

A stage with one loss and one optimiser gives a function and parameters to `Stage`; one that needs more (an adversary,
several losses) is a subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from torch import Tensor, nn

from caloforge.errors import CaloforgeError
from caloforge.models.dataset import ShowerDataset


class StageSettings(BaseModel):
    """How one stage is trained.

    epochs: passes over the training set. batch_size: showers per step. learning_rate: of the optimizer, at the
    start. optimizer: `adam` (AdamW where weight_decay is above zero) or `rmsprop`. schedule: `constant` or `cosine`
    (annealed to zero over the epochs). halve_after: numbers of epochs after each of which the learning rate is
    halved. clip_norm: bound on the gradient's norm, null for none. weight_decay: pull of the weights to zero. ema:
    decay per step of an exponential moving average of the weights, null for none; the averaged weights are the ones
    that are validated, selected and kept. select: `last`, `validation_loss`, or a metric's name: which epoch's
    weights are kept. patience: stop after so many epochs without a better value of `select`, null for never.
    select_showers: showers generated for a metric that needs them. accumulate: number of pieces in which a batch is
    taken one after another, for batches that do not fit in memory. precision: `float32`, or `bf16` for networks in
    bfloat16 where PyTorch's autocast deems it safe; weights, losses and validation stay in float32. compile: compile
    the networks with torch.compile. carried_rate: factor, 0 to 1, on the learning rate of weights carried over from
    another run; 0 keeps them as they are, and a stage whose weights are all kept is not trained.
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
    accumulate: PositiveInt = 1
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    carried_rate: float = Field(1.0, ge=0, le=1)

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch(cls, value: Any, info: ValidationInfo) -> Any:
        # pydantic would take true for 1, and 1 for true.
        if isinstance(value, bool) != (info.field_name == "compile"):
            raise ValueError("compile, and no other setting of the training, is a switch: true or false")
        return value


class TrainingBatch(NamedTuple):
    """What one step sees: x (B, …) features, c (B, C) conditions, and how many steps the stage has taken before."""

    x: Tensor
    c: Tensor
    number: int


Losses = Mapping[str, Tensor]
"""Losses of a step by name, each () and averaged over showers. `loss` is the total; where it is absent, their sum."""


class Stage:
    """One part of a model's training.

    Args:
        name: key of the stage's settings in a recipe, as in `training.stages.density`.
        loss: (x (B, …), c (B, C)) → (B,) loss per shower.
        parameters: what the optimisers may change.
        fit: what `fit` does.
        prepare: what `prepare` does.
    """

    def __init__(
        self,
        name: str,
        loss: Callable[[Tensor, Tensor], Tensor],
        parameters: Iterable[nn.Parameter],
        *,
        fit: Callable[[ShowerDataset], None] | None = None,
        prepare: Callable[[ShowerDataset], ShowerDataset] | None = None,
    ) -> None:
        self.name, self.parameters = name, list(parameters)
        self._loss, self._fit, self._prepare = loss, fit, prepare

    def fit(self, data: ShowerDataset) -> None:
        """Set constants from the training set, before it is prepared; does nothing by default.

        Called once, when the stage begins, with the model in evaluation mode and without gradients. What it sets must
        be part of the model's state (buffers, parameters): a resumed stage is not fitted again.
        """
        if self._fit is not None:
            self._fit(data)

    def prepare(self, data: ShowerDataset) -> ShowerDataset:
        """What the stage is trained and validated on, from features and conditions of the whole model's training.

        The data themselves by default. Usually `data.map(function)`; the maps are evaluated in evaluation mode and
        without gradients. Also called when the stage is resumed.
        """
        return data if self._prepare is None else self._prepare(data)

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) loss per shower of prepared data; its mean is the validation loss, and by default what is trained."""
        return self._loss(x, c)

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        """The optimisers of a stage that begins; by default the one that the settings name, for all parameters.

        The loop multiplies their learning rates by the settings' schedule, and clips gradients before they step.
        """
        return [make_optimizer(self.parameters, settings)]

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        """Take one step, by default down the gradient of the mean of `loss`.

        Randomness comes from the global random state, which the loop seeds for each epoch. With several processes, or
        `accumulate`, the batch is a part of a larger one (`caloforge.sharing`), and optimisers see gradients averaged
        over all of it; losses have the same names in each part.

        Raises:
            CaloforgeError: the loss is not one number per shower, or depends on no parameter.
        """
        (optimizer,) = optimizers
        return {"loss": self.descend(self.loss(batch.x, batch.c), len(batch.x), optimizer)}

    def descend(self, losses: Tensor, n: int, optimizer: torch.optim.Optimizer) -> Tensor:
        """A step of one optimiser down the gradient of the mean of `losses`, one for each of n showers; that mean, ().

        Raises:
            CaloforgeError: the losses have another shape, or depend on no parameter.
        """
        if losses.shape != (n,):
            raise CaloforgeError(
                f"the loss of stage '{self.name}' has the shape {tuple(losses.shape)}; it must be one number per "
                f"shower, ({n},), neither summed nor averaged over the batch"
            )
        if not losses.requires_grad:
            raise CaloforgeError(f"the loss of stage '{self.name}' depends on none of the model's parameters")
        loss = losses.mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()


def make_optimizer(parameters: Iterable[nn.Parameter], settings: StageSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    parameters = list(parameters)
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
    # The fused step takes a sixth of the time of the default one on a CPU, and gives the same update.
    if settings.weight_decay > 0:
        return torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)
    return torch.optim.Adam(parameters, settings.learning_rate, fused=True)
