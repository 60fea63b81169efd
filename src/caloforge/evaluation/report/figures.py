"""The figures of a report's page, drawn from its metrics, histograms and charts and from nothing else.

`figures` lists them; each is drawn when its `draw` is called, so that only one is in memory. `plot` draws one by name:
an observable, a chart, or a figure of the page.
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from hist import Hist

from caloforge import plots
from caloforge.errors import CaloforgeError
from caloforge.evaluation.metrics.base import Chart, Metric
from caloforge.evaluation.report.heat_maps import heat_maps
from caloforge.evaluation.report.records import Records
from caloforge.observables import REGISTRY
from caloforge.observables.base import GROUPS
from caloforge.plots.classifiers import KINDS, side_by_side
from caloforge.plots.layers import at_equal_steps
from caloforge.plots.series import Series, series_grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LAYERS = 8
"""Layers whose histograms are all shown."""

FEW_LAYERS = 4
"""Layers with histograms where a calorimeter has more than `MOST_LAYERS`."""

MOST_CURVES = 4
"""Numbers of a section that are drawn against incident energy."""

MOST_BARS = 15
"""Observables in the figure of importances."""


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page.

    Args:
        name: stem of its file.
        page: part of the page it appears in.
        title, caption: its words; the caption says what to look for.
        draw: draws it on `ax`, or on those of a new figure.
    """

    name: str
    page: str
    title: str
    caption: str
    draw: Callable[..., Axes]


def figures(records: Records) -> list[ReportFigure]:
    """All figures of a report, in order.

    Charts of an unknown kind are left out, and those of kind `profile`, which the page lists as tables.
    """
    drawn = [c for c in records.charts if c.kind in plots.DRAW and c.kind not in {*KINDS, "profile"}]
    found = [ReportFigure(c.name, _page(records, c), c.title, c.caption, partial(_draw, c)) for c in drawn]
    return [
        *_histograms(records),
        *found,
        *_by_energy(records),
        *_heat_maps(records),
        *_classifiers(records),
        *_importances(records),
    ]


def plot(records: Records, name: str, ax: Axes | None = None) -> Axes:
    """Draw an observable's histogram, a chart, or a figure of the page.

    Args:
        records: a report.
        name: of the observable, the chart or the figure, as "ec_eta_1", "roc_caloman", "centres".
        ax: axes of your own to draw on; None makes a figure.

    Raises:
        CaloforgeError: there is none of this name.
    """
    if name in records.hists:
        return plots.histogram(records.hists[name], ax=ax)
    for chart in records.charts:
        if chart.name == name:
            return plots.draw(chart.kind, chart.data, ax=ax)
    listed = {figure.name: figure for figure in figures(records)}
    if name in listed:
        return listed[name].draw(ax=ax)
    names = [*records.hists, *(chart.name for chart in records.charts), *listed]
    if not names:
        raise CaloforgeError(f"nothing to plot as '{name}': this report holds no data of figures")
    near = difflib.get_close_matches(name, names) or names
    raise CaloforgeError(f"nothing to plot as '{name}'; known are {', '.join(dict.fromkeys(near))}")


def _draw(chart: Chart, ax: Axes | None = None) -> Axes:
    return plots.draw(chart.kind, chart.data, ax=ax)


def _page(records: Records, chart: Chart) -> str:
    """Part of the page: a chart names it, or the section that it belongs to."""
    section = records.sections.get(chart.section)
    return chart.section if section is None else section.page


def _known(histogram: Hist[Any], key: str) -> Any:
    """An entry of a histogram's metadata, None where there is none."""
    found = vars(histogram).get("metadata")
    return found.get(key) if isinstance(found, dict) else None


def _histograms(records: Records) -> list[ReportFigure]:
    """Histograms by group, and the separation power of every layer where not all of them are shown."""
    layers = list(dict.fromkeys(_known(h, "layer") for h in records.hists.values()))
    layers = sorted(layer for layer in layers if layer is not None)
    shown, found, note = layers, [], ""
    if len(layers) > MOST_LAYERS:
        shown = _selected(records, layers)
        note = f" Layers {', '.join(map(str, shown))} of {len(layers)} are shown."
        found = _by_layer(records)
    groups: dict[str, list[Hist[Any]]] = defaultdict(list)
    for histogram in records.hists.values():
        if _known(histogram, "layer") in (None, *shown):
            groups[_known(histogram, "group") or "further"].append(histogram)
    order = [group for group in GROUPS if group in groups] + [group for group in groups if group not in GROUPS]
    return found + [
        ReportFigure(
            group,
            "histograms",
            GROUPS.get(group, group.replace("_", " ").capitalize()),
            "Fractions of all showers, with the ratio of generated to reference below. Shaded bins marked < and > hold "
            "what lies beyond the range; bars and band are statistical errors, arrows mark ratios outside the panel."
            + note,
            partial(plots.histogram_grid, groups[group]),
        )
        for group in order
    ]


def _selected(records: Records, layers: list[int]) -> list[int]:
    """Ids of a few layers at equal steps of the deposited energy, or of depth where the report does not tell it."""
    energies = np.zeros(len(layers))
    for chart in records.charts:
        if chart.kind == "profiles" and list(chart.data["layers"]) == layers:
            energies = np.asarray(chart.data["reference"], dtype=float)
    return [layers[k] for k in at_equal_steps(energies, FEW_LAYERS)]


