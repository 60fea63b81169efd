"""Plots of classifier tests: ROC curves, weights w = C / (1 − C), reliability of C, AUC against number of showers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import CYCLE, REFERENCE, axes, frame, logarithmic, styled


def draw_roc(curves: Sequence[Data], *, ax: Axes) -> list[Line2D]:
    """ROC curves (fraction of generated against fraction of reference showers above a cut) and the diagonal."""
    ax.plot([0, 1], [0, 1], linestyle="--", color=REFERENCE, linewidth=0.8)
    lines = []
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        label = curve["label"] if curve.get("auc") is None else f"{curve['label']}, AUC {curve['auc']:.3f}"
        lines += ax.plot(numbers(curve["fpr"]), numbers(curve["tpr"]), color=colour, label=label)
    # With limits 0 and 1, the curve of a perfect classifier would coincide with the frame.
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xlabel("generated showers misclassified as reference")
    ax.set_ylabel("reference showers recognised")
    if curves:
        ax.legend(loc="lower right", frameon=False)
    return lines


def draw_weights(histograms: Sequence[Data], *, ax: Axes) -> list[tuple[StepPatch, StepPatch]]:
    """Histograms of log10 w as fractions of showers, with a line at 0.

    Returns:
        (generated, reference) for each; generated showers are drawn solid, reference showers dotted in the same colour.
    """
    steps, filled, lowest = [], [0.0], 1.0
    for colour, data in zip(_colours(len(histograms)), histograms, strict=True):
        edges, drawn = numbers(data["edges"]), []
        for name, line in (("generated", "-"), ("reference", ":")):
            counts = numbers(data[name])
            fractions = counts / max(counts.sum(), 1)
            seen = np.nonzero(fractions)[0]
            if len(seen):
                lowest = min(lowest, float(fractions[seen].min()))
                filled += [edges[seen[0]], edges[seen[-1] + 1]]
            label = data["label"] if line == "-" else None
            drawn.append(ax.stairs(fractions, edges, color=colour, linestyle=line, label=label))
        steps.append((drawn[0], drawn[1]))
    ax.axvline(0, linestyle="--", color=REFERENCE, linewidth=0.8)
    logarithmic(ax, "y")
    ax.set_ylim(min(0.5 * lowest, 0.05), 1.5 * 1.6 ** len(histograms))  # leaves room for the legend
    ax.set_xlim(min(filled) - 0.2, max(filled) + 0.2)
    ax.set_xlabel(r"log$_{10}$ of the weight $C\,/\,(1-C)$")
    ax.set_ylabel("fraction of showers (dotted: reference)")
    if histograms:
        ax.legend(loc="upper right", frameon=False)
    return steps


def draw_reliability(curves: Sequence[Data], *, ax: Axes) -> list[ErrorbarContainer]:
    """The fraction of showers that is Geant4's against the score C, and the diagonal of a calibrated one."""
    ax.plot([0, 1], [0, 1], linestyle="--", color=REFERENCE, linewidth=0.8)
    points = []
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        predicted, observed, errors = (numbers(curve[key]) for key in ("predicted", "observed", "errors"))
        points.append(
            ax.errorbar(predicted, observed, errors, fmt="o", markersize=3, color=colour, label=curve["label"])
        )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xlabel("score C")
    ax.set_ylabel("fraction of reference showers")
    if curves:
        ax.legend(loc="upper left", frameon=False)
    return points


def draw_learning_curves(curves: Sequence[Data], *, ax: Axes) -> list[ErrorbarContainer]:
    """AUC against the number of showers per sample."""
    points = []
    for colour, curve in zip(_colours(len(curves)), curves, strict=True):
        n, auc, error = (numbers(curve[key]) for key in ("n", "auc", "error"))
        points.append(ax.errorbar(n, auc, error, fmt="o-", markersize=3, color=colour, label=curve["label"]))
    ax.axhline(0.5, linestyle="--", color=REFERENCE, linewidth=0.8)
    logarithmic(ax, "x")
    sizes = sorted({int(n) for curve in curves for n in curve["n"]})
    ax.set_xticks(sizes[:: max(1, len(sizes) // 4)], [f"{n:,}" for n in sizes[:: max(1, len(sizes) // 4)]])
    ax.set_xlabel("showers per sample")
    ax.set_ylabel("AUC")
    if curves:
        ax.legend(loc="best", frameon=False)
    return points


@styled
def side_by_side(charts: Mapping[str, Sequence[Data]], *, ax: Axes | None = None) -> Axes:
    """A panel per kind of chart, each with all classifiers, in `ax` or a new figure.

    Args:
        charts: kind (see `KINDS`) → data of the classifiers' charts.
        ax: axes that become the frame of the panels.
    """
    outer, width = frame(ax, 4.1 * len(charts), 4.0), 1 / len(charts)
    for column, (kind, data) in enumerate(charts.items()):
        KINDS[kind](data, ax=outer.inset_axes(((column + 0.16) * width, 0.13, 0.8 * width, 0.82)))
    return outer


def _colours(n: int) -> list[str]:
    return [CYCLE[k % len(CYCLE)] for k in range(n)]


KINDS = {
    "roc": draw_roc,
    "weights": draw_weights,
    "reliability": draw_reliability,
    "learning_curve": draw_learning_curves,
}
"""Kind of chart → function that draws the charts of several classifiers on one panel."""


def _alone(draw: Callable[..., object], data: Data, ax: Axes | None = None) -> Axes:
    """The chart of one classifier."""
    ax = axes(ax)
    draw([data], ax=ax)
    return ax


for _kind, _draw in KINDS.items():
    chart(_kind)(partial(_alone, _draw))
