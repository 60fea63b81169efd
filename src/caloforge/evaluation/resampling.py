"""Values with errors and floors, for any distance of two samples.

    value        distance of the whole samples, n_g generated and n_r reference showers
    error        its statistical error, by the delete-half jackknife: the spread over random subsets of m showers
                 a side without repetition, times sqrt[(1/n_g + 1/n_r) / (2/m − 1/n_g − 1/n_r)]
    value_at_n   its mean over random subsets of N a side, to be compared with
    floor        the distance of N reference showers from N independent ones
    floor_error  the spread of that distance over random partitions of the pooled reference showers, that is, of
                 one draw if nothing but chance told the two samples apart
    pull         (value_at_n − floor) / sqrt(error² + floor_error²); where neither has an error (constants), 0 if
                 they are equal, else infinite, which JSON writes as null and `pull_word` says in words

Independent reference showers come from a second file, or from the reference itself cut in two. Many distances are
positive even between equal distributions, ever more so the fewer showers there are: hence N on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from caloforge.evaluation.spectra import halves, share_spectrum, thin

DRAWS = 20
"""Random subsets behind each mean and spread."""

Rows = tuple[np.ndarray, np.ndarray]

CERTAIN = "infinite: the values differ and neither has an error"
"""What stands beside a pull that is no number."""

ROUNDING = 1e-12
"""Errors and differences below this share of the values are rounding."""


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


@dataclass(frozen=True)
class Draws:
    """C distances of the whole samples and of every subset.

    Args:
        value: (C,) of the whole samples.
        at_n, floor: (D, C) of N a side, generated and reference against the reference.
        error, null: (D, C) whose spreads give the error and the floor's error.
        error_scale: see `Plan`.
    """

    value: np.ndarray
    at_n: np.ndarray
    floor: np.ndarray
    error: np.ndarray
    null: np.ndarray
    error_scale: float

    def entries(self) -> list[dict[str, Any]]:
        """For each of the C numbers, the keys of the module's opening."""
        found = {
            "value": self.value,
            "error": self.error_scale * spread(self.error),
            "value_at_n": self.at_n.mean(axis=0),
            "floor": self.floor.mean(axis=0),
            "floor_error": spread(self.null),
        }
        rows = zip(*found.values(), strict=True)
        return [with_pull(dict(zip(found, map(float, row), strict=True))) for row in rows]

    def column(self, k: int) -> Draws:
        """The same of one of the C distances."""
        return replace(self, **{key: getattr(self, key)[..., k : k + 1] for key in _DRAWN})


_DRAWN = ("value", "at_n", "floor", "error", "null")


def mean_of(draws: Sequence[Draws]) -> Draws:
    """The mean of distances taken on the same subsets, so that its errors know how the distances go together."""
    return replace(draws[0], **{key: np.mean([getattr(each, key) for each in draws], axis=0) for key in _DRAWN})


def sample(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray | Sequence[float] | float],
    generated: np.ndarray,
    pool: np.ndarray,
    plan: Plan,
) -> Draws:
    """One distance, or several taken together, of the whole samples and of the plan's subsets.

    Args:
        distance: (a, b) → one number or a sequence of C numbers, a and b being rows of `generated` or `pool`.
        generated: (n_g, …) data of the generated showers.
        pool: (n_r + n_f, …) data of the reference's showers and the floor file's.
        plan: the subsets.
    """

    def over(pairs: Sequence[Rows], first: np.ndarray) -> np.ndarray:
        if all(len(a) == len(first) and len(b) == plan.n_reference for a, b in pairs) and first is generated:
            pairs = pairs[:1]  # whole samples: every draw is the same
        results = [distance(first.take(a, axis=0), pool.take(b, axis=0)) for a, b in pairs]
        return np.array([np.atleast_1d(result) for result in results], dtype=np.float64)

    value = np.atleast_1d(distance(generated, pool[: plan.n_reference])).astype(np.float64)
    error, null = over(plan.error, generated), over(plan.null, pool)
    # With the reference cut in two, these are the same subsets again.
    at_n = error if plan.at_n is plan.error else over(plan.at_n, generated)
    floor = null if plan.floor is plan.null else over(plan.floor, pool)
    return Draws(value, at_n, floor, error, null, plan.error_scale)


def estimate(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray | Sequence[float] | float],
    generated: np.ndarray,
    pool: np.ndarray,
    plan: Plan,
) -> list[dict[str, Any]]:
    """Value, error, floor and pull of one distance, or of several taken together: the entries of `sample`."""
    return sample(distance, generated, pool, plan).entries()


def with_pull(entry: dict[str, Any]) -> dict[str, Any]:
    """`entry` with its `pull`: how far its value at N (or its one value) lies off its floor, in errors of both."""
    value, floor = entry.get("value_at_n", entry["value"]), entry["floor"]
    pull = in_errors(value - floor, math.hypot(entry["error"], entry["floor_error"]), max(abs(value), abs(floor)))
    return {**entry, "pull": pull} if math.isfinite(pull) else {**entry, "pull": pull, "pull_word": CERTAIN}


def in_errors(difference: float, error: float, size: float) -> float:
    """`difference` / `error`; without an error 0 where nothing differs, else infinite.

    Args:
        difference, error: what is judged; the error not negative.
        size: of the values behind the difference, beside which `ROUNDING` is nothing.
    """
    if error > ROUNDING * size:
        return difference / error
    return 0.0 if abs(difference) <= ROUNDING * size else math.copysign(math.inf, difference)


def spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, 0 where there is but one value."""
    return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])
