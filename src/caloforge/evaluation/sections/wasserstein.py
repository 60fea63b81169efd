"""1-Wasserstein distances: of every observable, and the table of the lecture.

The table quotes, for each quantity, mean ± standard deviation over ten independent samples, with Geant4 against
Geant4 as its first row. Distances are in units of the reference's standard deviation, so that quantities compare:
number of hits, E_vis/E_inc, log10 of the voxel energy, the longitudinal and radial energy profile (energy-weighted
distributions over the layer's index and over the radius), first moments in x, y and z.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.comparison import Comparison, unavailable
from caloforge.evaluation.distances.one_dimensional import wasserstein, wasserstein_weighted
from caloforge.evaluation.resampling import estimate
from caloforge.evaluation.summary import Summary

SAMPLES = 10
"""Independent samples of the lecture's table."""

FEWEST_PER_SAMPLE = 20

DRAWS = 10
"""Random subsets behind each observable's error and floor."""

CELLS = 5000
"""Cells in which the subsets behind errors and floors are counted."""

SCALARS = {
    "number of hits": "n_hits",
    "E_vis / E_inc": "e_tot_over_e_inc",
    "first moment x": "mean_x",
    "first moment y": "mean_y",
    "first moment z": "mean_z",
}


def distances(c: Comparison) -> dict[str, Any]:
    """{observable: W₁} in each observable's unit; `unit` names it, `spread` is the reference's deviation."""
    if c.refusal:
        return dict.fromkeys([o.name for o in observables.default(c.geometry) if o.name != "voxel_energy"], c.refusal)
    result = {}
    names = list(c.reference.observables)
    for done, name in enumerate(names):
        result[name] = distance_of(c, name)
        c.tell("Wasserstein distances", done + 1, len(names))
    return result


def distance_of(c: Comparison, name: str) -> dict[str, Any]:
    """The entry of one observable."""
    mine, pool = c.generated.observables[name], c.pool(lambda s: s.observables[name])
    values = np.concatenate([mine, pool])
    order = np.argsort(values)
    positions, cells = quantile_cells(values, order)
    steps = np.diff(positions)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        first, second = (np.bincount(rows, minlength=len(positions)) / len(rows) for rows in (a, b))
        return float(np.abs(np.cumsum(first - second)[:-1]) @ steps)

    [entry] = estimate(distance, cells[: len(mine)], cells[len(mine) :], c.plan.first(DRAWS))
    # The whole samples' distance is exact; a floor file's showers are no part of it.
    weights = np.zeros(len(values))
    weights[: len(mine)], weights[len(mine) : len(mine) + c.plan.n_reference] = 1 / len(mine), -1 / c.plan.n_reference
    entry["value"] = float(np.abs(np.cumsum(weights[order])[:-1]) @ np.diff(values[order]))
    spread = float(c.reference.observables[name].std())
    return {**entry, "unit": observables.find(c.geometry, name).unit, "spread": spread}


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


def lecture_table(c: Comparison) -> dict[str, Any]:
    """The lecture's table: {"rows": {"reference" | "generated": {quantity: {mean, std}}}, …}."""
    if c.darkness:
        return c.darkness
    n = min(c.plan.n_generated, c.plan.n_reference) // SAMPLES
    if n < FEWEST_PER_SAMPLE:
        least = SAMPLES * FEWEST_PER_SAMPLE
        return unavailable(
            f"needs at least {least} showers a side, there are {min(c.plan.n_generated, c.plan.n_reference)}"
        )
    rng = np.random.default_rng([c.seed, 11])
    mine = np.array_split(rng.permutation(c.plan.n_generated)[: n * SAMPLES], SAMPLES)
    theirs = np.array_split(rng.permutation(c.plan.n_reference)[: n * SAMPLES], SAMPLES)
    other, others = c.reference, theirs[1:] + theirs[:1]
    if c.floor is not None:
        other, m = c.floor, min(n, c.floor.n // SAMPLES)
        others = np.array_split(rng.permutation(c.floor.n)[: m * SAMPLES], SAMPLES)
    rows: dict[str, dict[str, Any]] = {"reference": {}, "generated": {}}
    for label, summary, parts in (("reference", other, others), ("generated", c.generated, mine)):
        found = [_table_row(summary, a, c.reference, b) for a, b in zip(parts, theirs, strict=True)]
        for quantity in found[0]:
            values = np.array([row[quantity] for row in found])
            if np.isfinite(values).all():
                entry = {"mean": float(values.mean()), "std": float(values.std(ddof=1))}
            else:
                entry = unavailable("constant, or without any energy, in the reference or in a sample")
            rows[label][quantity] = entry
    return {"rows": rows, "samples": SAMPLES, "n": n, "unit": "standard deviations of the reference"}


def _table_row(first: Summary, a: np.ndarray, second: Summary, b: np.ndarray) -> dict[str, float]:
    row = {}
    for label, name in SCALARS.items():
        spread = second.observables[name].std()
        distance = wasserstein(first.observables[name][a], second.observables[name][b])
        row[label] = distance / spread if spread > 0 else float("nan")
    edges = second.voxel_edges
    middle = (np.log10(edges[:-1]) + np.log10(edges[1:])) / 2 if edges[-1] > 0 else np.zeros(1)
    layers = [f"e_layer_{layer.id}" for layer in second.geometry.layers]

    def by_layer(summary: Summary, rows: np.ndarray) -> np.ndarray:
        return np.array([summary.observables[name][rows].sum() for name in layers])

    profiles = {
        "voxel energy": (
            middle,
            first.voxel_rows[a, 1:-1].sum(axis=0),
            second.voxel_rows[b, 1:-1].sum(axis=0),
        ),
        "longitudinal profile": (np.arange(len(layers)), by_layer(first, a), by_layer(second, b)),
        "radial profile": (
            second.radii,
            first.radial[a].sum(axis=0, dtype=np.float64),
            second.radial[b].sum(axis=0, dtype=np.float64),
        ),
    }
    for label, (positions, h, g) in profiles.items():
        row[label] = float(wasserstein_weighted(positions, h[None], g[None])[0]) / _spread(positions, g)
    return row


def _spread(positions: np.ndarray, weights: np.ndarray) -> float:
    """Standard deviation of a weighted distribution, NaN if it has none."""
    total = weights.sum()
    if total <= 0:
        return float("nan")
    mean = weights @ positions / total
    spread = float(np.sqrt(weights @ (positions - mean) ** 2 / total))
    return spread if spread > 0 else float("nan")