def _by_layer(records: Records) -> list[ReportFigure]:
    """Separation power against layer, a panel per observable, with the baseline."""
    families: dict[str, list[tuple[float, Metric]]] = defaultdict(list)
    for metric in records.section("separation_power", at=""):
        histogram = records.hists.get(metric.name)
        if histogram is not None and metric.estimate is not None and _known(histogram, "layer") is not None:
            families[str(_known(histogram, "family"))].append((float(_known(histogram, "layer")), metric))
    if not families:
        return []
    series: list[Series] = []
    for family, points in families.items():
        title = REGISTRY[family].label if family in REGISTRY else family.replace("_", " ")
        series.append(_series(points, title, errors=False))
    return [
        ReportFigure(
            "separation_by_layer",
            "histograms",
            "Separation power, layer by layer",
            "0 means equal, 1 disjoint histograms. The baseline is the reference against independent reference "
            "showers: a layer is right where the generated curve lies on it.",
            partial(series_grid, series, x_label="layer", y_label="separation power", log_y=True),
        )
    ]


def _by_energy(records: Records) -> list[ReportFigure]:
    """Sections of a few numbers, as the mean separation power, against incident energy."""
    names: dict[tuple[str, str], list[tuple[float, Metric]]] = defaultdict(list)
    for metric in records.metrics:
        energy = metric.extra.get("energy")
        if metric.at and metric.estimate is not None and isinstance(energy, (int, float)):
            names[metric.section, metric.name].append((energy / 1e3, metric))
    sections = [section for section, _ in names]
    few = {key: points for key, points in names.items() if sections.count(key[0]) <= MOST_CURVES and len(points) > 1}
    if not few:
        return []
    series = []
    for (section, _), points in few.items():
        title = records.sections[section].title if section in records.sections else section.replace("_", " ")
        series.append(_series(points, f"{title}\n{points[0][1].label}", errors=True))
    return [
        ReportFigure(
            "by_energy",
            "histograms",
            "Numbers at each incident energy",
            "Values with their errors against incident energy, and the baseline (or the value of a perfect "
            "generator). Look for energies at which the generator is worse than elsewhere.",
            partial(series_grid, series, x_label=r"$E_{inc}$ [GeV]", log_x=True),
        )
    ]


def _heat_maps(records: Records) -> list[ReportFigure]:
    """Where each quantity is worse than its baseline."""
    caption = (
        "How many standard errors each number is worse than its baseline: red cells are worse, white ones agree. A red "
        "column is an energy, or a bin, at which the generator fails; a red row an observable."
    )
    return [
        ReportFigure(name, records.sections[section].page, title, caption, partial(plots.draw, "heatmap", data))
        for name, section, title, data in heat_maps(records)
    ]


def _series(points: Iterable[tuple[float, Metric]], title: str, errors: bool) -> Series:
    ordered = sorted(points, key=lambda point: point[0])
    estimates = [metric.estimate for _, metric in ordered if metric.estimate is not None]
    baselines = [each.baseline if each.expected is None else each.expected for each in estimates]
    return Series(
        title=title,
        x=np.array([x for x, _ in ordered]),
        values=np.array([each.compared if each.expected is None else each.value for each in estimates]),
        errors=np.array([each.error or 0.0 for each in estimates]) if errors else None,
        baseline=np.array([np.nan if each is None else each for each in baselines]),
    )


def _classifiers(records: Records) -> list[ReportFigure]:
    """ROC curves, weights and learning curves of all classifiers, side by side."""
    kinds = {kind: [c.data for c in records.charts if c.kind == kind] for kind in KINDS}
    kinds = {kind: data for kind, data in kinds.items() if data}
    if not kinds:
        return []

    words = {
        "roc": "The closer a ROC curve is to the diagonal, the less the samples can be distinguished.",
        "weights": "Weights far from 0 belong to showers that only one sample has.",
        "reliability": "Points on the diagonal belong to scores that are the probabilities they claim to be.",
        "learning_curve": "An AUC that still rises with the number of showers would be higher with more of them.",
    }
    caption = " ".join(words[kind] for kind in kinds)
    draw = partial(side_by_side, kinds)
    return [ReportFigure("classifiers", "classifiers", "What the classifiers see", caption, draw)]


def _importances(records: Records) -> list[ReportFigure]:
    """Importance of each observable to the classifier on high-level observables."""
    pairs = [(m.estimate, m.label) for m in records.section("importance", at="") if m.estimate is not None]
    pairs = sorted(pairs, key=lambda pair: -pair[0].value)[:MOST_BARS]
    pairs = [pair for pair in pairs if pair[0].value > 0.01 * pairs[0][0].value]
    if not pairs:
        return []
    data = {
        "names": [label for _, label in pairs],
        "values": [estimate.value for estimate, _ in pairs],
        "errors": [estimate.error or 0.0 for estimate, _ in pairs],
        "label": "loss of AUC when the observable is shuffled",
    }
    return [
        ReportFigure(
            "importance",
            "classifiers",
            "What gives generated showers away",
            "How much of its AUC the classifier loses when one observable is shuffled between showers: the longest "
            "bars are the observables to improve. Strongly correlated observables share their importance; those below "
            "1 % of the largest are left out.",
            partial(plots.draw, "bars", data),
        )
    ]
