"""The figures of a report, one after another, so that only one is in memory.

Each is a `Picture`: a figure with a file name, a title and a caption that says what to look for. A figure whose
numbers are not in the report (a classifier that was not asked for, an observable without a histogram) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from caloforge.evaluation import binning
from caloforge.evaluation.labels import classifier_title, describe, split_name
from caloforge.evaluation.observables import challenge_names
from caloforge.evaluation.plots import classifiers, galleries, matrices, observables, profiles
from caloforge.evaluation.plots.histograms import Histogram, common_range, draw_histograms
from caloforge.evaluation.plots.layers import choose_layers
from caloforge.evaluation.plots.style import label_legend, new_figure
from caloforge.showers import Showers
from caloforge.units import format_energy

if TYPE_CHECKING:
    from caloforge.evaluation.old_report import Report
    from caloforge.evaluation.summary import Summary

MOST_LAYERS = 8
"""Layers in a gallery; a calorimeter of more shows those at equal steps of the deposited energy."""

FEW_LAYERS = 4
"""Layers with histograms of their own where a calorimeter has more than `MOST_LAYERS`."""


@dataclass(frozen=True)
class Picture:
    """A figure and its words: `name` is the file's stem, `section` where it stands on the page."""

    name: str
    section: str
    title: str
    caption: str
    figure: Figure


def pictures(report: Report) -> Iterator[Picture]:
    """The figures of `report`, to be drawn and saved inside `report_style()`."""
    makers: tuple[Callable[[Report], Iterator[Picture]], ...] = (
        _average_showers,
        _histograms,
        _per_energy,
        _profiles,
        _response,
        _single_showers,
        _correlations,
        _classifiers,
    )
    for make in makers:
        yield from make(report)


def _shown_layers(report: Report, n: int = MOST_LAYERS) -> list[int]:
    return choose_layers(report.reference.geometry, report.reference.voxel_mean, n)


def _selection(report: Report) -> str:
    shown = len(_shown_layers(report))
    total = report.reference.geometry.n_layers
    if shown == total:
        return ""
    return f" {shown} of {total} layers are shown, at equal steps of the deposited energy."


def _average_showers(report: Report) -> Iterator[Picture]:
    geometry = report.reference.geometry
    figure, _ = galleries.average_showers(
        geometry, _shown_layers(report), report.generated.voxel_mean, report.reference.voxel_mean
    )
    yield Picture(
        "average-showers",
        "showers",
        "Average showers",
        "Mean energy of each voxel, layer by layer, and generated over reference. Red is too much, blue too little, "
        "grey has no energy. Radii in mm; where rings grow by large factors the radius is drawn as its square root."
        + _selection(report),
        figure,
    )


def voxel_histogram(summary: Summary) -> Histogram:
    """The voxel energies of a `Summary` as a `Histogram`; n counts the voxels above the threshold."""
    counts, under, over = summary.voxel_counts.astype(float), summary.voxel_under, summary.voxel_over
    return Histogram(summary.voxel_edges, counts, under, over, float(counts.sum()) + under + over)


def _pair(report: Report, name: str) -> tuple[str, Histogram, Histogram] | None:
    """(name, generated, reference) in the challenge's binning, or in an automatic one; None without entries."""
    geometry = report.reference.geometry
    mine, theirs = report.generated.observables[name], report.reference.observables[name]
    edges: np.ndarray | None = observables.automatic_edges(theirs, mine)
    if name in challenge_names(geometry):
        edges = binning.challenge_edges(geometry, name, theirs, report.data["threshold_mev"])
    if edges is None:
        return None
    return name, Histogram.fill(mine, edges), Histogram.fill(theirs, edges)


def _histograms(report: Report) -> Iterator[Picture]:
    geometry, separation = report.reference.geometry, report.data.get("separation_power", {})
    names = [name for name in report.reference.observables if name in report.generated.observables]
    many = geometry.n_layers > MOST_LAYERS
    shown = _shown_layers(report, FEW_LAYERS if many else MOST_LAYERS)
    ids = [geometry.layer_ids[k] for k in shown]
    families = list(observables.FAMILIES)
    own = observables.unfamiliar(names)
    if own:
        families.append(observables.Family("further", "Further observables", tuple({split_name(n)[0] for n in own})))
    if many:
        kinds = [kind for family in families for kind in family.families]
        figure = observables.separation_by_layer(geometry, separation, kinds)
        if figure is not None:
            yield Picture(
                "separation-by-layer",
                "histograms",
                "Separation power, layer by layer",
                "0 is equal, 1 is disjoint; the floor is reference against independent reference.",
                figure,
            )
    for family in families:
        panels = [_pair(report, name) for name in observables.members(family, names, ids)]
        found = [panel for panel in panels if panel is not None]
        if "voxel_energy" in family.families and report.reference.voxel_counts.any():
            mine, theirs = voxel_histogram(report.generated), voxel_histogram(report.reference)
            found.insert(min(1, len(found)), ("voxel_energy", mine, theirs))
        if found:
            yield Picture(
                family.name,
                "histograms",
                family.title,
                "Shares of all showers. Shaded bins marked < and > hold what lies beyond the range; bars and band are "
                "statistical errors." + (f" Layers {', '.join(map(str, ids))} are shown." if many else ""),
                observables.histogram_figure(found),
            )


