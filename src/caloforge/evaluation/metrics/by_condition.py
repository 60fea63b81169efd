"""The numbers of CaloMan's Table 1 in bins of further conditions, and their mean in cells of energy and condition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge import observables
from caloforge.evaluation.estimates import FEWEST, Draws
from caloforge.evaluation.metrics.base import Found, Metric
from caloforge.evaluation.metrics.per_energy import DRAWS, numbers_at
from caloforge.evaluation.metrics.separation import LABELS, MEANS, mean_power, of_observable
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.regions import Region


def by_condition(samples: SamplePair) -> Iterator[Found]:
    """Separation powers, their mean and W₁ with `at` = each bin; of cells the mean alone."""
    wanted = observables.select(samples.geometry, observables.table1)
    for done, region in enumerate(samples.regions):
        part = samples.part(
            lambda sample, region=region: region.inside(sample.energies, sample.conditions),  # type: ignore[misc]
            DRAWS,
            np.random.default_rng([samples.seed, 17, done]),
        )
        extra = {**region.extra, "n_generated": part.generated.n, "n_reference": part.reference.n}
        if part.plan.n < FEWEST:
            reason = f"needs at least {FEWEST} showers per sample, there are {part.plan.n}"
            yield Metric(MEANS.name, "table1", LABELS["table1"], None, reason=reason, at=region.label, extra=extra)
        elif len(region.limits) == 1:
            yield from numbers_at(part, wanted, region.label, extra)
        else:
            yield _mean_at(part, wanted, region, extra)
        samples.tell("by condition", done + 1, len(samples.regions))


def _mean_at(
    part: SamplePair,
    wanted: list[observables.BoundObservable],
    region: Region,
    extra: dict[str, float | str | None],
) -> Metric:
    draws: dict[str, Draws] = {}
    for each in wanted:
        list(of_observable(part, each, draws))
    return mean_power("table1", draws, observables.names_of(wanted), at=region.label, extra=extra)
