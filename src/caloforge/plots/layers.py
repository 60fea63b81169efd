"""Layers as images: polar layers as rings and sectors, Cartesian layers as rectangles.

All layers of a figure are drawn on one canvas, axes with coordinates in inches: separate axes, polar ones in
particular, take many times longer to create and draw than the showers on them.

If ring widths grow by large factors (ds1: 2 mm to 200 mm), the square root of the radius is drawn, so that the core
stays visible; equal rings (ds2, ds3) are drawn to scale. Energies have a logarithmic colour scale, shared by the images
being compared; voxels without energy are grey.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patheffects import Normal, Stroke

from caloforge.geometry import AnyLayer, Geometry, Layer
from caloforge.plots.style import EMPTY, ENERGY_MAP

RING = "#a8aeb8"
"""Colour of the labelled ring, visible both on the colour map and on empty voxels."""

FEWEST_SEGMENTS = 60
"""Minimum number of straight segments in a circle."""


def choose_layers(geometry: Geometry, voxels: np.ndarray, n: int) -> list[int]:
    """Indices of at most `n` layers to show: all, or those at equal steps of the deposited energy.

    Args:
        geometry: the voxels.
        voxels: (V,) energies in MeV, e.g. the means of a sample.
        n: maximum number of layers, at least 2.
    """
    return at_equal_steps(geometry.layer_sums(voxels), n)


def at_equal_steps(layer_energies: np.ndarray, n: int) -> list[int]:
    """Indices of at most `n` of the layers with energies (L,): all, or those at equal steps of the energy."""
    total = len(layer_energies)
    if total <= n:
        return list(range(total))
    if layer_energies.sum() <= 0:
        return sorted({round(k) for k in np.linspace(0, total - 1, n)})
    depth = np.cumsum(layer_energies) / layer_energies.sum()
    return sorted({int(np.searchsorted(depth, step)) for step in np.linspace(0.005, 0.995, n)})


def select(geometry: Geometry, positions: Sequence[int]) -> tuple[Geometry, np.ndarray]:
    """A geometry of the layers at `positions`, and the indices (V',) of its voxels in a row of all voxels."""
    kept = Geometry(geometry.name, tuple(geometry.layers[k] for k in positions), geometry.threshold)
    parts = [np.arange(geometry.slices[k].start, geometry.slices[k].stop) for k in positions]
    return kept, np.concatenate(parts)


def is_stretched(layer: Layer) -> bool:
    """Whether the square root of the radius is drawn: the widest ring is over four times as wide as the narrowest."""
    widths = np.diff(layer.r_edges)
    return bool(widths.max() > 4 * widths.min())


@dataclass(frozen=True)
class Frame:
    """A square on the canvas: left and lower edge, and side, in inches."""

    left: float
    low: float
    side: float

    def at(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Canvas coordinates of points in units of the side."""
        return self.left + self.side * np.asarray(x), self.low + self.side * np.asarray(y)


def draw_layer(
    layer: AnyLayer,
    voxels: np.ndarray,
    *,
    ax: Axes,
    frame: Frame,
    norm: Normalize,
    cmap: str = ENERGY_MAP,
    rings: bool = True,
) -> QuadMesh:
    """Draw the voxels of one layer.

    Args:
        layer: the layer.
        voxels: (n_voxels,) values; NaN, and zero with a logarithmic `norm`, are drawn grey.
        ax: the canvas.
        frame: position on the canvas; the outermost ring of a polar layer touches its sides.
        norm: colour scale.
        cmap: colour map.
        rings: label the radii (mm).

    Returns:
        the mesh; in a polar layer each alpha bin is divided so that circles look round.
    """
    image = np.asarray(voxels, dtype=float).reshape(layer.shape)
    image = np.ma.masked_invalid(image)
    if isinstance(norm, LogNorm):
        image = np.ma.masked_less_equal(image, 0)
    colours = mpl.colormaps[cmap].with_extremes(bad=EMPTY)
    if not isinstance(layer, Layer):
        columns, rows = (
            (edges - edges[0]) / (edges[-1] - edges[0]) for edges in map(np.asarray, (layer.eta_edges, layer.phi_edges))
        )
        mesh = _mesh(ax, *frame.at(*np.meshgrid(columns, rows)), image, norm, colours)
        ax.plot(*frame.at([0, 1, 1, 0, 0], [0, 0, 1, 1, 0]), color="black", linewidth=0.6)
        return mesh
    repeat = math.ceil(FEWEST_SEGMENTS / layer.n_alpha)
    angles = np.linspace(-math.pi, math.pi, layer.n_alpha * repeat + 1)
    edges = drawn_radii(layer)
    x, y = 0.5 + 0.5 * np.outer(edges, np.cos(angles)), 0.5 + 0.5 * np.outer(edges, np.sin(angles))
    mesh = _mesh(ax, *frame.at(x, y), np.ma.repeat(image, repeat, axis=0).T, norm, colours)
    _circle(ax, frame, 1.0, color="black", linewidth=0.6)
    if rings:
        _label_rings(ax, frame, layer)
    return mesh


def drawn_radii(layer: Layer) -> np.ndarray:
    """(n_r + 1,) drawn radii of the ring edges, in units of the outermost."""
    edges = np.asarray(layer.r_edges, dtype=float)
    scaled: np.ndarray = edges / edges[-1]
    return np.sqrt(scaled) if is_stretched(layer) else scaled


def _mesh(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Normalize, cmap: Any) -> QuadMesh:
    # Rasterised in the PDF: thousands of paths are slow to write and render, with hairlines between them.
    # The low zorder draws all meshes of the canvas before anything else, and thus into one image.
    mesh = QuadMesh(
        np.stack([x, y], axis=-1), array=values, antialiased=False, norm=norm, cmap=cmap, rasterized=True, zorder=-1
    )
    # `pcolormesh` would adjust the limits of the canvas to each mesh.
    ax.add_collection(mesh, autolim=False)
    return mesh


def _circle(ax: Axes, frame: Frame, radius: float, **look: Any) -> None:
    angles = np.linspace(0, 2 * math.pi, 91)
    ax.plot(*frame.at(0.5 + 0.5 * radius * np.cos(angles), 0.5 + 0.5 * radius * np.sin(angles)), **look)


def _label_rings(ax: Axes, frame: Frame, layer: Layer) -> None:
    edges = drawn_radii(layer)
    for radius in (0.5, 1.0):
        ring = 1 + int(np.argmin(np.abs(edges[1:] - radius)))
        if radius < 1:
            _circle(ax, frame, edges[ring], color=RING, linewidth=0.4)
        x, y = frame.at(*[0.5 + 0.5 * edges[ring] * math.sqrt(0.5)] * 2)
        shift = 0.03 if radius == 1 else 0.0
        text = ax.text(float(x) + shift, float(y) + shift, f"{layer.r_edges[ring]:g}", fontsize=6.5, color="#374151")
        text.set_path_effects([Stroke(linewidth=1.5, foreground="white", alpha=0.8), Normal()])


def draw_colour_bar(
    ax: Axes, norm: Normalize, cmap: str, box: tuple[float, float, float, float], ticks: Mapping[float, str]
) -> None:
    """Draw a horizontal colour bar in `box` (left, low, width, height; inches) with labelled `ticks` below."""
    left, low, width, height = box
    steps = np.linspace(0, 1, 65)
    middles = norm.inverse((steps[1:] + steps[:-1]) / 2)
    corners = np.meshgrid(left + width * steps, [low, low + height])
    _mesh(ax, *corners, np.asarray(middles)[None], norm, mpl.colormaps[cmap])
    ax.plot(left + width * np.array([0, 1, 1, 0, 0]), low + height * np.array([0, 0, 1, 1, 0]), color="black", lw=0.4)
    for value, text in ticks.items():
        x = left + width * float(norm(value))
        ax.plot([x, x], [low, low - 0.03], color="black", linewidth=0.5)
        ax.text(x, low - 0.045, text, fontsize=7, ha="center", va="top")


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
    """generated / reference, clipped to 1/1000 … 1000; NaN where neither has energy.

    A voxel with energy in only one sample gets the extreme value.
    """
    first, second = (np.asarray(part, dtype=np.float64) for part in (generated, reference))
    beyond = np.where(first > 0, 1e3, np.nan)  # where the reference has no energy
    return np.clip(np.divide(first, second, out=beyond, where=second > first / 1e3), 1e-3, 1e3)
