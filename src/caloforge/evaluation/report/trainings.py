"""Reports of several trainings of one generator as one: means, their spread, and whether it covers the difference.

A folder of reports stands for the generator (`RUNS/seed-1`, `RUNS/seed-2`, …). Of each number the mean over the
trainings and their standard deviation; next to it the statistical error of one training, and the probability of a
spread as large by chance (χ² of the values about their mean). All trainings are compared with the same reference, whose
fluctuations they share: by chance alone the spread is at most the error, and p is conservative.

Of each observable's histogram the pulls of Geant4 from the trainings (`caloforge.distances.ensemble`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from caloforge import formatting
from caloforge.distances.ensemble import EnsemblePulls, ensemble_pulls, width
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric
from caloforge.evaluation.report.about import About
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.tables import Cell, Column, Table, label_of
from caloforge.locations import by_number

RARE = 0.01
"""Probability below which a spread is more than chance."""

WIDE, WIDER = 2.0, 1.5
"""Width of Geant4's pulls, absolute and in units of the widest of a training's, above which the spread does not cover
the difference."""

EDGES = np.linspace(-6, 6, 49)
"""Of the histogram of pulls; what lies beyond is in the outermost bins."""

SPREAD_NOTE = (
    "Mean over the trainings ± standard deviation of one of them, and the statistical error of one report. A ratio "
    "above 1 is a spread that the number of showers does not explain; p is the probability of one as large by chance."
)
PULLS_NOTE = (
    "In each bin of a histogram, the mean over the trainings minus Geant4, divided by the uncertainty that follows "
    "from their spread. A width of 1 means that Geant4 is as far from the trainings as they are from each other; where "
    "it is larger, they agree with each other but not with Geant4. Spread and difference are relative, in the root "
    "mean square over the showers and without their statistical parts."
)


def reports_in(folder: Path) -> list[Path]:
    """The reports directly inside a folder, in the order of the numbers in their names."""
    found = [path for path in folder.iterdir() if (path / "report.json").is_file()] if folder.is_dir() else []
    return sorted(found, key=by_number)


def check_alike(folder: Path, names: Sequence[str], trainings: Sequence[Records]) -> None:
    """Check that reports can be those of one generator, trained several times.

    Raises:
        CaloforgeError: there is only one, or they differ in recipe, geometry, threshold, reference, or numbers of
            showers, or two are of the same training or the same showers.
    """
    if len(trainings) < 2:
        raise CaloforgeError(
            f"{folder} holds one report only ({names[0]}), and a spread needs those of at least two trainings; to "
            f"compare it alone, give {folder / names[0]}"
        )
    first = trainings[0]
    for name, other in zip(names[1:], trainings[1:], strict=True):
        for what, one, two in _same(first.about, other.about):
            if one != two:
                raise CaloforgeError(
                    f"{folder}: reports of one generator need the same {what}, but {names[0]} has {one} and {name} "
                    f"{two}; keep others in a folder of their own"
                )
        weights = [str(each.about.generated.attributes.get("weights_sha256", "")) for each in (first, other)]
        if weights[0] and weights[0] == weights[1]:
            raise CaloforgeError(f"{folder}: {names[0]} and {name} are reports of the same training")
        common = first.hists.keys() & other.hists.keys()
        if any(not np.array_equal(_counts(first, key)[1], _counts(other, key)[1]) for key in common):
            raise CaloforgeError(
                f"{folder}: {names[0]} and {name} have different reference showers; give both the same"
            )
        if common and all(np.array_equal(_counts(first, key)[0], _counts(other, key)[0]) for key in common):
            raise CaloforgeError(f"{folder}: {names[0]} and {name} are reports of the same generated showers")


def _same(one: About, two: About) -> list[tuple[str, str, str]]:
    def facts(about: About) -> dict[str, str]:
        return {
            "recipe": str(about.generated.attributes.get("recipe", "none")),
            "geometry": about.geometry_name,
            "readout threshold": f"{about.threshold_mev:g} MeV",
            "number of reference showers": f"{about.reference.n}",
            "number of generated showers": f"{about.generated.n}",
            "number of showers in the baseline": f"{about.baseline.n}",
        }

    return [(what, value, facts(two)[what]) for what, value in facts(one).items()]


def remark_on_seeds(name: str, trainings: Sequence[Records]) -> str:
    """Says so if the showers of all trainings were generated with one seed; else empty."""
    seeds = {str(each.about.generated.attributes.get("seed", k)) for k, each in enumerate(trainings)}
    if len(trainings) < 2 or len(seeds) > 1:
        return ""
    return (
        f"The showers of all trainings of {name} were generated with seed {seeds.pop()}: from the same noise they are "
        "alike, and the spread is too small. Give each its own seed."
    )


def _counts(records: Records, name: str) -> np.ndarray:
    """(2, B + 2) counts of an observable's histogram, generated and reference."""
    return np.asarray(records.hists[name].values(flow=True))


