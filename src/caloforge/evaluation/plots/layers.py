"""Layers as pictures: polar layers as rings and sectors, Cartesian layers as images.

All pictures of a figure stand on one canvas, axes whose unit is an inch: axes of their own, polar ones above all,
take many times longer to make and to draw than the shower on them.

Where rings grow by large factors (ds1: 2 mm to 200 mm) the radius is drawn as its square root, so that the core
stays visible; equal rings (ds2, ds3) are drawn as they are. Energies have a logarithmic colour scale, shared by
the pictures that are compared; a voxel without energy is grey.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from caloforge.evaluation.plots.style import EMPTY, ENERGY_MAP
from caloforge.geometry import AnyLayer, Geometry, Layer

RING = "#a8aeb8"
"""Colour of ring labels, to be read on the colour map and on empty voxels alike."""

FEWEST_SEGMENTS = 60
"""A circle is drawn with at least so many straight pieces."""


def choose_layers(geometry: Geometry, voxel_mean: np.ndarray, n: int) -> list[int]:
    """Positions of at most `n` layers to show: all, or those at equal steps of the deposited energy.

    Args:
        geometry: the voxels.
        voxel_mean: (V,) mean energies in MeV.
        n: how many pictures there is room for, at least 2.
    """
    if geometry.n_layers <= n:
        return list(range(geometry.n_layers))
    means = np.array([voxel_mean[part].sum() for part in geometry.slices])
    if means.sum() <= 0:
        return sorted({round(k) for k in np.linspace(0, geometry.n_layers - 1, n)})
    depth = np.cumsum(means) / means.sum()
    steps = np.linspace(0.005, 0.995, n)
    return sorted({int(np.searchsorted(depth, step)) for step in steps})


def is_stretched(layer: Layer) -> bool:
    """Whether the radius is drawn as its square root: the widest ring is over four times the narrowest."""
    widths = np.diff(layer.r_edges)
    return bool(widths.max() > 4 * widths.min())


@dataclass(frozen=True)
class Frame:
    """A square on the canvas: its left and lower ends and its side, in inches."""

    left: float
    low: float
    side: float

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Canvas coordinates of points given in shares of the square."""
        return self.left + self.side * np.asarray(x), self.low + self.side * np.asarray(y)


def canvas(figure: Figure) -> Axes:
    """Axes over all of `figure` with coordinates in inches from its lower left corner."""
    width, height = figure.get_size_inches()
    return figure.add_axes((0.0, 0.0, 1.0, 1.0), frameon=False, xticks=(), yticks=(), xlim=(0, width), ylim=(0, height))


def draw_layer(
    layer: AnyLayer,
    voxels: np.ndarray,
    *,
    ax: Axes,
    frame: Frame,
    norm: Normalize,
    cmap: str = ENERGY_MAP,
    rings: bool = True,
) -> Any:
    """Draw one layer's voxels.

    Args:
        layer: the layer.
        voxels: (n_voxels,) values; NaN, or zero under a logarithmic `norm`, is drawn grey.
        ax: the canvas.
        frame: where on it; a polar layer's outermost ring touches its sides.
        norm: colour scale.
        cmap: colour map.
        rings: label the radii (mm).

    Returns:
        The `QuadMesh`; for a polar layer each alpha bin is repeated to look round.
    """
    image = np.asarray(voxels, dtype=float).reshape(layer.shape)
    image = np.ma.masked_invalid(image)
    if isinstance(norm, LogNorm):
        image = np.ma.masked_less_equal(image, 0)
    # As an image inside the PDF: thousands of paths are slow to write and to show, with hair lines between them.
    # The low zorder puts all meshes of the canvas before anything else, and so into one image.
    look: dict[str, Any] = {
        "norm": norm,
        "cmap": mpl.colormaps[cmap].with_extremes(bad=EMPTY),
        "rasterized": True,
        "zorder": -1,
    }
    if not isinstance(layer, Layer):
        columns, rows = (
            (edges - edges[0]) / (edges[-1] - edges[0]) for edges in map(np.asarray, (layer.eta_edges, layer.phi_edges))
        )
        mesh = _mesh(ax, *frame.place(*np.meshgrid(columns, rows)), image, look)
        ax.plot(*frame.place([0, 1, 1, 0, 0], [0, 0, 1, 1, 0]), color="black", linewidth=0.6)
        return mesh
    repeat = math.ceil(FEWEST_SEGMENTS / layer.n_alpha)
    angles = np.linspace(-math.pi, math.pi, layer.n_alpha * repeat + 1)
    edges = drawn_radii(layer)
    x, y = 0.5 + 0.5 * np.outer(edges, np.cos(angles)), 0.5 + 0.5 * np.outer(edges, np.sin(angles))
    mesh = _mesh(ax, *frame.place(x, y), np.ma.repeat(image, repeat, axis=0).T, look)
    _circle(ax, frame, 1.0, color="black", linewidth=0.6)
    if rings:
        _label_rings(ax, frame, layer)
    return mesh


