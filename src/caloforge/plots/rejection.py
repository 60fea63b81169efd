"""Identification of particles: one over the fraction of the other class that passes a cut, against the efficiency."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import CYCLE, axes, logarithmic

LINES = ("-", "--", ":", "-.")


def draw_rejection(curves: Sequence[Data], *, ax: Axes) -> list[Line2D]:
    """Draw one line per curve.

    Args:
        curves: each {"label", "efficiency", "rejection" (P)}.
        ax: axes to draw on.
    """
    lines: list[Line2D] = []
    for k, curve in enumerate(curves):
        (line,) = ax.plot(numbers(curve["efficiency"]), numbers(curve["rejection"]), label=curve["label"])
        line.set(color=CYCLE[k % len(CYCLE)], linestyle=LINES[k % len(LINES)])
        lines.append(line)
    logarithmic(ax, "y")
    ax.set_xlim(0, 1.02)
    ax.set_xlabel("efficiency for single showers")
    ax.set_ylabel("1 / efficiency for the other class")
    if curves:
        ax.legend(loc="lower left", frameon=False)
    return lines


@chart("rejection")
def rejection(data: Data, ax: Axes | None = None) -> Axes:
    """All curves on one panel."""
    ax = axes(ax, width=5.2, height=3.8)
    draw_rejection(data["curves"], ax=ax)
    return ax