def _per_energy(report: Report) -> Iterator[Picture]:
    """E_dep/E_inc at each incident energy, where the report was asked for numbers per energy."""
    entries = report.data.get("per_energy")
    if not entries or "e_tot_over_e_inc" not in report.reference.observables:
        return
    name = "e_tot_over_e_inc"
    bins = profiles.energy_bins(report.reference.energies, 8)
    panels = []
    for low, high in pairwise(bins):
        samples = []
        for summary in (report.generated, report.reference):
            rows = (summary.energies >= low) & (summary.energies < high)
            samples.append((summary.observables[name][rows], summary.energies[rows]))
        if all(len(values) for values, _ in samples):
            edges = observables.automatic_edges(samples[1][0], samples[0][0], 30)
            mine, theirs = (Histogram.fill(values, edges) for values, _ in samples)
            panels.append((format_energy(float(samples[1][1].mean())), mine, theirs))
    if not panels:
        return
    figure, axes = observables.panel_grid(len(panels))
    for (energy, mine, theirs), (ax, ratio_ax) in zip(panels, axes, strict=True):
        draw_histograms(
            *common_range(mine, theirs), ax=ax, ratio_ax=ratio_ax, label=f"{energy}: $E_{{dep}}\\,/\\,E_{{inc}}$"
        )
    label_legend(figure, axes[0][0])
    yield Picture(
        "per-energy",
        "histograms",
        "Deposited over incident energy, per incident energy",
        "The bins follow the reference at each energy.",
        figure,
    )


def _profiles(report: Report) -> Iterator[Picture]:
    geometry = report.reference.geometry
    mine, theirs = report.generated.voxel_mean, report.reference.voxel_mean
    layers = _shown_layers(report, 7)
    figure, pairs = observables.panel_grid(1 + len(layers))
    profiles.longitudinal(geometry, mine, theirs, ax=pairs[0][0], ratio_ax=pairs[0][1])
    for position, (ax, ratio_ax) in zip(layers, pairs[1:], strict=True):
        part = geometry.slices[position]
        profiles.transverse(geometry.layers[position], mine[part], theirs[part], ax=ax, ratio_ax=ratio_ax)
    pairs[0][1].set_ylabel("ratio")
    label_legend(figure, pairs[0][0])
    yield Picture(
        "profiles",
        "histograms",
        "Longitudinal and transverse profiles",
        "Mean energy per layer, and mean energy per area against the distance from the axis.",
        figure,
    )


def _response(report: Report) -> Iterator[Picture]:
    name = "e_tot_over_e_inc"
    if name not in report.reference.observables or name not in report.generated.observables:
        return
    samples = {
        label: (summary.energies, summary.observables[name])
        for label, summary in (("generated", report.generated), ("reference", report.reference))
    }
    edges = profiles.energy_bins(report.reference.energies)
    both = np.concatenate([ratio for _, ratio in samples.values()])
    low, high = np.quantile(both, [0.0005, 0.9995])
    ratio_edges = np.linspace(low, high if high > low else low + 1e-3, 51)
    figure, pairs = observables.panel_grid(4, columns=2, ratio=False)
    for (label, (energies, ratio)), (ax, _) in zip(samples.items(), pairs[:2], strict=True):
        profiles.deposited_against_incident(energies, ratio, ax=ax, edges=edges, ratio_edges=ratio_edges)
        ax.set_title(label)
    profiles.draw_response(samples, edges, ax=pairs[2][0], width_ax=pairs[3][0])
    pairs[2][0].legend(frameon=False)
    yield Picture(
        "response",
        "histograms",
        "Deposited against incident energy",
        "Above: share of showers (logarithmic colours). Below: mean response with its error, and relative width.",
        figure,
    )


