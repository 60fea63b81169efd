"""Mean energies by layer, by radius and by sector of alpha, and how far the profiles of both samples lie apart.

Longitudinal and radial profiles have a 1-Wasserstein distance. An azimuthal profile is flat where nothing prefers a
direction: `azimuthal` is the root mean square of the sectors' deviations from their mean, relative to it, with what
statistical fluctuations alone would give as its error; the baseline is that of the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from caloforge.distances.one_dimensional import wasserstein_weighted
from caloforge.evaluation.estimates import Estimate, estimate
from caloforge.evaluation.metrics.base import Chart, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.summary import Summary

PROFILES = Section(
    "profiles",
    "Profiles",
    "1-Wasserstein distances of the longitudinal and radial energy profile. Azimuthal: relative deviation of the "
    "sectors of alpha from their mean, next to what statistical fluctuations alone would give.",
    page="histograms",
)

DRAWS = 8
"""Random subsets behind the error and the baseline of a profile."""

TITLES = {
    "longitudinal": "longitudinal profile",
    "radial": "radial profile",
    "azimuthal": "unevenness of the azimuthal profile",
}


@metric(PROFILES)
def profiles(samples: SamplePair) -> Iterator[Found]:
    """Longitudinal, radial, and where layers have alpha bins azimuthal."""
    names = [f"e_layer_{i}" for i in samples.geometry.layer_ids]

    def by_layer(summary: Summary) -> np.ndarray:
        return np.stack([summary.observables[name] for name in names], axis=1)

    def by_radius(summary: Summary) -> np.ndarray:
        return summary.radial

    radii, ids = samples.reference.radii, list(samples.geometry.layer_ids)
    yield _chart(samples, "longitudinal", "index of the layer", ids, by_layer)
    yield _distance(samples, "longitudinal", "layers", np.arange(len(names), dtype=np.float64), by_layer)
    yield _chart(samples, "radial", "r [mm]", radii.tolist(), by_radius)
    yield _distance(samples, "radial", "mm", radii, by_radius)
    if samples.geometry.n_sectors > 1:
        sectors = list(range(samples.geometry.n_sectors))
        yield _chart(samples, "azimuthal", "sector in alpha", sectors, lambda summary: summary.azimuthal)
        yield _flatness(samples)


def _chart(
    samples: SamplePair, name: str, label: str, positions: Sequence[float], get: Callable[[Summary], np.ndarray]
) -> Chart:
    data: dict[str, object] = {"label": label, "unit": "MeV", "positions": positions}
    for key, summary in (("generated", samples.generated), ("reference", samples.reference)):
        mean, error = _mean_and_error(get(summary))
        data |= {key: mean.tolist(), f"{key}_error": error.tolist()}
    title = f"{name.capitalize()} profile"
    return Chart(f"profile_{name}", "profile", PROFILES.name, title, "Mean energies with standard errors.", data)


def _mean_and_error(energies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = energies.std(axis=0, dtype=np.float64)
    return energies.mean(axis=0, dtype=np.float64), spread / np.sqrt(len(energies))


def _distance(
    samples: SamplePair, name: str, unit: str, positions: np.ndarray, get: Callable[[Summary], np.ndarray]
) -> Metric:
    generated, reference = get(samples.generated), get(samples.reference)
    reason = samples.unavailable
    if not reason and min(float(generated.sum()), float(reference.sum())) <= 0:
        reason = "no energy above the threshold"
    if reason:
        return Metric(PROFILES.name, name, TITLES[name], None, unit, reason)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h, g = (part.sum(axis=0, dtype=np.float64)[None] for part in (a, b))
        return wasserstein_weighted(positions, h, g)

    [found] = estimate(distance, generated, samples.pool(get), samples.plan.first(DRAWS))
    return Metric(PROFILES.name, name, TITLES[name], found, unit)


def _flatness(samples: SamplePair) -> Metric:
    found = [_uneven(summary.azimuthal) for summary in (samples.generated, samples.reference)]
    if found[0] is None:
        reason = "no energy above the threshold"
        return Metric(PROFILES.name, "azimuthal", TITLES["azimuthal"], None, reason=reason)
    return Metric(PROFILES.name, "azimuthal", TITLES["azimuthal"], Estimate(*found[0], *(found[1] or ())))


def _uneven(energies: np.ndarray) -> tuple[float, float] | None:
    """Relative deviation of the sectors, and what fluctuations alone would give; None without energy."""
    mean, _ = _mean_and_error(energies)
    if not (level := mean.mean()) > 0:
        return None
    # What all sectors of a shower have in common, its energy, does not make a profile uneven.
    _, chance = _mean_and_error(energies - energies.mean(axis=1, keepdims=True))
    return float(np.std(mean) / level), float(np.sqrt(np.mean(chance**2)) / level)
