"""Correlation matrices of two samples and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from caloforge.evaluation.plots.style import EMPTY, RATIO_MAP


def draw_matrix(
    names: Sequence[str], values: np.ndarray, *, ax: Axes, limit: float = 1.0, title: str = "", labels: bool = True
) -> Any:
    """A square matrix (n, n) on the scale −`limit` … `limit`; NaN is grey. Returns the image.

    Up to eight rows carry their numbers; up to 24 their names, and more only some of them.
    """
    image = ax.imshow(np.ma.masked_invalid(values), cmap=RATIO_MAP, vmin=-limit, vmax=limit, interpolation="nearest")
    ax.set_facecolor(EMPTY)
    ax.set_title(title)
    step = max(1, len(names) // 24)
    shown = range(0, len(names), step)
    short = max(map(len, names), default=0) <= 4
    # Long names stand at the rows only: the matrix is symmetric, and below they would run into the colour bar.
    ax.set_xticks(shown, [names[k] if labels and short else "" for k in shown], fontsize=6.5)
    ax.set_yticks(shown, [names[k] if labels else "" for k in shown], fontsize=6.5)
    ax.tick_params(which="both", length=0)
    ax.minorticks_off()
    if len(names) <= 8:
        for row, column in np.argwhere(np.isfinite(values)):
            value = values[row, column]
            colour = "white" if abs(value) > 0.65 * limit else "#111827"
            ax.text(
                column, row, f"{value:.2f}".replace("-0.00", "0.00"), ha="center", va="center", fontsize=6, color=colour
            )
    return image


def difference_limit(difference: np.ndarray) -> float:
    """A round scale for the difference matrix: the largest absolute value, from 0.02 to 1."""
    finite = np.abs(difference[np.isfinite(difference)])
    largest = float(finite.max()) if len(finite) else 1.0
    for limit in (0.02, 0.05, 0.1, 0.2, 0.5):
        if largest <= limit:
            return limit
    return 1.0
