"""Showers as images: one column per layer, one row per shower or sample, one colour bar per column and scale.

`shower` draws one shower, `gallery` any rows: average showers with their ratio, single showers, nearest neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize

from caloforge.geometry import AnyLayer, Geometry, Layer
from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.layers import (
    Frame,
    choose_layers,
    draw_colour_bar,
    draw_layer,
    energy_norm,
    ratio,
    ratio_norm,
    select,
)
from caloforge.plots.style import ENERGY_MAP, RATIO_MAP, new_figure, power_of_ten, styled, with_own_margins
from caloforge.units import format_energy

LEFT, TOP, GAP, ROW_GAP, BAR = 0.5, 0.32, 0.16, 0.08, 0.5
"""Margins of a gallery in inches."""

COLUMNS = 6
"""Number of layers per row of images, and default number of layers shown for a calorimeter with more."""

FEW_ROWS = 3
"""Maximum number of rows in a chart with full-size images."""

RATIO_TICKS = {0.5: "½", 1.0: "1", 2.0: "2"}


@dataclass(frozen=True)
class ImageRow:
    """One row of images.

    Args:
        title: label on the left, of one or two lines.
        voxels: (V,) energies in MeV, or a ratio.
        scale: rows with the same scale share their colour scales, layer by layer.
        is_ratio: whether `voxels` is a ratio.
    """

    title: str
    voxels: np.ndarray
    scale: str = ""
    is_ratio: bool = False

    @property
    def colours(self) -> tuple[bool, str]:
        """Key that is equal for rows drawn on the same colour scale."""
        return self.is_ratio, self.scale


def shower(
    geometry: Geometry,
    voxels: np.ndarray,
    energy: float | None = None,
    *,
    layers: Iterable[int] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """One shower, layer by layer.

    Args:
        geometry: the voxels.
        voxels: (V,) energies in MeV.
        energy: incident energy in MeV, for the title.
        layers: ids of the layers to draw; None draws all, or six at equal steps of the energy if there are more.
        title: label on the left, above the incident energy.
        ax: existing axes, which become the canvas; None creates a figure.

    Returns:
        the axes.

    Raises:
        CaloforgeError: a layer is not in the geometry.
        ValueError: `voxels` do not fit the geometry, or `layers` is empty.
    """
    values = np.asarray(voxels)
    if values.shape != (geometry.n_voxels,):
        raise ValueError(f"a shower of '{geometry.name}' has {geometry.n_voxels} voxels, not shape {values.shape}")
    if layers is None:
        positions = choose_layers(geometry, values, COLUMNS)
    else:
        positions = [geometry.layers.index(geometry.layer(number)) for number in layers]
    if not positions:
        raise ValueError("'layers' is empty; give at least one layer id, or None for all")
    kept, index = select(geometry, positions)
    words = [title] * bool(title) + ([] if energy is None else [format_energy(energy)])
    return gallery(kept, [ImageRow("\n".join(words), values[index])], unit="energy [MeV]", ax=ax)[0]


@styled
def gallery(
    geometry: Geometry,
    rows: Sequence[ImageRow],
    *,
    unit: str = "energy [MeV]",
    size: float = 1.5,
    ax: Axes | None = None,
) -> tuple[Axes, list[list[QuadMesh]]]:
    """Draw `rows` for all layers of `geometry`.

    Args:
        geometry: the voxels.
        rows: rows to draw, from the top.
        unit: label of the colour bar for energies.
        size: inches per image.
        ax: existing axes, which become the canvas; None creates a figure.

    Returns:
        (axes, meshes), meshes[row][layer].
    """
    bars = sum(_ends_scale(rows, k) for k in range(len(rows)))
    band = TOP + len(rows) * (size + ROW_GAP) + bars * BAR
    columns = min(COLUMNS, geometry.n_layers)
    n_bands = -(-geometry.n_layers // columns)
    width, height = LEFT + columns * (size + GAP), n_bands * band
    canvas = _canvas(ax, width, height)
    meshes: list[list[QuadMesh]] = [[] for _ in rows]
    for number in range(n_bands):
        positions = range(geometry.n_layers)[number * columns : (number + 1) * columns]
        _band(canvas, geometry, positions, rows, height - number * band, unit, size, meshes)
    return canvas, meshes


def _canvas(ax: Axes | None, width: float, height: float) -> Axes:
    """Axes with coordinates in inches: `ax`, or axes that fill a new figure."""
    if ax is None:
        ax = new_figure(width, height).canvas_axes()
    else:
        ax.set_aspect("equal")
    ax.set(xlim=(0, width), ylim=(0, height), xticks=(), yticks=(), frame_on=False)
    return with_own_margins(ax)


def _band(
    ax: Axes,
    geometry: Geometry,
    positions: Sequence[int],
    rows: Sequence[ImageRow],
    top: float,
    unit: str,
    size: float,
    meshes: list[list[QuadMesh]],
) -> None:
    y = top - TOP
    for index, row in enumerate(rows):
        y -= size + ROW_GAP
        ax.text(0.2, y + size / 2, row.title, rotation=90, ha="center", va="center", fontsize=8)
        ends = _ends_scale(rows, index)
        for column, position in enumerate(positions):
            layer, part = geometry.layers[position], geometry.slices[position]
            x = LEFT + column * (size + GAP)
            if index == 0:
                ax.text(x + size / 2, top - 0.13, _heading(layer), ha="center", va="center", fontsize=9)
            norm, cmap = _norm(rows, row, part), RATIO_MAP if row.is_ratio else ENERGY_MAP
            mesh = draw_layer(
                layer, row.voxels[part], ax=ax, frame=Frame(x, y, size), norm=norm, cmap=cmap, rings=index == 0
            )
            meshes[index].append(mesh)
            # A colour bar covers all rows of its scale, not only the last one.
            alike = [other.voxels[part] for other in rows if other.colours == row.colours]
            if ends and any((values > 0).any() for values in alike):
                ticks = RATIO_TICKS if row.is_ratio else _energy_ticks(*mesh.get_clim())
                draw_colour_bar(ax, norm, cmap, (x + 0.08 * size, y - 0.16, 0.84 * size, 0.06), ticks)
                label = "generated / reference" if row.is_ratio else unit
                ax.text(x + size / 2, y - 0.31, label, fontsize=7, ha="center", va="top")
        y -= BAR * ends


def _ends_scale(rows: Sequence[ImageRow], index: int) -> bool:
    """Whether a colour bar goes below this row, because the next one has another scale."""
    return index + 1 == len(rows) or rows[index + 1].colours != rows[index].colours


def _heading(layer: AnyLayer) -> str:
    if isinstance(layer, Layer):
        return f"layer {layer.id}"
    return f"layer {layer.id}, {layer.eta_edges[-1] - layer.eta_edges[0]:g} mm wide"


def _norm(rows: Sequence[ImageRow], row: ImageRow, part: slice) -> Normalize:
    if row.is_ratio:
        return ratio_norm()
    return energy_norm(*(other.voxels[part] for other in rows if other.colours == row.colours))


def _energy_ticks(low: float, high: float) -> dict[float, str]:
    """At most three powers of ten within the scale, or its limits if it contains fewer than two."""
    powers = np.arange(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    if len(powers) < 2:
        return {low: f"{low:.2g}", high: f"{high:.2g}"}
    chosen = [10.0**power for power in powers[:: max(1, -(-len(powers) // 3))]]
    return {value: power_of_ten(value) for value in chosen}


@chart("showers")
def showers(data: Data, ax: Axes | None = None) -> Axes:
    """Rows of showers, and optionally the ratio of the first two."""
    rows = [ImageRow(str(row["title"]), numbers(row["voxels"]), str(row.get("scale", ""))) for row in data["rows"]]
    if data.get("ratio"):
        rows.append(ImageRow("ratio", ratio(rows[0].voxels, rows[1].voxels), is_ratio=True))
    size = 1.5 if len(rows) <= FEW_ROWS else 1.3
    return gallery(Geometry.from_dict(data["geometry"]), rows, unit=data["unit"], size=size, ax=ax)[0]
