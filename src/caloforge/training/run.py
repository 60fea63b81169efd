"""`train`: from a recipe and showers to a trained simulator.

    run = train("flagship-demo", showers)                                         # a shipped recipe, in memory
    run = train("my.yaml", "train.h5", "run", training={"epochs": 5})             # a file, and settings that differ
    run = train("my.yaml", ["dataset_3_1.hdf5", "dataset_3_2.hdf5"], "run")       # a sample in parts, or "dataset_3_*"
    run = train(MyModel, showers, transforms=[LinearCondition()], training={...}) # a class, without a recipe

It reads and splits the showers, fits the transforms, builds the model, trains its stages (`caloforge.training.loop`),
and saves the simulator where a folder is given. What does not fit in memory is kept in scratch files
(`caloforge.training.store`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from numbers import Real
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from caloforge.configured import wants_geometry
from caloforge.errors import CaloforgeError, option
from caloforge.evaluation.selection import SELECTIONS, selection_of
from caloforge.geometry import AnyGeometry, PointGeometry
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import STATISTIC_VALUES, ShowerDataset
from caloforge.points import PointClouds
from caloforge.registry import IDENTITY, importable, trusting
from caloforge.representation import AnyShowers
from caloforge.showers import Showers, matching_files
from caloforge.simulator import AnySimulator, PointSimulator, Simulator, simulator_of
from caloforge.training.budget import estimate, memory_limit
from caloforge.training.callbacks import Callback, Metric, Trainer
from caloforge.training.carried import INITIAL, CarriedOver, InitialRun, check_rates
from caloforge.training.distributed import Processes, ProcessLost, processes, restarted
from caloforge.training.folder import LogFile, RunFolder
from caloforge.training.loop import fit
from caloforge.training.machine import derived_seed, seeded
from caloforge.training.open_geometry import completed
from caloforge.training.preprocessing import changes_nothing, fitted
from caloforge.training.provenance import provenance_of_training
from caloforge.training.recipe import FROM_FILE, Recipe, load_recipe
from caloforge.training.settings import check_stages
from caloforge.training.store import Store, scratch_folder
from caloforge.training.training_set import (
    Source,
    TrainingShowers,
    check_finite,
    file_names,
    name_of,
    training_and_validation,
)
from caloforge.transforms import Compose, Transform, build_transforms, specification_of

FileName = str | os.PathLike[str]

ShowerInput = AnyShowers | FileName | Sequence[FileName]
"""Showers in memory as voxels or points, a file of them, or several files or glob patterns that are one sample."""

AnyRecipe = str | os.PathLike[str] | Mapping[str, Any] | Recipe | type[ShowerModel]
"""Name or file of a recipe, the recipe itself, or a class of models."""


@overload
def train(recipe: AnyRecipe, showers: Showers, *more: Any, **options: Any) -> Simulator: ...
@overload
def train(recipe: AnyRecipe, showers: PointClouds, *more: Any, **options: Any) -> PointSimulator: ...
@overload
def train(recipe: AnyRecipe, showers: FileName | Sequence[FileName], *more: Any, **options: Any) -> AnySimulator: ...
def train(
    recipe: AnyRecipe,
    showers: ShowerInput,
    out: str | os.PathLike[str] | None = None,
    *,
    validation: ShowerInput | None = None,
    transforms: Sequence[Transform | Mapping[str, Any]] | None = None,
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    exclude_energies: Sequence[float] = (),
    callbacks: Sequence[Callback] = (),
    initial: str | os.PathLike[str] | AnySimulator | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: str = "",
) -> AnySimulator:
    """Train a generator.

    >>> from caloforge import sample
    >>> run = train("caloman-demo", sample("train", stop=100), training={"epochs": 1})
    >>> run.geometry.name
    'ds1-photons'

    Args:
        recipe: name of a shipped recipe, path of a recipe file, a recipe as a mapping, or a `ShowerModel` class.
        showers: what to train on: showers, an HDF5 file, or several files (or glob patterns) that are parts of one
            sample.
        out: folder of the run, created: recipe, log, checkpoint and the trained simulator. None: nothing is written.
        validation: showers or files likewise; by default a share of `showers` is set aside
            (`training.validation_fraction`).
        transforms: in place of the recipe's; with a class, the preprocessing (none by default).
        model: settings of the model that differ from the recipe's; with a class, those without a default.
        training: settings of the training that differ from the recipe's; with a class, at least epochs, batch_size and
            learning_rate.
        exclude_energies: incident energies (MeV) to leave out of the training, to test interpolation.
        callbacks: called after every batch, epoch and stage, in this order (`caloforge.training.Callback`).
        initial: a trained run, or the folder of one, whose weights to start from where they fit; its model must be of
            the same kind. Transforms and tables are those of `showers` all the same.
        resume: continue an interrupted run in `out`; it ends with the weights of an uninterrupted one.
        overwrite: replace an earlier run in `out`.
        command: how the training was called, for the run's provenance.

    Returns:
        The trained simulator, on the CPU: `generate`, `stream`, `save`; a `PointSimulator` for point clouds.

    Raises:
        CaloforgeError: a file or setting is wrong, the folder holds another run, there is nothing to resume, or no
            weight of `initial` fits.
        KeyboardInterrupt: passed on; with `out`, the run can be resumed.
    """
    source = _source(showers)
    if not isinstance(exclude_energies, Sequence | np.ndarray) or any(
        not isinstance(e, Real) for e in exclude_energies
    ):
        raise CaloforgeError(
            f"exclude_energies takes a list of energies in MeV, as in [512.0], not {exclude_energies!r}"
        )
    if not isinstance(callbacks, Sequence) or any(not isinstance(each, Callback) for each in callbacks):
        raise CaloforgeError(f"callbacks takes a list of Callback objects, not {callbacks!r}")
    if resume and overwrite:
        raise CaloforgeError("resume and overwrite exclude each other")
    if resume and out is None:
        raise CaloforgeError("there is nothing to resume without a folder: give out")
    if isinstance(recipe, type):
        checked = _recipe_of_class(recipe, source, transforms or (), model or {}, training or {})
    elif isinstance(recipe, Recipe):
        if transforms is not None or model is not None or training is not None:
            raise CaloforgeError("a checked recipe is complete: give transforms, model and training to load_recipe")
        checked = recipe
    else:
        changes: dict[str, Any] = {"model": model or {}, "training": training or {}}
        if transforms is not None:
            changes["transforms"] = _specification(transforms)
        checked = load_recipe(recipe, changes={key: value for key, value in changes.items() if value})
    held_out = None if validation is None else _source(validation)
    checked = _with_geometry(checked, source, held_out)
    files = [file for entry in (source, held_out) if isinstance(entry, list) for file in entry]
    start = None if initial is None else InitialRun.of(initial)
    if isinstance(initial, str | os.PathLike):
        files.append(Path(initial))
    with processes() as team, importable(Path.cwd(), checked.folder), trusting(*checked.trusted):
        folder = None
        if out is not None:
            path = Path(out)
            if team.total([float(restarted())])[0] > 0 and (path / IDENTITY).exists():
                resume, overwrite = True, False
            folder = team.from_first(lambda: RunFolder(path, resume=resume, overwrite=overwrite, inputs=files))
        return _train(team, checked, source, held_out, folder, exclude_energies, callbacks, start, command)


def _source(showers: ShowerInput) -> Source:
    if isinstance(showers, AnyShowers):
        return showers
    if not isinstance(showers, str | os.PathLike | Sequence):
        raise CaloforgeError(
            f"showers must be `Showers`, `PointClouds`, a file or a list of files, not of type {type(showers).__name__}"
        )
    return matching_files([showers] if isinstance(showers, str | os.PathLike) else showers)


def in_detail(recipe: Recipe, showers: ShowerInput, validation: ShowerInput | None = None) -> tuple[Source, Recipe]:
    """The training files one by one (or the showers), and the recipe with the geometry that a run of it has.

    Raises:
        CaloforgeError: there are no such files, or they do not name their geometry while the recipe needs it.
    """
    source = _source(showers)
    return source, _with_geometry(recipe, source, None if validation is None else _source(validation))


def _with_geometry(recipe: Recipe, source: Source, validation: Source | None = None) -> Recipe:
    if not recipe.is_open:
        return recipe
    geometry = completed(recipe.geometry, source, validation)
    if PointGeometry.is_in(geometry) and not recipe.model_class().takes_clouds:
        raise CaloforgeError(
            f"{name_of(source)} holds points, but the recipe {recipe.name} is for voxels: choose another recipe, or "
            "convert it"
        )
    return recipe.with_geometry(geometry)


def _specification(transforms: Sequence[Transform | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Transforms as the entries of a recipe."""
    entries: list[dict[str, Any]] = []
    for entry in transforms:
        entries += specification_of(Compose([entry])) if isinstance(entry, Transform) else [dict(entry)]
    return entries


