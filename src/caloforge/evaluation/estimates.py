"""`Estimate`: one number of an evaluation, with its error and its baseline at equal sample size.

The baseline is the same quantity between independent reference samples (Geant4 against Geant4). Many distances are
positive even between equal distributions, and grow as samples shrink: so `value_at_n`, taken with as many showers per
sample as the baseline, is what is compared with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDING = 1e-12
"""Errors and differences below this share of the values are rounding."""


@dataclass(frozen=True)
class Estimate:
    """A number, its error, and what the same number is between independent reference samples.

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

    @property
    def compared(self) -> float:
        """What is compared with the baseline: `value_at_n`, or `value` where it does not depend on n."""
        return self.value if self.value_at_n is None else self.value_at_n

    @property
    def pull(self) -> float | None:
        """(compared − baseline) in combined standard errors; None without a baseline or expected value.

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
        return in_errors(difference, max(error, self.smallest_error), size)


def in_errors(difference: float, error: float, size: float) -> float:
    """`difference` / `error`; without an error 0 where nothing differs, else ±infinity.

    Args:
        difference, error: what is judged; the error not negative.
        size: of the values behind the difference, beside which `ROUNDING` is nothing.
    """
    if error > ROUNDING * size:
        return difference / error
    return 0.0 if abs(difference) <= ROUNDING * size else math.copysign(math.inf, difference)
