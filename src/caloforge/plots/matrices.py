"""Correlation matrices of two samples and their difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import EMPTY, RATIO_MAP, figure_of, frame

SIDE = 3.1
"""Inches per matrix, including the gap."""


def draw_matrix(
    names: Sequence[str], values: np.ndarray, *, ax: Axes, limit: float = 1.0, title: str = "", labels: bool = True
) -> AxesImage:
    """Draw a square matrix (n, n) on the scale −`limit` … `limit`; NaN is grey.

    Values are printed for up to eight rows; names for up to 24 rows, and only some of them for more.
    """
    image = ax.imshow(np.ma.masked_invalid(values), cmap=RATIO_MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_facecolor(EMPTY)
    ax.set_title(title)
    step = max(1, -(-len(names) // 24))
    shown = range(0, len(names), step)
    short = max(map(len, names), default=0) <= 4
    # Long names label only the rows: the matrix is symmetric, and below they would overlap the colour bar.
    ax.set_xticks(shown, [names[k] if labels and short else "" for k in shown], fontsize=6.5)
    ax.set_yticks(shown, [names[k] if labels else "" for k in shown], fontsize=6.5)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()
    if len(names) <= 8:
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            colour = "white" if abs(value) > 0.65 * limit else "#111827"
            text = f"{value:.2f}".replace("-0.00", "0.00")
            ax.text(column, row, text, ha="center", va="center", fontsize=6, color=colour)
    return image


def difference_limit(difference: np.ndarray) -> float:
    """A round scale for the difference matrix: the largest absolute value, from 0.02 to 1."""
    finite = np.abs(difference[np.isfinite(difference)])
    largest = float(finite.max()) if len(finite) else 1.0
    return next((limit for limit in (0.02, 0.05, 0.1, 0.2, 0.5) if largest <= limit), 1.0)


@chart("matrix")
def matrices(data: Data, ax: Axes | None = None) -> Axes:
    """Generated, reference and their difference side by side; the difference has its own scale."""
    names = [str(name) for name in data["names"]]
    # The margin depends on the longest name: at 6.5 points a character takes about 0.047 inches.
    left = max(0.35, 0.15 + 0.047 * max(map(len, names), default=0))
    width, height = left + 3 * SIDE, SIDE + 0.85
    outer = frame(ax, width, height)
    side = SIDE - 0.2
    for column, key in enumerate(("generated", "reference", "difference")):
        values = numbers(data[key])
        last = key == "difference"
        limit = difference_limit(values) if last else 1.0
        x = (left + column * SIDE) / width
        panel = outer.inset_axes((x, 0.6 / height, side / width, side / height))
        image = draw_matrix(
            names,
            values,
            ax=panel,
            limit=limit,
            title="generated − reference" if last else key,
            labels=column == 0,
        )
        bar = outer.inset_axes((x + 0.08 * side / width, 0.28 / height, 0.84 * side / width, 0.06 / height))
        scale = figure_of(outer).colorbar(image, cax=bar, orientation="horizontal")
        scale.set_ticks([-limit, 0, limit], labels=[f"−{limit:g}", "0", f"{limit:g}"])
        bar.tick_params(labelsize=7)
    return outer
