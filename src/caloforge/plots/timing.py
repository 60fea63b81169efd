"""Time per shower against the number of showers per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from caloforge.plots.style import CYCLE, axes, styled


class Spread(Protocol):
    """Times of repeated calls: median and quartiles."""

    @property
    def median(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...


@styled
def draw_times(
    batches: Sequence[int], times: Mapping[str, Sequence[Spread]], *, title: str = "", ax: Axes | None = None
) -> list[Line2D]:
    """Draw the median time per shower, with its quartiles as a band.

    Args:
        batches: showers per call, rising.
        times: label → ms per shower at each batch.
        title: of the axes, as "one thread".
        ax: where to draw; None makes a figure.

    Returns:
        the lines, in the order of `times`.
    """
    ax = axes(ax, width=6.0, height=4.0)
    lines = []
    for number, (label, spreads) in enumerate(times.items()):
        colour = CYCLE[number % len(CYCLE)]
        lines += ax.plot(batches, [each.median for each in spreads], marker="o", color=colour, label=label)
        ax.fill_between(
            batches, [each.lower for each in spreads], [each.upper for each in spreads], color=colour, alpha=0.2
        )
    ax.set(xscale="log", yscale="log", xlabel="showers per call", ylabel="ms per shower")
    ax.set_title(title, loc="left")
    ax.legend(frameon=False)
    return lines
