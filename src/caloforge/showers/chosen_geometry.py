"""Which geometry the voxels of a shower file have: as the file says, as the user says, or as their number tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError
from caloforge.geometry import BUILTIN, Geometry, geometry_of_voxel_count, load_geometry
from caloforge.showers.hdf5 import reject


def chosen_geometry(attributes: Mapping[str, Any], n_voxels: int, given: Geometry | str | None, path: Path) -> Geometry:
    """The geometry of a file.

    Args:
        attributes: of the file; its `geometry` takes precedence.
        n_voxels: number of voxels of a shower in it.
        given: what the user says.
        path: of the file, for errors.

    Raises:
        CaloforgeError: there is none, it is invalid, or it has another number of voxels.
    """
    chosen = _named(attributes.get("geometry"), n_voxels, given, path)
    if chosen.n_voxels != n_voxels:
        from_file = "geometry" in attributes
        remedy = "mend that attribute" if from_file else "give another --geometry"
        raise reject(
            path,
            f"showers have {n_voxels} voxels, but geometry '{chosen.name}'"
            f"{' (the attribute of the file)' if from_file else ''} has {chosen.n_voxels}; {remedy}",
        )
    return chosen


def _named(own: Any, n_voxels: int, given: Geometry | str | None, path: Path) -> Geometry:
    if own is not None:
        try:
            if str(own).lstrip().startswith("{"):
                return Geometry.from_dict(parse_json(str(own), "it"), origin="its JSON")
            if str(own) in BUILTIN:
                return load_geometry(str(own))
            # Not a path: a file from a stranger does not choose what else is read.
            raise CaloforgeError(f"unknown geometry '{own}'; it must be JSON, or one of {', '.join(BUILTIN)}")
        except CaloforgeError as error:
            if given is None:
                raise reject(path, f"attribute 'geometry': {error}") from None
    if given is not None:
        return given if isinstance(given, Geometry) else load_geometry(given)
    guess = geometry_of_voxel_count(n_voxels)
    if guess is None:
        raise reject(path, f"no built-in geometry has {n_voxels} voxels; name one with --geometry")
    return guess
