"""`ddml-hdf5`: a file of showers for DDML to play back.

DDML's reader `LoadHdf5` takes a rank-4 dataset and returns one shower after another; it does not look energies up and
does not start again at the end, so a file is generated for the incident energies of the job that will read it. The
dataset is `layers`, with a link `events`, the name that newer versions of the reader use.

By default (`grid="bibae"`) cells are those that its model `RegularGridTwoAngleBIBAEModel` expects: (shower, layer, y,
x) in MeV, 30 layers of 30 × 49 cells of 5.088333 mm, with the axis of a particle at normal incidence 15.13 cells from
the corner along y and 26.92 along x; layers beyond the run's are empty. `grid="own"` is (shower, x, y, layer) in GeV on
square cells around the axis that just enclose the mesh.

The energy of a voxel is assumed to be uniform over its area; each cell gets the fraction of the area inside it
(`caloforge.geometry.cells`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from caloforge import __version__
from caloforge.errors import CaloforgeError, either, option
from caloforge.export.card import CARD_VERSION, card_path, incidence_of, provenance_of
from caloforge.export.formats import Mesh
from caloforge.export.macros import ddsim_steering, steering_path
from caloforge.files import atomic_path, write_json, write_text
from caloforge.geometry import Geometry
from caloforge.geometry.cells import cell_edges, shared_areas
from caloforge.showers.hdf5 import created
from caloforge.simulator import Simulator
from caloforge.simulator.generation import check_voxels

BIBAE_CELL, BIBAE_LAYERS, BIBAE_CELLS = 5.088333, 30, (49, 30)
"""Cell size in mm, layers, and cells along x and y of DDML's model."""

BIBAE_AXIS = (137 / BIBAE_CELL, 77 / BIBAE_CELL)
"""Where the axis meets the cells at normal incidence, in cells from the corner along x and y."""


