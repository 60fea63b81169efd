"""A user's own metric, in one file outside the package: shown in CONTRIBUTING, and evaluated by the tests."""

from __future__ import annotations

from collections.abc import Iterator

from caloforge import Estimate, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair

SECTION = Section("mean_hits", "Mean number of hits", "Generated over reference, minus 1.", direction="nearer")


@metric(SECTION)
def mean_hits(samples: SamplePair) -> Iterator[Metric]:
    """Relative difference of the mean number of hits, with its statistical error."""
    first, second = (sample.observables["n_hits"] for sample in (samples.generated, samples.reference))
    error = (first.var() / len(first) + second.var() / len(second)) ** 0.5 / second.mean()
    value = first.mean() / second.mean() - 1
    yield Metric("mean_hits", "n_hits", "number of hits", Estimate(float(value), float(error), expected=0.0))
