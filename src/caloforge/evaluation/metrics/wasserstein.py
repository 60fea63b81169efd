"""1-Wasserstein distances of every observable, in its unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from caloforge.evaluation.estimates import estimate
from caloforge.evaluation.metrics.base import Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables import BoundObservable

DISTANCES = Section(
    "wasserstein",
    "1-Wasserstein distances",
    "The earth mover's distance, in the observable's own unit. Spread: the reference's standard deviation.",
    extra={"spread": "spread"},
)

DRAWS = 10
"""Random subsets behind each observable's error and baseline."""

CELLS = 5000
"""Cells in which the subsets behind errors and baselines are counted."""


@metric(DISTANCES, quick=True)
def wasserstein(samples: SamplePair) -> Iterator[Found]:
    """W₁ of the report's observables of showers and layers."""
    wanted = [each for each in samples.observables if each.observable.per != "voxel"]
    for done, observable in enumerate(wanted):
        yield distance_of(samples, observable)
        samples.tell("Wasserstein distances", done + 1, len(wanted))


def distance_of(samples: SamplePair, observable: BoundObservable, at: str = "") -> Metric:
    """W₁ of one observable."""
    name, label = observable.name, observable.label
    if samples.unavailable:
        return Metric(DISTANCES.name, name, label, None, observable.unit, samples.unavailable, at)
    generated, pool = samples.generated.observables[name], samples.pool(lambda s: s.observables[name])
    n, n_reference = len(generated), samples.plan.n_reference
    values = np.concatenate([generated, pool])
    order = np.argsort(values)
    positions, cells = quantile_cells(values, order)
    steps = np.diff(positions)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        first, second = (np.bincount(rows, minlength=len(positions)) / len(rows) for rows in (a, b))
        return float(np.abs(np.cumsum(first - second)[:-1]) @ steps)

    [found] = estimate(distance, cells[:n], cells[n:], samples.plan.first(DRAWS))
    # The full samples' distance is exact; the independent reference is not part of it.
    weights = np.zeros(len(values))
    weights[:n], weights[n : n + n_reference] = 1 / n, -1 / n_reference
    exact = replace(found, value=float(np.abs(np.cumsum(weights[order])[:-1]) @ np.diff(values[order])))
    reference = samples.reference.observables[name]
    extra = {"spread": float(reference.std()), "mean_reference": float(reference.mean())}
    extra |= {"mean_generated": float(generated.mean()), "std_generated": float(generated.std())}
    return Metric(DISTANCES.name, name, label, exact, observable.unit, at=at, extra=extra)


def quantile_cells(values: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) positions and (N,) to which of them each value is put, at most `CELLS` cells of equal content.

    The position of a cell is the mean of its values; up to `CELLS` distinct values stay as they are. Subsets are
    then counted instead of sorted. `order` (N,) sorts the values.
    """
    rising = values[order]
    new = np.concatenate([[True], rising[1:] > rising[:-1]])
    rank = np.cumsum(new) - 1
    if rank[-1] >= CELLS:
        cell_of_rank = (np.flatnonzero(new) * CELLS) // len(values)
        rank = np.unique(cell_of_rank, return_inverse=True)[1][rank]
    cells = np.empty(len(values), dtype=np.int64)
    cells[order] = rank
    return np.bincount(rank, weights=rising) / np.bincount(rank), cells
