"""From a recipe and a file of showers to a trained simulator in a run folder.

A run folder holds `recipe.yaml` (resolved, everything that decided the run), `identity.json` (what it was begun with),
`log.jsonl` (a line per epoch), `checkpoint.pt` (to resume from) and, once trained, the saved simulator. It is made only
when files, recipe, model and device have all been found good, and goes again if training fails before a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.evaluation.selection import MeanSeparationPower
from caloforge.files import printable, write_text
from caloforge.geometry import Geometry, load_geometry
from caloforge.recipes import Recipe
from caloforge.registry import IDENTITY, importable, wants_geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.training import (
    Metric,
    Observer,
    StageSettings,
    check_stages,
    choose_device,
    derived_seed,
    fit,
)
from caloforge.transforms import build_transforms
from caloforge.units import count

CHECKPOINT = "checkpoint.pt"


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
    choose_device(settings.device)
    _check_folder(job)
    geometry = load_geometry(recipe.geometry)
    training, validation = _training_and_validation(job, geometry)
    identity = {
        "recipe": recipe.name,
        "recipe_yaml": recipe.to_yaml(),
        "training_fingerprint": fingerprint(training),
    }
    if job.resume:
        _check_identity(job, identity)

    transforms = build_transforms(recipe.transforms, geometry, recipe.trusted)
    try:
        x, c = transforms.fit(*_tensors(training))(*_tensors(training))
    except CaloforgeError as error:
        raise CaloforgeError(f"{job.train}: {error}") from None
    x_valid, c_valid = transforms(*_tensors(validation))
    _check_finite(x, job.train)
    _check_finite(x_valid, job.valid or job.train)
    model_class = recipe.model_class(job.recipe_folder)
    chosen = {k: v for k, v in recipe.model.items() if k != "kind"}
    chosen = model_class.settings_from_data(chosen, x, c)
    context = {"geometry": geometry} if wants_geometry(model_class) else {}
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(settings.seed, "weights"))
        model = model_class(x.shape[1], c.shape[1], **chosen, **context)

    simulator = Simulator(geometry, transforms, model, identity)
    metrics = {"separation_power": _separation_power(simulator, validation, settings.seed)}
    check_stages(model.stages(), settings, metrics)
    with _run_folder(job, identity) as folder:
        log = fit(
            model,
            x,
            c,
            x_valid,
            c_valid,
            settings,
            metrics=metrics,
            checkpoint=folder / CHECKPOINT,
            resume=job.resume,
            observer=_Logging(folder / "log.jsonl", observer),
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
        raise CaloforgeError(
            f"{job.train}: {count(len(training), 'shower')}, too few to split off {fraction:g} of them for validation"
        )
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


def _check_finite(x: torch.Tensor, path: Path) -> None:
    finite = x.isfinite()
    if not finite.all():
        row, feature = (int(k) for k in (~finite).nonzero()[0])
        raise CaloforgeError(
            f"{path}: the recipe's transforms make {x[row, feature].item()} of feature {feature} of a shower; check "
            "their order and settings"
        )


def _check_folder(job: Training) -> None:
    """Refuse a folder that the run cannot go into; changes nothing."""
    if job.out.exists() and not job.out.is_dir():
        raise CaloforgeError(f"{job.out} is a file; -o takes a folder for the run: give another")
    if job.resume:
        if not (job.out / IDENTITY).exists():
            raise CaloforgeError(f"{job.out} holds no run to resume; start it without --resume")
    elif job.out.exists() and any(job.out.iterdir()):
        if not job.overwrite:
            raise CaloforgeError(f"{job.out} exists; add --resume to go on with it, or --overwrite to replace it")
        if not (job.out / IDENTITY).exists():
            raise CaloforgeError(f"{job.out} is not a run of caloforge, and is left alone; choose another folder")
        for path in (job.train, job.valid):
            if path is not None and path.resolve().is_relative_to(job.out.resolve()):
                raise CaloforgeError(f"{path} lies in {job.out}, which --overwrite replaces; choose another folder")


def _check_identity(job: Training, identity: dict[str, str]) -> None:
    """Check that the run to go on with is this very one."""
    try:
        stored = json.loads((job.out / IDENTITY).read_text(encoding="utf-8"))
        different = [key for key in identity if stored.get(key) != identity[key]]
    except (OSError, ValueError, AttributeError):
        raise CaloforgeError(f"{job.out / IDENTITY} is damaged; start the run anew with --overwrite") from None
    if different:
        what = "training file" if different == ["training_fingerprint"] else "recipe"
        raise CaloforgeError(f"{job.out} was begun with another {what}; give the same, or another folder")


@contextmanager
def _run_folder(job: Training, identity: dict[str, str]) -> Iterator[Path]:
    """The run's folder while it is trained in.

    Ctrl-C leaves what there is, to go on with. A failure leaves the folder only where there is a checkpoint in it.
    """
    existed = job.out.exists()
    if not job.resume:
        if existed and job.overwrite:
            shutil.rmtree(job.out)
        # Where the user's own classes lie, for `generate --trust`; not part of what the run is.
        own = {"recipe_folder": os.fspath(job.recipe_folder.resolve())} if job.recipe.trusted else {}
        write_text(job.out / "recipe.yaml", identity["recipe_yaml"])
        write_text(job.out / IDENTITY, json.dumps(identity | own))
    try:
        yield job.out
    except Exception as error:
        if (job.out / CHECKPOINT).exists():
            if isinstance(error, CaloforgeError):
                raise CaloforgeError(f"{error}; {job.out} keeps the run so far: start anew with --overwrite") from None
        else:
            for name in ("recipe.yaml", IDENTITY, "log.jsonl"):
                (job.out / name).unlink(missing_ok=True)
            shutil.rmtree(job.out / "tensorboard", ignore_errors=True)
            if not existed and not any(job.out.iterdir()):
                job.out.rmdir()
        raise


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
        "training_file": printable(job.train.name),
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