def _single_showers(report: Report) -> Iterator[Picture]:
    mine, theirs, layers = report.generated.examples, report.reference.examples, _shown_layers(report)
    if mine is None or theirs is None or not len(mine) or not len(theirs):
        return
    drawn = galleries.single_showers(mine, theirs, layers)
    if drawn is not None:
        yield Picture(
            "single-showers",
            "single",
            "Single showers",
            "One shower of each sample, picked without looking, at a few incident energies." + _selection(report),
            drawn[0],
        )
    drawn = galleries.nearest_neighbours(_with_sample(report.generated), theirs, layers)
    if drawn is not None:
        yield Picture(
            "nearest-neighbours",
            "single",
            "Nearest neighbours",
            "A reference shower and the generated one nearest to it (Euclidean distance d over all voxels, among the "
            "showers kept of that energy). Look for variety: the same picture again and again is mode collapse."
            + _selection(report),
            drawn[0],
        )


def _with_sample(summary: Summary) -> Showers:
    """All single showers that a summary kept: the examples and the sample for nearest neighbours."""
    parts = (summary.examples, summary.sample)
    energies, voxels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("energies", "voxels"))
    return Showers(energies, voxels, summary.geometry)


def _correlations(report: Report) -> Iterator[Picture]:
    titles = {"layers": "Correlations between layer energies", "observables": "Correlations between observables"}
    titles["directions"] = "Correlations between the layers' centres of energy"
    for kind, entry in report.data.get("correlations", {}).items():
        if not isinstance(entry, dict) or "difference" not in entry:
            continue
        values = {key: np.array(entry[key], dtype=float) for key in ("generated", "reference", "difference")}
        side = 3.1
        figure = new_figure(3 * side + 1.9, side + 1.25)
        limit = matrices.difference_limit(values["difference"])
        names = [describe(str(name)) for name in entry["names"]]
        if kind == "layers":
            names = [str(layer) for _, layer in map(split_name, map(str, entry["names"]))]
        for column, (key, matrix) in enumerate(values.items()):
            left = (1.3 + column * (side + 0.1)) / (3 * side + 1.9)
            ax = figure.add_axes(
                (left, 0.95 / (side + 1.25), (side - 0.2) / (3 * side + 1.9), (side - 0.2) / (side + 1.25))
            )
            last = key == "difference"
            image = matrices.draw_matrix(
                names, matrix, ax=ax, limit=limit if last else 1.0, title=key, labels=column == 0
            )
            box = ax.get_position()
            bar = figure.add_axes((box.x0, 0.06, box.width, 0.015))
            figure.colorbar(image, cax=bar, orientation="horizontal")
            bar.tick_params(labelsize=6)
        yield Picture(
            f"correlations-{kind}",
            "correlations",
            titles.get(kind, kind),
            f"{'Spearman' if kind == 'directions' else 'Pearson'} coefficients; the difference has a scale of its own, "
            f"±{limit:g}.",
            figure,
        )


def _classifiers(report: Report) -> Iterator[Picture]:
    tests = {k: v for k, v in report.data.get("classifier", {}).items() if isinstance(v, dict) and "auc" in v}
    curves = {
        f"{classifier_title(key)}, AUC {entry['auc']:.3f}": (entry["roc"]["fpr"], entry["roc"]["tpr"])
        for key, entry in tests.items()
        if "roc" in entry
    }
    weights = {
        classifier_title(key): tuple(
            entry["weights"]["histogram"][k] for k in ("log10_edges", "generated", "reference")
        )
        for key, entry in tests.items()
        if "histogram" in entry.get("weights", {})
    }
    sizes = {
        classifier_title(key): tuple(entry["learning_curve"][column] for column in ("n", "auc", "auc_std"))
        for key, entry in tests.items()
        if "learning_curve" in entry
    }
    drawers: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (classifiers.draw_roc, curves),
        (classifiers.draw_weights, weights),
        (classifiers.draw_auc_against_size, sizes),
    ]
    wanted = [(draw, entries) for draw, entries in drawers if entries]
    if not wanted:
        return
    figure = new_figure(4.1 * len(wanted), 4.0)
    for column, (draw, entries) in enumerate(wanted):
        width = 1 / len(wanted)
        ax = figure.add_axes(((column + 0.16) * width, 0.13, 0.8 * width, 0.82))
        draw(entries, ax=ax)
    yield Picture(
        "classifiers",
        "classifiers",
        "What the classifiers see",
        "The closer a curve lies to the diagonal, the less the samples can be told apart.",
        figure,
    )
