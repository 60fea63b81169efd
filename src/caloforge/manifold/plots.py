"""Plot of the intrinsic dimension against the number of neighbours, as in CaloMan's Fig. 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from caloforge.manifold.dimension import DimensionEstimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

MARKERS = "osD^vP"


def plot_dimension(
    curves: Mapping[str, Sequence[DimensionEstimate]], ax: Axes | None = None
) -> list[ErrorbarContainer]:
    """Draw d_k with its bootstrap error against k, one curve per entry.

    Args:
        curves: label and estimates, as in {"raw": intrinsic_dimension(x, [5, 10, 20])}.
        ax: where to draw; None makes a figure.

    Returns:
        the artists, one per curve, in the order of `curves`.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(5.0, 3.8), layout="constrained").add_subplot()
    artists = []
    for number, (label, estimates) in enumerate(curves.items()):
        artists.append(
            ax.errorbar(
                [each.k for each in estimates],
                [each.value for each in estimates],
                yerr=[each.error for each in estimates],
                marker=MARKERS[number % len(MARKERS)],
                markersize=4,
                capsize=2,
                linewidth=1,
                label=label,
            )
        )
    # The logit spreads the smallest energies out: its dimension is several times that of the others.
    ax.set_yscale("log")
    ax.set_xlabel("number of neighbours $k$")
    ax.set_ylabel(r"intrinsic dimension $\hat{d}_k$")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.legend(frameon=False)
    return artists
