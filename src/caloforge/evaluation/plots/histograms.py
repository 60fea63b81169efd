"""Histograms of two samples with a ratio panel below, in the HEP style.

Nothing is hidden: what lies outside the range is drawn as one bin beyond each end (shaded, marked < and >).
Contents are shares of *all* showers, h_i = n_i / N, with the binomial error sqrt(n_i) / N; the ratio is
generated over reference with its own statistical error, and the reference's as a band around 1. Ratios beyond
the panel are drawn as arrows at its edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mplhep
import numpy as np
from matplotlib.axes import Axes

from caloforge.evaluation.plots.style import GENERATED, REFERENCE, REFERENCE_FILL, logarithmic

RATIO_RANGE = (0.5, 1.5)
FLOW_WIDTH = 0.06
"""Width of the bins beyond the range, as a share of the axis."""


@dataclass(frozen=True)
class Histogram:
    """Counts of one sample: `edges` (B+1,), `counts` (B,), `under` and `over` the range, `n` in all."""

    edges: np.ndarray
    counts: np.ndarray
    under: float
    over: float
    n: float

    @classmethod
    def fill(cls, values: np.ndarray, edges: np.ndarray) -> Histogram:
        """Count `values` (N,) into `edges` (B+1,), the last bin closed as in numpy."""
        counts, _ = np.histogram(values, edges)
        under = int(np.count_nonzero(values < edges[0]))
        over = int(np.count_nonzero(values > edges[-1]))
        return cls(np.asarray(edges, dtype=float), counts.astype(float), under, over, len(values))

    @property
    def logarithmic(self) -> bool:
        """Whether the bins grow by a constant factor, so that a logarithmic axis suits them."""
        if self.edges[0] <= 0 or len(self.edges) < 3:
            return False
        ratios = self.edges[1:] / self.edges[:-1]
        return bool(ratios[0] > 1.01 and np.allclose(ratios, ratios[0], rtol=1e-3))

    def trimmed(self, first: int, last: int) -> Histogram:
        """The bins `first` … `last` (inclusive) only; whatever lies outside them goes to under and over."""
        return Histogram(
            self.edges[first : last + 2],
            self.counts[first : last + 1],
            self.under + self.counts[:first].sum(),
            self.over + self.counts[last + 1 :].sum(),
            self.n,
        )


@dataclass(frozen=True)
class RatioPlot:
    """What `draw_histograms` put on the axes.

    `edges` (B'+1,) with flow bins where they were needed; `reference` and `generated` (B',) shares of all
    showers; `ratio` (B',), NaN where the reference is empty; `artists` by name.
    """

    edges: np.ndarray
    reference: np.ndarray
    generated: np.ndarray
    ratio: np.ndarray
    artists: dict[str, Any]


def common_range(a: Histogram, b: Histogram, margin: int = 2) -> tuple[Histogram, Histogram]:
    """Both histograms cut to the bins where either has entries, so that a narrow peak fills its panel.

    A side on which something lies beyond the range is not cut: the flow bin must stay next to its neighbour.
    """
    filled = np.nonzero(a.counts + b.counts)[0]
    if len(filled) == 0:
        return a, b
    last_bin = len(a.counts) - 1
    first = 0 if a.under or b.under else max(0, int(filled[0]) - margin)
    last = last_bin if a.over or b.over else min(last_bin, int(filled[-1]) + margin)
    if last - first < 4:
        first, last = max(0, first - 2), min(last_bin, last + 2)
    return a.trimmed(first, last), b.trimmed(first, last)


def draw_histograms(
    generated: Histogram,
    reference: Histogram,
    *,
    ax: Axes,
    ratio_ax: Axes | None = None,
    label: str = "",
    log_y: bool = False,
    names: tuple[str, str] = ("generated", "reference"),
) -> RatioPlot:
    """Draw both samples on `ax` and their ratio on `ratio_ax`.

    Args:
        generated, reference: histograms with equal edges.
        ax, ratio_ax: where to draw.
        label: name of the observable with its unit, on the lower panel's axis.
        log_y: logarithmic shares.
        names: what the legend calls the two samples.

    Returns:
        The drawn contents and artists.
    """
    if not np.array_equal(generated.edges, reference.edges):
        raise ValueError("the two histograms must share their edges")
    log_x = reference.logarithmic
    low, high = bool(generated.under or reference.under), bool(generated.over or reference.over)
    edges = _with_flow(reference, low, high)
    ref, ref_error = _shares(reference, low, high)
    gen, gen_error = _shares(generated, low, high)
    artists: dict[str, Any] = {}
    if log_x:
        logarithmic(ax, "x")
    options: dict[str, Any] = {"bins": edges, "ax": ax, "flow": "none"}
    artists["reference"] = mplhep.histplot(
        ref, histtype="fill", facecolor=REFERENCE_FILL, edgecolor=REFERENCE, linewidth=0.7, label=names[1], **options
    )
    artists["generated"] = mplhep.histplot(
        gen, histtype="step", yerr=gen_error, color=GENERATED, linewidth=1.1, label=names[0], **options
    )
    positive = np.concatenate([ref[ref > 0], gen[gen > 0]])
    if len(positive):
        if log_y:
            logarithmic(ax, "y")
            ax.set_ylim(0.4 * positive.min(), 3 * positive.max())
        else:
            ax.set_ylim(0, 1.15 * positive.max())
    ax.set_xlim(edges[0], edges[-1])
    ratio = np.divide(gen, ref, out=np.full_like(gen, np.nan), where=ref > 0)
    panels = [ax] if ratio_ax is None else [ax, ratio_ax]
    artists["flow"] = [_shade_flow(panel, edges, low, high) for panel in panels]
    if ratio_ax is None:
        ax.set_xlabel(label)
    else:
        if log_x:
            logarithmic(ratio_ax, "x")
        artists["ratio"] = _draw_ratio(ratio_ax, edges, ratio, gen_error, ref, ref_error)
        ratio_ax.set_xlim(edges[0], edges[-1])
        ratio_ax.set_xlabel(label)
        ax.tick_params(axis="x", labelbottom=False)
    return RatioPlot(edges, ref, gen, ratio, artists)


def _with_flow(histogram: Histogram, low: bool, high: bool) -> np.ndarray:
    """Edges with one more bin at each end that needs one, equally wide on the drawn axis."""
    edges = histogram.edges
    if histogram.logarithmic:
        step = (edges[-1] / edges[0]) ** FLOW_WIDTH
        before, after = edges[0] / step, edges[-1] * step
    else:
        step = FLOW_WIDTH * (edges[-1] - edges[0])
        before, after = edges[0] - step, edges[-1] + step
    return np.concatenate([[before] * low, edges, [after] * high])


def _shares(histogram: Histogram, low: bool, high: bool) -> tuple[np.ndarray, np.ndarray]:
    """(B',) contents and errors as shares of all entries, flow bins included."""
    counts = np.concatenate([[histogram.under] * low, histogram.counts, [histogram.over] * high])
    total = max(histogram.n, 1)
    return counts / total, np.sqrt(counts) / total


def _shade_flow(ax: Axes, edges: np.ndarray, low: bool, high: bool) -> list[Any]:
    shades = []
    for wanted, start, stop, mark in ((low, 0, 1, "<"), (high, -2, -1, ">")):
        if wanted:
            shades.append(ax.axvspan(edges[start], edges[stop], color="#f3e9d2", linewidth=0, zorder=-1))
            ax.axvline(edges[1] if mark == "<" else edges[-2], color="#b08d3c", linewidth=0.6, linestyle=":")
            x = 0.005 if mark == "<" else 0.995
            ax.text(
                x,
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
    ax: Axes, edges: np.ndarray, ratio: np.ndarray, gen_error: np.ndarray, ref: np.ndarray, ref_error: np.ndarray
) -> Any:
    centres = np.sqrt(edges[1:] * edges[:-1]) if ax.get_xscale() == "log" else (edges[1:] + edges[:-1]) / 2
    safe = np.where(ref > 0, ref, 1.0)
    band = np.where(ref > 0, ref_error / safe, 0.0)
    ax.stairs(1 + band, edges, baseline=1 - band, fill=True, color=REFERENCE_FILL)
    ax.axhline(1, color=REFERENCE, linewidth=0.7)
    low, high = RATIO_RANGE
    finite = np.isfinite(ratio)
    error = np.where(ref > 0, gen_error / safe, 0.0)
    drawn = ax.errorbar(
        centres[finite], ratio[finite], yerr=error[finite], fmt=".", markersize=3, linewidth=0.7, color=GENERATED
    )
    # Beyond the panel an arrow says where the ratio went, where that is more than chance.
    far = finite & (np.abs(ratio - 1) > 2 * np.hypot(error, band))
    for beyond, marker, y in ((far & (ratio > high), "^", high), (far & (ratio < low), "v", low)):
        ax.plot(
            centres[beyond], np.full(beyond.sum(), y), marker, markersize=3, color=GENERATED, clip_on=False, zorder=5
        )
    ax.set_ylim(low, high)
    ax.set_yticks([0.75, 1.0, 1.25])
    return drawn
