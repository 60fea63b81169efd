"""E_dep/E_inc of the whole samples: is the calorimeter's response, and its resolution, right?

At each incident energy k (octaves of a continuous spectrum) with mean m, standard deviation s and kurtosis κ,

    mean     Δ_k = m_g / m_r − 1      σ_k² = (s_g²/n_g + s_r²/n_r) / m_r²
    spread   Δ_k = s_g / s_r − 1      σ_k² = (κ_g − 1)/(4 n_g) + (κ_r − 1)/(4 n_r)

put together with the weights 1/σ_k², and their χ² = Σ (Δ_k/σ_k)² for shifts that cancel. A mean has no bias that
falls with the number of showers, as distances have: so every shower is used, and `pull` is value / error, the
distance from 0. The floor is the same of N reference showers against N independent ones.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import gammaincc

from caloforge.evaluation.comparison import FEWEST, Comparison, unavailable
from caloforge.evaluation.resampling import CERTAIN, in_errors
from caloforge.evaluation.spectra import groups

Moments = tuple[int, float, float, float]
"""n, mean, standard deviation and kurtosis."""


def response(c: Comparison) -> dict[str, Any]:
    """{"mean": entry, "spread": entry, "by_energy": {label: {energy, n_…, mean, mean_error, spread, …}}}."""
    if c.refusal:
        return c.refusal
    name = "e_tot_over_e_inc"
    mine, theirs = c.generated.observables[name], c.reference.observables[name]
    slices = groups(c.reference.energies)
    by_energy = _by_energy(slices, (c.generated.energies, mine), (c.reference.energies, theirs))
    energies, values = c.pool(lambda s: s.energies), c.pool(lambda s: s.observables[name])
    first, second = c.plan.floor[0]
    floors = _by_energy(slices, (energies[first], values[first]), (energies[second], values[second]))
    result: dict[str, Any] = {"by_energy": by_energy, "n": c.plan.n}
    for key, of in (("mean", np.mean), ("spread", np.std)):
        entry, floor = _together(by_energy, key), _together(floors, key)
        if "unavailable" not in floor:
            entry |= {"floor": floor["value"], "floor_error": floor["error"]}
        result[key] = {**entry, "generated": float(of(mine)), "reference": float(of(theirs))}
    return result


def _by_energy(
    slices: list[tuple[str, float, float]],
    generated: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Both differences with errors at each incident energy, from pairs of energies (n,) and E_dep/E_inc (n,).

    Energies with fewer than 20 showers a side are left out; where all have fewer, all showers are taken as one.
    """
    found = {}
    for label, low, high in slices:
        parts = [values[(energies >= low) & (energies < high)] for energies, values in (generated, reference)]
        if min(map(len, parts)) >= FEWEST:
            found[label] = {"energy": math.sqrt(low * high), **_differences(*map(_moments, parts))}
    if found:
        return found
    whole = math.sqrt(slices[0][1] * slices[-1][2])
    return {"all energies": {"energy": whole, **_differences(_moments(generated[1]), _moments(reference[1]))}}


def _moments(values: np.ndarray) -> Moments:
    deviations = values - values.mean()
    variance = float((deviations**2).mean())
    # Rounding alone gives a constant a spread.
    if variance <= (1e-12 * np.abs(values).max(initial=0.0)) ** 2:
        return len(values), float(values.mean()), 0.0, 1.0
    return len(values), float(values.mean()), math.sqrt(variance), float((deviations**4).mean()) / variance**2


def _differences(generated: Moments, reference: Moments) -> dict[str, Any]:
    (n_g, m_g, s_g, k_g), (n_r, m_r, s_r, k_r) = generated, reference
    entry: dict[str, Any] = {"n_generated": n_g, "n_reference": n_r}
    if m_r > 0:
        entry |= {"mean": m_g / m_r - 1, "mean_error": math.sqrt(s_g**2 / n_g + s_r**2 / n_r) / m_r}
    if s_r > 0:
        k_g = k_g if s_g > 0 else k_r
        entry |= {"spread": s_g / s_r - 1, "spread_error": math.sqrt((k_g - 1) / n_g + (k_r - 1) / n_r) / 2}
    return entry


def _together(by_energy: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    """Value, error and pull over the incident energies, their χ², and where it is `largest` in errors."""
    with_value = {label: entry for label, entry in by_energy.items() if key in entry}
    if not with_value:
        words = {"mean": "without energy above the threshold", "spread": "constant at each incident energy"}
        return unavailable(f"E_dep/E_inc is {words[key]} in the reference")
    found = {label: entry for label, entry in with_value.items() if entry[f"{key}_error"] > 0}
    if not found:  # constants: any difference is one
        value = float(np.mean([entry[key] for entry in with_value.values()]))
        pull = in_errors(value, 0.0, 1.0)
        return {"value": value, "error": 0.0, "pull": pull} | ({"pull_word": CERTAIN} if math.isinf(pull) else {})
    values = np.array([entry[key] for entry in found.values()])
    errors = np.array([entry[f"{key}_error"] for entry in found.values()])
    error = float(1 / math.sqrt((errors**-2).sum()))
    value = float((values / errors**2).sum()) * error**2
    pulls = values / errors
    square, most = float((pulls**2).sum()), int(np.abs(pulls).argmax())
    return {
        "value": value,
        "error": error,
        "pull": value / error,
        "chi2": square,
        "energies": len(found),
        "probability": float(gammaincc(len(found) / 2, square / 2)),
        "largest": {"at": list(found)[most], "value": float(values[most]), "error": float(errors[most])},
    }
