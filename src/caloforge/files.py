"""Outputs that are either whole or absent.

A file or folder is written under a temporary name beside its target and renamed when complete, so that a
crash or Ctrl-C never leaves something half written under the name that the user asked for.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from caloforge.errors import CaloforgeError


def prepare_parent(target: Path) -> None:
    """Create the folder that `target` goes into.

    Raises:
        CaloforgeError: the folder cannot be created or written to, or `target` is a folder, a device or a pipe.
    """
    if target.is_dir():
        raise CaloforgeError(f"{target} is a folder; give the path of a file to write")
    if target.exists() and not target.is_file():
        raise CaloforgeError(f"{target} is a device or a pipe; give the path of a file to write")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaloforgeError(f"cannot create the folder {target.parent}: {error.strerror}") from error
    folder = Path(os.path.realpath(target)).parent  # of what a symbolic link points to
    if folder.is_dir() and not os.access(folder, os.W_OK):
        raise CaloforgeError(f"cannot write to {folder}: permission denied")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Keep a file that is there already, unless it may be overwritten; an existing folder is always refused.

    Raises:
        CaloforgeError: `path` exists.
    """
    if path.is_dir():
        raise CaloforgeError(f"{path} is a folder; give the path of a file to write")
    if path.exists() and not overwrite:
        raise CaloforgeError(f"{path} exists: give another -o or --overwrite")


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` on success, remove it on failure.

    A symbolic link stays, and what it points to is written.

    Raises:
        CaloforgeError: what `prepare_parent` raises; the folder of `target` cannot be written to.
    """
    target = Path(target)
    if target.is_symlink():
        target = Path(os.path.realpath(target))
    prepare_parent(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        partial.touch()
    except OSError as error:
        raise CaloforgeError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield partial
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside `target` that takes its place on success.

    An existing `target` is replaced as a whole, and only once the new folder is complete.
    """
    target = Path(target)
    if target.exists() and not target.is_dir():
        raise CaloforgeError(f"{target} is a file; give a folder to write into")
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    previous = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise CaloforgeError(f"cannot create a folder beside {target}: {error.strerror}") from error
    try:
        yield partial
        if target.exists():
            os.replace(target, previous)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)


def printable(text: str | os.PathLike[str]) -> str:
    """`text` as UTF-8 can hold it: bytes of a file name that are no UTF-8 become `\\xNN`.

    For paths and command lines that are stored in a file or shown; HDF5 and JSON take nothing else.
    """
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `target`, atomically."""
    with atomic_path(target) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(target: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON to `target`, atomically; NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False) + "\n")
