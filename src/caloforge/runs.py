"""From a recipe and a file of showers to a trained simulator in a run folder.

A run folder holds `recipe.yaml` (resolved, everything that decided the run), `log.jsonl` (a line per epoch),
`checkpoint.pt` (to resume from) and, once trained, the saved simulator.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.evaluation.selection import MeanSeparationPower
from caloforge.files import write_text
from caloforge.geometry import Geometry, load_geometry
from caloforge.recipes import Recipe
from caloforge.registry import importable, wants_geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.training import Metric, Observer, StageSettings, derived_seed, fit
from caloforge.transforms import build_transforms


@dataclass(frozen=True)
class Training:
    """What `train` is asked to do.

    Args:
        recipe: a checked recipe. recipe_folder: where it lay; classes of the user's own are looked for there too.
        train: file of training showers. valid: file of validation showers; None splits off a part of `train`.
        out: the run's folder.
        exclude_energies: incident energies (MeV) to leave out of the training, to test interpolation.
        resume: go on with an interrupted run. overwrite: replace an earlier run.
    """

    recipe: Recipe
    recipe_folder: Path
    train: Path
    out: Path
    valid: Path | None = None
    exclude_energies: Sequence[float] = ()
    resume: bool = False
    overwrite: bool = False


def train(job: Training, observer: Observer | None = None) -> Simulator:
    """Train a recipe and save the simulator in `job.out`.

    Raises:
        CaloforgeError: a file or setting is wrong, the folder holds another run, or there is nothing to resume.
        KeyboardInterrupt: passed on; the run can be resumed.
    """
    with importable(Path.cwd(), job.recipe_folder):
        return _train(job, observer or Observer())


def _train(job: Training, observer: Observer) -> Simulator:
    recipe, settings = job.recipe, job.recipe.training
    geometry = load_geometry(recipe.geometry)
    training, validation = _training_and_validation(job, geometry)
    identity = {
        "recipe": recipe.name,
        "recipe_yaml": recipe.to_yaml(),
        "training_fingerprint": fingerprint(training),
    }
    _open_folder(job, identity)

    transforms = build_transforms(recipe.transforms, geometry, recipe.trusted)
    x, c = transforms.fit(*_tensors(training))(*_tensors(training))
    x_valid, c_valid = transforms(*_tensors(validation))
    model_class = recipe.model_class(job.recipe_folder)
    chosen = {k: v for k, v in recipe.model.items() if k != "kind"}
    chosen = model_class.settings_from_data(chosen, x, c)
    context = {"geometry": geometry} if wants_geometry(model_class) else {}
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(settings.seed, "weights"))
        model = model_class(x.shape[1], c.shape[1], **chosen, **context)

    simulator = Simulator(geometry, transforms, model, identity)
    log = fit(
        model,
        x,
        c,
        x_valid,
        c_valid,
        settings,
        metrics={"separation_power": _separation_power(simulator, validation, settings.seed)},
        checkpoint=job.out / "checkpoint.pt",
        resume=job.resume,
        observer=_Logging(job.out / "log.jsonl", observer),
    )
    simulator.to("cpu")
    simulator.provenance = identity | _provenance(job, training, log)
    simulator.save(job.out)
    return simulator


def _training_and_validation(job: Training, geometry: Geometry) -> tuple[Showers, Showers]:
    """Read the files and split, so that both parts have every incident energy in the same shares."""
    training = _read(job.train, geometry, job.exclude_energies)
    if job.valid is not None:
        return training, _read(job.valid, geometry, job.exclude_energies)
    fraction = job.recipe.training.validation_fraction
    n_valid = round(fraction * len(training))
    if not 1 <= n_valid < len(training):
        raise CaloforgeError(f"{job.train}: {len(training)} showers are too few to split off {fraction:g} of them")
    rng = np.random.default_rng(derived_seed(job.recipe.training.seed, "split"))
    order = rng.permutation(len(training))
    return training[np.sort(order[n_valid:])], training[np.sort(order[:n_valid])]


def _read(path: Path, geometry: Geometry, exclude: Sequence[float]) -> Showers:
    with ShowerFile(path, geometry) as file:
        if file.geometry != geometry:
            raise CaloforgeError(
                f"{path} has geometry '{file.geometry.name}', but the recipe is for '{geometry.name}'; choose "
                f"another recipe or --set geometry={file.geometry.name}"
            )
        showers = file.read()
    if len(exclude) == 0:
        return showers
    left_out = np.isclose(showers.energies[:, None], np.asarray(exclude)[None, :], rtol=1e-3).any(axis=1)
    missing = [e for e in exclude if not np.isclose(showers.energies, e, rtol=1e-3).any()]
    if missing:
        raise CaloforgeError(f"{path} has no showers of {missing[0]:g} MeV to exclude")
    if left_out.all():
        raise CaloforgeError(f"{path}: --exclude-energies leaves no showers to train on")
    return showers[~left_out]


def _tensors(showers: Showers) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies.astype(np.float32))[:, None]


def _open_folder(job: Training, identity: dict[str, str]) -> None:
    """Make the run's folder, or check that an interrupted run in it is this very one."""
    recipe_file, identity_file = job.out / "recipe.yaml", job.out / "identity.json"
    if job.resume:
        if not identity_file.exists():
            raise CaloforgeError(f"{job.out} holds no run to resume; start it without --resume")
        stored = json.loads(identity_file.read_text(encoding="utf-8"))
        if stored != identity:
            what = "training file" if stored.get("recipe_yaml") == identity["recipe_yaml"] else "recipe"
            raise CaloforgeError(f"{job.out} was begun with another {what}; give the same, or another folder")
        return
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())):
        if not job.overwrite:
            raise CaloforgeError(f"{job.out} exists; add --resume to go on with it, or --overwrite to replace it")
        if not recipe_file.exists():
            raise CaloforgeError(f"{job.out} is not a run of caloforge, and is left alone; choose another folder")
        shutil.rmtree(job.out)
    write_text(recipe_file, identity["recipe_yaml"])
    write_text(identity_file, json.dumps(identity))


