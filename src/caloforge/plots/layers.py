"""Layers as images: polar layers as rings and sectors, Cartesian layers as rectangles.

All layers of a figure are drawn on one canvas, axes whose unit is an inch: axes of their own, polar ones above all,
take many times longer to make and to draw than the shower on them.

Where rings grow by large factors (ds1: 2 mm to 200 mm) the radius is drawn as its square root, so that the core stays
visible; equal rings (ds2, ds3) are drawn as they are. Energies have a logarithmic colour scale, shared by the images
that are compared; a voxel without energy is grey.
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
"""Colour of the labelled ring, to be seen on the colour map and on empty voxels alike."""

FEWEST_SEGMENTS = 60
"""A circle is drawn with at least so many straight segments."""


def choose_layers(geometry: Geometry, voxels: np.ndarray, n: int) -> list[int]:
    """Positions of at most `n` layers to show: all, or those at equal steps of the deposited energy.

    Args:
        geometry: the voxels.
        voxels: (V,) energies in MeV, as a sample's means.
        n: how many there is room for, at least 2.
    """
    return at_equal_steps(geometry.layer_sums(voxels), n)


def at_equal_steps(layer_energies: np.ndarray, n: int) -> list[int]:
    """Positions of at most `n` of the layers with energies (L,): all, or those at equal steps of the energy."""
    total = len(layer_energies)
    if total <= n:
        return list(range(total))
    if layer_energies.sum() <= 0:
        return sorted({round(k) for k in np.linspace(0, total - 1, n)})
    depth = np.cumsum(layer_energies) / layer_energies.sum()
    return sorted({int(np.searchsorted(depth, step)) for step in np.linspace(0.005, 0.995, n)})


def select(geometry: Geometry, positions: Sequence[int]) -> tuple[Geometry, np.ndarray]:
    """The layers at `positions` as a geometry of their own, and the indices of its voxels in a row of all (V',)."""
    kept = Geometry(geometry.name, tuple(geometry.layers[k] for k in positions), geometry.threshold)
    parts = [np.arange(geometry.slices[k].start, geometry.slices[k].stop) for k in positions]
    return kept, np.concatenate(parts)


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

    def at(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Canvas coordinates of points given in units of the side."""
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
        the mesh; in a polar layer each alpha bin is repeated to look round.
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
    """(n_r + 1,) where the ring edges are drawn, in units of the outermost."""
    edges = np.asarray(layer.r_edges, dtype=float)
    scaled: np.ndarray = edges / edges[-1]
    return np.sqrt(scaled) if is_stretched(layer) else scaled


def _mesh(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray, norm: Normalize, cmap: Any) -> QuadMesh:
    # As an image inside the PDF: thousands of paths are slow to write and to show, with hair lines between them.
    # The low zorder puts all meshes of the canvas before anything else, and so into one image.
    mesh = QuadMesh(
        np.stack([x, y], axis=-1), array=values, antialiased=False, norm=norm, cmap=cmap, rasterized=True, zorder=-1
    )
    # `pcolormesh` would fit the canvas's limits to each mesh.
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
    """A horizontal colour bar in `box` (left, low, width, height, inches) with labelled `ticks` below."""
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
    """generated / reference, kept within 1/1000 … 1000; NaN where neither has energy.

    A voxel that only one sample reaches is as far off as can be, and shall look so.
    """
    first, second = (np.asarray(part, dtype=np.float64) for part in (generated, reference))
    beyond = np.where(first > 0, 1e3, np.nan)  # where the reference has no energy
    return np.clip(np.divide(first, second, out=beyond, where=second > first / 1e3), 1e-3, 1e3)
