"""The attributes of HDF5 files as plain data: what JSON can hold, and back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge.files import printable
from caloforge.showers.hdf5 import reading

UNREADABLE = "(cannot be read)"
"""Stands for an attribute that is damaged, or a reference, or of a type that h5py does not know."""


def read_attributes(file: h5py.File, path: Path) -> dict[str, Any]:
    """The attributes as numbers, text and lists; other types as text.

    Raises:
        CaloforgeError: not even their names can be read.
    """
    with reading(path):
        names = list(file.attrs)
    found: dict[str, Any] = {}
    for name in names:
        found[printable(name)] = read_attribute(file, name)
    return found


def read_attribute(holder: h5py.Group | h5py.Dataset, name: str) -> Any:
    """One attribute as plain data, `UNREADABLE` where that is impossible."""
    with contextlib.suppress(Exception):
        if _is_safe(h5py.h5a.open(holder.id, name.encode("utf-8", "surrogateescape")).get_type()):
            return plain_attribute(holder.attrs[name])
    return UNREADABLE


def _is_safe(kind: h5py.h5t.TypeID) -> bool:
    """Whether values of an HDF5 type can be read from a damaged file: sequences and references may crash h5py."""
    if isinstance(kind, h5py.h5t.TypeCompoundID):  # a complex number, too
        return all(_is_safe(kind.get_member_type(k)) for k in range(kind.get_nmembers()))
    if isinstance(kind, h5py.h5t.TypeArrayID):
        return _is_safe(kind.get_super())
    return not isinstance(kind, (h5py.h5t.TypeVlenID, h5py.h5t.TypeReferenceID))


def plain_attribute(value: Any) -> Any:
    """`value` as None, bool, int, float, text, or lists of them: complex numbers, references and compounds as text."""
    if isinstance(value, (str, bytes)):  # np.str_ and np.bytes_ too
        return printable(value)
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, np.ndarray):
        return [plain_attribute(entry) for entry in value] if value.ndim else plain_attribute(value[()])
    if isinstance(value, np.void):
        return str(value.item()) if value.dtype.names else value.tobytes().hex()
    if isinstance(value, np.floating):
        return float(value)  # a long double too
    if isinstance(value, (np.bool_, np.integer)):
        return value.item()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_attribute(entry) for entry in value]
    return printable(str(value))


def write_attributes(file: h5py.File, attributes: Mapping[str, Any]) -> None:
    """Store plain data; what HDF5 cannot hold as JSON text, None not at all."""
    for name, value in attributes.items():
        if value is None:
            continue
        plain = plain_attribute(value)
        try:
            file.attrs[printable(name)] = plain
        except (TypeError, ValueError, OverflowError):
            file.attrs[printable(name)] = printable(json.dumps(plain, default=str))
