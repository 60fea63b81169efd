"""The numbers of Table 1 again at each incident energy: where a generator is good, and where it was not trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.comparison import FEWEST, Comparison, unavailable
from caloforge.evaluation.resampling import make_plan
from caloforge.evaluation.sections.histograms import separations
from caloforge.evaluation.sections.wasserstein import distance_of
from caloforge.evaluation.spectra import groups
from caloforge.evaluation.summary import Summary

DRAWS = 8


def per_energy(c: Comparison) -> dict[str, Any]:
    """{label: {energy, n_generated, n_reference, separation_power, mean_separation_power, wasserstein}}."""
    names = observables.table1_names(c.geometry)
    slices = groups(c.reference.energies)
    result: dict[str, Any] = {}
    for done, (label, low, high) in enumerate(slices):
        parts = [
            None if s is None else _restrict(s, names, (s.energies >= low) & (s.energies < high))
            for s in (c.generated, c.reference, c.floor)
        ]
        generated, reference, floor = parts
        assert generated is not None
        assert reference is not None
        entry: dict[str, Any] = {
            "energy": float(np.sqrt(low * high)),
            "n_generated": generated.n,
            "n_reference": reference.n,
        }
        least = min(generated.n, reference.n // 2 if floor is None else min(reference.n, floor.n))
        if least < FEWEST:
            entry |= unavailable(f"needs at least {FEWEST} showers a side, there are {least}")
        else:
            rng = np.random.default_rng([c.seed, 13, done])
            other = None if floor is None else floor.energies
            plan = make_plan(generated.energies, reference.energies, other, rng, DRAWS)
            here = replace(c, generated=generated, reference=reference, floor=floor, plan=plan)
            found = separations(here, names)
            entry["n"] = plan.n
            entry["separation_power"] = found.powers
            entry["mean_separation_power"] = found.mean(names)
            entry["wasserstein"] = {name: distance_of(here, name) for name in names}
        result[label] = entry
        c.tell("per energy", done + 1, len(slices))
    return result


def _restrict(summary: Summary, names: list[str], rows: np.ndarray) -> Summary:
    """`summary` of some of its showers, as far as observables go."""
    chosen = {name: summary.observables[name][rows] for name in names}
    return replace(summary, n=int(rows.sum()), energies=summary.energies[rows], observables=chosen)
