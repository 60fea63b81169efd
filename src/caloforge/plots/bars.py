"""Horizontal bar charts, e.g. for the importance of each observable to a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import GENERATED, REFERENCE, axes


def draw_bars(
    names: Sequence[str], values: np.ndarray, errors: np.ndarray | None = None, *, ax: Axes, label: str = ""
) -> BarContainer:
    """Draw one bar per name, from the top in the given order.

    Args:
        names, values, errors: (K,) each.
        ax: axes to draw on.
        label: label of the horizontal axis.
    """
    rows = np.arange(len(names))
    bars = ax.barh(
        rows, values, xerr=errors, color=GENERATED, height=0.7, error_kw={"ecolor": REFERENCE, "elinewidth": 0.8}
    )
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_yticks(rows, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", which="both", length=0)
    ax.set_xlabel(label)
    return bars


@chart("bars")
def bars(data: Data, ax: Axes | None = None) -> Axes:
    """Bars, with errors if given."""
    ax = axes(ax, width=6.4, height=0.7 + 0.22 * len(data["names"]))
    errors = data.get("errors")
    draw_bars(
        data["names"],
        numbers(data["values"]),
        None if errors is None else numbers(errors),
        ax=ax,
        label=data.get("label", ""),
    )
    return ax
