"""The folder of a saved simulator: `simulator.json` and `weights.safetensors`, read and checked.

`simulator.json` contains geometry, transforms and model (kind and constructor arguments) and the provenance;
`weights.safetensors` contains all weights and fitted constants. Both contain data only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load as unpack
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from caloforge.configured import UnknownSetting
from caloforge.documents import parse_json, read_text
from caloforge.errors import CaloforgeError, either
from caloforge.geometry import Geometry
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel

FORMAT = 1
"""Version of the file format."""

DESCRIPTION, WEIGHTS = "simulator.json", "weights.safetensors"


def sampling_with(
    model: ShowerModel, stored: Mapping[str, Any], settings: Mapping[str, Any], geometry: Geometry
) -> ShowerModel:
    """`model`, rebuilt with other sampling settings.

    Args:
        model: as it was trained.
        stored: its saved kind and settings.
        settings: settings to change.
        geometry: geometry of the run.

    Raises:
        CaloforgeError: a setting is unknown, fixed by the training, or not used in sampling.
    """
    try:
        changed = MODELS.build(_changed(stored, settings), origin="model", geometry=geometry)
    except UnknownSetting as error:
        raise CaloforgeError(f"{error}; {_may_change(model)}") from None
    for name in _dotted(settings):
        if not {name, name.partition(".")[0]} & changed.sampling_settings():
            why = "is fixed by the training, or not used in sampling"
            raise CaloforgeError(f"model.{name} {why}; {_may_change(changed)}")
    return changed


def _may_change(model: ShowerModel) -> str:
    names = sorted(model.sampling_settings())
    return f"settings that can be changed: {', '.join(names)}" if names else "this model has no sampling settings"


def _dotted(settings: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def _changed(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`stored`, updated with `settings` level by level."""
    new = dict(stored)
    for key, value in settings.items():
        inner = new.get(key)
        new[key] = _changed(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return new


def read_description(folder: Path) -> dict[str, Any]:
    """The content of a run's `simulator.json`.

    Raises:
        CaloforgeError: there is no such run, its training has not finished, or the file cannot be read.
    """
    path = folder / DESCRIPTION
    if not folder.is_dir():
        raise CaloforgeError(f"no such run: {folder}")
    if not path.exists():
        hint = f"the training is not finished, continue it with {_resuming()}"
        if not (folder / "checkpoint.pt").exists():
            hint = "give the folder of a finished training"
        raise CaloforgeError(f"{folder} contains no trained simulator ({DESCRIPTION} is missing): {hint}")
    description = parse_json(read_text(path, "simulator"), str(path))
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CaloforgeError(f"{path} does not have format {FORMAT}; it was written by another version of caloforge")
    return description


def _resuming() -> str:
    return either("caloforge train … --resume", "resume=True")


def read_weights(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The weights and fitted constants of a run.

    Raises:
        CaloforgeError: the file is missing, or its SHA-256 differs.
    """
    try:
        packed = (folder / WEIGHTS).read_bytes()
    except FileNotFoundError:
        remedy = "copy it from where the run was trained"
        if (folder / "checkpoint.pt").exists():
            remedy += f", or finish the training with {_resuming()}"
        raise CaloforgeError(f"the weights {folder / WEIGHTS} are missing: {remedy}") from None
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise CaloforgeError(
            f"{WEIGHTS} is not the file saved with it (the checksum differs): train the run or copy it again"
        )
    return unpack(packed)


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside the block, more parameters than there are weights are refused, before they take any memory.

    Raises:
        CaloforgeError: there are more than four times as many.
    """
    limit, found = 4 * sum(value.numel() for value in weights.values()), 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal found
        found += 0 if parameter is None else parameter.numel()
        if found > limit:
            raise CaloforgeError(f"the model has {found:,} parameters, more than its weights: copy the run again")

    handle = register_module_parameter_registration_hook(count)  # memory is taken when they are initialised
    try:
        yield
    finally:
        handle.remove()


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], prefix: str) -> None:
    """Load the weights whose names start with `prefix` into a module.

    Raises:
        CaloforgeError: they do not fit.
    """
    try:
        module.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    except RuntimeError as error:
        what = prefix.rstrip(".")
        reason = " ".join(str(error).splitlines()[1:2]).strip()
        raise CaloforgeError(
            f"the saved weights do not fit the {what} ({reason}): use the version of the code it was trained with, "
            "or train it again"
        ) from None
