"""Worth in Geant4 showers: as many of them have the same distance to the reference as the generated sample.

For each observable, on all showers and at each incident energy, by the Kolmogorov–Smirnov and by the 1-Wasserstein
distance (`distances.equivalent`). The reference is the reference file and, where there is one, the independent
reference, together M showers; numbers up to M can be told from infinity. The errors are those of the distance, by the
delete-half jackknife over showers of both samples. Divided by the training showers at the same energies, where the
training file is known, the number is the amplification: above 1 the generator has gained on its training set.

A perfect generator is worth as many showers as were generated. The sum over observables is their median.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from caloforge.distances.equivalent import DISTANCES, DRAWS, Ordered, constants, equivalent, measure, subset_sizes
from caloforge.energies.agreement import groups, thin
from caloforge.evaluation.estimates import Estimate, spread
from caloforge.evaluation.metrics.base import Chart, Extra, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.formatting import number
from caloforge.observables import BoundObservable
from caloforge.plots.layers import at_equal_steps

WORTH = Section(
    "worth",
    "Worth in Geant4 showers",
    "The number of Geant4 showers whose distance to the reference is that of the generated sample: median over the "
    "observables. A perfect generator is worth as many as were generated; the reference resolves up to its own number.",
    direction="higher",
    extra={
        "interval": "68 % interval",
        "share": "per generated shower",
        "amplification": "per training shower",
        "n_generated": "generated",
        "resolved": "largest resolved",
    },
    page="worth",
)
OBSERVABLES = Section(
    "worth_of_observables",
    "Worth in Geant4 showers, by observable",
    "The same for each observable by the Kolmogorov–Smirnov distance, and by the 1-Wasserstein distance, which sees "
    "tails better.",
    direction="higher",
    extra={
        "interval": "68 % interval",
        "wasserstein": "by Wasserstein",
        "share": "per generated shower",
        "amplification": "per training shower",
    },
    page="worth",
)

LABELS = {"kolmogorov_smirnov": "by the Kolmogorov–Smirnov distance", "wasserstein": "by the 1-Wasserstein distance"}

FEWEST = 40
"""Fewest showers of each sample."""

JACKKNIFE = 12
"""Halves of both samples behind each error."""

MOST_LAYERS = 8
"""A calorimeter of more layers is judged by those at equal steps of the deposited energy."""


@dataclass(frozen=True)
class _Part:
    """The showers of all energies, or of one: `at` and `energy` (MeV) of it, rows and numbers of each sample."""

    at: str
    energy: float
    generated: np.ndarray
    pool: np.ndarray
    n_train: int | None


@dataclass(frozen=True)
class _Distances:
    """KS and W₁ of one observable: (2,) values, (J, 2) of halves of the samples, (2,) constants."""

    observable: BoundObservable
    values: np.ndarray
    halves: np.ndarray
    constants: np.ndarray


@metric(WORTH, OBSERVABLES)
def worth(samples: SamplePair) -> Iterator[Found]:
    """On all showers, then at each incident energy; with a map of both."""
    wanted, parts = compared(samples), list(_parts(samples))
    reason = samples.empty_reference or _too_few(parts[0])
    if reason:
        for name in DISTANCES:
            yield Metric(WORTH.name, name, LABELS[name], None, reason=reason)
        return
    by_key: dict[tuple[str, str], Metric] = {}
    for done, part in enumerate(parts):
        if not _too_few(part):
            for each in _of_part(samples, wanted, part, done):
                by_key[each.name, each.at] = each
                yield each
        samples.tell("worth in Geant4 showers", done + 1, len(parts))
    yield _chart(wanted, parts, by_key)


def compared(samples: SamplePair) -> list[BoundObservable]:
    """The report's observables of showers and layers; of many layers those at equal steps of the energy."""
    geometry = samples.geometry
    energies = geometry.layer_sums(samples.reference.voxels.energy)
    kept = {geometry.layers[k].id for k in at_equal_steps(energies, MOST_LAYERS)}
    return [o for o in samples.observables if o.observable.per != "voxel" and (o.layer is None or o.layer.id in kept)]


def _parts(samples: SamplePair) -> Iterator[_Part]:
    """All showers, then those of each incident energy if there are several."""
    generated, pool = samples.generated.energies, samples.pool(lambda s: s.energies)
    train = None if samples.training is None else samples.training.energies
    yield _Part("", 0.0, np.arange(len(generated)), np.arange(len(pool)), None if train is None else len(train))
    slices = groups(samples.reference.energies)
    for label, low, high in slices if len(slices) > 1 else []:
        rows = [np.flatnonzero((e >= low) & (e < high)) for e in (generated, pool)]
        n_train = None if train is None else int(np.count_nonzero((train >= low) & (train < high)))
        yield _Part(label, float(np.sqrt(low * high)), rows[0], rows[1], n_train)


def _too_few(part: _Part) -> str:
    fewest = min(len(part.generated), len(part.pool))
    return "" if fewest >= FEWEST else f"needs at least {FEWEST} showers per sample, there are {fewest}"


