"""`train`: read the showers, fit transforms and model, save the simulator."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.evaluation.selection import MeanSeparationPower
from caloforge.files import printable
from caloforge.geometry import Geometry, load_geometry
from caloforge.registry import importable, wants_geometry
from caloforge.runs.folder import CHECKPOINT, Logging, check_folder, check_identity, run_folder
from caloforge.runs.job import Training
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.training import Metric, Observer, StageSettings, check_stages, choose_device, derived_seed, fit
from caloforge.transforms import build_transforms
from caloforge.units import count


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
    check_folder(job)
    geometry = load_geometry(recipe.geometry)
    training, validation = _training_and_validation(job, geometry)
    identity = {
        "recipe": recipe.name,
        "recipe_yaml": recipe.to_yaml(),
        "training_fingerprint": fingerprint(training),
    }
    if job.resume:
        check_identity(job, identity)

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
    with run_folder(job, identity) as folder:
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
            observer=Logging(folder / "log.jsonl", observer),
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
