"""E_dep/E_inc of the full samples: is the calorimeter's response, and its resolution, right?

At each incident energy k (octaves of a continuous spectrum) with mean m, standard deviation s and kurtosis κ,

    mean     Δ_k = m_g / m_r − 1      σ_k² = (s_g²/n_g + s_r²/n_r) / m_r²
    spread   Δ_k = s_g / s_r − 1      σ_k² = (κ_g − 1)/(4 n_g) + (κ_r − 1)/(4 n_r)

combined with the weights 1/σ_k², and their χ² = Σ (Δ_k/σ_k)² for shifts that cancel. A mean has no bias that falls
with the number of showers, as distances have: so every shower is used, and the pull is value / error, the distance
from 0. The baseline is the same of N reference showers against N independent ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincc

from caloforge.energies.agreement import groups
from caloforge.evaluation.estimates import FEWEST, Estimate
from caloforge.evaluation.metrics.base import Extra, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair

RESPONSE = Section(
    "response",
    "Response",
    "Mean and spread of E_dep / E_inc, generated over reference minus 1, on all showers: neither has a bias that falls "
    "with their number, so the pull is the difference in units of its own error. Energies are combined with weights "
    "1/error²; p is that of their χ².",
    direction="nearer",
    extra={"probability": "p of χ²"},
)

QUANTITIES = {"mean": "mean of E_dep / E_inc", "spread": "spread of E_dep / E_inc"}

Slices = list[tuple[str, float, float]]
"""(label, lowest, highest energy in MeV) of each incident energy."""


@dataclass(frozen=True)
class Moments:
    """Of n values: mean, standard deviation and kurtosis."""

    n: int
    mean: float
    spread: float
    kurtosis: float

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        deviations = values - values.mean()
        variance = float((deviations**2).mean())
        # Rounding alone gives a constant a spread.
        if variance <= (1e-12 * np.abs(values).max(initial=0.0)) ** 2:
            return cls(len(values), float(values.mean()), 0.0, 1.0)
        fourth = float((deviations**4).mean())
        return cls(len(values), float(values.mean()), math.sqrt(variance), fourth / variance**2)


@dataclass(frozen=True)
class AtEnergy:
    """Relative differences at one incident energy.

    Args:
        label, energy: of the incident energy (MeV).
        n_generated, n_reference: showers.
        differences: quantity → (Δ, σ); those that exist.
    """

    label: str
    energy: float
    n_generated: int
    n_reference: int
    differences: dict[str, tuple[float, float]]


@metric(RESPONSE, quick=True)
def response(samples: SamplePair) -> Iterator[Found]:
    """Mean and spread, combined and at each incident energy."""
    if samples.unavailable:
        for key, label in QUANTITIES.items():
            yield Metric(RESPONSE.name, key, label, None, reason=samples.unavailable)
        return
    name = "e_tot_over_e_inc"
    generated, reference = samples.generated.observables[name], samples.reference.observables[name]
    slices = groups(samples.reference.energies)
    found = by_energy(slices, (samples.generated.energies, generated), (samples.reference.energies, reference))
    energies, values = samples.pool(lambda s: s.energies), samples.pool(lambda s: s.observables[name])
    first, second = samples.plan.baseline[0]
    baseline = by_energy(slices, (energies[first], values[first]), (energies[second], values[second]))
    for key, of in (("mean", np.mean), ("spread", np.std)):
        level = combined(baseline, key).estimate
        entry = combined(found, key)
        extra: Extra = {**entry.extra, "generated": float(of(generated)), "reference": float(of(reference))}
        estimate = entry.estimate
        if estimate is not None:
            estimate = replace(estimate, n=samples.plan.n)
        if estimate is not None and level is not None:
            estimate = replace(estimate, baseline=level.value, baseline_error=level.error)
        yield replace(entry, estimate=estimate, extra=extra)
        for each in found:
            if key in each.differences:
                extra = {"energy": each.energy, "n_generated": each.n_generated, "n_reference": each.n_reference}
                single = Estimate(*each.differences[key], expected=0.0)
                yield Metric(RESPONSE.name, key, QUANTITIES[key], single, at=each.label, extra=extra)


def by_energy(
    slices: Slices, generated: tuple[np.ndarray, np.ndarray], reference: tuple[np.ndarray, np.ndarray]
) -> list[AtEnergy]:
    """Both differences with errors at each incident energy, from pairs of energies (n,) and E_dep/E_inc (n,).

    Energies with fewer than 20 showers per sample are left out; where all have fewer, all showers are taken as one.
    """
    found = []
    for label, low, high in slices:
        parts = [values[(energies >= low) & (energies < high)] for energies, values in (generated, reference)]
        if min(map(len, parts)) >= FEWEST:
            found.append(_differences(label, math.sqrt(low * high), *map(Moments.of, parts)))
    if found:
        return found
    whole = math.sqrt(slices[0][1] * slices[-1][2])
    return [_differences("all energies", whole, Moments.of(generated[1]), Moments.of(reference[1]))]


def _differences(label: str, energy: float, g: Moments, r: Moments) -> AtEnergy:
    found = {}
    if r.mean > 0:
        found["mean"] = g.mean / r.mean - 1, math.sqrt(g.spread**2 / g.n + r.spread**2 / r.n) / r.mean
    if r.spread > 0:
        kurtosis = g.kurtosis if g.spread > 0 else r.kurtosis
        error = math.sqrt((kurtosis - 1) / g.n + (r.kurtosis - 1) / r.n) / 2
        found["spread"] = g.spread / r.spread - 1, error
    return AtEnergy(label, energy, g.n, r.n, found)


def combined(found: list[AtEnergy], key: str) -> Metric:
    """Value and error over the incident energies, their χ², and where the difference is largest in errors."""
    made = Metric(RESPONSE.name, key, QUANTITIES[key], None)
    every = {each.label: each.differences[key] for each in found if key in each.differences}
    if not every:
        words = {"mean": "without energy above the threshold", "spread": "constant at each incident energy"}
        return replace(made, reason=f"E_dep/E_inc is {words[key]} in the reference")
    known = {label: (value, error) for label, (value, error) in every.items() if error > 0}
    if not known:  # constants: any difference is one
        return replace(made, estimate=Estimate(float(np.mean([v for v, _ in every.values()])), 0.0, expected=0.0))
    values, errors = np.array(list(known.values())).T
    error = float(1 / math.sqrt((errors**-2).sum()))
    value = float((values / errors**2).sum()) * error**2
    pulls = values / errors
    square, most = float((pulls**2).sum()), int(np.abs(pulls).argmax())
    extra: Extra = {
        "chi2": square,
        "energies": len(known),
        "probability": float(gammaincc(len(known) / 2, square / 2)),
        "largest_at": list(known)[most],
        "largest_value": float(values[most]),
        "largest_error": float(errors[most]),
    }
    return replace(made, estimate=Estimate(value, error, expected=0.0), extra=extra)
