"""Intrinsic dimension against the number of neighbours, as in CaloMan's Fig. 2 (arXiv:2211.15380)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer

from caloforge.plots.style import CYCLE, frame, styled

MARKERS = "osD^vP"

SIDE = 3.8
"""Inches of a panel with its margins."""


class Estimated(Protocol):
    """A point on a curve: the dimension `value` ± `error` from `k` neighbours."""

    @property
    def k(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def error(self) -> float: ...


def draw_dimension(curves: Mapping[str, Sequence[Estimated]], *, ax: Axes) -> list[ErrorbarContainer]:
    """Draw d_k with errors against k.

    Args:
        curves: label → estimates, e.g. {"raw": intrinsic_dimension(x, [5, 10, 20])}.
        ax: axes to draw on.

    Returns:
        the artists, one per curve, in the order of `curves`.
    """
    artists = []
    for number, (label, estimates) in enumerate(curves.items()):
        artists.append(
            ax.errorbar(
                [each.k for each in estimates],
                [each.value for each in estimates],
                yerr=[each.error for each in estimates],
                color=CYCLE[number % len(CYCLE)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                capsize=2,
                linewidth=1,
                label=label,
            )
        )
    # The logit spreads out the smallest energies: its dimension is several times that of the others.
    ax.set_yscale("log")
    ax.set_xlabel("number of neighbours $k$")
    ax.set_ylabel(r"intrinsic dimension $\hat{d}_k$")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.legend(frameon=False)
    return artists


@styled
def dimension_grid(panels: Mapping[str, Mapping[str, Sequence[Estimated]]], *, ax: Axes | None = None) -> Axes:
    """One panel of curves (`draw_dimension`) per title, four per row, in `ax` or a new figure."""
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    outer = frame(ax, SIDE * columns, SIDE * rows)
    for number, (title, curves) in enumerate(panels.items()):
        row, column = divmod(number, columns)
        box = ((column + 0.18) / columns, (rows - 1 - row + 0.15) / rows, 0.79 / columns, 0.76 / rows)
        panel = outer.inset_axes(box)
        draw_dimension(curves, ax=panel)
        panel.set_title(title, fontsize=10)
    return outer