def drawn_radii(layer: Layer) -> np.ndarray:
    """(n_r + 1,) where the ring edges are drawn, as shares of the outermost."""
    edges = np.asarray(layer.r_edges, dtype=float)
    return np.sqrt(edges / edges[-1]) if is_stretched(layer) else edges / edges[-1]


def _mesh(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, look: dict[str, Any]) -> QuadMesh:
    # `pcolormesh` would fit the canvas's limits to each mesh.
    mesh = QuadMesh(np.stack([x, y], axis=-1), array=values, antialiased=False, **look)
    ax.add_collection(mesh, autolim=False)
    return mesh


def _circle(ax: Axes, frame: Frame, radius: float, **look: Any) -> None:
    angles = np.linspace(0, 2 * math.pi, 91)
    ax.plot(*frame.place(0.5 + 0.5 * radius * np.cos(angles), 0.5 + 0.5 * radius * np.sin(angles)), **look)


def _label_rings(ax: Axes, frame: Frame, layer: Layer) -> None:
    edges = drawn_radii(layer)
    for share in (0.5, 1.0):
        ring = 1 + int(np.argmin(np.abs(edges[1:] - share)))
        if share < 1:
            _circle(ax, frame, edges[ring], color=RING, linewidth=0.4)
        x, y = frame.place(*[0.5 + 0.5 * edges[ring] * math.sqrt(0.5)] * 2)
        shift = 0.03 if share == 1 else 0.0
        colour = RING if share < 1 else "#374151"
        ax.text(x + shift, y + shift, f"{layer.r_edges[ring]:g}", fontsize=5.5, color=colour)


def draw_colours(ax: Axes, mesh: Any, box: tuple[float, float, float, float], ticks: Mapping[float, str]) -> None:
    """A horizontal colour bar of `mesh` in `box` (left, low, width, height, inches) with labelled `ticks` below."""
    left, low, width, height = box
    steps = np.linspace(0, 1, 65)
    middles = mesh.norm.inverse((steps[1:] + steps[:-1]) / 2)
    corners = np.meshgrid(left + width * steps, [low, low + height])
    look = {"norm": mesh.norm, "cmap": mesh.cmap, "rasterized": True, "zorder": -1}
    _mesh(ax, *corners, np.asarray(middles)[None], look)
    ax.plot(left + width * np.array([0, 1, 1, 0, 0]), low + height * np.array([0, 0, 1, 1, 0]), color="black", lw=0.4)
    for value, text in ticks.items():
        x = left + width * float(mesh.norm(value))
        ax.plot([x, x], [low, low - 0.03], color="black", linewidth=0.5)
        ax.text(x, low - 0.045, text, fontsize=6, ha="center", va="top")


def energy_norm(*samples: np.ndarray, decades: float = 5.0) -> LogNorm:
    """A logarithmic scale over all of `samples`, at most `decades` below the largest value."""
    values = np.concatenate([np.ravel(sample) for sample in samples])
    positive = values[values > 0]
    if len(positive) == 0:
        return LogNorm(0.1, 1.0)
    high = float(positive.max())
    low = max(float(positive.min()), high * 10**-decades)
    return LogNorm(low, high) if low < high else LogNorm(high / 10, high)


def ratio_norm(span: float = 2.0) -> LogNorm:
    """A logarithmic scale of ratios, from 1/span to span around 1."""
    return LogNorm(1 / span, span)


def ratio(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """generated / reference, kept within 1/1000 … 1000; NaN where neither has energy.

    A voxel that only one sample reaches is as far off as can be, and shall look so.
    """
    either = (generated > 0) | (reference > 0)
    smallest = np.finfo(np.float64).tiny
    divided = np.asarray(generated, dtype=np.float64) / np.maximum(reference, smallest)
    return np.where(either, np.clip(divided, 1e-3, 1e3), np.nan)