def _recipe_of_class(
    model_class: type[ShowerModel],
    source: Source,
    transforms: Sequence[Transform | Mapping[str, Any]],
    model: Mapping[str, Any],
    training: Mapping[str, Any],
) -> Recipe:
    plain = {
        "name": model_class.__name__,
        "geometry": completed(FROM_FILE, source, None),
        "transforms": _specification(transforms),
        "model": {"kind": MODELS.name_of(model_class), **model},
        "training": dict(training),
    }
    return load_recipe(plain)


def _train(
    team: Processes,
    recipe: Recipe,
    source: Source,
    validation_source: Source | None,
    folder: RunFolder | None,
    exclude_energies: Sequence[float],
    callbacks: Sequence[Callback],
    initial: InitialRun | None,
    command: str,
) -> AnySimulator:
    limit = memory_limit(recipe.training.memory_gb, team.device(recipe.training.device)) / team.on_machine
    store = Store(team.least(limit), None if folder is None else scratch_folder(folder.path), team)
    if folder is None or not folder.resume:
        store.remove()  # what a killed process left
    resumable = False
    try:
        return _train_with(
            store, recipe, source, validation_source, folder, exclude_energies, callbacks, initial, command
        )
    except KeyboardInterrupt:
        resumable = folder is not None and (folder.path / IDENTITY).exists()
        raise
    except ProcessLost as error:
        resumable = folder is not None and folder.checkpoint.exists()
        remedy = (
            f"repeat the call with {option('resume', True)}"
            if resumable
            else "there is no checkpoint yet, so start it again"
        )
        raise ProcessLost(f"{error}: {remedy}") from None
    finally:
        if not resumable:
            store.remove()


