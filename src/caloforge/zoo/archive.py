"""A model in one file: a zip archive of the packed run and its card, for a record such as Zenodo's."""

from __future__ import annotations

import hashlib
import lzma
import os
import zipfile
import zlib
from pathlib import Path

from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError, option
from caloforge.files import atomic_folder, atomic_path
from caloforge.geometry.entries import checked_entry
from caloforge.locations import DESCRIPTION
from caloforge.simulator.stored import PACKED_WEIGHTS
from caloforge.zoo.model_card import CARD, Card
from caloforge.zoo.shelf import SHIPPED, check_name

SUFFIX = ".zip"

FILES = (CARD, DESCRIPTION, PACKED_WEIGHTS)
"""What an archive holds, and nothing else."""

LARGEST = 2**30
"""Bytes of one of its files, at most."""

DAMAGED = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, zlib.error, lzma.LZMAError)
"""What `zipfile` raises for a damaged archive; RuntimeError also for an encrypted one, or an unknown compression."""

WRITTEN = (1980, 1, 1, 0, 0, 0)
"""Time of all files, so that the archive depends on their content alone."""


def write_archive(folder: Path, target: Path) -> None:
    """Put a packed run into one file."""
    with atomic_path(target) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name in FILES:  # the weights are compressed already
            archive.writestr(zipfile.ZipInfo(name, WRITTEN), (folder / name).read_bytes())


def install(archive: str | os.PathLike[str], folder: Path, overwrite: bool = False) -> Path:
    """Unpack an archive into a folder of models.

    Args:
        archive: the file.
        folder: of models.
        overwrite: replace a model of the same name.

    Returns:
        The folder of the model.

    Raises:
        CaloforgeError: the file is not such an archive or is damaged, or the model exists.
    """
    contents = _read(Path(archive))
    card = checked_entry(Card, parse_json(contents[CARD], f"{archive}: {CARD}"), f"{archive}: {CARD}")
    name, described = check_name(card.name), parse_json(contents[DESCRIPTION], f"{archive}: {DESCRIPTION}")
    found = hashlib.sha256(contents[PACKED_WEIGHTS]).hexdigest()
    if not isinstance(described, dict) or described.get("weights_sha256") != found:
        raise CaloforgeError(f"{archive}: the weights are not those that were packed; download it again")
    if (SHIPPED / name).exists():
        raise CaloforgeError(f"{archive}: '{name}' is part of the package; pack it under another name")
    if (folder / name).exists() and not overwrite:
        raise CaloforgeError(f"the model '{name}' is in {folder} already: {option('overwrite', True)} replaces it")
    with atomic_folder(folder / name) as partial:
        for file, content in contents.items():
            (partial / file).write_bytes(content)
    return folder / name


def _read(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            if sorted(sizes) != sorted(FILES) or max(sizes.values()) > LARGEST:
                raise CaloforgeError(f"{path} is not a packed model: it must hold {', '.join(FILES)} and nothing else")
            return {name: archive.read(name) for name in FILES}
    except FileNotFoundError:
        raise CaloforgeError(f"no such archive: {path}") from None
    except PermissionError as error:
        raise CaloforgeError(f"cannot read {path}: {error.strerror}") from None
    except DAMAGED as error:
        raise CaloforgeError(f"{path} is not a packed model, or is damaged ({error}): download it again") from None
