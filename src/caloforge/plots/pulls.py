"""Pulls beside the normal distribution that they should follow."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, axes, draw_steps


def draw_pulls(edges: np.ndarray, values: np.ndarray, others: np.ndarray | None = None, *, ax: Axes) -> StepPatch:
    """Draw the density of pulls (B,) over N(0, 1), and, filled, that of pulls which follow it by construction.

    Args:
        edges: (B + 1,).
        values, others: (B,) counts, without what lies outside.
        ax: axes to draw on.
    """
    width, top = np.diff(edges), 0.45
    for counts, look in (
        (others, {"facecolor": REFERENCE_FILL, "label": "each training"}),
        (values, {"edgecolor": GENERATED, "linewidth": 1.4, "label": "Geant4"}),
    ):
        if counts is not None and counts.sum() > 0:
            density = counts / counts.sum() / width
            top = max(top, 1.25 * float(density.max()))
            drawn = draw_steps(ax, density, edges, **look)
    x = np.linspace(edges[0], edges[-1], 201)
    ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), "--", color=REFERENCE, linewidth=1, label="N(0, 1)")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(0, top)
    ax.set_xlabel("pull")
    ax.set_ylabel("density")
    ax.legend(loc="upper right")
    return drawn


@chart("pulls")
def pulls(data: Data, ax: Axes | None = None) -> Axes:
    """Pulls over N(0, 1)."""
    ax = axes(ax, width=4.6, height=3.2)
    others = data.get("others")
    values = numbers(data["values"])
    draw_pulls(numbers(data["edges"]), values, None if others is None else numbers(others), ax=ax)
    return ax