def _train_with(
    store: Store,
    recipe: Recipe,
    source: Source,
    validation_source: Source | None,
    folder: RunFolder | None,
    exclude_energies: Sequence[float],
    callbacks: Sequence[Callback],
    initial: InitialRun | None,
    command: str,
) -> AnySimulator:
    settings, team = recipe.training, store.team
    geometry = recipe.load_geometry()
    training, validation = training_and_validation(
        source,
        validation_source,
        geometry,
        exclude=exclude_energies,
        fraction=settings.validation_fraction,
        seed=settings.seed,
        conditions=recipe.conditions,
        store=store,
        resume=folder is not None and folder.resume,
    )
    identity = {
        "recipe": recipe.name,
        "recipe_yaml": recipe.to_yaml(),
        "training_fingerprint": training.fingerprint(),
    }
    if initial is not None:
        identity[INITIAL] = initial.facts[INITIAL]
    if folder is not None:
        folder.check_identity(identity)
    transforms = build_transforms(recipe.transforms, geometry, recipe.trusted)
    with seeded(derived_seed(settings.seed, "constants")):
        training_data, validation_data = _features(transforms, training, validation, store)
        model = _model(recipe, geometry, training_data, team)
    carried = CarriedOver() if initial is None else initial.carry_over(model)
    energy_range = (float(training.energies.min()), float(training.energies.max()))
    simulator = simulator_of(geometry, transforms, model, identity, energy_range, training.trained)
    stages, by = model.stages(), selection_of(geometry)
    check_stages(model, settings, [by])
    chosen = [settings.for_stage(stage.name) for stage in stages]
    check_rates(stages, chosen, carried)
    metrics: dict[str, Metric] = {}
    if any(each.select == by for each in chosen):
        metrics[by] = _selection(by, simulator, validation, settings.seed)
    if training_data.rows is not training.rows:
        training, validation = (each.given_up(store) for each in (training, validation))
    memory = estimate(model, list(zip(stages, chosen, strict=True)), training_data, validation_data, store)
    memory.check()
    own = recipe.folder if recipe.trusted else None
    with folder.open(identity, own) if folder is not None and team.first else nullcontext():
        history = fit(
            model,
            training_data,
            validation_data,
            settings,
            metrics=metrics,
            callbacks=callbacks if folder is None else [*callbacks, LogFile(folder.path / "log.jsonl")],
            checkpoint=None if folder is None else folder.checkpoint,
            resume=folder is not None and folder.resume,
            simulator=simulator,
            store=store,
            memory=memory,
            carried=carried,
        )
        simulator.to("cpu")
        facts = provenance_of_training(recipe, file_names(source), training, exclude_energies, history, command)
        simulator.provenance = identity | facts | dict(carried.facts)
        if folder is not None:
            path = folder.path
            team.from_first(lambda: simulator.save(path))
    return simulator


