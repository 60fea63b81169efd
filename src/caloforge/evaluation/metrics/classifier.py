"""Classifier tests: AUC and JSD, each with its baseline, and where asked for against the number of showers.

The baseline trains the same classifier on reference against independent reference showers. Its errors and the AUC's
count as at least 0.001 together; without a baseline the AUC is compared with 0.5. Trees also have importances of the
observables and an AUC at each incident energy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from caloforge.conditions import Columns
from caloforge.energies.agreement import groups
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import FEWEST, Estimate
from caloforge.evaluation.metrics import weight_tails
from caloforge.evaluation.metrics.base import Chart, Extra, Found, Metric, Section
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.showers import Showers

if TYPE_CHECKING:  # torch takes a second to import
    from caloforge.classifiers import ClassifierResult, ClassifierTest, EpochProgress

AUC = Section(
    "auc",
    "AUC of classifiers",
    "A classifier is trained to tell generated showers from the reference's. AUC 0.5: it cannot; 1: it always can. The "
    "effective sample size is what weights w = C / (1 − C) leave of the generated showers.",
    extra={
        "weights_ess_share": "eff. sample [%]",
        "n": "showers",
        "n_parameters": "parameters",
        "repeats": "trainings",
    },
    page="classifiers",
)
JSD = Section(
    "jsd",
    "Jensen–Shannon divergence",
    "In bits, from the calibrated scores: 1 where the samples share nothing, about 0 where "
    "they are alike. It is estimated on showers that the calibration has not seen, so it can fall below 0; cut at 0 it "
    "would be biased upwards.",
    page="classifiers",
)
IMPORTANCE = Section(
    "importance",
    "What the trees look at",
    "Loss of AUC when an observable is permuted over the showers; of several tests by trees, the strongest.",
    direction="nearer",
    extra={"test": "test"},
    page="classifiers",
)

PAIRS = Section(
    "importance_pairs",
    "What the trees look at together",
    "Loss of AUC when two of the most important observables are permuted over the showers, each by itself. More than "
    "the sum of both alone: each makes up for the other. Less: the trees use their relation.",
    direction="nearer",
    extra={"alone": "sum of both alone", "test": "test"},
    page="classifiers",
)

SECTIONS = (AUC, JSD, IMPORTANCE, PAIRS, *weight_tails.SECTIONS)

AREAS = ("auc", "auc_error", "jsd", "jsd_error")
COURSE = ("accuracy", "best_epoch", "epochs")
"""Fields of a training's scores, and of the training, that reports keep."""

CURVE_WORK = 1 / 8 + 1 / 4 + 1 / 2
"""Trainings that a learning curve adds, in units of the one on all showers."""


@dataclass(frozen=True)
class _Request:
    """A test with the showers that it is run on, and how."""

    samples: SamplePair
    test: ClassifierTest
    rows: tuple[np.ndarray, np.ndarray]
    showers: tuple[Showers, Showers]
    baseline: tuple[Showers, Showers]
    repeats: int


def classifiers(
    samples: SamplePair, tests: Sequence[ClassifierTest], repeats: int = 1, curve: bool = False
) -> Iterator[Found]:
    """Numbers and figures of each test.

    Args:
        samples: what is compared, with `load` for its voxels.
        tests: to run.
        repeats: trainings of each.
        curve: also train on an eighth, a quarter and a half of the showers.
    """
    if not tests or samples.load is None:
        return
    if samples.empty_reference:
        yield from (Metric(AUC.name, t.name, t.title, None, reason=samples.empty_reference) for t in tests)
        return
    rows = _rows(samples, tests)
    showers = samples.load("generated", rows[0]), samples.load("reference", rows[1])
    first, second = samples.plan.baseline[0]
    shift = 0 if samples.independent is None else samples.plan.n_reference
    other = "reference" if samples.independent is None else "baseline"
    baseline = samples.load("reference", first), samples.load(other, second - shift)
    explained: list[tuple[ClassifierResult, ClassifierResult | None]] = []
    for test in tests:
        found = yield from _test(_Request(samples, test, rows, showers, baseline, repeats), curve)
        if found is not None and found[0].importances:
            explained.append(found)
    if explained:
        strongest, level = max(explained, key=lambda each: each[0].auc)
        yield from _explanations(strongest)
        yield from weight_tails.weights(samples, strongest, level, rows)


