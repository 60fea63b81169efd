"""Histograms of two samples with a ratio panel below, in the HEP style.

Entries outside the range are drawn as one bin beyond each end (shaded, marked < and >). Contents are fractions of *all*
showers, h_i = n_i / N, with the error sqrt(n_i) / N; the ratio is generated over reference with the statistical error
of the generated sample, and that of the reference as a band around 1. Ratios beyond the panel are drawn as arrows at
its edge.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import hist
import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Patch, StepPatch
from uhi.numpy_plottable import ensure_plottable_histogram

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import (
    GENERATED,
    REFERENCE,
    REFERENCE_FILL,
    draw_steps,
    label_legend,
    logarithmic,
    panel_grid,
    styled,
)

RATIO_RANGE = (0.5, 1.5)
FLOW_WIDTH = 0.06
"""Width of the bins beyond the range, as a fraction of the axis."""

Array = np.ndarray


@dataclass(frozen=True)
class Counts:
    """Counts of both samples in common bins.

    Args:
        edges: (B + 1,) increasing bin edges.
        generated, reference: (B + 2,) counts with underflow and overflow; their sum is the number of showers.
        label: axis label, with unit.
        log: whether fractions are drawn on a logarithmic scale.
        names: names of the samples in the legend.
        counted: what is counted.
    """

    edges: Array
    generated: Array
    reference: Array
    label: str = ""
    log: bool = False
    names: tuple[str, str] = ("generated", "reference")
    counted: str = "showers"

    def __post_init__(self) -> None:
        for name in ("generated", "reference"):
            if len(getattr(self, name)) != len(self.edges) + 1:
                raise ValueError(
                    f"{len(self.edges)} edges need {len(self.edges) + 1} counts with underflow and overflow; "
                    f"'{name}' has {len(getattr(self, name))}"
                )

    @classmethod
    def of(cls, h: hist.Hist[Any]) -> Counts:
        """The counts of a `hist.Hist` with a category axis of two samples and a binned one (see `plots.charts`).

        Raises:
            ValueError: the histogram has other axes.
        """
        if not isinstance(h, hist.BaseHist) or h.ndim != 2 or len(h.axes[0]) != 2 or not h.axes[1].traits.continuous:
            raise ValueError(
                "a single histogram needs two axes, a category axis of two samples and the observable's bins; or give "
                "one histogram per sample: histogram(generated, reference)"
            )
        first, second = np.asarray(h.values(flow=True), dtype=float)[:2]
        axis = h.axes[1]
        if not axis.traits.underflow:
            first, second = (np.concatenate([[0.0], counts]) for counts in (first, second))
        if not axis.traits.overflow:
            first, second = (np.concatenate([counts, [0.0]]) for counts in (first, second))
        found = vars(h).get("metadata")  # attribute access warns if there is none
        known = found if isinstance(found, dict) else {}
        names = (str(h.axes[0].value(0)), str(h.axes[0].value(1)))
        return cls(
            edges=np.asarray(axis.edges),
            generated=first,
            reference=second,
            label=axis.label or axis.name,
            log=bool(known.get("log", False)),
            names=names,
            counted=str(known.get("counted", "showers")),
        )

    @classmethod
    def pair(cls, generated: Any, reference: Any, names: tuple[str, str] = ("generated", "reference")) -> Counts:
        """The counts of two histograms with the same bins, one per sample.

        Args:
            generated, reference: what `uhi` takes as a `PlottableHistogram`: of hist, boost-histogram, uproot or ROOT,
                or what `numpy.histogram` returns.
            names: of the samples in the legend.

        Raises:
            ValueError: one is not a histogram of one axis, is weighted, or their bins differ.
        """
        (edges, first), (others, second) = (_plottable(h) for h in (generated, reference))
        if len(edges) != len(others) or not np.allclose(edges, others):
            raise ValueError("the two histograms have different bins; fill both with the same axis")
        label = getattr(getattr(generated, "axes", [None])[0], "label", "")
        return cls(edges, first, second, label=str(label), names=names)

    @property
    def log_x(self) -> bool:
        """Whether the bins grow by a constant factor and need a logarithmic axis."""
        if self.edges[0] <= 0 or len(self.edges) < 3:
            return False
        ratios = self.edges[1:] / self.edges[:-1]
        return bool(ratios[0] > 1.01 and np.allclose(ratios, ratios[0], rtol=1e-3))

    @property
    def flow(self) -> tuple[bool, bool]:
        """Whether there are entries below, and above, the range."""
        either = self.generated + self.reference
        return bool(either[0]), bool(either[-1])

    def trimmed(self, margin: int = 2) -> Counts:
        """Restrict to the bins with entries in either sample, and `margin` more, so that a narrow peak fills its panel.

        A side with entries beyond the range is not trimmed, since the flow bin must stay next to its neighbour.
        """
        filled = np.nonzero((self.generated + self.reference)[1:-1])[0]
        if len(filled) == 0:
            return self
        below, above = self.flow
        last_bin = len(self.edges) - 2
        first = 0 if below else max(0, int(filled[0]) - margin)
        last = last_bin if above else min(last_bin, int(filled[-1]) + margin)
        if last - first < 4:
            first, last = max(0, first - 2), min(last_bin, last + 2)
        generated, reference = (
            np.concatenate([[n[: first + 1].sum()], n[first + 1 : last + 2], [n[last + 2 :].sum()]])
            for n in (self.generated, self.reference)
        )
        return replace(self, edges=self.edges[first : last + 2], generated=generated, reference=reference)


@dataclass(frozen=True)
class HistogramArtists:
    """Artists and values drawn by `draw_histogram`.

    Args:
        edges: (B' + 1,) including flow bins if they are drawn.
        generated, reference: (B',) fractions of all showers.
        ratio: (B',), NaN where the reference is empty.
        steps: the generated and the reference outline; `errors`: error bars of the generated sample.
        flow: shaded flow bins on each panel.
        points: points of the ratio; None without a ratio panel.
    """

    edges: Array
    generated: Array
    reference: Array
    ratio: Array
    steps: tuple[StepPatch, StepPatch]
    errors: ErrorbarContainer
    flow: list[list[Patch]]
    points: ErrorbarContainer | None


def histogram(
    h: Any,
    reference: Any = None,
    *,
    names: tuple[str, str] = ("generated", "reference"),
    ax: Axes | None = None,
    ratio_ax: Axes | None = None,
) -> Axes:
    """The histogram of two samples, with a ratio panel if it creates a new figure.

    >>> import numpy as np
    >>> first, second = (np.histogram(values, bins=4, range=(0, 1)) for values in ([0.1, 0.6], [0.2, 0.9]))
    >>> len(histogram(first, second, names=("mine", "Geant4")).child_axes)
    2

    Args:
        h: a `hist.Hist` of both samples, as in `Report.hists`; or the generated sample's histogram, any that `uhi`
            takes as a `PlottableHistogram`: of hist, boost-histogram, uproot, ROOT, or what `numpy.histogram` returns.
        reference: the reference's, with the same bins.
        names: of the samples in the legend, where there are two histograms.
        ax, ratio_ax: existing axes; without `ratio_ax` the ratio is omitted. None creates a figure with both.

    Returns:
        the axes; of a new figure those that contain histogram and ratio as `child_axes`.

    Raises:
        ValueError: `h` is not a histogram of two samples; or the two have different bins, several axes or weights.
    """
    counts = _counts(h) if reference is None else Counts.pair(h, reference, names)
    if ax is None:
        return histogram_grid([counts])
    draw_histogram(counts.trimmed(), ax=ax, ratio_ax=ratio_ax)
    ax.set_ylabel(f"fraction of {counts.counted}")
    ax.legend(frameon=False)
    return ax


@styled
def histogram_grid(histograms: Iterable[hist.Hist[Any] | Counts], *, columns: int = 3, ax: Axes | None = None) -> Axes:
    """A panel with its ratio per histogram, and a common legend on top, in `ax` or a new figure."""
    found = [_counts(h) for h in histograms]
    outer, pairs = panel_grid(len(found), columns, ax=ax)
    for counts, (top, ratio_ax) in zip(found, pairs, strict=True):
        draw_histogram(counts.trimmed(), ax=top, ratio_ax=ratio_ax)
    for number, (counts, (top, ratio_ax)) in enumerate(zip(found, pairs, strict=True)):
        if number % columns == 0:
            ratio_ax.set_ylabel("ratio")
        if number % columns == 0 or counts.counted != "showers":
            top.set_ylabel(f"fraction of {counts.counted}")
    label_legend(outer, pairs[0][0])
    return outer


def draw_histogram(counts: Counts, *, ax: Axes, ratio_ax: Axes | None = None) -> HistogramArtists:
    """Draw both samples on `ax` and their ratio on `ratio_ax`."""
    edges = _with_flow(counts)
    (generated, error), (reference, ref_error) = (
        _fractions(n, counts.flow) for n in (counts.generated, counts.reference)
    )
    log_x = counts.log_x
    if log_x:
        logarithmic(ax, "x")
    filled = draw_steps(
        ax, reference, edges, facecolor=REFERENCE_FILL, edgecolor=REFERENCE, linewidth=0.7, label=counts.names[1]
    )
    step = draw_steps(ax, generated, edges, edgecolor=GENERATED, linewidth=1.1, label=counts.names[0])
    errors = ax.errorbar(_centres(edges, log_x), generated, error, linestyle="", color=GENERATED, linewidth=1.1)
    positive = np.concatenate([reference[reference > 0], generated[generated > 0]])
    if len(positive):
        if counts.log:
            logarithmic(ax, "y")
            ax.set_ylim(0.4 * positive.min(), 3 * positive.max())
        else:
            ax.set_ylim(0, 1.15 * positive.max())
    ax.set_xlim(edges[0], edges[-1])
    ratio = np.divide(generated, reference, out=np.full_like(generated, np.nan), where=reference > 0)
    points = None
    if ratio_ax is None:
        ax.set_xlabel(counts.label)
    else:
        if log_x:
            logarithmic(ratio_ax, "x")
        points = _draw_ratio(ratio_ax, edges, log_x, ratio, error, reference, ref_error)
        ratio_ax.set_xlim(edges[0], edges[-1])
        ratio_ax.set_xlabel(counts.label)
        ax.tick_params(axis="x", labelbottom=False)
    flow = [_shade_flow(panel, edges, counts.flow) for panel in (ax, ratio_ax) if panel is not None]
    return HistogramArtists(edges, generated, reference, ratio, (step, filled), errors, flow, points)


def _counts(h: Any) -> Counts:
    return h if isinstance(h, Counts) else Counts.of(h)


def _plottable(h: Any) -> tuple[Array, Array]:
    """(B + 1,) edges and (B + 2,) counts of a histogram of one axis; flow bins that it does not have are 0."""
    try:
        found = ensure_plottable_histogram(h)
        axis: Any
        (axis,) = found.axes
        edges = np.array([axis[0][0], *(axis[k][1] for k in range(len(axis)))], dtype=float)
        inside = np.asarray(found.values(), dtype=float)
        variances = found.variances()
    except (AttributeError, IndexError, TypeError, ValueError):
        raise ValueError(f"{type(h).__name__} is not a histogram of one axis with bins") from None
    if variances is not None and not np.allclose(variances, inside):
        raise ValueError("the histogram is weighted; only counts have the errors that are drawn")
    if isinstance(h, hist.BaseHist) and len(flow := np.asarray(h.values(flow=True), dtype=float)) == len(inside) + 2:
        return edges, flow
    return edges, np.concatenate([[0.0], inside, [0.0]])


def _centres(edges: Array, log_x: bool) -> Array:
    low, high = edges[:-1], edges[1:]
    return np.asarray(np.sqrt(low * high) if log_x else (low + high) / 2)


def _with_flow(counts: Counts) -> Array:
    """Edges with a flow bin at each end that needs one, equally wide on the drawn axis."""
    edges, (below, above) = counts.edges, counts.flow
    if counts.log_x:
        step = (edges[-1] / edges[0]) ** FLOW_WIDTH
        before, after = edges[0] / step, edges[-1] * step
    else:
        step = FLOW_WIDTH * (edges[-1] - edges[0])
        before, after = edges[0] - step, edges[-1] + step
    return np.concatenate([[before] * below, edges, [after] * above])


def _fractions(counts: Array, flow: tuple[bool, bool]) -> tuple[Array, Array]:
    """(B',) contents and errors as fractions of all entries, with the flow bins selected by `flow`."""
    total = max(counts.sum(), 1)
    shown = counts[0 if flow[0] else 1 : len(counts) if flow[1] else -1]
    return shown / total, np.sqrt(shown) / total


def _shade_flow(ax: Axes, edges: Array, flow: tuple[bool, bool]) -> list[Patch]:
    shades: list[Patch] = []
    for wanted, start, stop, mark in ((flow[0], 0, 1, "<"), (flow[1], -2, -1, ">")):
        if wanted:
            shades.append(ax.axvspan(edges[start], edges[stop], color="#f3e9d2", linewidth=0, zorder=-1))
            ax.axvline(edges[1] if mark == "<" else edges[-2], color="#b08d3c", linewidth=0.6, linestyle=":")
            ax.text(
                0.005 if mark == "<" else 0.995,
                0.985,
                mark,
                transform=ax.transAxes,
                ha="left" if mark == "<" else "right",
                va="top",
                fontsize=7,
                color="#8a6d1f",
            )
    return shades


def _draw_ratio(
    ax: Axes, edges: Array, log_x: bool, ratio: Array, error: Array, reference: Array, reference_error: Array
) -> ErrorbarContainer:
    centres = _centres(edges, log_x)
    safe = np.where(reference > 0, reference, 1.0)
    band = np.where(reference > 0, reference_error / safe, 0.0)
    draw_steps(ax, 1 + band, edges, baseline=1 - band, facecolor=REFERENCE_FILL, linewidth=0)
    ax.axhline(1, color=REFERENCE, linewidth=0.7)
    low, high = RATIO_RANGE
    finite = np.isfinite(ratio)
    own = np.where(reference > 0, error / safe, 0.0)
    drawn = ax.errorbar(
        centres[finite], ratio[finite], yerr=own[finite], fmt=".", markersize=3, linewidth=0.7, color=GENERATED
    )
    # An arrow marks ratios beyond the panel, if they are statistically significant.
    far = finite & (np.abs(ratio - 1) > 2 * np.hypot(own, band))
    for beyond, marker, y in ((far & (ratio > high), "^", high), (far & (ratio < low), "v", low)):
        ax.plot(
            centres[beyond], np.full(beyond.sum(), y), marker, markersize=3, color=GENERATED, clip_on=False, zorder=5
        )
    ax.set_ylim(low, high)
    ax.set_yticks([0.75, 1.0, 1.25])
    return drawn


@chart("histograms")
def panels(data: Data, ax: Axes | None = None) -> Axes:
    """Panels of histograms, each with its ratio."""
    found = [
        Counts(
            numbers(panel["edges"]),
            numbers(panel["generated"]),
            numbers(panel["reference"]),
            label=panel["label"],
            log=bool(data.get("log", False)),
        )
        for panel in data["panels"]
    ]
    return histogram_grid(found, ax=ax)
