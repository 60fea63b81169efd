"""Time per shower against the number of showers per call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from caloforge.plots.style import CYCLE, axes, styled


class Quartiles(Protocol):
    """Times of repeated calls: median and quartiles."""

    @property
    def median(self) -> float: ...
    @property
    def lower(self) -> float: ...
    @property
    def upper(self) -> float: ...


def draw_times(
    batches: Sequence[int], times: Mapping[str, Sequence[Quartiles]], *, ax: Axes, title: str = ""
) -> list[Line2D]:
    """Draw the median time per shower, with its quartiles as a band.

    Args:
        batches: showers per call, in increasing order.
        times: label → ms per shower at each batch.
        ax: axes to draw on.
        title: title of the axes, e.g. "one thread".

    Returns:
        the lines, in the order of `times`.
    """
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


@styled
def times(
    batches: Sequence[int], spreads: Mapping[str, Sequence[Quartiles]], *, title: str = "", ax: Axes | None = None
) -> Axes:
    """Times per shower (see `draw_times`), on `ax` or in a new figure."""
    ax = axes(ax, width=6.0, height=4.0)
    draw_times(batches, spreads, ax=ax, title=title)
    return ax