def _rows(samples: SamplePair, tests: Sequence[ClassifierTest]) -> tuple[np.ndarray, np.ndarray]:
    """Which generated and reference showers are read: as many as the test that uses most of them."""
    from caloforge.classifiers.base import thinned

    n = min(samples.plan.n_generated, samples.plan.n_reference)
    n = max(test.showers_used(n) for test in tests)
    generated, reference = thinned((samples.plan.n_generated, samples.plan.n_reference), n, samples.seed)
    return generated, reference


def _test(
    request: _Request, curve: bool
) -> Generator[Found, None, tuple[ClassifierResult, ClassifierResult | None] | None]:
    """Numbers and figures of a test; returns its result and that of the baseline."""
    from caloforge.classifiers import run_test

    test, seed, repeats = request.test, request.samples.seed, request.repeats
    try:
        found = run_test(test, *request.showers, repeats=repeats, seed=seed, progress=_epochs(request, ""))
    except CaloforgeError as error:
        yield Metric(AUC.name, test.name, test.title, None, reason=str(error))
        return None
    baseline, reason = None, ""
    try:
        tell = _epochs(request, " (baseline)")
        baseline = run_test(test, *request.baseline, repeats=repeats, seed=seed, progress=tell)
    except CaloforgeError as error:
        reason = str(error)
    yield from _numbers(found, baseline, reason)
    yield from _at_energies(request.samples, found, baseline)
    yield from _charts(found)
    if curve:
        yield _learning_curve(request, found)
    return found, baseline


def _numbers(found: ClassifierResult, baseline: ClassifierResult | None, reason: str) -> Iterator[Metric]:
    first, weights = found.first, found.first.scores.weights
    extra: Extra = {
        **_fields(found, "n", "n_features", "n_parameters"),
        "repeats": len(found.trainings),
        **_fields(found, "seconds", "seed", "summary", "error_from"),
        **_fields(first, *COURSE),
        **{f"weights_{key}": value for key, value in _fields(weights, "n", "mean", "ess", "ess_share").items()},
        **{f"settings_{key}": value for key, value in found.settings.items()},
    }
    if reason:
        extra["baseline_unavailable"] = reason
    level = None if baseline is None else (baseline.auc, baseline.auc_std, baseline.n)
    yield Metric(AUC.name, found.test, found.title, _area((found.auc, found.auc_std), level), extra=extra)
    divergence = Estimate(found.jsd, found.jsd_std)
    if baseline is not None:
        divergence = replace(divergence, baseline=baseline.jsd, baseline_error=baseline.jsd_std, n=baseline.n)
    yield Metric(JSD.name, found.test, found.title, divergence, unit="bits")


def _explanations(found: ClassifierResult) -> Iterator[Metric]:
    """What a test looks at."""
    for each in found.importances:
        yield Metric(
            IMPORTANCE.name, each.feature, each.label, Estimate(each.value, each.error), extra={"test": found.test}
        )
    for pair in found.pairs:
        name, label = "_and_".join(pair.features), " and ".join(pair.labels)
        of_pair: Extra = {"test": found.test, "alone": pair.alone}
        yield Metric(PAIRS.name, name, label, Estimate(pair.value, pair.error), extra=of_pair)


