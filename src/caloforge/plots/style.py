"""The style of all figures: mplhep's ROOT style at page size, in figures outside pyplot's global state.

A `StyledFigure` keeps this style when it is drawn later, outside `style()`, in a notebook or by `savefig`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

P = ParamSpec("P")
T = TypeVar("T")

GENERATED = "#1f5fbf"
"""Colour of the generated showers."""

REFERENCE = "#6b7280"
"""Colour of the line and errors of the reference."""

REFERENCE_FILL = "#d9dce1"
"""Fill colour of the reference."""

BASELINE = "#e08a00"
"""Colour of the baseline (reference against reference)."""

CYCLE = ("#1f5fbf", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be123c", "#4d7c0f", "#475569")
"""Colours of further curves, in order."""

ENERGY_MAP = "viridis"
"""Colour map of energies."""

RATIO_MAP = "RdBu_r"
"""Colour map of ratios and differences: white where the samples agree."""

EMPTY = "#eceef1"
"""Colour for missing values: a voxel without energy, a ratio with an empty denominator."""

PANEL_WIDTH, PANEL_HEIGHT = 3.2, 2.75
"""Size of one panel of a grid, including its ratio, in inches."""

SCREEN_DPI = 110
"""Dots per inch of a figure in a notebook."""

_SIZES: dict[str, Any] = {
    "font.size": 9,
    # A list of families: glyphs missing from the first (superscripts, η) are taken from the second.
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
    # Minor ticks would take half of the drawing time of a report.
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "xtick.major.pad": 3,
    "ytick.major.pad": 3,
    "axes.formatter.limits": (-4, 6),
    "axes.formatter.use_mathtext": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@cache
def _settings() -> dict[Any, Any]:
    import mplhep  # imports pyplot, which takes a second

    return {**mplhep.style.ROOT, **_SIZES}


@contextmanager
def style() -> Iterator[None]:
    """Context with the package's style; the caller's settings are restored afterwards."""
    with mpl.rc_context(_settings()):
        yield


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run `function` in the package's style, unless it draws on the caller's axes `ax`."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("ax") is not None:
            return function(*args, **kwargs)
        with style():
            return function(*args, **kwargs)

    return inside


class ShownAxes(Axes):
    """Axes of a figure outside pyplot, which a notebook shows with it."""

    def _repr_png_(self) -> bytes:
        figure = figure_of(self)
        assert isinstance(figure, StyledFigure)
        return figure._repr_png_()


class StyledFigure(Figure):
    """A matplotlib figure in the package's style, drawn by Agg; notebooks show it without pyplot."""

    def __init__(self, width: float, height: float, **settings: Any) -> None:
        super().__init__(figsize=(width, height), **settings)
        FigureCanvasAgg(self)

    def canvas_axes(self) -> ShownAxes:
        """Axes that fill the figure."""
        ax = ShownAxes(self, (0.0, 0.0, 1.0, 1.0))
        self.add_axes(ax)
        return ax

    def draw(self, renderer: Any) -> None:
        """Draw with `renderer`, in the package's style, since ticks are created here."""
        with style():
            super().draw(renderer)

    def savefig(self, fname: Any, **settings: Any) -> None:
        """Save as matplotlib does, in the package's style."""
        with style():
            super().savefig(fname, **settings)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=SCREEN_DPI)
        return buffer.getvalue()


def new_figure(width: float, height: float) -> StyledFigure:
    """An empty figure of `width` × `height` inches."""
    return StyledFigure(width, height)


def axes(ax: Axes | None = None, *, width: float = 4.0, height: float = 3.2) -> Axes:
    """`ax`, or the axes of a new figure of `width` × `height` inches."""
    if ax is not None:
        return ax
    figure = StyledFigure(width, height, layout="constrained")
    return figure.add_subplot(axes_class=ShownAxes)


def frame(ax: Axes | None, width: float, height: float) -> Axes:
    """Axes that several panels are put into (`Axes.inset_axes`): `ax`, or those of a new figure of this size in inches.

    They have no axis of their own; the panels are their `child_axes`.
    """
    ax = new_figure(width, height).canvas_axes() if ax is None else ax
    ax.set_axis_off()
    return with_own_margins(ax)


def with_own_margins(ax: Axes) -> Axes:
    """`ax`, for which a layout engine of the figure leaves no further room: labels are inside it."""
    ax.set_in_layout(False)
    return ax


