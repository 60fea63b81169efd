"""Separation powers and Kullback–Leibler divergences of every observable's histogram.

`value` follows the challenge's convention: what falls outside the range is dropped before the histograms are
normalised; `outside_…` tells which fraction that was, `bins` where the edges are. `value_with_overflow` counts it in a
bin on either side. Means over observables have errors of their own, as observables of one shower are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from caloforge import observables
from caloforge.distances.one_dimensional import kullback_leibler, separation_powers
from caloforge.evaluation.estimates import Draws, Estimate, draw, mean_of
from caloforge.evaluation.metrics.base import Extra, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables import BoundObservable
from caloforge.observables.binning import described

POWERS = Section(
    "separation_power",
    "Separation powers",
    "S = ½ Σ (h − g)² / (h + g) of two normalised histograms: 0 if they are equal, 1 if they are disjoint. Binning and "
    "readout threshold are the challenge's; what lies outside the range is dropped and quoted separately.",
    extra={
        "outside_generated": "outside, gen. [%]",
        "outside_reference": "outside, ref. [%]",
        "value_with_overflow": "with overflow",
    },
    page="separation",
)
MEANS = Section(
    "mean_separation_power",
    "Mean separation power",
    "Over the challenge's observables, and over those of CaloMan's Table 1 (arXiv:2211.15380).",
    extra={"observables": "observables"},
    page="separation",
)
DIVERGENCES = Section(
    "kl",
    "Kullback–Leibler divergences",
    "Of the same histograms, in nats, with what lies outside in a bin on each side.",
)

LABELS = {"all": "mean over the challenge's observables", "table1": "mean over CaloMan's Table 1"}
"""Of the mean separation powers."""


@metric(POWERS, MEANS, DIVERGENCES, quick=True)
def separation(samples: SamplePair) -> Iterator[Found]:
    """Separation powers and divergences of the report's observables, with their histograms and mean powers."""
    draws: dict[str, Draws] = {}
    for done, observable in enumerate(samples.observables):
        yield from of_observable(samples, observable, draws)
        samples.tell("separation powers", done + 1, len(samples.observables))
    names = [*observables.challenge_names(samples.geometry), "voxel_energy"]
    yield mean_power("all", draws, names)
    yield mean_power("table1", draws, observables.table1_names(samples.geometry))


def of_observable(
    samples: SamplePair, observable: BoundObservable, draws: dict[str, Draws], at: str = ""
) -> Iterator[Found]:
    """Histogram, separation power and divergence of one observable; its powers of all subsets go into `draws`."""
    name, label = observable.name, observable.label
    binned = samples.binned(observable)
    if not isinstance(binned, str):
        yield samples.histogram(observable, binned)
    reason = samples.unavailable or (binned if isinstance(binned, str) else "")
    if isinstance(binned, str) or reason:
        yield Metric(POWERS.name, name, label, None, reason=reason, at=at)
        yield Metric(DIVERGENCES.name, name, label, None, reason=reason, at=at)
        return
    edges, count = binned.edges, binned.count
    inside = slice(1, len(edges))

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h, g = count(a)[None], count(b)[None]
        parts = separation_powers(h[:, inside], g[:, inside]), separation_powers(h, g), kullback_leibler(h, g)
        return np.concatenate(parts)

    drawn = draw(distance, binned.generated, binned.pool, samples.plan)
    power, whole, divergence = drawn.estimates()
    histograms = count(binned.generated), count(binned.pool[: samples.plan.n_reference])
    if histograms[1][inside].any():
        draws[name] = drawn.column(0)
        outside = [1 - float(h[inside].sum()) / max(1.0, float(h.sum())) for h in histograms]
        extra: Extra = {"bins": bins_in_words(edges), "outside_generated": outside[0], "outside_reference": outside[1]}
        yield Metric(POWERS.name, name, label, power, at=at, extra=extra | _overflow(whole))
    else:
        reason = "no reference shower lies inside the histogram's range"
        yield Metric(POWERS.name, name, label, None, reason=reason, at=at)
    yield Metric(DIVERGENCES.name, name, label, divergence, at=at)


def _overflow(whole: Estimate) -> Extra:
    keys = ("value", "error", "value_at_n", "baseline", "baseline_error", "pull")
    numbers = asdict(whole) | {"pull": whole.pull}
    return {"value_with_overflow": whole.value} | {f"with_overflow_{key}": numbers[key] for key in keys}


def bins_in_words(edges: np.ndarray) -> str:
    """As "100 linear bins from 0.5 to 1.5"."""
    found = described(edges)
    return f"{found['bins_number']} {found['bins_scale']} bins from {found['bins_low']!r} to {found['bins_high']!r}"


def mean_power(
    name: str,
    draws: Mapping[str, Draws],
    names: Sequence[str],
    at: str = "",
    extra: Mapping[str, float | str | None] | None = None,
) -> Metric:
    """Mean separation power over those of `names` that have one."""
    found = [draws[each] for each in names if each in draws]
    if not found:
        reason = "no separation power is available"
        return Metric(MEANS.name, name, LABELS[name], None, reason=reason, at=at, extra=extra or {})
    [estimate] = mean_of(found).estimates()
    return Metric(MEANS.name, name, LABELS[name], estimate, at=at, extra={"observables": len(found), **(extra or {})})