def _of_part(samples: SamplePair, wanted: Sequence[BoundObservable], part: _Part, step: int) -> Iterator[Metric]:
    rng = np.random.default_rng([samples.seed, 19, step])
    stratified = samples.plan.stratified
    energies = samples.generated.energies[part.generated], samples.pool(lambda s: s.energies)[part.pool]
    m, n = len(part.pool), len(part.generated)
    subsets = [thin(energies[1], size, rng, stratified) for size in subset_sizes(m) for _ in range(DRAWS)]
    sizes = np.array([len(rows) for rows in subsets])
    halves = [[thin(e, len(e) // 2, rng, stratified) for e in energies] for _ in range(JACKKNIFE)]
    pairs = [(np.arange(n), np.arange(m)), *((a, b) for a, b in halves), *((None, rows) for rows in subsets)]
    measures = measure(n, m, pairs)
    found: list[_Distances] = []
    for each in wanted:
        values = samples.generated.observables[each.name], samples.pool(lambda s, o=each: s.observables[o.name])  # type: ignore[misc]
        ordered = Ordered.of(values[0][part.generated], values[1][part.pool])
        distances = ordered.distances(measures)
        c = constants(distances[1 + JACKKNIFE :], sizes, m)
        if not (c > 0).all():
            reason = "constant in the reference"
            yield Metric(OBSERVABLES.name, each.name, each.label, None, reason=reason, at=part.at)
            continue
        found.append(_Distances(each, distances[0], distances[1 : 1 + JACKKNIFE], c))
    # From halves of both samples to the whole ones, as in `Plan.error_scale`.
    whole, half = 1 / n + 1 / m, 1 / (n // 2) + 1 / (m // 2)
    scale = float(np.sqrt(whole / (half - whole)))
    for each_found in found:
        estimates = [_estimate(each_found, k, m, scale) for k in range(2)]
        extra = _extra(estimates[0], part) | {
            "wasserstein": estimates[1][0].value,
            "wasserstein_error": estimates[1][0].error,
            "distance": float(each_found.values[0]),
            "wasserstein_distance": float(each_found.values[1]),
        }
        o = each_found.observable
        yield Metric(OBSERVABLES.name, o.name, o.label, estimates[0][0], at=part.at, extra=extra)
    for k, name in enumerate(DISTANCES):
        if found:
            yield Metric(
                WORTH.name,
                name,
                LABELS[name],
                (summed := _estimate(_median(found), k, m, scale))[0],
                at=part.at,
                extra=_extra(summed, part) | {"observables": len(found), "resolved": m, **_least(found, k, m)},
            )


def _median(found: Sequence[_Distances]) -> _Distances:
    """The median over observables of distances in units of their constants, value by value and half by half."""
    values, halves = (np.median([getattr(f, key) / f.constants for f in found], axis=0) for key in ("values", "halves"))
    return replace(found[0], values=values, halves=halves, constants=np.ones(2))


def _least(found: Sequence[_Distances], k: int, m: int) -> Extra:
    worst = max(found, key=lambda f: float(f.values[k] / f.constants[k]))
    return {"least": worst.observable.name, "least_value": float(equivalent(worst.values[k], worst.constants[k], m))}


def _estimate(found: _Distances, k: int, m: int, scale: float) -> tuple[Estimate, float, float, bool]:
    """Number of showers by distance k with its error, both ends of its interval, and whether it is a lower limit."""
    distance, constant = float(found.values[k]), float(found.constants[k])
    error = scale * float(spread(found.halves[:, k]))
    ends = (distance, distance + error, max(distance - error, 0.0))
    value, low, high = (float(equivalent(each, constant, m)) for each in ends)
    return Estimate(value, (high - low) / 2), low, high, high >= m


def _extra(found: tuple[Estimate, float, float, bool], part: _Part) -> Extra:
    estimate, low, high, limited = found
    n = len(part.generated)
    words = f"> {number(round(low))}" if limited else f"{number(round(low))} … {number(round(high))}"
    extra: Extra = {"interval": words, "low": low, "high": None if limited else high}
    extra |= {"share": estimate.value / n, "n_generated": n, "n_reference": len(part.pool)}
    if part.n_train:
        extra |= {"amplification": estimate.value / part.n_train, "n_train": part.n_train}
    return extra | ({"energy": part.energy} if part.at else {})


def _chart(wanted: Sequence[BoundObservable], parts: Sequence[_Part], found: dict[tuple[str, str], Metric]) -> Chart:
    columns = [part.at for part in parts]
    rows = [each for each in wanted if any((each.name, at) in found for at in columns)]

    def cells(row: BoundObservable) -> tuple[list[float], list[str]]:
        metrics = [found.get((row.name, at)) for at in columns]
        values = [float("nan") if m is None or m.estimate is None else float(m.extra["share"] or 0) for m in metrics]
        texts = ["" if m is None or m.estimate is None else _short(m) for m in metrics]
        return values, texts

    both = [cells(row) for row in rows]
    return Chart(
        "worth",
        "heatmap",
        WORTH.name,
        "Worth in Geant4 showers",
        "The number of Geant4 showers that are as far from the reference as the generated ones, by the "
        "Kolmogorov–Smirnov distance, for each observable on all showers and at each incident energy; the colour is "
        "that number per generated shower. 1 is a perfect generator; > marks numbers that the reference cannot tell "
        "from infinity. Dark rows are observables to improve, dark columns energies.",
        {
            "rows": [row.label for row in rows],
            "columns": ["all", *columns[1:]],
            "values": [values for values, _ in both],
            "texts": [texts for _, texts in both],
            "label": "Geant4 showers per generated shower",
            "limits": [1e-3, 1.0],
            "log": True,
        },
    )


def _short(metric: Metric) -> str:
    """As 41, 2.9k or > 21k."""
    assert metric.estimate is not None
    limited = metric.extra["high"] is None
    n = float(metric.extra["low"] or 0) if limited else metric.estimate.value
    size, unit = (1e6, "M") if n >= 1e6 else (1e3, "k") if n >= 1e3 else (1.0, "")
    text = f"{n / size:.2g}{unit}" if unit and n < 100 * size else f"{n / size:.0f}{unit}"
    return f"> {text}" if limited else text