def together(name: str, trainings: Sequence[Records]) -> Records:
    """One set of records: each number's mean, with the standard deviation over the trainings as its error.

    Extras of a metric are `trainings`, `error_of_one`, `spread_over_error` and `p_of_spread`.
    """
    found: dict[tuple[str, str, str], list[Metric]] = {}
    for records in trainings:
        for metric in records.metrics:
            found.setdefault(metric.key, []).append(metric)
    metrics = [_mean(each, len(trainings)) for each in found.values()]
    sections = {key: section for records in reversed(trainings) for key, section in records.sections.items()}
    sections = {key: sections[key] for records in trainings for key in records.sections}
    about = trainings[0].about
    return Records(replace(about, generated=replace(about.generated, path=name)), metrics, sections=sections)


def _mean(metrics: Sequence[Metric], k: int) -> Metric:
    known = [metric.estimate for metric in metrics if metric.estimate is not None]
    first = metrics[0]
    if len(known) < k or any(math.isnan(estimate.compared) for estimate in known):
        reasons = [metric.reason for metric in metrics if metric.reason]
        return replace(first, estimate=None, reason=reasons[0] if reasons else "not in the reports of all trainings")
    values = np.array([each.value if each.expected is not None else each.compared for each in known])
    spread, errors = float(values.std(ddof=1)), [each.error for each in known]
    extra: dict[str, float | str | None] = {"trainings": k}
    if (one := _square_mean(errors)) is not None and one > formatting.ROUNDING * abs(values).max():
        chi2 = (k - 1) * (spread / one) ** 2
        extra |= {
            "error_of_one": one,
            "spread_over_error": spread / one,
            "p_of_spread": float(stats.chi2.sf(chi2, k - 1)),
        }
    baselines = [each.baseline for each in known if each.baseline is not None]
    estimate = Estimate(
        float(values.mean()),
        spread,
        float(np.mean(baselines)) if len(baselines) == k else None,
        _square_mean([each.baseline_error for each in known]),
        n=known[0].n,
        expected=known[0].expected,
        smallest_error=known[0].smallest_error,
    )
    return replace(first, estimate=estimate, reason="", extra=extra | _where(first))


