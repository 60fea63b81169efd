"""W1M, W1P and W1EFP of jets as JetNet defines them (arXiv:2106.11535).

1-Wasserstein distances of the jets' relative mass, of the particles' etarel, phirel and ptrel, and of five energy-flow
polynomials, each the mean over five batches of jets that are drawn with repetition. The error is the standard deviation
over the batches; of W1P and W1EFP, which average over features, JetNet takes the root of the sum of their squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from caloforge.distances.one_dimensional import wasserstein
from caloforge.evaluation.clouds_of_points.cloud_samples import CloudPair
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.observables.of_clouds import energy_flow
from caloforge.points import JET, PointClouds
from caloforge.points.exchange.jetnet import relative_mass

JETNET = Section(
    "jetnet",
    "JetNet's 1-Wasserstein distances",
    "W1M of the relative mass, W1P of particle features, W1EFP of energy-flow polynomials: mean ± standard deviation "
    "over five batches of jets drawn with repetition, as JetNet defines them.",
)

BATCHES = 5
MOST_JETS = 10_000
"""Jets of a batch, at most."""

Features = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Rows of jets (m,) → the values of each feature, of any number."""


def w1_of_batches(
    first: Features, n_first: int, second: Features, n_second: int, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations (F,) over the batches of the distances of F features.

    Args:
        first, second: give the features of some jets of each sample; n_first, n_second: their numbers.
        size: jets of a batch.
        rng: draws them.
    """
    found = []
    for _ in range(BATCHES):
        a, b = (rng.integers(0, n, size) for n in (n_first, n_second))
        pairs = zip(first(a), second(b), strict=True)
        found.append([wasserstein(u, v) if len(u) and len(v) else np.inf for u, v in pairs])
    return np.mean(found, axis=0), np.std(found, axis=0)


def jet_distances(pair: CloudPair) -> Iterator[Metric]:
    """W1M, W1P (and of each particle feature) and W1EFP, with their baselines."""
    names = {"w1m": "W1M", "w1p": "W1P", **{f"w1p_{name}": f"W1 of {name}" for name in JET}, "w1efp": "W1EFP"}
    if pair.unavailable:
        yield from (Metric(JETNET.name, key, label, None, reason=pair.unavailable) for key, label in names.items())
        return
    plan = pair.plan
    generated, reference = pair.generated.clouds, pair.reference.clouds
    assert generated is not None
    assert reference is not None
    other = pair.independent.clouds if pair.independent is not None else None
    pool = reference if other is None else PointClouds.joined([reference, other])
    chosen = {"value": plan.at_n[0], "baseline": plan.baseline[0]}
    samples = {
        "value": (generated[chosen["value"][0]], pool[chosen["value"][1]]),
        "baseline": (pool[chosen["baseline"][0]], pool[chosen["baseline"][1]]),
    }
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for done, (key, (one, two)) in enumerate(samples.items()):
        found[key] = _numbers(one, two, np.random.default_rng([pair.seed, 12]))
        pair.tell("JetNet's distances", done + 1, len(samples))
    for name, label in names.items():
        made = Estimate(*found["value"][name], *found["baseline"][name], n=plan.n)
        yield Metric(JETNET.name, name, label, made, extra={"batches": BATCHES})


def _numbers(first: PointClouds, second: PointClouds, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Name → mean and standard deviation."""
    size = min(MOST_JETS, len(first), len(second))

    def compared(get: Callable[[PointClouds], Features]) -> tuple[np.ndarray, np.ndarray]:
        return w1_of_batches(get(first), len(first), get(second), len(second), size, rng)

    mass = compared(lambda jets: _table(relative_mass(jets)[:, None]))
    particles = compared(_particles)
    flow = compared(lambda jets: _table(energy_flow(jets)))
    found = {"w1m": (float(mass[0][0]), float(mass[1][0]))}
    for key, (means, deviations) in (("w1p", particles), ("w1efp", flow)):
        found[key] = float(means.mean()), float(np.linalg.norm(deviations))
    for k, name in enumerate(JET):
        found[f"w1p_{name}"] = float(particles[0][k]), float(particles[1][k])
    return found


def _table(values: np.ndarray) -> Features:
    """Features (N, F) of jets."""
    return lambda rows: list(values[rows].T)


def _particles(jets: PointClouds) -> Features:
    """The particles of some jets: their columns."""

    def features(rows: np.ndarray) -> list[np.ndarray]:
        chosen = jets[rows]
        return [chosen[name].astype(np.float64) for name in JET]

    return features
