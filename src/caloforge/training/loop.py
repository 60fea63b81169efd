"""`fit`: one loop that trains anything with stages, and resumes as if it had never been interrupted.

Each epoch draws its order and its noise from seeds derived from (seed, stage, epoch), and the learning rate is a
closed function of the epoch, so that a checkpoint needs only weights, optimisers and history, within an epoch also how
far it has got: a run that was stopped and resumed ends with the same weights as one that was not.

Several processes go through the loop together (`caloforge.training.distributed`); the first one writes and judges.

A training may start from weights of another run (`caloforge.training.carried`): they are those that a stage begins
with, whatever its `fit` does, and have a learning rate of their own.

A stage keeps its last weights, or those of the epoch with the lowest value of a metric (`select`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from caloforge.models.base import ShowerModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.simulator import AnySimulator
from caloforge.training.acceleration import compiled
from caloforge.training.budget import MemoryEstimate
from caloforge.training.callbacks import Callback, Metric, Record
from caloforge.training.carried import CarriedOver
from caloforge.training.checkpoint import Checkpoint, read_checkpoint, restoring
from caloforge.training.distributed import processes
from caloforge.training.settings import TrainingSettings
from caloforge.training.stage_run import StageRun, TrainingTask
from caloforge.training.store import Store


def fit(
    model: ShowerModel,
    training: ShowerDataset | Pair,
    validation: ShowerDataset | Pair,
    settings: TrainingSettings,
    *,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    resume: bool = False,
    simulator: AnySimulator | None = None,
    store: Store | None = None,
    memory: MemoryEstimate | None = None,
    carried: CarriedOver | None = None,
) -> list[Record]:
    """Train `model` in place, stage by stage.

    >>> import torch
    >>> from caloforge.models.flow_matching import FlowMatching
    >>> from caloforge.training import TrainingSettings
    >>> x, c = torch.randn(64, 3), torch.rand(64, 1)
    >>> settings = TrainingSettings(epochs=1, batch_size=32, learning_rate=1e-3, device="cpu")
    >>> history = fit(FlowMatching(3, 1, width=8, blocks=1), (x, c), (x, c), settings)
    >>> history[0]["epoch"]
    1

    Args:
        model: what to train.
        training: features x (N, F) in transformed space and conditions c (N, C), as a data set or as two tensors.
        validation: the same, held out.
        settings: epochs, batches, learning rate …, per stage where they differ.
        metrics: by name, evaluated and logged after every epoch of every stage; what `settings.select` may refer to
            besides `last` and `validation_loss`. A metric that is costly, or belongs to one stage, returns None where
            it is not to be evaluated: `None if trainer.epoch % 10 else …`.
        callbacks: told of every stage, batch and epoch; they may log numbers and end the training.
        checkpoint: file to write checkpoints to, and to resume from.
        resume: continue from `checkpoint`.
        simulator: what the model is part of, for callbacks and metrics.
        store: where the data of stages are kept; by default in memory.
        memory: what the training is estimated to need, for callbacks.
        carried: which of the model's weights are another run's.

    Returns:
        The history: one record per epoch with stage, epoch, losses, learning rate, seconds, metrics and what callbacks
        logged.

    Raises:
        CaloforgeError: a stage or metric is unknown, the checkpoint does not fit, or the loss is no longer finite.
        ProcessLost: another process of the training ended.
        KeyboardInterrupt: passed on; after a signal during an epoch, the checkpoint is of the last step.
    """
    with processes() as team:
        watching = callbacks if team.first else ()
        task = TrainingTask(
            team, model, training, validation, settings, metrics or {}, watching, checkpoint, simulator, store
        )
        task.trainer.memory, task.trainer.carried = memory, carried or CarriedOver()
        return _run(task, resume)


def _run(task: TrainingTask, resume: bool) -> list[Record]:
    state = task.team.from_first(partial(_read_checkpoint, task)) if resume else None
    trainer, first_stage = task.trainer, 0
    task.model.to(task.device)
    if state is not None:
        with restoring(task.checkpoint):
            first_stage = state["stage"]
            trainer.stage = task.stages[first_stage]
            trainer.history = list(state["history"])
            task.model.load_state_dict(state["model"])
    task.callbacks.training_started(trainer)
    for number in range(first_stage, len(task.stages)):
        if not trainer._stopped:
            _run_stage(task, number, state if number == first_stage else None)
    task.model.eval()
    task.callbacks.training_done(trainer)
    return trainer.history


def _read_checkpoint(task: TrainingTask) -> Checkpoint | None:
    if task.checkpoint is None or not task.checkpoint.exists():
        return None
    return read_checkpoint(task.checkpoint, task.device if task.team.size == 1 else torch.device("cpu"))


def _run_stage(task: TrainingTask, number: int, state: Checkpoint | None) -> None:
    trainer, stage = task.trainer, task.stages[number]
    trainer.stage, trainer.settings = stage, task.settings.for_stage(stage.name)
    trainer.epoch = 0 if state is None else state["epoch"] + 1
    trainer.n_batches = math.ceil(len(task.training) / trainer.settings.batch_size)
    trainer._stage_stopped = False
    # Before the data are prepared: that may take minutes, and whoever watches shall know what is going on.
    task.callbacks.stage_started(trainer)
    with compiled(task.model, trainer.settings.compile):
        run = StageRun(task, number, state)
        run.run()
    run.forget_data()
    task.store.forget_stage()
    task.callbacks.stage_done(trainer)
