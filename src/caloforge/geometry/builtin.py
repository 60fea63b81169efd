"""The geometries of the public data sets, and a geometry by name or path.

Edges are in mm; ds1, ds2 and ds3 follow the binning files of the CaloChallenge (arXiv:2410.21611), calogan follows
arXiv:1712.10321.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.files import as_path
from caloforge.geometry.description import Geometry
from caloforge.geometry.layers import CartesianLayer, Layer
from caloforge.geometry.loading import read_geometry


def _polar(rows: Sequence[tuple[int, str, int]]) -> tuple[Layer, ...]:
    return tuple(Layer(i, tuple(float(e) for e in edges.split()), n_alpha) for i, edges, n_alpha in rows)


def _stack(n_layers: int, dr: float, n_r: int, n_alpha: int, dz: float) -> tuple[Layer, ...]:
    edges = tuple(round(dr * k, 6) for k in range(n_r + 1))
    return tuple(Layer(i, edges, n_alpha, (round(i * dz, 6), round((i + 1) * dz, 6))) for i in range(n_layers))


def _ds1_photons() -> Geometry:
    rows = [
        (0, "0 5 10 30 50 100 200 400 600", 1),
        (1, "0 2 4 6 8 10 12 15 20 30 40 50 70 90 120 150 200", 10),
        (2, "0 2 5 10 15 20 25 30 40 50 60 80 100 130 160 200 250 300 350 400", 10),
        (3, "0 50 100 200 400 600", 1),
        (12, "0 100 200 400 1000 2000", 1),
    ]
    return Geometry("ds1-photons", _polar(rows), threshold=1.0)


def _ds1_pions() -> Geometry:
    rows = [
        (0, "0 5 10 30 50 100 200 400 600", 1),
        (1, "0 1 4 7 10 15 30 50 90 150 200", 10),
        (2, "0 5 10 20 30 50 80 130 200 300 400", 10),
        (3, "0 50 100 200 400 600", 1),
        (12, "0 10 20 30 50 80 100 130 160 200 250 300 350 400 1000 2000", 10),
        (13, "0 10 20 30 50 80 100 130 160 200 250 300 350 400 600 1000 2000", 10),
        (14, "0 50 100 150 200 250 300 400 600 1000 2000", 1),
    ]
    return Geometry("ds1-pions", _polar(rows), threshold=1.0)


def _ds2() -> Geometry:
    return Geometry("ds2", _stack(45, 4.65, 9, 16, 3.4), threshold=0.5e-3 / 0.033)


def _ds3() -> Geometry:
    return Geometry("ds3", _stack(45, 2.325, 18, 50, 3.4), threshold=0.5e-3 / 0.033)


def _calogan() -> Geometry:
    def edges(cell: float) -> tuple[float, ...]:
        return tuple(float(e) for e in np.arange(-240.0, 240.0 + cell / 2, cell))

    layers = (
        CartesianLayer(0, edges(160), edges(5), (0.0, 90.0)),
        CartesianLayer(1, edges(40), edges(40), (90.0, 437.0)),
        CartesianLayer(2, edges(40), edges(80), (437.0, 480.0)),
    )
    return Geometry("calogan", layers)


BUILTIN = {
    "ds1-photons": _ds1_photons,
    "ds1-pions": _ds1_pions,
    "ds2": _ds2,
    "ds3": _ds3,
    "calogan": _calogan,
}
"""Name → function that builds the geometry."""


def load_geometry(name: str | os.PathLike[str]) -> Geometry:
    """The built-in geometry called `name`, or the one in the file at that path.

    For a binning XML with several particles, `path.xml:NAME` selects one.

    >>> load_geometry("ds2").n_voxels
    6480

    Raises:
        CaloforgeError: `name` is neither a built-in name nor a readable geometry file.
    """
    text = str(as_path(name, "geometry"))
    if text in BUILTIN:
        return BUILTIN[text]()
    path, _, particle = text.partition(".xml:")
    if particle:
        return read_geometry(path + ".xml", particle)
    if Path(text).suffix.lower() in (".yaml", ".yml", ".json", ".xml"):
        return read_geometry(text)
    known = ", ".join(BUILTIN)
    raise CaloforgeError(f"unknown geometry '{text}': give one of {known}, or a .yaml, .json or .xml file")


def geometry_in_file(value: Any, folder: Path, origin: str) -> Geometry:
    """The geometry named or contained in another file.

    Args:
        value: a built-in name, the path of a geometry file (relative to `folder` or the current one), or a mapping
            as in such a file.
        folder: folder of the other file.
        origin: name of `value` in error messages.

    Raises:
        CaloforgeError: `value` is none of these.
    """
    if isinstance(value, dict):
        return Geometry.from_dict(value, origin=origin)
    path, colon, particle = str(value).partition(".xml:")
    local = folder / (f"{path}.xml" if colon else path)
    return load_geometry(f"{local}{':' if colon else ''}{particle}" if local.is_file() else str(value))


def geometry_of_voxel_count(n_voxels: int) -> Geometry | None:
    """The built-in geometry with `n_voxels` voxels, if there is one (the counts are distinct)."""
    for make in BUILTIN.values():
        geometry = make()
        if geometry.n_voxels == n_voxels:
            return geometry
    return None
