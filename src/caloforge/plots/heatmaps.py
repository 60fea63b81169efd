"""Heat maps: numbers in rows and columns, as of observables and incident energies, on a colour scale."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.image import AxesImage

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import EMPTY, figure_of, frame, power_of_ten

COLUMN, ROW = 0.68, 0.19
"""Inches of a cell."""

SEQUENTIAL = "viridis"
"""Colour map of numbers of which more is better."""


def draw_heatmap(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]],
    *,
    ax: Axes,
    norm: Normalize,
    cmap: str = SEQUENTIAL,
) -> AxesImage:
    """Draw `values` (R, C) with their `texts` in the cells; NaN is grey, and columns are named above."""
    colours = mpl.colormaps[cmap].with_extremes(bad=EMPTY)
    image = ax.imshow(np.ma.masked_invalid(values), cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(len(columns)), columns, fontsize=7)
    ax.set_yticks(range(len(rows)), rows, fontsize=7)
    ax.tick_params(which="both", length=0, top=False, labeltop=True, bottom=False, labelbottom=False, right=False)
    for row, column in np.argwhere(np.isfinite(values)):
        red, green, blue, _ = colours(norm(values[row, column]))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        text = texts[row][column]
        ax.text(column, row, text, ha="center", va="center", fontsize=6.5, color="white" if dark else "#111827")
    return image


@chart("heatmap")
def heatmap(data: Data, ax: Axes | None = None) -> Axes:
    """One heat map with its colour bar below."""
    rows, columns = [str(row) for row in data["rows"]], [str(column) for column in data["columns"]]
    values = numbers(data["values"]).reshape(len(rows), len(columns))
    low, high = data["limits"]
    norm = (LogNorm if data.get("log") else Normalize)(low, high, clip=True)
    left = 0.25 + 0.056 * max(map(len, rows), default=0)
    inner = COLUMN * len(columns)
    width, height = left + inner + 0.2, 0.35 + ROW * max(1, len(rows)) + 0.75
    outer = frame(ax, width, height)
    panel = outer.inset_axes((left / width, 0.75 / height, inner / width, (height - 1.1) / height))
    image = draw_heatmap(values, rows, columns, data["texts"], ax=panel, norm=norm, cmap=data.get("map", SEQUENTIAL))
    span = min(max(inner, 2.5), left + inner)
    bar = outer.inset_axes(((left + inner - span) / width, 0.5 / height, span / width, 0.1 / height))
    scale = figure_of(outer).colorbar(image, cax=bar, orientation="horizontal")
    if data.get("log"):
        ticks = [10.0**k for k in range(round(np.log10(low)), round(np.log10(high)) + 1)]
        scale.set_ticks(ticks, labels=[power_of_ten(tick) for tick in ticks])
    bar.tick_params(labelsize=7)
    bar.minorticks_off()
    bar.set_xlabel(data.get("label", ""), fontsize=8, loc="center")
    return outer