def _fields(record: object, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _at_energies(samples: SamplePair, found: ClassifierResult, baseline: ClassifierResult | None) -> Iterator[Metric]:
    """AUC of the first training on the third part's showers of each incident energy; of tests with importances."""
    if not found.importances:
        return
    for label, low, high in groups(samples.reference.energies):
        level = None if baseline is None else _area_between(baseline, low, high)
        area = _area_between(found, low, high)
        if area is not None:
            estimate = _area(area[:2], level)
            extra: Extra = {"energy": float(np.sqrt(low * high)), "n": area[2]}
            yield Metric(AUC.name, found.test, found.title, estimate, at=label, extra=extra)
    for region in samples.regions:
        level = None if baseline is None else _area_in(baseline, region.inside)
        area = _area_in(found, region.inside)
        if area is not None:
            extra = {**region.extra, "n": area[2]}
            yield Metric(AUC.name, found.test, found.title, _area(area[:2], level), at=region.label, extra=extra)


def _area(area: tuple[float, float], level: tuple[float, float, int] | None) -> Estimate:
    """An AUC and its error, with those of the baseline and its showers per sample; without one, 0.5 is expected."""
    if level is None:
        return Estimate(*area, expected=0.5, smallest_error=1e-3)
    return Estimate(*area, baseline=level[0], baseline_error=level[1], n=level[2], smallest_error=1e-3)


def _area_between(found: ClassifierResult, low: float, high: float) -> tuple[float, float, int] | None:
    """(AUC, error, showers per sample) of the third part's showers with low ≤ E_inc < high; None with too few."""
    return _area_in(found, lambda energies, _: (energies >= low) & (energies < high))


def _area_in(
    found: ClassifierResult, chosen: Callable[[np.ndarray, Columns], np.ndarray]
) -> tuple[float, float, int] | None:
    """The same of showers that `chosen` picks by their energies and conditions."""
    from caloforge.classifiers.scores import auc

    scores, rows = found.first.scores, found.first.rows
    inside = chosen(found.energies[rows], found.conditions.take(rows) if found.conditions else Columns.none(len(rows)))
    labels = scores.labels[inside]
    n = int(min(labels.sum(), (1 - labels).sum()))
    return (*auc(scores.probabilities[inside], labels), n) if n >= FEWEST else None


def _charts(found: ClassifierResult) -> Iterator[Chart]:
    scores, title = found.first.scores, found.title
    runs = [
        {"repeat": number, **_fields(each.scores, *AREAS), **_fields(each, *COURSE)}
        for number, each in enumerate(found.trainings, 1)
    ]
    data = {"label": title, "fpr": scores.roc.fpr, "tpr": scores.roc.tpr, "auc": found.auc, "runs": runs}
    caption = "The closer it lies to the diagonal, the less the samples can be distinguished."
    yield Chart(f"roc_{found.test}", "roc", AUC.name, f"ROC curve, {title}", caption, data)
    weights = scores.weights
    data = {"label": title, "edges": weights.edges, "generated": weights.generated, "reference": weights.reference}
    caption = "w is the density ratio Geant4 over generated: 1 everywhere for a perfect generator."
    yield Chart(f"weights_{found.test}", "weights", AUC.name, f"Weights, {title}", caption, data)


def _learning_curve(request: _Request, whole: ClassifierResult) -> Chart:
    """The curve whose last point is the test on all showers, which needs no second training."""
    from caloforge.classifiers import default_sizes, learning_curve

    points = []
    for size in default_sizes(whole.n)[:-1]:
        points += learning_curve(
            request.test,
            *request.showers,
            sizes=[size],
            repeats=request.repeats,
            seed=request.samples.seed,
            progress=_epochs(request, f" ({size} showers)"),
        )
    points.append(whole)
    data = {
        "label": whole.title,
        "n": [each.n for each in points],
        "auc": [each.auc for each in points],
        "error": [each.auc_std for each in points],
        "jsd": [each.jsd for each in points],
        "jsd_error": [each.jsd_std for each in points],
        "seconds": [each.seconds for each in points],
    }
    title = f"AUC against sample size, {whole.title}"
    caption = "A rising curve says that more showers would distinguish the samples still better."
    return Chart(f"learning_curve_{whole.test}", "learning_curve", AUC.name, title, caption, data)


def _epochs(request: _Request, label: str) -> EpochProgress:
    """Turns epochs into progress, announced before the first one is over."""
    from caloforge.classifiers import Epoch

    section, total = f"classifier {request.test.name}{label}", request.test.epochs * request.repeats
    request.samples.tell(section, 0, total)

    def tell(epoch: Epoch) -> None:
        request.samples.tell(section, (epoch.repeat - 1) * epoch.epochs + epoch.epoch, total)

    return tell