@dataclass(frozen=True)
class PlaybackGrid:
    """The cells of a file.

    Args:
        x_edges, y_edges: of the cells in mm from the shower axis.
        layers: the file's; those beyond the run's are empty.
        order: of the axes after the shower: (layer, y, x), or (x, y, layer).
        unit: of the cells.
    """

    x_edges: np.ndarray
    y_edges: np.ndarray
    layers: int
    order: Literal["layer, y, x", "x, y, layer"]
    unit: Literal["MeV", "GeV"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a shower."""
        n_x, n_y = len(self.x_edges) - 1, len(self.y_edges) - 1
        return (self.layers, n_y, n_x) if self.order == "layer, y, x" else (n_x, n_y, self.layers)

    def arranged(self, cells: np.ndarray) -> np.ndarray:
        """(N, layers of the run, n_x, n_y) in MeV → (N, *shape) in the file's unit."""
        padded = np.pad(cells, ((0, 0), (0, self.layers - cells.shape[1]), (0, 0), (0, 0)))
        axes = (0, 1, 3, 2) if self.order == "layer, y, x" else (0, 2, 3, 1)
        return padded.transpose(axes) * (1e-3 if self.unit == "GeV" else 1.0)


def playback_grid(
    geometry: Geometry, grid: str = "bibae", cell_size: float | None = None, layers: int | None = None
) -> PlaybackGrid:
    """The cells called `grid` for a geometry.

    Args:
        geometry: of a regular polar mesh.
        grid: `bibae` or `own` (see the module docstring).
        cell_size: in mm; by default 5.088333, or with `own` the mesh's narrowest radial bin.
        layers: of the file; by default 30, or with `own` the run's.

    Raises:
        CaloforgeError: no regular mesh, an unknown grid, or cells that do not enclose the mesh.
    """
    mesh = Mesh.of(geometry, "ddml-hdf5")
    layer = geometry.polar_mesh
    assert layer is not None
    radius = layer.r_edges[-1]
    if grid not in ("bibae", "own"):
        raise CaloforgeError(f"{_setting('grid', grid)}: give bibae or own")
    if cell_size is not None and not 0.01 * radius <= cell_size <= 2 * radius:
        raise CaloforgeError(
            f"cells of {cell_size:g} mm do not suit a mesh of radius {radius:g} mm; give {0.01 * radius:.2g} … "
            f"{2 * radius:.3g} mm"
        )
    if grid == "own":
        edges = cell_edges(layer, cell_size)
        found = PlaybackGrid(edges, edges, layers or mesh.n_z, "x, y, layer", "GeV")
    else:
        size = cell_size or BIBAE_CELL
        x, y = ((np.arange(n + 1) - axis) * size for n, axis in zip(BIBAE_CELLS, BIBAE_AXIS, strict=True))
        found = PlaybackGrid(x, y, layers or BIBAE_LAYERS, "layer, y, x", "MeV")
    reach = min(abs(float(end)) for edges in (found.x_edges, found.y_edges) for end in (edges[0], edges[-1]))
    if reach < radius - 1e-6:
        raise CaloforgeError(
            f"the cells reach {reach:.1f} mm from the axis, but the mesh of '{geometry.name}' {radius:g} mm: energy "
            f"would be lost; give larger cells ({option('cell_size')}) or {_setting('grid', 'own')}"
        )
    if found.layers < mesh.n_z:
        raise CaloforgeError(
            f"'{geometry.name}' has {mesh.n_z} layers, the file {found.layers}: add {_setting('layers', mesh.n_z)} and "
            f"give DDML's model as many (NCellsZ = {mesh.n_z})"
        )
    return found


def _setting(key: str, value: object) -> str:
    return f"{either('--set ', '')}{key}={value}"


def playback_settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from the command line, checked.

    Raises:
        CaloforgeError: one is unknown or has another type.
    """
    kinds = {"grid": str, "layers": int}
    for key, value in plain.items():
        if not isinstance(value, kinds.get(key, ())) or value is True:
            raise CaloforgeError(f"{_setting(key, value)}: ddml-hdf5 takes grid=bibae, grid=own and layers=NUMBER")
    return dict(plain)


def export_ddml(
    simulator: Simulator,
    energies: np.ndarray,
    path: Path,
    *,
    seed: int,
    cell_size: float | None = None,
    grid: str = "bibae",
    layers: int | None = None,
    scale: float = 1.0,
    batch_size: int = 1000,
    compression: int = 1,
    conditions: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Generate showers, resample them to Cartesian cells and write them, with a card next to the file (`.json`).

    Args:
        simulator: a simulator on a regular polar mesh.
        energies: (N,) incident energies in MeV, clipped to the training range.
        path: HDF5 file to write.
        seed: of the showers.
        cell_size, grid, layers: see `playback_grid`.
        scale: the cells are multiplied by this.
        batch_size: showers at a time.
        compression: gzip level.
        conditions: further conditions by name, (N,) values or one for all showers.
        progress: called with the number of showers of each batch.

    Returns:
        The card.

    Raises:
        CaloforgeError: the geometry has no regular mesh, the cell size is out of range, an argument is out of range,
            or the model generated a negative or non-finite voxel.
    """
    cells = playback_grid(simulator.geometry, grid, cell_size, layers)
    mesh, layer = Mesh.of(simulator.geometry, "ddml-hdf5"), simulator.geometry.polar_mesh
    assert layer is not None
    # Fractions of each voxel: columns sum to 1, so energy is conserved.
    shares = shared_areas(layer, cells.x_edges, cells.y_edges).multiply(1 / layer.areas).tocsr()
    n_x, n_y = len(cells.x_edges) - 1, len(cells.y_edges) - 1
    low, high = simulator.energy_range or (0.0, np.inf)
    energies = np.asarray(energies, dtype=np.float64)
    inside = np.where(np.isfinite(energies) & (energies > 0), np.clip(energies, low, high), energies)
    card = {
        "card_version": CARD_VERSION,
        "format": "ddml-hdf5",
        "summary": "DDML: showers on Cartesian cells, played back from a file",
        "dataset": {"layers": {"shape": [len(energies), *cells.shape], "unit": cells.unit}, "same_as": "events"},
        "axis_order": f"shower, {cells.order} (fastest); x = r cos(alpha), y = r sin(alpha)",
        "cells": {
            "x_edges_mm": cells.x_edges.tolist(),
            "y_edges_mm": cells.y_edges.tolist(),
            "along_z": "one per layer",
        },
        "cartesian": "each voxel's energy goes to the cells in proportion to its area in them; energy is conserved",
        "energies": {"incident_energies": {"shape": [len(energies), 1], "unit": "MeV"}},
        "energy_range_mev": None if simulator.energy_range is None else [float(low), float(high)],
        "outside_the_range": "the energy is moved to the nearer end of the range",
        "incidence": incidence_of(simulator),
        "scale": scale,
        "end_of_file": "DDML's reader does not start again: give at least as many showers as there are triggers",
        "showers": len(energies),
        "seed": seed,
        **provenance_of(simulator),
    }
    options = {"compression": "gzip", "compression_opts": compression} if compression else {}
    with atomic_path(path) as partial:
        with created(partial) as (file, check):
            shape = (len(energies), *cells.shape)
            rows = max(1, min(64, len(energies)))
            stored = file.create_dataset("layers", shape, "f4", chunks=(rows, *shape[1:]), **options)
            file["events"] = stored  # a second name for the same data
            start = 0
            for showers in simulator.stream(inside, seed, batch_size, conditions=conditions):
                check_voxels(showers.voxels, start, simulator)
                per_layer = showers.voxels.reshape(-1, mesh.n_z, mesh.n_alpha * mesh.n_r).astype(np.float64)
                shared = (shares @ per_layer.reshape(-1, shares.shape[1]).T).T.reshape(-1, mesh.n_z, n_x, n_y)
                stored[start : start + len(showers)] = scale * cells.arranged(shared)
                check()
                start += len(showers)
                if progress is not None:
                    progress(len(showers))
            file["incident_energies"] = inside[:, None]
            for key, value in card.items():
                file.attrs[key] = value if isinstance(value, str | int | float) else json.dumps(value)
            file.attrs["caloforge_version"] = __version__
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    card |= {"file": path.name, "sha256": digest, "other_files": []}
    if grid == "bibae":
        size = float(cells.x_edges[1] - cells.x_edges[0])
        write_text(steering_path(path), ddsim_steering(path, cells.shape, size, float(inside.min()), len(inside)))
        card["other_files"] = [steering_path(path).name]
    write_json(card_path(path), card)
    return card