def _features(
    transforms: Compose, training: TrainingShowers, validation: TrainingShowers, store: Store
) -> tuple[ShowerDataset, ShowerDataset]:
    """Features and conditions of both sets, kept where the transforms change anything."""
    try:
        data = fitted(transforms, training.dataset(), store.team)
    except CaloforgeError as error:
        raise CaloforgeError(f"{training.name}: {error}") from None
    if changes_nothing(transforms, training.dataset()):
        return training.dataset(), validation.dataset()
    held_out = ShowerDataset(validation.rows, maps=data.maps, selection=validation.dataset().selection)
    return (
        store.kept(data, "the features", check=lambda x: check_finite(x, training.name)),
        store.kept(held_out, "the features", check=lambda x: check_finite(x, validation.name)),
    )


def _model(recipe: Recipe, geometry: AnyGeometry, data: ShowerDataset, team: Processes) -> ShowerModel:
    """The recipe's model, with the settings that the data decide and weights of the recipe's seed."""
    model_class = recipe.model_class()
    own = {k: v for k, v in recipe.model.items() if k != "kind"}
    chosen = team.from_first(lambda: model_class.settings_from_data(own, data, geometry))
    x, c = data.take(slice(0, 1))
    context = {"geometry": geometry} if wants_geometry(model_class) else {}
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(recipe.training.seed, "weights"))
        return model_class(x.shape[1], c.shape[1], **chosen, **context)


def _selection(name: str, simulator: AnySimulator, reference: TrainingShowers, seed: int) -> Metric:
    """The distance by which epochs are selected, of freshly generated showers from `reference`.

    Evaluated in stages that select by it: it takes `select_showers` generated showers.
    """
    distance = SELECTIONS[name](reference.pieces(), reference.geometry)
    energies, columns = reference.energies, reference.conditions
    batch = min(10_000, max(1, STATISTIC_VALUES // reference.geometry.row_length))

    def metric(trainer: Trainer) -> float | None:
        if trainer.settings.select != name:
            return None
        rows = np.arange(trainer.settings.select_showers) % len(energies)
        seed_of_epoch = derived_seed(seed, "select", trainer.epoch)
        return distance(simulator.stream(energies[rows], seed_of_epoch, batch, conditions=columns.take(rows)))

    return metric
