"""Classifier tests of point clouds: AUC and divergence, each with its baseline.

`trees` sees the observables, `deep_sets` the points themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from caloforge.classifiers import ClassifierResult, ClassifierTest, Epoch, run_test
from caloforge.classifiers.trees import TreeTest
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.evaluation.clouds_of_points.cloud_samples import CloudPair, CloudSummary
from caloforge.evaluation.clouds_of_points.deep_sets_test import deep_sets_test
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric
from caloforge.evaluation.metrics.classifier import AUC, IMPORTANCE, JSD
from caloforge.geometry import Geometry, Layer
from caloforge.points import PointClouds
from caloforge.showers import Showers

NO_VOXELS = Geometry("point clouds", (Layer(0, (0.0, 1.0)),))
"""Stands for the geometry that all samples of a test have in common."""


@dataclass(frozen=True)
class _Table:
    """Observables of N showers, which tests take in place of `Showers`: only these members are used of them.

    `clouds` are their points, where a test sees them.
    """

    energies: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...]
    clouds: PointClouds | None = None
    geometry: Geometry = NO_VOXELS

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, rows: np.ndarray) -> _Table:
        clouds = None if self.clouds is None else self.clouds[rows]
        return _Table(self.energies[rows], self.values[rows], self.names, self.labels, clouds)

    @property
    def conditions(self) -> Columns:
        return Columns.none(len(self))


class CloudTrees(TreeTest):
    """Trees that see a table of observables."""

    def _features(self, samples: list[Any], conditions: Columns) -> tuple[dict[str, str], np.ndarray]:
        labels = dict(zip(samples[0].names, samples[0].labels, strict=True))
        return labels, np.concatenate([each.values.astype(np.float32) for each in samples])

    def why_unsuitable(self, geometry: Geometry) -> str | None:
        return None


TREES = CloudTrees(
    "trees",
    "boosted trees, observables",
    "log10 E_inc of showers, observables of points; gradient-boosted trees",
)


def classifier_tests(pair: CloudPair, wanted: Sequence[str], repeats: int) -> Iterator[Metric | Chart]:
    """Numbers and figures of the tests of these names: trees, deep_sets."""
    tables = _tables(pair)
    for name in wanted:
        test: ClassifierTest = TREES
        if name == "deep_sets":
            clouds = [table.clouds for table in tables.values()]
            assert clouds[1] is not None
            most = max(int(each.counts.max(initial=0)) for each in clouds if each is not None)
            test = deep_sets_test(clouds[1][: pair.plan.n_reference], most)
        yield from _test(pair, tables, test, repeats)


def _tables(pair: CloudPair) -> dict[str, _Table]:
    """The generated sample, and the pool of both reference samples."""
    names = tuple(pair.reference.observables)
    labels = tuple(pair.label(name)[0] for name in names)
    is_shower = pair.shape.noun == "shower"  # a jet's observables are relative to its p_T

    def values(summary: CloudSummary) -> np.ndarray:
        incident = [np.log10(summary.energies)] if is_shower else []
        return np.column_stack([*incident, *(summary.observables[name] for name in names)])

    def energies(summary: CloudSummary) -> np.ndarray:
        return summary.energies

    words = (("e_inc", *names), ("incident energy", *labels)) if is_shower else (names, labels)
    clouds = [each.clouds for each in (pair.reference, pair.independent) if each is not None]
    pool = PointClouds.joined([each for each in clouds if each is not None]) if clouds[0] is not None else None
    return {
        "generated": _Table(energies(pair.generated), values(pair.generated), *words, pair.generated.clouds),
        "pool": _Table(pair.pool(energies), pair.pool(values), *words, pool),
    }


def _test(pair: CloudPair, tables: dict[str, _Table], test: ClassifierTest, repeats: int) -> Iterator[Metric | Chart]:
    """AUC, divergence, ROC curve, and of trees what they look at."""
    if pair.unavailable:
        yield Metric(AUC.name, test.name, test.title, None, reason=pair.unavailable)
        return
    first, second = pair.plan.baseline[0]
    samples = {
        "": (tables["generated"], tables["pool"][np.arange(pair.plan.n_reference)]),
        " (baseline)": (tables["pool"][first], tables["pool"][second]),
    }
    results: list[ClassifierResult] = []
    reason = ""
    for what, (one, other) in samples.items():
        section, total = f"classifier {test.name}{what}", test.epochs * repeats
        pair.tell(section, 0, total)

        def told(epoch: Epoch, section: str = section, total: int = total) -> None:
            pair.tell(section, (epoch.repeat - 1) * epoch.epochs + epoch.epoch, total)

        try:
            showers = cast(Showers, one), cast(Showers, other)
            results.append(run_test(test, *showers, repeats=repeats, seed=pair.seed, progress=told))
        except CaloforgeError as error:
            reason = str(error)
            break
    if not results:
        yield Metric(AUC.name, test.name, test.title, None, reason=reason)
        return
    yield from _numbers(results[0], results[1] if len(results) > 1 else None, reason)


def _numbers(found: ClassifierResult, baseline: ClassifierResult | None, reason: str) -> Iterator[Metric | Chart]:
    extra: dict[str, float | str | None] = {
        "n": found.n,
        "n_parameters": found.n_parameters,
        "repeats": len(found.trainings),
        "seconds": found.seconds,
        "summary": found.summary,
        "weights_ess_share": found.first.scores.weights.ess_share,
    }
    if baseline is None:
        area = Estimate(found.auc, found.auc_std, expected=0.5, smallest_error=1e-3)
        divergence = Estimate(found.jsd, found.jsd_std)
        extra["baseline_unavailable"] = reason
    else:
        area = Estimate(found.auc, found.auc_std, baseline.auc, baseline.auc_std, n=baseline.n, smallest_error=1e-3)
        divergence = Estimate(found.jsd, found.jsd_std, baseline.jsd, baseline.jsd_std, n=baseline.n)
    yield Metric(AUC.name, found.test, found.title, area, extra=extra)
    yield Metric(JSD.name, found.test, found.title, divergence, unit="bits")
    for each in found.importances:
        level = Estimate(each.value, each.error)
        yield Metric(IMPORTANCE.name, each.feature, each.label, level, extra={"test": found.test})
    scores = found.first.scores
    data = {"label": found.title, "fpr": scores.roc.fpr, "tpr": scores.roc.tpr, "auc": found.auc, "runs": []}
    caption = "The closer it lies to the diagonal, the less the samples can be distinguished."
    yield Chart(f"roc_{found.test}", "roc", AUC.name, f"ROC curve, {found.title}", caption, data)
