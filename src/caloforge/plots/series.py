"""Quantities against layer or incident energy, one panel each, with their baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from caloforge.plots.style import BASELINE, GENERATED, label_legend, logarithmic, panel_grid, styled


@dataclass(frozen=True)
class Series:
    """A quantity at points x.

    Args:
        title: title of the panel, of one or two lines.
        x, values: (P,).
        errors: (P,) of the values; None draws no errors.
        baseline: (P,), NaN where there is none.
    """

    title: str
    x: np.ndarray
    values: np.ndarray
    errors: np.ndarray | None
    baseline: np.ndarray


def draw_series(series: Series, *, ax: Axes, log_y: bool = False) -> tuple[Line2D, Line2D | None]:
    """Draw values and baseline; return their lines, None if there is no baseline."""
    values, baselines = series.values, series.baseline
    if log_y:  # zeros would be drawn as lines down to the axis
        values, baselines = (np.where(y > 0, y, np.nan) for y in (values, baselines))
    line: Line2D = ax.errorbar(
        series.x, values, series.errors, fmt=".-", markersize=4, linewidth=1, color=GENERATED, label="generated"
    ).lines[0]
    baseline = None
    if np.isfinite(baselines).any():
        (baseline,) = ax.plot(series.x, baselines, color=BASELINE, linewidth=1, label="baseline")
    shown = np.concatenate([values, baselines])
    shown = shown[np.isfinite(shown)]
    if log_y and len(shown):
        logarithmic(ax, "y")
        # Whole powers of ten, so that at least two are labelled.
        ax.set_ylim(10 ** np.floor(np.log10(shown.min())), 10 ** np.ceil(np.log10(shown.max()) + 1e-9))
    ax.set_title(series.title, fontsize=7.5)
    return line, baseline


@styled
def series_grid(
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """One panel per series and a common legend on top, in `ax` or a new figure."""
    extra = 0.15 if any("\n" in each.title for each in series) else 0.0
    outer, pairs = panel_grid(len(series), ratio=False, extra=extra, ax=ax)
    for each, (panel, _) in zip(series, pairs, strict=True):
        draw_series(each, ax=panel, log_y=log_y)
        panel.set_xlabel(x_label)
        if log_x:
            logarithmic(panel, "x")
    pairs[0][0].set_ylabel(y_label)
    label_legend(outer, pairs[0][0])
    return outer
