"""Statistics of tests beside their null distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from caloforge.plots.charts import Data, chart
from caloforge.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, axes

LINEAR = 5.0
"""The axis is linear up to here, and logarithmic beyond."""


def draw_nulls(rows: Sequence[Data], *, ax: Axes, label: str = "") -> Line2D:
    """One row per test, from the top: the bar of its null distribution, and a dot for the statistic."""
    at = np.arange(len(rows))
    low, high, values = (np.array([float(row[key]) for row in rows]) for key in ("low", "high", "value"))
    ax.barh(at, high - low, left=low, height=0.55, color=REFERENCE_FILL)
    ax.axvline(0, color=REFERENCE, linewidth=0.8, linestyle="--")
    (dots,) = ax.plot(values, at, "o", color=GENERATED, markersize=5)
    for k, (row, value) in enumerate(zip(rows, values, strict=True)):
        ax.annotate(row["text"], (value, k), (7, 0), textcoords="offset points", va="center", fontsize=7.5)
    ax.set_xscale("symlog", linthresh=LINEAR)
    top = max(6.0, 6 * float(values.max(initial=0.0)) if values.max(initial=0.0) > LINEAR else 6.0)
    ticks = [-3, 0, 3, *(x for x in (10, 30, 100, 300, 1000, 3000, 10_000) if x < top)]
    ax.set_xlim(min(-3.5, float(values.min(initial=0.0)) - 0.5), top)
    ax.set_xticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    ax.minorticks_off()
    ax.set_yticks(at, [row["name"] for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.tick_params(axis="y", which="both", length=0)
    ax.set_xlabel(label)
    return dots


@chart("nulls")
def nulls(data: Data, ax: Axes | None = None) -> Axes:
    """Tests with their null distributions."""
    ax = axes(ax, width=7.4, height=0.8 + 0.3 * len(data["rows"]))
    draw_nulls(data["rows"], ax=ax, label=data.get("label", ""))
    return ax