def fingerprint(showers: Showers) -> str:
    """A short hash that tells one training set from another: all energies and every voxel sum."""
    digest = hashlib.sha256(showers.energies.tobytes())
    digest.update(showers.deposited.tobytes())
    return digest.hexdigest()[:16]


def _separation_power(simulator: Simulator, reference: Showers, seed: int) -> Metric:
    """Mean separation power over CaloMan's Table 1 features, of freshly generated showers against `reference`."""
    distance = MeanSeparationPower(reference)

    def metric(epoch: int, settings: StageSettings) -> float:
        energies = np.resize(reference.energies, settings.select_showers)
        return distance(simulator.generate(energies, derived_seed(seed, "select", epoch)))

    return metric


class _Logging(Observer):
    """Keep `log.jsonl` equal to the training's history, and pass everything on."""

    def __init__(self, path: Path, observer: Observer) -> None:
        self.path, self.observer = path, observer

    def resumed(self, history: list[dict[str, Any]]) -> None:
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in history))
        self.observer.resumed(history)

    def stage_started(self, stage: str, settings: StageSettings, first_epoch: int, n_batches: int) -> None:
        self.observer.stage_started(stage, settings, first_epoch, n_batches)

    def batch_done(self, loss: float) -> None:
        self.observer.batch_done(loss)

    def epoch_done(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        self.observer.epoch_done(record)


def _provenance(job: Training, training: Showers, log: list[dict[str, Any]]) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    for record in log:
        seconds[record["stage"]] = round(seconds.get(record["stage"], 0.0) + record["seconds"], 1)
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        "caloforge_version": __version__,
        "training_file": os.fspath(job.train.name),
        "training_showers": len(training),
        "training_seed": job.recipe.training.seed,
        "energy_range_mev": [float(training.energies.min()), float(training.energies.max())],
        "excluded_energies_mev": [float(e) for e in job.exclude_energies],
        "training_source": str(training.attributes.get("source", "unknown")),
        "particle": str(training.attributes.get("particle", "unknown")),
        "detector": str(training.attributes.get("detector", "unknown")),
        "training_seconds": seconds,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6),
        "n_epochs": len(log),
    }
