"""Fréchet and kernel physics distance (arXiv:2211.10295) of the challenge's high-level features, times 10³.

The Fréchet distance of all showers, and of the bulk without outliers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.distances import fpd
from caloforge.evaluation.estimates import Estimate, estimate
from caloforge.evaluation.metrics.base import Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.summary import Summary
from caloforge.observables import challenge_names
from caloforge.observables.high_level import DEPOSITED, ENERGY, feature_names, features

FRECHET = Section(
    "fpd",
    "Fréchet physics distance",
    "Of the challenge's high-level features, times 10³, extrapolated to infinitely many showers (arXiv:2211.10295); "
    "trimmed: without the showers that lie farther from the reference than 99 % of its own by their Mahalanobis "
    "distance, which a few outliers cannot move. Errors by the delete-half jackknife.",
    extra={"beyond_generated": "left out, generated [%]", "beyond_reference": "left out, reference [%]"},
)
KERNEL = Section(
    "kpd",
    "Kernel physics distance",
    "Of the same features, times 10³: median over batches, with half their 16–84 % range as its error.",
)

DRAWS, FEW_DRAWS, MANY_FEATURES = 6, 4, 100
"""Subsets behind an error of the FPD; fewer with many features, where each takes long."""

LABELS = {
    "fpd": "Fréchet physics distance × 10³",
    "fpd_trimmed": "Fréchet physics distance × 10³, trimmed",
    "kpd": "kernel physics distance × 10³",
}


@metric(FRECHET, KERNEL, title="FPD and KPD")
def fpd_kpd(samples: SamplePair) -> Iterator[Found]:
    """Both distances."""
    names = feature_names(samples.geometry)
    fewest, plan = fpd.minimum_showers(len(names)), samples.plan
    reason = samples.empty_reference
    if plan.n < fewest:
        reason = f"needs at least {fewest} showers per sample, there are {plan.n}"
    if reason:
        for key, label in LABELS.items():
            yield Metric(key.removesuffix("_trimmed"), key, label, None, reason=reason)
        return
    # The challenge's order of observables between the energies: sums of single precision depend on it.
    inner = [name for name in challenge_names(samples.geometry) if name != "e_tot_over_e_inc"]
    order = [names.index(name) for name in (ENERGY, *inner, DEPOSITED)]

    def columns(summary: Summary) -> np.ndarray:
        return features(summary.geometry, summary.energies, summary.observables)[:, order]

    generated, pool = fpd.normalise(columns(samples.reference), columns(samples.generated), samples.pool(columns))
    draws = DRAWS if len(names) < MANY_FEATURES else FEW_DRAWS
    done, total = 0, 8 * draws + 3

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        nonlocal done
        done += 1
        samples.tell("FPD and KPD", min(done, total - 2), total)
        return fpd.fpd(a, b, samples.seed)

    [found] = estimate(distance, generated, pool, plan.first(draws))
    n = min(plan.n_generated, plan.n_reference)
    parts = ", ".join(str(n // k) for k in fpd.PARTS)
    yield Metric("fpd", "fpd", LABELS["fpd"], found, extra={"n": n, "parts": parts, "features": len(names)})

    trim = fpd.Trim.of(pool[: plan.n_reference])
    inside = [trim.inside(each) for each in (generated, pool)]
    marked = np.column_stack([generated, inside[0]]), np.column_stack([pool, inside[1]])

    def of_bulk(a: np.ndarray, b: np.ndarray) -> float:
        return distance(a[a[:, -1] == 1, :-1], b[b[:, -1] == 1, :-1])

    kept = inside[0].mean(), inside[1][: plan.n_reference].mean()
    if kept[0] * n < fewest:
        reason = f"{100 * (1 - kept[0]):.0f} % of the generated showers lie beyond 99 % of the reference"
        yield Metric("fpd", "fpd_trimmed", LABELS["fpd_trimmed"], None, reason=reason)
    else:
        [found] = estimate(of_bulk, *marked, plan.first(draws))
        extra = {"n": n, "beyond_generated": float(1 - kept[0]), "beyond_reference": float(1 - kept[1])}
        yield Metric("fpd", "fpd_trimmed", LABELS["fpd_trimmed"], found, extra=extra)

    rng = np.random.default_rng([samples.seed, 12])
    value = fpd.kpd(generated, pool[: plan.n_reference], rng)
    first, second = plan.baseline[0]
    kernel = Estimate(*value, *fpd.kpd(pool[first], pool[second], rng), n=plan.n)
    samples.tell("FPD and KPD", total, total)
    extra = {"n": n, "batches": fpd.BATCHES, "batch_size": fpd.batch_size(n, n)}
    yield Metric("kpd", "kpd", LABELS["kpd"], kernel, extra=extra)
