"""What the classifier tests saw: ROC curves, the weights w = C / (1 − C), and AUC against the number of showers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from caloforge.evaluation.plots.style import REFERENCE, logarithmic

CYCLE = ("#1f5fbf", "#c2410c", "#15803d", "#7e22ce", "#b45309", "#0e7490", "#be123c", "#4d7c0f", "#475569")


def draw_roc(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, ax: Axes) -> dict[str, Any]:
    """ROC curves, label → (share of generated, of reference showers above a cut), with the diagonal of a guess."""
    lines = {"guess": ax.plot([0, 1], [0, 1], linestyle="--", color=REFERENCE, linewidth=0.8)[0]}
    for colour, (label, (fpr, tpr)) in zip(_colours(len(curves)), curves.items(), strict=True):
        lines[label] = ax.plot(fpr, tpr, color=colour, label=label)[0]
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_aspect("equal")
    ax.set_xlabel("generated showers taken for the reference's")
    ax.set_ylabel("reference showers recognised")
    if curves:
        ax.legend(loc="lower right", frameon=False)
    return lines


def draw_weights(
    histograms: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]], *, ax: Axes
) -> dict[str, Any]:
    """Histograms of log10 w, label → (edges, counts of generated, counts of reference), as shares; 0 is marked.

    Generated showers are drawn solid, the reference's dotted in the same colour.
    """
    steps, filled, lowest = {}, [0.0], 1.0
    for colour, (label, (edges, *samples)) in zip(_colours(len(histograms)), histograms.items(), strict=True):
        drawn = []
        for counts, line in zip(samples, ("-", ":"), strict=True):
            shares = np.asarray(counts, dtype=float)
            shares = shares / max(shares.sum(), 1)
            seen = np.nonzero(shares)[0]
            if len(seen):
                lowest = min(lowest, float(shares[seen].min()))
                filled += [edges[seen[0]], edges[seen[-1] + 1]]
            name = label if line == "-" else None
            drawn.append(ax.stairs(shares, np.asarray(edges, dtype=float), color=colour, linestyle=line, label=name))
        steps[label] = drawn[0]
    ax.axvline(0, linestyle="--", color=REFERENCE, linewidth=0.8)
    logarithmic(ax, "y")
    ax.set_ylim(min(0.5 * lowest, 0.05), 1.5)
    ax.set_xlim(min(filled) - 0.2, max(filled) + 0.2)
    ax.set_xlabel(r"log$_{10}$ of the weight $C\,/\,(1-C)$")
    ax.set_ylabel("share of showers (dotted: reference)")
    if histograms:
        ax.legend(loc="upper right", frameon=False)
    return steps


def draw_auc_against_size(
    points: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]], *, ax: Axes
) -> dict[str, Any]:
    """AUC against the number of showers, label → (showers a side, AUC, its error)."""
    lines = {}
    for colour, (label, (sizes, values, errors)) in zip(_colours(len(points)), points.items(), strict=True):
        lines[label] = ax.errorbar(sizes, values, errors, fmt="o-", markersize=3, color=colour, label=label)
    ax.axhline(0.5, linestyle="--", color=REFERENCE, linewidth=0.8)
    logarithmic(ax, "x")
    ax.set_xlabel("showers a side")
    ax.set_ylabel("AUC")
    if points:
        ax.legend(loc="best", frameon=False)
    return lines


def _colours(n: int) -> list[str]:
    return [CYCLE[k % len(CYCLE)] for k in range(n)]