def _square_mean(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.sqrt(sum(error**2 for error in known) / len(known)) if len(known) == len(errors) else None


def _where(metric: Metric) -> dict[str, float | str | None]:
    """Of the extras, what says which part of the samples a number is of."""
    return {key: metric.extra[key] for key in ("by", "energy") if key in metric.extra}


def spread_table(name: str, records: Records, sections: Collection[str] | None = None) -> Table:
    """Means, spreads and statistical errors of the numbers on all showers, as `together` has them.

    Args:
        name: of the generator.
        records: of its trainings together.
        sections: whose numbers are listed; None lists all.
    """
    titles = ["", "mean ± spread", "error of one", "spread / error", "p"]
    columns = tuple(Column(title, kind="number" if title else "text") for title in titles)
    rows, data = [], []
    for metric in records.metrics:
        if metric.at or metric.estimate is None or "error_of_one" not in metric.extra:
            continue
        if sections is not None and metric.section not in sections:
            continue
        estimate, extra = metric.estimate, metric.extra
        one, ratio, p = (float(extra[key] or 0.0) for key in ("error_of_one", "spread_over_error", "p_of_spread"))
        section = records.sections.get(metric.section)
        value = formatting.with_error(estimate.value, estimate.error)
        short = formatting.compact(estimate.value, estimate.error)
        level = "note" if p < RARE else "good"
        cells = [Cell(label_of(metric, section)), Cell(value, short, estimate.value)]
        cells += [Cell(text := formatting.number(one, 2), text, one)]
        cells += [Cell(text := formatting.number(ratio, 3), text, ratio, level)]
        rows.append((*cells, Cell(text := formatting.number(p, 2), text, p)))
        data.append({"section": metric.section, "name": metric.name, "value": estimate.value, "spread": estimate.error})
        data[-1] |= dict(extra)
    return Table(f"spread_{_word(name)}", f"Spread over trainings: {name}", SPREAD_NOTE, columns, rows, data)


def _word(name: str) -> str:
    return re.sub(r"\W+", "_", name)


@dataclass(frozen=True)
class Ensemble:
    """Pulls of Geant4 from the trainings of one generator.

    Args:
        name: of the generator. trainings: how many.
        found: observable → its pulls.
        labels: observable → words.
    """

    name: str
    trainings: int
    found: Mapping[str, EnsemblePulls]
    labels: Mapping[str, str]

    @property
    def width(self) -> float:
        """Of all pulls."""
        return width(np.concatenate([each.pulls for each in self.found.values()]))

    @property
    def widths_of_trainings(self) -> list[float]:
        """Of all pulls of each training from the others; empty for two trainings."""
        return [width(pulls) for pulls in np.concatenate([each.of_trainings for each in self.found.values()], axis=1)]

    @property
    def covers(self) -> bool:
        """Whether the difference to Geant4 is of the size of those among the trainings."""
        return self.width <= max(WIDE, WIDER * max(self.widths_of_trainings, default=0.0))

    def table(self) -> Table:
        """The observables, those with the widest pulls first."""
        titles = ["", "width of pulls", "mean pull", "between trainings", "spread / statistics"]
        titles += ["spread over trainings [%]", "difference to Geant4 [%]", "bins"]
        columns = tuple(Column(title, kind="number" if title else "text") for title in titles)
        rows, data = [], []
        for name, each in sorted(self.found.items(), key=lambda pair: -pair[1].width):
            own = [width(pulls) for pulls in each.of_trainings]
            level = "note" if each.width > max(WIDE, WIDER * max(own, default=0.0)) else "good"
            between = f"{min(own):.2f} … {max(own):.2f}" if own else "–"
            numbers = [each.width, float(each.pulls.mean())]
            shares = [100 * each.spread, 100 * each.difference]
            cells = [Cell(self.labels[name])]
            cells += [Cell(f"{each.width:.2f}", f"{each.width:.2f}", each.width, level)]
            cells += [Cell(f"{numbers[1]:+.2f}", f"{numbers[1]:+.2f}", numbers[1])]
            cells += [Cell(between, between, max(own, default=None))]
            ratio = formatting.with_error(each.ratio, each.ratio_error)
            cells += [Cell(ratio, formatting.compact(each.ratio, each.ratio_error), each.ratio)]
            cells += [Cell(text := formatting.number(share, 2), text, share) for share in shares]
            rows.append((*cells, Cell(text := str(len(each.pulls)), text, len(each.pulls))))
            plain: dict[str, Any] = {"name": name, "label": self.labels[name], "width": each.width}
            plain |= {"mean": numbers[1], "widths_of_trainings": " ".join(f"{one:.4g}" for one in own)}
            plain |= {"spread_over_statistics": each.ratio, "spread_over_statistics_error": each.ratio_error}
            data.append(plain | {"spread": each.spread, "difference": each.difference, "bins": len(each.pulls)})
        title = f"Pulls against Geant4: {self.name}"
        return Table(f"pulls_{_word(self.name)}", title, PULLS_NOTE, columns, rows, data)

    def chart(self) -> Chart:
        """The pulls of all observables over N(0, 1)."""
        own = [each.of_trainings.ravel() for each in self.found.values()]
        others = np.concatenate(own)
        data = {"edges": EDGES, "values": _histogram([each.pulls for each in self.found.values()])}
        if len(others):
            data["others"] = _histogram(own)
        caption = (
            f"Pulls of all observables' bins: of Geant4 from the {self.trainings} trainings, and of each training from "
            "the others. Where the spread over trainings covers the difference to Geant4, both follow the curve."
        )
        return Chart(f"pulls_{_word(self.name)}", "pulls", "further", f"Pulls: {self.name}", caption, data)

    def __str__(self) -> str:
        worst = max(self.found, key=lambda name: self.found[name].width)
        own = self.widths_of_trainings
        between = f"{min(own):.2f} to {max(own):.2f} between trainings" if own else "no third training to compare with"
        widths = f"pulls have a width of {self.width:.2f} ({between})"
        if self.covers:
            return f"{self.name}: the spread over {self.trainings} trainings covers the difference to Geant4: {widths}"
        most = self.found[worst]
        return (
            f"{self.name}: the {self.trainings} trainings agree better with each other than with Geant4, so that their "
            f"spread does not cover the difference: {widths}, most in {self.labels[worst]} ({most.width:.1f})"
        )


def _histogram(pulls: Sequence[np.ndarray]) -> np.ndarray:
    inside = np.clip(np.concatenate(pulls), EDGES[0], EDGES[-1])
    return np.histogram(inside, EDGES)[0]


def ensemble(name: str, trainings: Sequence[Records]) -> Ensemble | None:
    """Pulls of all observables that every report has; None where no histogram has enough showers.

    Histograms of voxels are left out, because voxels of one shower are not independent.
    """
    first, found = trainings[0], {}
    for key, histogram in first.hists.items():
        metadata = vars(histogram).get("metadata") or {}
        if "counted" in metadata or any(key not in records.hists for records in trainings):
            continue
        counts = [_counts(records, key) for records in trainings]
        pulls = ensemble_pulls(np.array([each[0] for each in counts]), counts[0][1])
        if pulls is not None:
            found[key] = pulls
    labels = {key: first.observable_in_words(key) for key in found}
    return Ensemble(name, len(trainings), found, labels) if found else None


def spread_in_words(name: str, records: Records) -> str:
    """In how many numbers the trainings differ by more than chance explains, and in which most."""
    ratios = [
        (float(metric.extra["spread_over_error"] or 0.0), float(metric.extra["p_of_spread"] or 0.0), metric)
        for metric in records.metrics
        if not metric.at and metric.estimate is not None and "p_of_spread" in metric.extra
    ]
    if not ratios:
        return ""
    rare = [entry for entry in ratios if entry[1] < RARE]
    k = int(ratios[0][2].extra["trainings"] or 0)
    if not rare:
        return f"{name}: {k} trainings differ by no more than the statistical error in all {len(ratios)} numbers"
    text = (
        f"{name}: {k} trainings differ by more than the statistical error (p < {RARE}) in {len(rare)} of "
        f"{len(ratios)} numbers"
    )
    ratio, _, metric = max(rare, key=lambda entry: entry[0])
    label = label_of(replace(metric, unit=""), records.sections.get(metric.section))
    return f"{text}, most in {label} (spread {ratio:.1f} times the error of one)"
