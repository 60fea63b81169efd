"""A classifier of boosted trees on the observables of point clouds: AUC and divergence, each with its baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from caloforge.classifiers import ClassifierResult, run_test
from caloforge.classifiers.trees import TreeTest
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.evaluation.clouds_of_points.cloud_samples import CloudPair, CloudSummary
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric
from caloforge.evaluation.metrics.classifier import AUC, IMPORTANCE, JSD
from caloforge.geometry import Geometry
from caloforge.showers import Showers


@dataclass(frozen=True)
class _Table:
    """Observables of N showers, which the trees take in place of `Showers`: only these members are used of them."""

    energies: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...]
    geometry: None = None

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, rows: np.ndarray) -> _Table:
        return _Table(self.energies[rows], self.values[rows], self.names, self.labels)

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


def tree_test(pair: CloudPair, repeats: int) -> Iterator[Metric | Chart]:
    """AUC, divergence, ROC curve, and what the trees look at."""
    if pair.unavailable:
        yield Metric(AUC.name, TREES.name, TREES.title, None, reason=pair.unavailable)
        return
    names = tuple(pair.reference.observables)
    labels = tuple(pair.label(name)[0] for name in names)
    is_shower = pair.shape.noun == "shower"  # a jet's observables are relative to its p_T

    def values(summary: CloudSummary) -> np.ndarray:
        incident = [np.log10(summary.energies)] if is_shower else []
        return np.column_stack([*incident, *(summary.observables[name] for name in names)])

    def energies(summary: CloudSummary) -> np.ndarray:
        return summary.energies

    words = (("e_inc", *names), ("incident energy", *labels)) if is_shower else (names, labels)
    tables = {
        "generated": _Table(energies(pair.generated), values(pair.generated), *words),
        "pool": _Table(pair.pool(energies), pair.pool(values), *words),
    }
    first, second = pair.plan.baseline[0]
    reference = np.arange(pair.plan.n_reference)
    pair.tell("classifier trees", 0, 2)
    try:
        found = _run(tables["generated"], tables["pool"][reference], repeats, pair.seed)
    except CaloforgeError as error:
        yield Metric(AUC.name, TREES.name, TREES.title, None, reason=str(error))
        return
    pair.tell("classifier trees", 1, 2)
    baseline, reason = None, ""
    try:
        baseline = _run(tables["pool"][first], tables["pool"][second], repeats, pair.seed)
    except CaloforgeError as error:
        reason = str(error)
    pair.tell("classifier trees", 2, 2)
    yield from _numbers(found, baseline, reason)


def _run(first: _Table, second: _Table, repeats: int, seed: int) -> ClassifierResult:
    return run_test(TREES, cast(Showers, first), cast(Showers, second), repeats=repeats, seed=seed)


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
