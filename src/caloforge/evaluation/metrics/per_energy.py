"""The numbers of CaloMan's Table 1 again at each incident energy: where a generator is good, and where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from caloforge import observables
from caloforge.energies.agreement import groups
from caloforge.evaluation.estimates import FEWEST, Draws
from caloforge.evaluation.metrics.base import Chart, Found, Metric
from caloforge.evaluation.metrics.separation import DIVERGENCES, LABELS, MEANS, mean_power, of_observable
from caloforge.evaluation.metrics.wasserstein import distance_of
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables import BoundObservable
from caloforge.observables.axes import of_reference
from caloforge.observables.binning import counts

DRAWS = 8
"""Random subsets behind an error and a baseline."""

MOST_PANELS = 8
"""Incident energies in the figure, at most."""


def per_energy(samples: SamplePair) -> Iterator[Found]:
    """Separation powers, their mean and W₁ with `at` = each incident energy, or octave of a continuous spectrum."""
    wanted = observables.select(samples.geometry, observables.table1)
    slices = groups(samples.reference.energies)
    for done, (label, low, high) in enumerate(slices):
        part = samples.take(low, high, DRAWS, np.random.default_rng([samples.seed, 13, done]))
        sizes = {"energy": float(np.sqrt(low * high)), "n_generated": part.generated.n, "n_reference": part.reference.n}
        if part.plan.n < FEWEST:
            reason = f"needs at least {FEWEST} showers per sample, there are {part.plan.n}"
            yield Metric(MEANS.name, "table1", LABELS["table1"], None, reason=reason, at=label, extra=sizes)
        else:
            yield from numbers_at(part, wanted, label, sizes)
        samples.tell("per energy", done + 1, len(slices))
    if (chart := _chart(samples, slices)) is not None:
        yield chart


def numbers_at(
    part: SamplePair, wanted: Sequence[BoundObservable], at: str, extra: Mapping[str, float | str | None]
) -> Iterator[Metric]:
    """Separation powers and W₁ of the observables in a part of the samples, and the mean of the powers.

    Args:
        part: of the samples.
        wanted: observables.
        at: what to call the part.
        extra: of it, for the mean; `by` for all.
    """
    draws: dict[str, Draws] = {}
    by = {key: value for key, value in extra.items() if key == "by"}
    for each in wanted:
        found = [m for m in of_observable(part, each, draws, at=at) if isinstance(m, Metric)]
        found = [metric for metric in found if metric.section != DIVERGENCES.name]
        for metric in (*found, distance_of(part, each, at=at)):
            yield replace(metric, extra={**metric.extra, **by}) if by else metric
    yield mean_power("table1", draws, observables.names_of(wanted), at=at, extra=extra)


def _chart(samples: SamplePair, slices: list[tuple[str, float, float]]) -> Chart | None:
    """Histograms of E_dep/E_inc at up to `MOST_PANELS` incident energies."""
    observable = observables.find(samples.geometry, "e_tot_over_e_inc")
    steps = np.unique(np.linspace(0, len(slices) - 1, min(MOST_PANELS, len(slices))).round().astype(int))
    panels = []
    for label, low, high in [slices[k] for k in steps]:
        values = [
            s.observables[observable.name][(s.energies >= low) & (s.energies < high)]
            for s in (samples.generated, samples.reference)
        ]
        request = observable.request(values[1], samples.threshold)
        if min(map(len, values)) and (edges := of_reference(request, bins=30)) is not None:
            both = {key: counts(v, edges) for key, v in zip(("generated", "reference"), values, strict=True)}
            panels.append({"label": f"{label}: {observable.axis_label}", "edges": edges, **both})
    if not panels:
        return None
    title = "Deposited over incident energy, per incident energy"
    caption = (
        "The bins follow the reference. A shifted peak is a wrong energy scale, a peak of another width a wrong "
        "resolution."
    )
    return Chart("response_per_energy", "histograms", "histograms", title, caption, {"panels": panels})
