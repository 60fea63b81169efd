"""Figures of many histograms: one per family of observables, every panel with its ratio."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from caloforge.evaluation.labels import FAMILY_ORDER, axis_label, split_name
from caloforge.evaluation.plots.histograms import Histogram, common_range, draw_histograms
from caloforge.evaluation.plots.style import FLOOR, GENERATED, label_legend, logarithmic, new_figure
from caloforge.geometry import Geometry

PANEL_WIDTH, PANEL_HEIGHT = 3.2, 2.75
"""Size of one panel with its ratio, in inches."""

LINEAR = {"e_tot_over_e_inc", "sparsity", "s_d", "sigma_s_d", "n_hits"}
"""Families whose shares are drawn on a linear scale."""


@dataclass(frozen=True)
class Family:
    """A figure of observables: its file name, title and the observables' families in it."""

    name: str
    title: str
    families: tuple[str, ...]


FAMILIES = (
    Family("energies", "Energies", ("e_tot_over_e_inc", "voxel_energy", "e_layer")),
    Family("centres", "Centres of energy", ("ec_eta", "ec_phi", "ec_r")),
    Family("widths", "Widths", ("width_eta", "width_phi", "width_r")),
    Family("sparsity", "Sparsity", ("sparsity",)),
    Family(
        "whole-shower",
        "Whole shower",
        ("n_hits", "max_voxel_fraction", "l_d", "s_d", "sigma_s_d", "mean_x", "mean_y", "mean_z"),
    ),
    Family("fractions", "Layer fractions", ("fraction_layer",)),
    Family("brightest", "Brightest voxels", ("brightest", "e_ratio")),
)


def members(family: Family, names: Iterable[str], layers: Sequence[int]) -> list[str]:
    """Those of `names` in `family`, by family and layer, of layers in `layers` (ids) or of the whole shower."""
    chosen = []
    for name in names:
        kind, layer = split_name(name)
        if kind in family.families and (layer is None or layer in layers):
            chosen.append((family.families.index(kind), -1 if layer is None else layers.index(layer), name))
    return [name for _, _, name in sorted(chosen)]


def unfamiliar(names: Iterable[str]) -> list[str]:
    """Observables of no known family (a user's own), which get a figure to themselves."""
    known = {"occupancy", *FAMILY_ORDER}
    return [name for name in names if split_name(name)[0] not in known]


def automatic_edges(reference: np.ndarray, generated: np.ndarray, bins: int = 50) -> np.ndarray:
    """Edges for an observable without a convention: from the reference's 0.05 to its 99.95 percentile.

    Whole numbers get bins of whole width. A constant observable gets one bin around its value.
    """
    values = np.concatenate([reference, generated])
    low, high = np.quantile(reference, [0.0005, 0.9995]) if len(reference) else (0.0, 1.0)
    if not high > low:
        low, high = float(values.min(initial=low)), float(values.max(initial=high))
    if not high > low:
        width = max(abs(low) * 0.05, 0.5)
        return np.array([low - width, low + width])
    if np.all(values == np.round(values)):
        step = max(1.0, np.ceil((high - low + 1) / bins))
        return np.arange(np.floor(low) - 0.5, high + step, step)
    return np.linspace(low, high, bins + 1)


def panel_grid(n: int, columns: int = 3, ratio: bool = True) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """A figure of `n` panels, each a pair (histogram, ratio below); the second is the first if `ratio` is false.

    Margins are set by hand: an automatic layout of dozens of axes takes longer than drawing them.
    """
    columns = min(columns, n)
    rows = -(-n // columns)
    width, height = columns * PANEL_WIDTH, rows * PANEL_HEIGHT + 0.3
    figure = new_figure(width, height)
    pairs = []
    for k in range(n):
        row, column = divmod(k, columns)
        left = (column * PANEL_WIDTH + 0.6) / width
        bottom = (height - 0.3 - (row + 1) * PANEL_HEIGHT + 0.45) / height
        inner, full = (PANEL_WIDTH - 0.72) / width, PANEL_HEIGHT - 0.55
        if not ratio:
            ax = figure.add_axes((left, bottom, inner, full / height))
            pairs.append((ax, ax))
            continue
        low = 0.26 * full / height
        ratio_ax = figure.add_axes((left, bottom, inner, low))
        top = figure.add_axes((left, bottom + low + 0.02 / height, inner, full / height - low))
        pairs.append((top, ratio_ax))
    for axes in {ax for pair in pairs for ax in pair}:
        axes.locator_params(nbins=5)
    return figure, pairs


def histogram_figure(histograms: Sequence[tuple[str, Histogram, Histogram]]) -> Figure:
    """Panels of (name, generated, reference), with one legend on top."""
    figure, pairs = panel_grid(len(histograms))
    for (name, generated, reference), (ax, ratio_ax) in zip(histograms, pairs, strict=True):
        mine, theirs = common_range(generated, reference)
        linear = split_name(name)[0] in LINEAR
        draw_histograms(mine, theirs, ax=ax, ratio_ax=ratio_ax, label=axis_label(name), log_y=not linear)
    for ax, ratio_ax in pairs[:1]:
        ax.set_ylabel("share of showers")
        ratio_ax.set_ylabel("ratio")
        label_legend(figure, ax)
    return figure


def separation_by_layer(
    geometry: Geometry, entries: dict[str, dict[str, float]], families: Sequence[str]
) -> Figure | None:
    """Separation power against layer, a panel per family, with the floor; for calorimeters of many layers.

    Args:
        geometry: for the order of its layers.
        entries: report.json's `separation_power`.
        families: which families, in order; those absent are left out.
    """
    found = []
    for family in families:
        points = [
            (position, entries[f"{family}_{layer}"])
            for position, layer in enumerate(geometry.layer_ids)
            if "value" in entries.get(f"{family}_{layer}", {})
        ]
        if points:
            found.append((family, points))
    if not found:
        return None
    figure, pairs = panel_grid(len(found), ratio=False)
    for (family, points), (ax, _) in zip(found, pairs, strict=True):
        layers = [position for position, _ in points]
        ax.plot(layers, [p["value"] for _, p in points], ".-", markersize=3, color=GENERATED, label="generated")
        with_floor = [(k, p["floor"]) for k, p in points if "floor" in p]
        if with_floor:
            ax.plot(*zip(*with_floor, strict=True), color=FLOOR, linewidth=1, label="floor")
        logarithmic(ax, "y")
        shown = [v for _, p in points for v in (p["value"], p.get("floor", 0.0)) if v > 0]
        if shown:
            # Whole powers of ten, so that at least two carry a label.
            ax.set_ylim(10 ** np.floor(np.log10(min(shown))), 10 ** np.ceil(np.log10(max(shown)) + 1e-9))
        ax.set_xlabel("layer")
        ax.set_title(axis_label(family).partition(" [")[0], fontsize=8)
    pairs[0][0].set_ylabel("separation power")
    label_legend(figure, pairs[0][0])
    return figure
