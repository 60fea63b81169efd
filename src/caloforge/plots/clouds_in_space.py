"""Single point clouds, generated ones above their nearest in the reference: in 3-D, or jets in the plane."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import ENERGY_MAP, frame

WIDTH, HEIGHT = 3.0, 2.9
"""Of a panel, in inches."""

AREA = 60.0
"""Of the largest point of a jet, in square points; others in proportion to their p_T."""


@chart("clouds")
def clouds(data: Data, ax: Axes | None = None) -> Axes:
    """Pairs of clouds side by side; points of all have one colour scale."""
    pairs, labels = data["pairs"], data["axes"]
    width, height = len(pairs) * WIDTH, 2 * HEIGHT
    outer = frame(ax, width, height)
    every = np.concatenate([numbers(pair[row]["weights"]) for pair in pairs for row in ("generated", "reference")])
    positive = every[every > 0]
    norm = LogNorm(positive.min(), positive.max()) if len(positive) and positive.min() < positive.max() else None
    for k, pair in enumerate(pairs):
        spans = _spans([numbers(pair[row]["points"]).reshape(-1, len(labels)) for row in ("generated", "reference")])
        for row, name in enumerate(("generated", "reference")):
            box = ((k * WIDTH + 0.45) / width, ((1 - row) * HEIGHT + 0.4) / height)
            size = ((WIDTH - 0.6) / width, (HEIGHT - 0.75) / height)
            panel = cast(Any, outer.inset_axes((*box, *size), projection="3d" if len(labels) == 3 else None))
            points, weights = numbers(pair[name]["points"]).reshape(-1, len(labels)), numbers(pair[name]["weights"])
            area = AREA * weights / max(float(every.max()), 1e-30) if len(labels) == 2 else 4.0
            panel.scatter(*points.T, c=np.maximum(weights, 1e-30), s=area, cmap=ENERGY_MAP, norm=norm, linewidths=0)
            panel.set_title(pair[f"{name}_title"], fontsize=8)
            for axis, label, (low, high) in zip("xyz", labels, spans, strict=False):
                getattr(panel, f"set_{axis}label")(label, fontsize=7, labelpad=0)
                getattr(panel, f"set_{axis}lim")(low, high)
            panel.tick_params(labelsize=6, pad=0)
            panel.locator_params(nbins=4)
    return outer


def _spans(parts: list[np.ndarray]) -> list[tuple[float, float]]:
    """Limits of each axis that hold all points of both clouds."""
    both = np.concatenate(parts)
    if not len(both):
        return [(0.0, 1.0)] * both.shape[1]
    low, high = both.min(axis=0), both.max(axis=0)
    room = np.where(high > low, 0.03 * (high - low), 1.0)
    return [(float(a), float(b)) for a, b in zip(low - room, high + room, strict=True)]
