"""Scoring: the energy of each step in one layer's active slabs, and where it was left.

Geant4 calls a sensitive detector for every step in its volumes, and a call into Python costs some microseconds, which
is as much as the step itself. Hence:

- Most steps in active material are photons that leave nothing: C++ filters keep those out of Python. Charged
  particles have one scorer, neutral ones another, which may be limited to low-energy photons.
- A good part of a call is to make a Python wrapper for each argument. The step and its two points are the same C++
  objects for a whole run, so that wrappers held here are found again instead of made anew.
- Positions cost most. Within a volume a charged particle's step begins where its last one ended, so that only the
  end is read, except in the first step in a volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import geant4_pybind as g4

Deposits = list[float]
"""Energy (MeV) and the sums x + x', y + y' of both ends (mm) of one step after another, flat."""

Recorder = Callable[[Any, Any], bool]


def _record_charged(step: Any, deposits: Deposits) -> Recorder:
    """A function that notes every step of a charged particle; `step` is the run's one step object."""
    energy, is_first = step.GetTotalEnergyDeposit, step.IsFirstStepInVolume
    front, back = step.GetPreStepPoint().GetPosition, step.GetPostStepPoint().GetPosition
    extend = deposits.extend
    x = y = 0.0

    def record(step: Any, history: Any) -> bool:
        nonlocal x, y
        if is_first():
            point = front()
            x, y = point.x, point.y
        point = back()
        u, v = point.x, point.y
        extend((energy(), x + u, y + v))
        x, y = u, v
        return True

    return record


def _record_neutral(step: Any, deposits: Deposits) -> Recorder:
    """The same for neutral particles, most of whose steps leave nothing."""
    energy = step.GetTotalEnergyDeposit
    front, back = step.GetPreStepPoint().GetPosition, step.GetPostStepPoint().GetPosition

    def record(step: Any, history: Any) -> bool:
        left = energy()
        if left:
            a, b = front(), back()
            deposits.extend((left, a.x + b.x, a.y + b.y))
        return True

    return record


class _Scorer(g4.G4VPrimitiveScorer):
    """Passes each step to a scorer, which is created at the first step and then replaces this method."""

    def __init__(self, name: str, make: Callable[[Any, Deposits], Recorder], deposits: Deposits) -> None:
        super().__init__(name)
        self._make, self._deposits = make, deposits

    def ProcessHits(self, step: Any, history: Any) -> bool:
        record = self._make(step, self._deposits)
        setattr(self, "ProcessHits", record)  # noqa: B010 - mypy takes no assignment to a method
        return record(step, history)


def layer_scorer(layer: int, deposits: Deposits, photons_below: float) -> tuple[Any, list[Any]]:
    """A sensitive detector that appends to `deposits`, and the parts of it to keep alive.

    Args:
        layer: for its name.
        deposits: where every energy deposit goes.
        photons_below: if finite, of neutral particles only photons below it (MeV) are asked for deposits.
    """
    scorer = g4.G4MultiFunctionalDetector(f"layer{layer}")
    charged = _Scorer(f"charged{layer}", _record_charged, deposits)
    neutral = _Scorer(f"neutral{layer}", _record_neutral, deposits)
    only_charged = g4.G4SDChargedFilter(f"charged{layer}")
    if math.isinf(photons_below):
        only_neutral = g4.G4SDNeutralFilter(f"neutral{layer}")
    else:
        only_neutral = g4.G4SDParticleWithEnergyFilter(f"neutral{layer}", 0.0, photons_below)
        only_neutral.add("gamma")
    charged.SetFilter(only_charged)
    neutral.SetFilter(only_neutral)
    scorer.RegisterPrimitive(charged)
    scorer.RegisterPrimitive(neutral)
    return scorer, [charged, neutral, only_charged, only_neutral]
