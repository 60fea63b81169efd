"""Tables of layer pictures: a column per layer, a row per sample or shower, one colour bar per column and scale.

Average showers stand beside the reference's and their ratio; single showers and nearest neighbours stand in rows
of their own. The nearest neighbour of a shower in the other sample is the one at the smallest Euclidean distance
d = ‖x − y‖₂ over all voxels (MeV), among the showers kept of the same incident energy. A generator that repeats
itself (mode collapse) gives different showers of the reference the same neighbour.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from caloforge.evaluation.plots.layers import (
    Frame,
    canvas,
    draw_colours,
    draw_layer,
    energy_norm,
    ratio,
    ratio_norm,
)
from caloforge.evaluation.plots.style import ENERGY_MAP, RATIO_MAP, new_figure, power_of_ten
from caloforge.geometry import AnyLayer, Geometry, Layer
from caloforge.showers import Showers
from caloforge.units import format_energy

LEFT, TOP, GAP, ROW_GAP, BAR = 0.5, 0.32, 0.16, 0.08, 0.46
"""Margins of a gallery in inches."""

RATIO_TICKS = {0.5: "½", 1.0: "1", 2.0: "2"}


@dataclass(frozen=True)
class Row:
    """One row of pictures: `values` (V,) in MeV, or a ratio; rows of one `scale` share their colours."""

    title: str
    values: np.ndarray
    scale: str = ""
    kind: Literal["energy", "ratio"] = "energy"


def gallery(
    geometry: Geometry, positions: list[int], rows: list[Row], *, unit: str = "MeV", size: float = 1.5
) -> tuple[Figure, list[list[Any]]]:
    """Draw `rows` for the layers at `positions`.

    Args:
        geometry: the voxels.
        positions: positions of the layers in the geometry, one column each.
        rows: what to draw, from the top.
        unit: what the energies' colour bar says.
        size: inches per picture.

    Returns:
        (figure, meshes), meshes[row][column].
    """
    last = [i for i, row in enumerate(rows) if i + 1 == len(rows) or _scale(rows[i + 1]) != _scale(row)]
    width = LEFT + len(positions) * (size + GAP)
    height = TOP + len(rows) * (size + ROW_GAP) + len(last) * BAR
    figure = new_figure(width, height)
    ax = canvas(figure)
    meshes: list[list[Any]] = []
    y = height - TOP
    for index, row in enumerate(rows):
        y -= size + ROW_GAP
        ax.text(0.2, y + size / 2, row.title, rotation=90, ha="center", va="center", fontsize=8)
        drawn = []
        for column, position in enumerate(positions):
            layer, part = geometry.layers[position], geometry.slices[position]
            x = LEFT + column * (size + GAP)
            if index == 0:
                ax.text(x + size / 2, height - 0.13, _heading(layer), ha="center", va="center", fontsize=9)
            norm = _norm(rows, row, part)
            cmap = RATIO_MAP if row.kind == "ratio" else ENERGY_MAP
            frame = Frame(x, y, size)
            mesh = draw_layer(layer, row.values[part], ax=ax, frame=frame, norm=norm, cmap=cmap, rings=index == 0)
            drawn.append(mesh)
            if index in last and mesh.get_array().count():
                ticks = RATIO_TICKS if row.kind == "ratio" else _energy_ticks(*mesh.get_clim())
                draw_colours(ax, mesh, (x + 0.08 * size, y - 0.16, 0.84 * size, 0.06), ticks)
                label = "generated / reference" if row.kind == "ratio" else unit
                ax.text(x + size / 2, y - 0.3, label, fontsize=6, ha="center", va="top")
        meshes.append(drawn)
        if index in last:
            y -= BAR
    return figure, meshes


def _heading(layer: AnyLayer) -> str:
    if isinstance(layer, Layer):
        return f"layer {layer.id}"
    return f"layer {layer.id}, {layer.eta_edges[-1] - layer.eta_edges[0]:g} mm wide"


def _scale(row: Row) -> tuple[str, str]:
    return row.kind, row.scale


def _norm(rows: list[Row], row: Row, part: slice) -> Normalize:
    if row.kind == "ratio":
        return ratio_norm()
    return energy_norm(*(other.values[part] for other in rows if _scale(other) == _scale(row)))


def _energy_ticks(low: float, high: float) -> dict[float, str]:
    """At most three powers of ten within the scale, or its ends where it spans no two of them."""
    powers = np.arange(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(powers) < 2:
        return {low: f"{low:.2g}", high: f"{high:.2g}"}
    chosen = [10.0**power for power in powers[:: max(1, -(-len(powers) // 3))]]
    return {value: power_of_ten(value) for value in chosen}


def average_showers(
    geometry: Geometry, positions: list[int], generated: np.ndarray, reference: np.ndarray
) -> tuple[Figure, list[list[Any]]]:
    """Mean voxel energies (V,) of both samples and their ratio, layer by layer."""
    rows = [
        Row("generated", generated),
        Row("reference", reference),
        Row("ratio", ratio(generated, reference), kind="ratio"),
    ]
    return gallery(geometry, positions, rows, unit="mean energy [MeV]")


def energy_groups(generated: Showers, reference: Showers, n: int) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """At most `n` incident energies at which both samples have showers, lowest to highest.

    Energies count as equal within 15 %. Returns (energy in MeV, rows of generated, rows of reference) each.
    """
    groups = []
    left = np.unique(reference.energies)
    while len(left):
        energy = float(left[0])
        mine, theirs = (np.nonzero(abs(sample.energies / energy - 1) <= 0.15)[0] for sample in (generated, reference))
        left = left[left > 1.15 * energy]
        if len(mine) and len(theirs):
            groups.append((energy, mine, theirs))
    wanted = sorted({round(k) for k in np.linspace(0, len(groups) - 1, min(n, len(groups)))}) if groups else []
    return [groups[k] for k in wanted]


def single_showers(
    generated: Showers, reference: Showers, positions: list[int], *, n_energies: int = 3
) -> tuple[Figure, list[list[Any]]] | None:
    """One shower of each sample at a few incident energies; None if they have no energy in common."""
    rows = []
    for energy, mine, theirs in energy_groups(generated, reference, n_energies):
        name = format_energy(energy)
        rows.append(Row(f"generated\n{name}", generated.voxels[mine[0]], scale=name))
        rows.append(Row(f"reference\n{name}", reference.voxels[theirs[0]], scale=name))
    return gallery(reference.geometry, positions, rows, unit="energy [MeV]", size=1.3) if rows else None


def nearest(points: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) index of and distance to the nearest of `others` (m, V) for each of `points` (n, V)."""
    index, distance = np.empty(len(points), dtype=int), np.empty(len(points))
    for row, point in enumerate(points):
        # Differences, not dot products: those cancel when two showers are nearly the same.
        apart = others - point
        squared = np.einsum("ij,ij->i", apart, apart, dtype=np.float64)
        index[row] = squared.argmin()
        distance[row] = np.sqrt(squared[index[row]])
    return index, distance


def nearest_neighbours(
    generated: Showers, reference: Showers, positions: list[int], *, n_energies: int = 3
) -> tuple[Figure, list[list[Any]]] | None:
    """A shower of the reference and its nearest generated one at a few energies; None without common energies."""
    rows = []
    for energy, mine, theirs in energy_groups(generated, reference, n_energies):
        name = format_energy(energy)
        point = reference.voxels[theirs[:1]]
        index, distance = nearest(point, generated.voxels[mine])
        found = generated.voxels[mine[index[0]]]
        rows.append(Row(f"reference\n{name}", point[0], scale=name))
        rows.append(Row(f"nearest gen.\nd = {format_energy(distance[0]) if distance[0] else '0'}", found, scale=name))
    return gallery(reference.geometry, positions, rows, unit="energy [MeV]", size=1.3) if rows else None
