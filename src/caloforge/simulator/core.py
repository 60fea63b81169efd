"""`Simulator`: a trained generator with all it needs to make showers in MeV; what is saved and loaded.

A saved simulator is a folder with `simulator.json` (geometry, transforms, model, provenance) and
`weights.safetensors` (every weight and fitted constant). Both hold data only: loading never runs code that came with
them, and a class from outside the package is imported only if the caller names it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpack
from safetensors.torch import save as pack

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path, write_json
from caloforge.geometry import Geometry
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel, n_parameters
from caloforge.registry import UnknownSetting, checked_settings, importable_for, wants_geometry
from caloforge.showers import Showers
from caloforge.simulator.engines import Batch, Engine, TorchEngine
from caloforge.transforms import Compose, build_transforms, specification_of

FORMAT = 1
"""Version of the saved layout."""

DESCRIPTION, WEIGHTS = "simulator.json", "weights.safetensors"

LARGEST = 2**63
"""Whole numbers from here on do not go into a file's attributes."""

MOST_MEV = 1e15
"""More than any particle ever seen; single precision would do up to 10³⁸."""

CHANGED = "model_settings_changed"
"""Provenance: the model's settings that differ from those it was trained with, as JSON; absent where none do."""


@dataclass
class Simulator:
    """Transforms, model and geometry, and where they came from.

    Args:
        geometry: the voxels.
        transforms: fitted preprocessing.
        model: the generator in transformed space.
        provenance: plain data: recipe, seeds, training file, energy range …, stored and passed on to outputs.
    """

    geometry: Geometry
    transforms: Compose
    model: ShowerModel
    provenance: dict[str, Any] = field(default_factory=dict)

    def to(self, where: torch.device | torch.dtype | str) -> Simulator:
        """Move the weights to a device, or to a precision."""
        self.transforms.to(where)
        self.model.to(where)
        return self

    @property
    def n_parameters(self) -> int:
        """Trainable numbers of the model."""
        return n_parameters([self.model])

    @torch.no_grad()
    def voxels(self, energies: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """(B, V) voxel energies in MeV for incident energies (B,) in MeV, on the energies' device."""
        c = self.transforms.condition(energies[:, None])
        voxels, _ = self.transforms.inverse(self.model.sample(c, generator), c)
        return voxels

    def stream(
        self, energies: np.ndarray, seed: int, batch_size: int = 10_000, engine: Engine | None = None
    ) -> Iterator[Showers]:
        """Showers for `energies`, batch by batch.

        Each batch has its own random stream, seeded by (seed, number of the batch): the same seed, batch size, engine
        and machine give the same showers.

        Args:
            energies: (N,) incident energies in MeV, finite and above 0.
            seed: not negative.
            batch_size: showers per pass through the model, at least 1.
            engine: what runs the model; by default PyTorch as the weights stand now.

        Raises:
            CaloforgeError: an argument is out of its range.
        """
        engine = TorchEngine(self) if engine is None else engine
        for batch in batches(energies, seed, batch_size):
            yield Showers(batch.energies, engine.make(batch).voxels, self.geometry, self.provenance)

    def generate(
        self, energies: np.ndarray, seed: int, batch_size: int = 10_000, engine: Engine | None = None
    ) -> Showers:
        """(N,) incident energies in MeV → N showers in memory (see `stream`)."""
        parts = list(self.stream(energies, seed, batch_size, engine))
        voxels = np.concatenate([part.voxels for part in parts])
        return Showers(np.asarray(energies, dtype=np.float64), voxels, self.geometry)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the simulator into `folder`, which is created if needed."""
        folder = Path(folder)
        weights = {f"model.{k}": v.contiguous() for k, v in self.model.state_dict().items()}
        weights |= {f"transforms.{k}": v.contiguous() for k, v in self.transforms.state_dict().items()}
        packed = pack(weights)
        with atomic_path(folder / WEIGHTS) as partial:
            partial.write_bytes(packed)
        hyperparameters = {k: v for k, v in self.model.hyperparameters.items() if k != "geometry"}
        description = {
            "format": FORMAT,
            "geometry": self.geometry.to_dict(),
            "transforms": specification_of(self.transforms),
            "model": {"kind": MODELS.name_of(type(self.model)), **hyperparameters},
            "n_parameters": self.n_parameters,
            "weights_sha256": hashlib.sha256(packed).hexdigest(),
            "provenance": self.provenance,
        }
        write_json(folder / DESCRIPTION, description)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        trusted: Collection[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> Simulator:
        """Read a saved simulator.

        Args:
            folder: a run's folder.
            trusted: dotted paths of classes from outside the package that may be imported.
            settings: settings of the model that shall differ from those it was trained with, as a sampler or its
                steps may (`ShowerModel.sampling_settings`).

        Raises:
            CaloforgeError: the folder holds no simulator, a damaged one, or one that needs a class not trusted; a
                setting is unknown, settled by the training, or plays no part in sampling.
        """
        folder = Path(folder)
        description = _read_description(folder)
        try:
            geometry = Geometry.from_dict(description["geometry"])
            stored = dict(description["model"])
            kind, sizes = stored.pop("kind"), {k: stored.pop(k) for k in ("features", "conditions")}
            with importable_for(folder, trusted):
                transforms = build_transforms(description["transforms"], geometry, trusted)
                model_class = MODELS.resolve(kind, trusted)
            context = {"geometry": geometry} if wants_geometry(model_class) else {}

            def make(wanted: Mapping[str, Any]) -> ShowerModel:
                return model_class(**sizes, **checked_settings(model_class, wanted, "model"), **context)

            model = make(stored)
            if settings:
                model = _sampling_with(model, make, stored, settings)
            packed = _read_weights(folder)
            if hashlib.sha256(packed).hexdigest() != description["weights_sha256"]:
                raise CaloforgeError(f"{WEIGHTS} is not the file that was saved with it; train or copy it again")
            weights = unpack(packed)
            _load_part(model, weights, "model.")
            _load_part(transforms, weights, "transforms.")
        except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise CaloforgeError(f"{folder} holds a damaged simulator ({reason}); train or copy it again") from None
        except CaloforgeError as error:
            where = folder if settings else folder / DESCRIPTION
            raise CaloforgeError(f"{where}: {error}") from None
        model.eval()
        provenance = {**description["provenance"], "weights_sha256": description["weights_sha256"]}
        if settings:
            provenance[CHANGED] = json.dumps(dict(settings))
        return cls(geometry, transforms, model, provenance)


def batches(energies: np.ndarray, seed: int, batch_size: int, shard: int | None = None) -> Iterator[Batch]:
    """Cut `energies` into batches with seeds of their own (see `Simulator.stream`).

    Args:
        energies: (N,) incident energies in MeV.
        seed: not negative.
        batch_size: at least 1.
        shard: number of the shard, whose batches then have the seeds of (seed, shard, number of the batch).

    Raises:
        CaloforgeError: an argument is out of its range.
    """
    energies = checked_energies(energies)
    for what, value, least in (("the batch size", batch_size, 1), ("the seed", seed, 0)):
        if value < least:
            raise CaloforgeError(f"{what} must be at least {least}, not {value}")
        if value >= LARGEST:  # files could not hold it
            raise CaloforgeError(f"{what} must be less than 2^63, not {value}")
    return _batches(energies, seed, batch_size, (1,) if shard is None else (2, shard, 1))


def _batches(energies: np.ndarray, seed: int, batch_size: int, place: tuple[int, ...]) -> Iterator[Batch]:
    for number, start in enumerate(range(0, len(energies), batch_size)):
        state = np.random.SeedSequence(seed, spawn_key=(*place, number)).generate_state(1, np.uint64)[0]
        yield Batch(number, energies[start : start + batch_size], int(state >> 1))


def checked_energies(energies: np.ndarray) -> np.ndarray:
    """(N,) incident energies in MeV as float64.

    Raises:
        CaloforgeError: there is none, they are not in one row, or one is not finite or not above 0; says which.
    """
    values = np.asarray(energies, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise CaloforgeError(f"incident energies must be one row of at least one number (MeV), not {values.shape}")
    bad = ~((values > 0) & (values <= MOST_MEV))
    if bad.any():
        first = int(np.argmax(bad))
        limits = f"it must be finite and above 0, and at most {MOST_MEV:g} MeV"
        raise CaloforgeError(f"incident energy {first} is {values[first]:g} MeV; {limits}")
    return values


def _sampling_with(
    model: ShowerModel,
    make: Callable[[Mapping[str, Any]], ShowerModel],
    stored: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> ShowerModel:
    """`model` made again with other settings of its sampling."""
    try:
        changed = make(_changed(stored, settings))
    except UnknownSetting as error:
        raise CaloforgeError(f"{error}; {_may_change(model)}") from None
    for name in _dotted(settings):
        if name not in changed.sampling_settings():
            why = "is settled by the training, or plays no part in sampling"
            raise CaloforgeError(f"model.{name} {why}; {_may_change(changed)}")
    return changed


def _may_change(model: ShowerModel) -> str:
    names = sorted(model.sampling_settings())
    return f"a run of this model may sample with another {', '.join(names)}" if names else "it samples in one way only"


def _dotted(settings: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _changed(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`stored` with `settings` in place of what they name, level by level."""
    new = dict(stored)
    for key, value in settings.items():
        inner = new.get(key)
        new[key] = _changed(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return new


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not folder.is_dir():
        raise CaloforgeError(f"no such run: {folder}")
    if not path.exists():
        hint = "its training is not finished, go on with: caloforge train … --resume"
        if not (folder / "checkpoint.pt").exists():
            hint = "give the folder that `caloforge train -o` wrote"
        raise CaloforgeError(f"{folder} holds no trained simulator ({DESCRIPTION} is missing): {hint}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaloforgeError(f"{path} cannot be read: {error}") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CaloforgeError(f"{path} is not of format {FORMAT}; it was written by another version of caloforge")
    return description


def _read_weights(folder: Path) -> bytes:
    try:
        return (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        remedy = "copy it from where the run was trained"
        if (folder / "checkpoint.pt").exists():
            remedy += ", or finish the training: caloforge train … --resume"
        raise CaloforgeError(f"the weights {folder / WEIGHTS} are missing: {remedy}") from None


def _load_part(module: torch.nn.Module, weights: dict[str, torch.Tensor], prefix: str) -> None:
    module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
