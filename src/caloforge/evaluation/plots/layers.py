"""Layers as pictures: polar layers as rings and sectors on polar axes, Cartesian layers as images.

Where rings grow by large factors (ds1: 2 mm to 200 mm) the radius is drawn as its square root, so that the core
stays visible; equal rings (ds2, ds3) are drawn as they are. Energies have a logarithmic colour scale, shared by
the pictures that are compared; a voxel without energy is grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
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


def draw_layer(
    layer: AnyLayer, voxels: np.ndarray, *, ax: Axes, norm: Normalize, cmap: str = ENERGY_MAP, rings: bool = True
) -> Any:
    """Draw one layer's voxels.

    Args:
        layer: the layer.
        voxels: (n_voxels,) values; NaN, or zero under a logarithmic `norm`, is drawn grey.
        ax: polar axes for a polar layer (`add_layer_axes` makes the right kind).
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
    colours = mpl.colormaps[cmap].with_extremes(bad=EMPTY)
    ax.grid(False)
    if not isinstance(layer, Layer):
        mesh = ax.pcolormesh(layer.eta_edges, layer.phi_edges, image, norm=norm, cmap=colours)
        ax.tick_params(labelbottom=False, labelleft=False, length=2)
        return mesh
    repeat = math.ceil(FEWEST_SEGMENTS / layer.n_alpha)
    angles = np.linspace(-math.pi, math.pi, layer.n_alpha * repeat + 1)
    stretch: Callable[[Any], Any] = np.sqrt if is_stretched(layer) else np.asarray
    radii = stretch(np.asarray(layer.r_edges))
    mesh = ax.pcolormesh(angles, radii, np.ma.repeat(image, repeat, axis=0).T, norm=norm, cmap=colours)
    ax.set_ylim(0, radii[-1])
    # The axes of a polar plot take longer to draw than the shower.
    ax.set_axis_off()
    circle = np.linspace(0, 2 * math.pi, 90)
    ax.plot(circle, np.full_like(circle, radii[-1]), color="black", linewidth=0.6, clip_on=False)
    if rings:
        _label_rings(ax, layer, stretch)
    return mesh


def _label_rings(ax: Axes, layer: Layer, stretch: Callable[[Any], Any]) -> None:
    outermost = stretch(layer.r_edges[-1])
    for share in (0.5, 1.0):
        edge = min(layer.r_edges[1:], key=lambda r: abs(stretch(r) - share * outermost))
        circle = np.linspace(0, 2 * math.pi, 90)
        if share < 1:
            ax.plot(circle, np.full_like(circle, stretch(edge)), color=RING, linewidth=0.4)
        ax.annotate(
            f"{edge:g}",
            (math.radians(45), stretch(edge)),
            xytext=(2, 2) if share == 1 else (0, 0),
            textcoords="offset points",
            fontsize=5.5,
            color=RING if share < 1 else "#374151",
            annotation_clip=False,
        )


def add_layer_axes(figure: Figure, layer: AnyLayer, box: tuple[float, float, float, float]) -> Axes:
    """Axes of the kind that `layer` needs at `box` (left, bottom, width, height, as shares of the figure)."""
    return figure.add_axes(box, projection="polar" if isinstance(layer, Layer) else None)


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
