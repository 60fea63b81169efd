"""Callbacks: what watches a training, logs numbers of its own, and may end it.

    class StopAt(Callback):
        "End a stage once its validation loss is low enough."

        def epoch_done(self, trainer):
            trainer.log(margin=trainer.record["validation_loss"] - 0.1)
            if trainer.record["validation_loss"] < 0.1:
                trainer.stop_stage()

`Trainer` is what a callback or a metric sees of the training. Progress bars, `log.jsonl` and TensorBoard are callbacks
too. Callbacks are called in the order of the list, so that later ones see what earlier ones logged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel
from caloforge.models.stages import Stage, StageSettings
from caloforge.simulator import AnySimulator
from caloforge.training.budget import MemoryEstimate
from caloforge.training.carried import CarriedOver

Record = dict[str, Any]
"""An epoch's entry of the history, a line of `log.jsonl`: `stage`, `epoch` (from 1), `epochs`, `loss`,
`validation_loss`, `learning_rate`, `seconds`, `data_seconds` of these in which it waited for data, metrics, and what
callbacks logged."""


@dataclass
class Trainer:
    """The state of a training, as callbacks and metrics see it.

    >>> from caloforge import sample, train
    >>> class Counting(Callback):
    ...     def stage_done(self, trainer: Trainer) -> None:
    ...         print(trainer.stage.name, len(trainer.history))
    >>> _ = train("caloman-demo", sample("train", stop=100), training={"epochs": 1}, callbacks=[Counting()])
    autoencoder 1
    density 2

    Attributes:
        model: the model that is trained, on the training's device.
        stage, settings: the present stage and its settings.
        epoch: the present epoch of the stage, counted from 0; the one just trained in `epoch_done` and in metrics.
        n_batches: batches per epoch.
        history: a record for each epoch so far, of all stages.
        losses: of the last step, averaged over the batch: `loss`, and the parts that the stage names.
        simulator: transforms, model and geometry, where `train` runs the training; None under `fit`.
        memory: what the training is estimated to need, likewise.
        carried: the weights that the training was started from.
    """

    model: ShowerModel
    stage: Stage
    settings: StageSettings
    epoch: int = 0
    n_batches: int = 0
    history: list[Record] = field(default_factory=list)
    losses: Mapping[str, float] = field(default_factory=dict)
    simulator: AnySimulator | None = None
    memory: MemoryEstimate | None = None
    carried: CarriedOver = field(default_factory=CarriedOver)
    _entry: Record = field(default_factory=dict)
    _stage_stopped: bool = False
    _stopped: bool = False

    def __repr__(self) -> str:
        return f"Trainer(stage {self.stage.name}, epoch {self.epoch + 1} of {self.settings.epochs}, {self.model!r})"

    @property
    def record(self) -> Record:
        """The last epoch's record."""
        return self.history[-1]

    def log(self, **numbers: float) -> None:
        """Put numbers into the record of the present epoch, and so into `log.jsonl`.

        Raises:
            CaloforgeError: a number is not finite, or its name is one of the training's own.
        """
        for name, value in numbers.items():
            if name in OWN_KEYS:
                raise CaloforgeError(f"a callback logs '{name}', which the training logs itself; choose another name")
            if not math.isfinite(value):
                raise CaloforgeError(f"a callback logs {name} = {value}; only finite numbers can be logged")
            self._entry[name] = float(value)

    def stop_stage(self) -> None:
        """End the present stage after this epoch; the next stage follows."""
        self._stage_stopped = True

    def stop(self) -> None:
        """End the training after this epoch; stages that follow are not trained."""
        self._stage_stopped = self._stopped = True


OWN_KEYS = frozenset(
    {"stage", "epoch", "epochs", "loss", "validation_loss", "learning_rate", "seconds", "data_seconds"}
)
"""Keys of a record that callbacks cannot log."""

Metric = Callable[[Trainer], float | None]
"""A number that is lower for better models, or None where it is not to be evaluated (another stage's, or a costly one
in most epochs). It may use the global random state, which is seeded for it; the model is in evaluation mode."""


class Callback:
    """What may watch a training: override what is needed.

    The global random state belongs to the training while batches are processed: `batch_done` must not draw from it.

    >>> class FirstTenEpochs(Callback):
    ...     def epoch_done(self, trainer: Trainer) -> None:
    ...         if trainer.epoch == 9:
    ...             trainer.stop_stage()
    """

    def training_started(self, trainer: Trainer) -> None:
        """Before the first epoch; after a resumption, `trainer.history` has the epochs that were trained before."""

    def stage_started(self, trainer: Trainer) -> None:
        """A stage begins, or goes on with epoch `trainer.epoch`; its data are not prepared yet."""

    def batch_done(self, trainer: Trainer) -> None:
        """A step was taken, with `trainer.losses`."""

    def epoch_done(self, trainer: Trainer) -> None:
        """An epoch ended, with `trainer.record`. With averaged weights (`ema`), the model has the averages."""

    def stage_done(self, trainer: Trainer) -> None:
        """A stage ended; the model has the weights that are kept."""

    def training_done(self, trainer: Trainer) -> None:
        """The last stage ended."""


class Callbacks(Callback):
    """Several callbacks as one, called in order."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self.callbacks = callbacks

    def training_started(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.training_started(trainer)

    def stage_started(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.stage_started(trainer)

    def batch_done(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.batch_done(trainer)

    def epoch_done(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.epoch_done(trainer)

    def stage_done(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.stage_done(trainer)

    def training_done(self, trainer: Trainer) -> None:
        for callback in self.callbacks:
            callback.training_done(trainer)
