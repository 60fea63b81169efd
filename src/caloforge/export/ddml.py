"""`ddml-hdf5`: a file of showers for DDML to play back.

DDML reads a rank-4 dataset (shower, x, y, z) of cell energies and returns the showers one by one. It does not look up
energies, so the file must be generated for the incident energies of the job that will read it. The dataset is called
`layers`, with a link `events`, the name used by newer versions of the reader. x and y are transverse, z is the layer;
cell energies are in GeV. The energy of a voxel is assumed to be uniform over its area, and each cell gets the fraction
of the area that overlaps it (`caloforge.geometry.cells`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caloforge import __version__
from caloforge.errors import CaloforgeError
from caloforge.export.card import card_path, provenance_of
from caloforge.export.formats import Mesh
from caloforge.files import atomic_path, write_json
from caloforge.geometry.cells import cell_edges, shared_areas
from caloforge.simulator import Simulator
from caloforge.simulator.generation import check_voxels

GEV = 1e-3
"""MeV in GeV."""


def export_ddml(
    simulator: Simulator,
    energies: np.ndarray,
    path: Path,
    *,
    seed: int,
    cell_size: float | None = None,
    batch_size: int = 1000,
    compression: int = 1,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Generate showers, resample them to Cartesian cells and write them, with a card next to the file (`.json`).

    Args:
        simulator: a simulator on a regular polar mesh.
        energies: (N,) incident energies in MeV, clipped to the training range.
        path: HDF5 file to write.
        seed: random seed for the showers.
        cell_size: in mm; by default the width of the narrowest radial bin of the mesh.
        batch_size: showers at a time.
        compression: gzip level.
        progress: called with the number of showers of each batch.

    Returns:
        The card.

    Raises:
        CaloforgeError: the geometry has no regular mesh, the cell size is out of range, an argument is out of range,
            or the model generated a negative or non-finite voxel.
    """
    mesh = Mesh.of(simulator.geometry, "ddml-hdf5")
    layer = simulator.geometry.polar_mesh
    assert layer is not None
    if cell_size is not None and not 0.01 * layer.r_edges[-1] <= cell_size <= 2 * layer.r_edges[-1]:
        raise CaloforgeError(
            f"a cell size of {cell_size:g} mm does not suit a mesh of radius {layer.r_edges[-1]:g} mm; give "
            f"{0.01 * layer.r_edges[-1]:.2g} … {2 * layer.r_edges[-1]:.3g} mm"
        )
    edges = cell_edges(layer, cell_size)
    n = len(edges) - 1
    # Fractions of each voxel: columns sum to 1, so energy is conserved.
    shares = shared_areas(layer, edges).multiply(1 / layer.areas).tocsr()
    low, high = simulator.energy_range or (0.0, np.inf)
    energies = np.asarray(energies, dtype=np.float64)
    inside = np.where(np.isfinite(energies) & (energies > 0), np.clip(energies, low, high), energies)
    card = {
        "format": "ddml-hdf5",
        "summary": "DDML: showers on Cartesian cells, played back from a file",
        "dataset": {"layers": {"shape": [len(energies), n, n, mesh.n_z], "unit": "GeV"}, "same_as": "events"},
        "axis_order": "shower, x, y, z (z fastest); x = r cos(alpha), y = r sin(alpha)",
        "cells": {"edges_mm": [float(edge) for edge in edges], "along_z": "one per layer"},
        "cartesian": "the energy of a voxel is shared among cells in proportion to their overlap; energy is conserved",
        "energies": {"incident_energies": {"shape": [len(energies), 1], "unit": "MeV"}},
        "energy_range_mev": [float(low), float(high)],
        "outside_the_range": "the energy is clipped to the range",
        "showers": len(energies),
        "seed": seed,
        **provenance_of(simulator),
    }
    options = {"compression": "gzip", "compression_opts": compression} if compression else {}
    with atomic_path(path) as partial:
        with h5py.File(partial, "w") as file:
            shape = (len(energies), n, n, mesh.n_z)
            rows = max(1, min(64, len(energies)))
            cells = file.create_dataset("layers", shape, "f4", chunks=(rows, *shape[1:]), **options)
            file["events"] = cells  # a second name for the same data
            start = 0
            for showers in simulator.stream(inside, seed, batch_size):
                check_voxels(showers.voxels, start, simulator)
                per_layer = showers.voxels.reshape(-1, mesh.n_z, mesh.n_alpha * mesh.n_r).astype(np.float64)
                grid = (shares @ per_layer.reshape(-1, shares.shape[1]).T).T.reshape(-1, mesh.n_z, n, n)
                cells[start : start + len(showers)] = GEV * grid.transpose(0, 2, 3, 1)
                start += len(showers)
                if progress is not None:
                    progress(len(showers))
            file["incident_energies"] = inside[:, None]
            for key, value in card.items():
                file.attrs[key] = value if isinstance(value, str | int | float) else json.dumps(value)
            file.attrs["caloforge_version"] = __version__
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
    card |= {"file": path.name, "sha256": digest}
    write_json(card_path(path), card)
    return card
