"""`Estimate`: one number of an evaluation, with its error and its baseline at equal sample size; and how to get it.

    value           distance of the full samples, n_g generated and n_r reference showers
    error           its statistical error, by the delete-half jackknife: the spread over random subsets of m showers
                    per sample without repetition, times sqrt[(1/n_g + 1/n_r) / (2/m − 1/n_g − 1/n_r)]
    value_at_n      its mean over random subsets of N showers per sample, to be compared with the baseline
    baseline        the distance of N reference showers from N independent ones (Geant4 vs Geant4)
    baseline_error  the spread of that distance over random partitions of the pooled reference showers, that is, of
                    one draw if only statistical fluctuations distinguished the two samples
    pull            (value_at_n − baseline) / sqrt(error² + baseline_error²); where the value of a perfect generator is
                    known exactly (0 for a relative difference), (value − expected) / error

Independent reference showers come from a second file, or from the reference itself split in two. Many distances are
positive even between equal distributions, and grow as samples shrink: hence N showers in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from caloforge.formatting import ROUNDING, number, pull, with_error

FEWEST = 20
"""Fewest showers per sample for a baseline: below, metrics are unavailable."""

Rows = tuple[np.ndarray, np.ndarray]
"""Row numbers of two subsets."""

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray | Sequence[float] | float]
"""(a, b) → one number or a sequence of C numbers, of the rows of two samples."""


@dataclass(frozen=True)
class Estimate:
    """A number, its error, and what the same number is between independent reference samples.

    >>> Estimate(0.5, 0.03, baseline=0.3, baseline_error=0.04).pull
    4.0
    >>> print(Estimate(0.5, 0.03, baseline=0.3, baseline_error=0.04))
    0.500 ± 0.030 (baseline 0.300 ± 0.040, +4.0 σ)

    Args:
        value: on the full samples.
        error: standard error of `value`; None where there is none to be had.
        baseline: the same quantity between two independent reference samples of `n` showers each.
        baseline_error: spread of one such number.
        value_at_n: mean of the quantity over subsets of `n` showers per sample; None where the value does not
            depend on the sample size.
        n: showers per sample behind `value_at_n` and `baseline`.
        expected: value of a perfect generator where it is known exactly (0 for a relative difference). The pull is
            then taken from it, with the error of `value` alone.
        smallest_error: lower limit on the combined error in the pull (0.001 for an AUC).
    """

    value: float
    error: float | None = None
    baseline: float | None = None
    baseline_error: float | None = None
    value_at_n: float | None = None
    n: int | None = None
    expected: float | None = None
    smallest_error: float = 0.0

    def __repr__(self) -> str:
        return f"Estimate({self})"

    def __str__(self) -> str:
        target = None if self.baseline is None else f"baseline {with_error(self.baseline, self.baseline_error)}"
        if self.expected is not None:
            target = f"expected {number(self.expected)}"
        remarks = [text for text in (target, pull(self.pull)) if text]
        value = with_error(self.value, self.error)
        if self.value_at_n is not None and target is not None:
            size = "" if self.n is None else f"with {self.n:,} showers per sample "
            remarks.insert(0, f"{size}{number(self.value_at_n)}")
        return f"{value} ({', '.join(remarks)})" if remarks else value

    @property
    def compared(self) -> float:
        """What is compared with the baseline: `value_at_n`, or `value` where it does not depend on n."""
        return self.value if self.value_at_n is None else self.value_at_n

    @property
    def target(self) -> float | None:
        """What the pull is taken from: the expected value, else the baseline, else None."""
        return self.baseline if self.expected is None else self.expected

    @property
    def pull(self) -> float | None:
        """(compared − baseline) in combined standard errors; None without a baseline or expected value, or with a NaN.

        Where neither has an error (constants), 0 if they are equal, else ±infinity.
        """
        if self.expected is not None:
            target, error = self.expected, self.error or 0.0
            difference, size = self.value - target, 1.0
        elif self.baseline is not None:
            target, error = self.baseline, math.hypot(self.error or 0.0, self.baseline_error or 0.0)
            difference, size = self.compared - target, max(abs(self.compared), abs(target))
        else:
            return None
        return None if math.isnan(difference) else in_errors(difference, max(error, self.smallest_error), size)


def in_errors(difference: float, error: float, size: float) -> float:
    """`difference` / `error`; without an error 0 where nothing differs, else ±infinity.

    Args:
        difference, error: what is judged; the error not negative.
        size: of the values behind the difference, beside which `ROUNDING` is nothing.
    """
    if error > ROUNDING * size:
        return difference / error
    return 0.0 if abs(difference) <= ROUNDING * size else math.copysign(math.inf, difference)


@dataclass(frozen=True)
class Plan:
    """Which showers make up each subset.

    Rows of a *pool* count through the reference and then, if there is one, through the independent reference.

    Args:
        n_generated, n_reference: sizes of the full samples.
        n: N, showers per sample in the baseline.
        stratified: whether subsets follow the incident-energy spectrum exactly.
        at_n: pairs of rows (generated, pool), N each.
        baseline: pairs of rows (pool, pool), N each, reference against independent reference.
        null: the same, out of the whole pool at random: the spread of the baseline is taken from these.
        error: pairs of rows (generated, pool) for the jackknife.
    """

    n_generated: int
    n_reference: int
    n: int
    stratified: bool
    at_n: Sequence[Rows]
    baseline: Sequence[Rows]
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
            baseline=null if self.baseline is self.null else self.baseline[:draws],
        )

    @property
    def error_scale(self) -> float:
        """From the spread over the jackknife's subsets to the error of the full samples' value."""
        whole = 1 / self.n_generated + 1 / self.n_reference
        return float(np.sqrt(whole / (2 / len(self.error[0][0]) - whole)))


@dataclass(frozen=True)
class Draws:
    """C distances of the full samples and of every subset.

    Args:
        value: (C,) of the full samples.
        at_n, baseline: (D, C) of N per sample, generated and reference against the reference.
        error, null: (D, C) whose spreads give the error and the baseline's error.
        n, error_scale: see `Plan`.
    """

    value: np.ndarray
    at_n: np.ndarray
    baseline: np.ndarray
    error: np.ndarray
    null: np.ndarray
    n: int
    error_scale: float

    def estimates(self) -> list[Estimate]:
        """One for each of the C distances."""
        error, null = self.error_scale * spread(self.error), spread(self.null)
        at_n, baseline = self.at_n.mean(axis=0), self.baseline.mean(axis=0)
        return [
            Estimate(float(self.value[k]), float(error[k]), float(baseline[k]), float(null[k]), float(at_n[k]), self.n)
            for k in range(len(self.value))
        ]

    def column(self, k: int) -> Draws:
        """The same of one of the C distances."""
        return replace(self, **{key: getattr(self, key)[..., k : k + 1] for key in _DRAWN})


_DRAWN = ("value", "at_n", "baseline", "error", "null")


def mean_of(draws: Sequence[Draws]) -> Draws:
    """The mean of distances taken on the same subsets, so that its errors know how the distances are correlated."""
    return replace(draws[0], **{key: np.mean([getattr(each, key) for each in draws], axis=0) for key in _DRAWN})


def draw(distance: Distance, generated: np.ndarray, pool: np.ndarray, plan: Plan) -> Draws:
    """One distance, or several taken together, of the full samples and of the plan's subsets.

    Args:
        distance: see `Distance`.
        generated: (n_g, …) data of the generated showers.
        pool: (n_r + n_i, …) data of the reference's showers and of the independent reference's.
        plan: the subsets.
    """

    def over(pairs: Sequence[Rows], first: np.ndarray) -> np.ndarray:
        if all(len(a) == len(first) and len(b) == plan.n_reference for a, b in pairs) and first is generated:
            pairs = pairs[:1]  # full samples: every draw is the same
        results = [distance(first.take(a, axis=0), pool.take(b, axis=0)) for a, b in pairs]
        return np.array([np.atleast_1d(result) for result in results], dtype=np.float64)

    value = np.atleast_1d(distance(generated, pool[: plan.n_reference])).astype(np.float64)
    error, null = over(plan.error, generated), over(plan.null, pool)
    # With the reference split in two, these are the same subsets again.
    at_n = error if plan.at_n is plan.error else over(plan.at_n, generated)
    baseline = null if plan.baseline is plan.null else over(plan.baseline, pool)
    return Draws(value, at_n, baseline, error, null, plan.n, plan.error_scale)


def estimate(distance: Distance, generated: np.ndarray, pool: np.ndarray, plan: Plan) -> list[Estimate]:
    """One estimate for each number that `distance` gives (see `draw`)."""
    return draw(distance, generated, pool, plan).estimates()


def spread(values: np.ndarray) -> np.ndarray:
    """Standard deviation over the first axis, 0 where there is only one value."""
    return np.std(values, axis=0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1:])
