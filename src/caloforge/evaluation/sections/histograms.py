"""Separation powers and Kullback–Leibler divergences of every observable's histogram.

`value` follows the challenge's convention: what falls outside the range is dropped before the histograms are
normalised; `outside` tells which share that was, `bins` where the edges are (`binning.described`).
`value_with_overflow` counts it in a bin on either side. Means over observables have errors of their own, as observables
of one shower are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.binning import bin_numbers, challenge_edges, described
from caloforge.evaluation.comparison import Comparison, unavailable
from caloforge.evaluation.distances.one_dimensional import kullback_leibler, separation_powers
from caloforge.evaluation.resampling import Draws, mean_of, sample


@dataclass(frozen=True)
class Found:
    """What the histograms of some observables give.

    Args:
        powers, divergences: observable → entry of the separation power, and of the Kullback–Leibler divergence (nats).
        draws: observable → separation powers of every subset, where there are any.
    """

    powers: dict[str, dict[str, Any]]
    divergences: dict[str, dict[str, Any]]
    draws: dict[str, Draws]

    def mean(self, names: Sequence[str]) -> dict[str, Any]:
        """Mean separation power over those of `names` that have one."""
        found = [self.draws[name] for name in names if name in self.draws]
        if not found:
            return unavailable("no separation power is available")
        [entry] = mean_of(found).entries()
        return {**entry, "observables": len(found)}


def separations(c: Comparison, names: Sequence[str] | None = None) -> Found:
    """Separation powers and divergences of `names`, by default the challenge's observables and voxel energies."""
    wanted = [*observables.challenge_names(c.geometry), "voxel_energy"] if names is None else list(names)
    found = Found({}, {}, {})
    for done, name in enumerate(wanted):
        found.powers[name], found.divergences[name], draws = _separation_of(c, name)
        if draws is not None:
            found.draws[name] = draws
        if names is None:
            c.tell("separation powers", done + 1, len(wanted))
    return found


def _separation_of(c: Comparison, name: str) -> tuple[dict[str, Any], dict[str, Any], Draws | None]:
    """The two entries of one observable, and its separation powers of every subset."""
    if c.refusal:
        return c.refusal, c.refusal, None
    if name == "voxel_energy":
        edges = c.reference.voxel_edges
        if not c.reference.voxel_counts.any():
            reason = unavailable(f"no voxel of the reference exceeds the threshold ({c.threshold:g} MeV)")
            return reason, reason, None
        x, pool = c.generated.voxel_rows, c.pool(lambda s: s.voxel_rows)

        def count(part: np.ndarray) -> np.ndarray:
            return part.sum(axis=0, dtype=np.int64)
    else:
        values = c.pool(lambda s: s.observables[name])
        chosen = challenge_edges(c.geometry, name, c.reference.observables[name], c.threshold)
        if chosen is None:
            largest = float(c.reference.observables[name].max())
            words = f"the reference's maximum ({largest:g} MeV) does not exceed the threshold ({c.threshold:g} MeV)"
            return (reason := unavailable(words)), reason, None
        edges = chosen
        x, pool = bin_numbers(c.generated.observables[name], edges), bin_numbers(values, edges)

        def count(part: np.ndarray) -> np.ndarray:
            return np.bincount(part, minlength=len(edges) + 1)

    inside = slice(1, len(edges))

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        h, g = count(a)[None], count(b)[None]
        parts = separation_powers(h[:, inside], g[:, inside]), separation_powers(h, g), kullback_leibler(h, g)
        return np.concatenate(parts)

    draws = sample(distance, x, pool, c.plan)
    challenge, whole, divergence = draws.entries()
    histograms = count(x), count(pool[: c.plan.n_reference])
    outside = [1 - float(h[inside].sum()) / max(1.0, float(h.sum())) for h in histograms]
    if not histograms[1][inside].any():
        return unavailable("no reference shower lies inside the histogram's range"), divergence, None
    entry = {
        **challenge,
        "bins": described(edges),
        "outside": {"generated": outside[0], "reference": outside[1]},
        "value_with_overflow": whole["value"],
        "with_overflow": whole,
    }
    return entry, divergence, draws.column(0)
