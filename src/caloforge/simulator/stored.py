"""The folder of a saved simulator: `simulator.json` and `weights.safetensors`, read and checked.

`simulator.json` contains geometry, transforms and model (kind and constructor arguments) and the provenance;
`weights.safetensors` contains all weights and fitted constants. Both contain data only. A packed run has
`weights.safetensors.xz` instead (`caloforge.simulator.packing`).
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load as unpack
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from caloforge.configured import UnknownSetting
from caloforge.documents import parse_json, read_text
from caloforge.errors import CaloforgeError, either
from caloforge.formatting import listed
from caloforge.geometry import AnyGeometry
from caloforge.locations import DESCRIPTION, runs_in
from caloforge.models import MODELS
from caloforge.models.base import ShowerModel

FORMAT = 1
"""Version of the file format."""

WEIGHTS = "weights.safetensors"

PACKED_WEIGHTS = f"{WEIGHTS}.xz"
"""Weights of a packed run."""

MOST_UNPACKED = 2**30
"""Bytes of packed weights once unpacked, at most: a small file may claim to hold any number."""


def sampling_with(
    model: ShowerModel, stored: Mapping[str, Any], settings: Mapping[str, Any], geometry: AnyGeometry
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
    if folder.is_file():
        raise CaloforgeError(f"{folder} is a file: give the folder of a run")
    if not folder.is_dir():
        raise CaloforgeError(f"no such run: {folder}")
    if not path.exists():
        hint = f"the training is not finished, continue it with {_resuming()}"
        if not (folder / "checkpoint.pt").exists():
            hint = "give the folder of a finished training"
        if runs := runs_in(folder):
            names = listed([run.name for run in runs])
            raise CaloforgeError(f"{folder} holds several trainings, {names}: give one of them, such as {runs[0]}")
        raise CaloforgeError(f"{folder} contains no trained simulator ({DESCRIPTION} is missing): {hint}")
    description = parse_json(read_text(path, "simulator"), str(path))
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CaloforgeError(f"{path} does not have format {FORMAT}; it was written by another version of caloforge")
    return description


def _resuming() -> str:
    return either("caloforge train … --resume", "resume=True")


def weights_file(description: Mapping[str, Any]) -> str:
    """Name of the file that has a run's weights."""
    return PACKED_WEIGHTS if description.get("weights_file") == PACKED_WEIGHTS else WEIGHTS


def read_weights(folder: Path, description: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights and fitted constants of a run.

    Raises:
        CaloforgeError: the file is missing, or its SHA-256 differs.
    """
    name = weights_file(description)
    try:
        packed = (folder / name).read_bytes()
    except FileNotFoundError:
        remedy = "copy it from where the run was trained"
        if (folder / "checkpoint.pt").exists():
            remedy += f", or finish the training with {_resuming()}"
        raise CaloforgeError(f"the weights {folder / name} are missing: {remedy}") from None
    if hashlib.sha256(packed).hexdigest() != description["weights_sha256"]:
        raise CaloforgeError(
            f"{name} is not the file saved with it (the checksum differs): train the run or copy it again"
        )
    return unpack(_decompressed(packed, name) if name == PACKED_WEIGHTS else packed)


def compressed(weights: dict[str, Tensor]) -> bytes:
    """The content of a packed run's file of weights.

    Raises:
        CaloforgeError: they are too large.
    """
    content = to_bytes({name: value.contiguous() for name, value in weights.items()})
    if len(content) > MOST_UNPACKED:
        raise CaloforgeError(f"the weights take {len(content):,} bytes; up to {MOST_UNPACKED:,} can be packed")
    return lzma.compress(content, preset=6)


def _decompressed(packed: bytes, name: str) -> bytes:
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_UNPACKED)
    try:
        content = reader.decompress(packed, max_length=MOST_UNPACKED)
    except lzma.LZMAError as error:
        raise CaloforgeError(f"{name} is damaged ({error}): copy the run again") from None
    if not reader.eof:
        raise CaloforgeError(f"{name} is cut short, or has more than {MOST_UNPACKED:,} bytes: copy the run again")
    return content


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