def figure_of(ax: Axes) -> Figure:
    """The figure of `ax`; the outermost one if there are subfigures."""
    figure = ax.figure.figure
    assert isinstance(figure, Figure)
    return figure


def panel_grid(
    n: int, columns: int = 3, ratio: bool = True, extra: float = 0.0, ax: Axes | None = None
) -> tuple[Axes, list[tuple[Axes, Axes]]]:
    """A frame of `n` panels, each a pair (histogram, ratio below); without `ratio` both are the same axes.

    Margins are fixed, since an automatic layout of dozens of axes takes longer than drawing them. `extra` inches are
    left above each panel. The frame is `ax`, or fills a new figure.
    """
    columns = min(columns, n)
    rows = -(-n // columns)
    width, height = columns * PANEL_WIDTH, rows * (PANEL_HEIGHT + extra) + 0.3
    outer = frame(ax, width, height)
    pairs = []
    for k in range(n):
        row, column = divmod(k, columns)
        left = (column * PANEL_WIDTH + 0.6) / width
        bottom = (height - 0.3 - (row + 1) * (PANEL_HEIGHT + extra) + 0.45) / height
        inner, full = (PANEL_WIDTH - 0.72) / width, PANEL_HEIGHT - 0.55
        if not ratio:
            panel = outer.inset_axes((left, bottom, inner, full / height))
            pairs.append((panel, panel))
            continue
        low = 0.26 * full / height
        ratio_ax = outer.inset_axes((left, bottom, inner, low))
        top = outer.inset_axes((left, bottom + low + 0.02 / height, inner, full / height - low))
        pairs.append((top, ratio_ax))
    for panel in {panel for pair in pairs for panel in pair}:
        panel.locator_params(nbins=5)
        # A factor such as 1e6 goes on the left, since the axis label is on the right.
        panel.xaxis.get_offset_text().set(x=0, horizontalalignment="left")
    return outer, pairs


def label_legend(outer: Axes, panel: Axes, n_columns: int = 4) -> None:
    """Put the legend of `panel` on top of its frame, in one row, where it is visible on narrow screens too."""
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        outer.legend(handles, labels, loc="upper left", ncols=n_columns, frameon=False, borderaxespad=0.2)


def draw_steps(ax: Axes, values: np.ndarray, edges: np.ndarray, **look: Any) -> StepPatch:
    """`Axes.stairs` for axes whose limits are set afterwards, since autoscaling takes longer than drawing the steps.

    Args:
        ax: axes to draw on.
        values, edges: (B,) and (B + 1,).
        look: properties of the `StepPatch`, including its `baseline`.
    """
    look.setdefault("fill", "facecolor" in look)
    patch = StepPatch(values, edges, **look)
    ax.add_artist(patch)
    return patch


def draw_samples(
    ax: Axes,
    x: np.ndarray,
    values: Mapping[str, np.ndarray],
    errors: Mapping[str, np.ndarray] | None = None,
    **look: Any,
) -> dict[str, ErrorbarContainer]:
    """Draw points of both samples; the reference has open squares, so that generated dots stay visible inside.

    Args:
        ax: axes to draw on.
        x: (P,).
        values, errors: "generated", "reference" → (P,).
        look: common properties, such as `linestyle`.
    """
    looks: dict[str, dict[str, Any]] = {
        "reference": {"color": REFERENCE, "marker": "s", "markersize": 6, "markerfacecolor": "none"},
        "generated": {"color": GENERATED, "marker": "o", "markersize": 3},
    }
    return {
        name: ax.errorbar(x, values[name], None if errors is None else errors[name], label=name, **own, **look)
        for name, own in looks.items()
    }


class _PowersOfTen(LogLocator):
    def tick_values(self, vmin: float, vmax: float) -> Any:
        self.set_params(subs=(1.0,) if vmin > 0 and vmax > 20 * vmin else (1.0, 2.0, 5.0))
        return super().tick_values(vmin, vmax)


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with at most six labelled powers of ten; 2 and 5 in between if it spans few decades."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(_PowersOfTen(numticks=6))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(power_of_ten))


def power_of_ten(value: float, position: int | None = None) -> str:
    """`10⁻³` as plain text: matplotlib's own label uses its TeX parser, which is slower than drawing a whole panel."""
    if value <= 0:
        return "0"
    exponent = math.log10(value)
    if abs(exponent - round(exponent)) > 1e-6:
        return f"{value:g}"
    return {0: "1", 1: "10"}.get(round(exponent), "10" + str(round(exponent)).translate(_SUPERSCRIPTS))
