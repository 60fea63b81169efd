"""One look for every figure: mplhep's ROOT style at the size of a report, and figures that pyplot never sees.

A `matplotlib.figure.Figure` made here belongs to nobody but its caller, so a report of many figures keeps only
one in memory, and needs no display.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

GENERATED = "#1f5fbf"
"""Colour of the generated showers."""

REFERENCE = "#6b7280"
"""Colour of the reference's line and errors."""

REFERENCE_FILL = "#d9dce1"
"""Colour of the reference's area."""

FLOOR = "#e08a00"
"""Colour of the floor (reference against reference)."""

ENERGY_MAP = "viridis"
"""Colour map of energies."""

RATIO_MAP = "RdBu_r"
"""Colour map of ratios and differences: white where the samples agree."""

EMPTY = "#eceef1"
"""Colour of what has no value: a voxel that never sees energy, a ratio with nothing below the line."""

_SIZES: dict[str, Any] = {
    "font.size": 9,
    # A list of families, not the name of one: glyphs that the first lacks (superscripts, η) come from the second.
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "xtick.major.size": 4,
    "xtick.minor.size": 2,
    "ytick.major.size": 4,
    "ytick.minor.size": 2,
    # Minor ticks would take half of the time that it takes to draw a report.
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "xtick.major.pad": 3,
    "ytick.major.pad": 3,
    "axes.formatter.limits": (-4, 5),
    "axes.formatter.use_mathtext": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def report_style() -> Iterator[None]:
    """Draw and save inside this context; the caller's own matplotlib settings come back afterwards."""
    settings: dict[Any, Any] = {**mplhep.style.ROOT, **_SIZES}
    with mpl.rc_context(settings):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of `width` × `height` inches."""
    return Figure(figsize=(width, height))


def label_legend(figure: Figure, axes: Axes, n_columns: int = 4) -> None:
    """Put the legend of `axes` once on top of the whole figure, in one row, where a narrow screen sees it too."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="upper left", ncols=n_columns, frameon=False, borderaxespad=0.2)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with at most six labelled powers of ten and no ticks between them."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(power_of_ten))


def power_of_ten(value: float, position: int | None = None) -> str:
    """`10⁻³` as plain text: matplotlib's own label is set by its TeX parser, which costs more than a whole panel."""
    if value <= 0:
        return "0"
    exponent = math.log10(value)
    if abs(exponent - round(exponent)) > 1e-6:
        return f"{value:g}"
    return {0: "1", 1: "10"}.get(round(exponent), "10" + str(round(exponent)).translate(_SUPERSCRIPTS))
