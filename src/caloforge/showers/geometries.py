"""Which geometry the voxels of a sample have: its own, a given one, or the built-in one with as many voxels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError, option
from caloforge.geometry import BUILTIN, Geometry, geometry_of_voxel_count, load_geometry
from caloforge.showers.hdf5 import reject

GivenGeometry = Geometry | str | os.PathLike[str]
"""A geometry, or a name or file for `load_geometry`."""


class DifferentGeometry(CaloforgeError):
    """The given geometry has other voxels than `own`, that of the sample called `name`."""

    own: Geometry
    name: str


def agreed_geometry(own: Geometry | None, given: GivenGeometry | None, name: str) -> Geometry | None:
    """The given geometry, which may have another threshold or other depths than the sample's own, but no other voxels.

    Args:
        own: what the sample says, None if it does not.
        given: what the user says, None for nothing.
        name: of the sample, for the error.

    Returns:
        The given one, else the sample's own.

    Raises:
        DifferentGeometry: they have different voxels.
    """
    if given is None:
        return own
    wanted = given if isinstance(given, Geometry) else load_geometry(given)
    if own is not None and not wanted.has_voxels_of(own):
        shown = option("geometry", str(given if isinstance(given, str) else wanted.name))
        edges = ", other edges" if wanted.n_voxels == own.n_voxels else ""
        error = DifferentGeometry(
            f"{name} names its own geometry, '{own.name}' ({own.n_voxels} voxels), which is not that of {shown} "
            f"({wanted.n_voxels} voxels{edges}): leave it out, or give one with the same voxels"
        )
        error.own, error.name = own, name
        raise error
    return wanted


def file_geometry(
    path: Path, attributes: Mapping[str, Any], n_voxels: int, given: GivenGeometry | None
) -> tuple[Geometry, Geometry | None]:
    """(geometry of a file, the one that it names itself or None).

    Args:
        path: of the file.
        attributes: of the file.
        n_voxels: of its showers.
        given: see `agreed_geometry`; without it and the file's own, the voxel count decides.

    Raises:
        CaloforgeError: the attribute is invalid and nothing is given, no geometry has as many voxels, or the voxel
            counts or geometries differ.
    """
    own = None
    try:
        own = _named(attributes)
    except CaloforgeError as error:
        if given is None:
            raise reject(path, f"attribute 'geometry': {error}") from None
    if own is not None:
        _check_count(path, own, n_voxels, " (the attribute of the file)", "mend that attribute")
    chosen = agreed_geometry(own, given, str(path)) or geometry_of_voxel_count(n_voxels)
    if chosen is None:
        raise reject(path, f"no built-in geometry has {n_voxels} voxels; name one with {option('geometry')}")
    _check_count(path, chosen, n_voxels, "", f"give another {option('geometry')}")
    return chosen, own


def _named(attributes: Mapping[str, Any]) -> Geometry | None:
    """The geometry that a file's attribute describes, None without the attribute."""
    own = attributes.get("geometry")
    if own is None:
        return None
    if str(own).lstrip().startswith("{"):
        return Geometry.from_dict(parse_json(str(own), "it"), origin="its JSON")
    if str(own) in BUILTIN:
        return load_geometry(str(own))
    # Not a path: a file from a stranger does not choose what else is read.
    raise CaloforgeError(f"unknown geometry '{own}'; it must be JSON, or one of {', '.join(BUILTIN)}")


def _check_count(path: Path, geometry: Geometry, n_voxels: int, origin: str, remedy: str) -> None:
    if geometry.n_voxels != n_voxels:
        raise reject(
            path,
            f"showers have {n_voxels} voxels, but geometry '{geometry.name}'{origin} has {geometry.n_voxels}; {remedy}",
        )
