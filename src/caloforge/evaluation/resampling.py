"""Values with errors and floors, for any distance of two samples.

    value        distance of the whole samples, n_g generated and n_r reference showers
    error        its statistical error, by the delete-half jackknife: the spread over random subsets of m showers
                 a side without repetition, times sqrt[(1/n_g + 1/n_r) / (2/m − 1/n_g − 1/n_r)]
    value_at_n   its mean over random subsets of N a side, to be compared with
    floor        the distance of N reference showers from N independent ones
    floor_error  the spread of that distance over random partitions of the pooled reference showers, that is, of
                 one draw if nothing but chance told the two samples apart
    pull         (value_at_n − floor) / sqrt(error² + floor_error²)

Independent reference showers come from a second file, or from the reference itself cut in two. Many distances are
positive even between equal distributions, ever more so the fewer showers there are: hence N on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from caloforge.evaluation.spectra import halves, share_spectrum, thin

DRAWS = 20
"""Random subsets behind each mean and spread."""

Rows = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Plan:
    """Which showers make up each subset.

    Rows of a *pool* count through the reference and then, if there is one, through the floor file.

    Args:
        n_generated, n_reference: sizes of the whole samples.
        n: N, showers a side at the floor.
        stratified: whether subsets follow the incident-energy spectrum exactly.
        at_n: pairs of rows (generated, pool), N each.
        floor: pairs of rows (pool, pool), N each, reference against independent reference.
        null: the same, out of the whole pool at random: what the spread of the floor is taken from.
        error: pairs of rows (generated, pool) for the jackknife.
    """

    n_generated: int
    n_reference: int
    n: int
    stratified: bool
    at_n: Sequence[Rows]
    floor: Sequence[Rows]
    null: Sequence[Rows]
    error: Sequence[Rows]

    def first(self, draws: int) -> Plan:
        """The same plan with at most so many draws, for distances that take long."""
        error, null = self.error[:draws], self.null[:draws]
        return replace(
            self,
            error=error,
            at_n=error if self.at_n is self.error else self.at_n[:draws],
            null=null,
            floor=null if self.floor is self.null else self.floor[:draws],
        )

    @property
    def error_scale(self) -> float:
        """From the spread over the jackknife's subsets to the error of the whole samples' value."""
        whole = 1 / self.n_generated + 1 / self.n_reference
        return float(np.sqrt(whole / (2 / len(self.error[0][0]) - whole)))


def make_plan(
    generated: np.ndarray,
    reference: np.ndarray,
    floor: np.ndarray | None,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Plan:
    """Draw the subsets.

    Args:
        generated, reference, floor: incident energies (n,) in MeV of each sample; `floor` None cuts the reference
            in two.
        rng: source of randomness.
        draws: subsets of each kind.
    """
    n_g, n_r = len(generated), len(reference)
    n = min(n_g, n_r // 2) if floor is None else min(n_g, n_r, len(floor))
    stratified = share_spectrum(generated, reference)
    pool = reference if floor is None else np.concatenate([reference, floor])

    def pairs(size: int) -> list[Rows]:
        return [(thin(generated, size, rng, stratified), thin(reference, size, rng, stratified)) for _ in range(draws)]

    m = max(1, min(n_g, n_r) // 2)
    error = pairs(m)
    at_n = error if n == m else pairs(n)
    null = [halves(pool, n, rng, stratified) for _ in range(draws)]
    if floor is None:
        independent = null
    else:
        independent = [
            (thin(reference, n, rng, stratified), n_r + thin(floor, n, rng, stratified)) for _ in range(draws)
        ]
    return Plan(n_g, n_r, n, stratified, at_n, independent, null, error)


def estimate(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray | Sequence[float] | float],
    generated: np.ndarray,
    pool: np.ndarray,
    plan: Plan,
) -> list[dict[str, float]]:
    """Value, error, floor and pull of one distance, or of several taken together.

    Args:
        distance: (a, b) → one number or a sequence of C numbers, a and b being rows of `generated` or `pool`.
        generated: (n_g, …) data of the generated showers.
        pool: (n_r + n_f, …) data of the reference's showers and the floor file's.
        plan: the subsets.

    Returns:
        for each of the C numbers, the keys of the module's opening.
    """

    def over(pairs: Sequence[Rows], first: np.ndarray) -> np.ndarray:
        if all(len(a) == len(first) and len(b) == plan.n_reference for a, b in pairs) and first is generated:
            pairs = pairs[:1]  # whole samples: every draw is the same
        results = [distance(first.take(a, axis=0), pool.take(b, axis=0)) for a, b in pairs]
        return np.array([np.atleast_1d(result) for result in results], dtype=np.float64)

    value = np.atleast_1d(distance(generated, pool[: plan.n_reference])).astype(np.float64)
    halves, null = over(plan.error, generated), over(plan.null, pool)
    # With the reference cut in two, these are the same subsets again.
    at_n = (halves if plan.at_n is plan.error else over(plan.at_n, generated)).mean(axis=0)
    floor = (null if plan.floor is plan.null else over(plan.floor, pool)).mean(axis=0)
    error, floor_error = plan.error_scale * spread(halves), spread(null)
    pull = (at_n - floor) / np.maximum(np.hypot(error, floor_error), 1e-12)
    keys = ("value", "error", "value_at_n", "floor", "floor_error", "pull")
    columns = (value, error, at_n, floor, floor_error, pull)
    return [dict(zip(keys, map(float, row), strict=True)) for row in zip(*columns, strict=True)]


def spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, 0 where there is but one value."""
    return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])
