"""Scoring: energy and position of each deposit in the active slabs of one layer.

Geant4 calls a sensitive detector for every step in its volumes, and a call into Python takes a few microseconds, as
long as the step itself. Hence:

- Most steps in active material are photons that deposit nothing: C++ filters keep them out of Python. Charged and
  neutral particles have separate scorers; the neutral one may be limited to low-energy photons.
- Much of a call is spent creating a Python wrapper for each argument. The step and its two points are the same C++
  objects for a whole run, so wrappers that are kept alive here are reused.
- What light a deposit gives (Birks' law, a time gate) is asked only in slabs that have it: `visible_energy`.
- Reading positions is the most expensive part. Within a volume, each step of a charged particle starts where the last
  one ended, so only the end point is read, except for the first step in a volume.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import geant4_pybind as g4

from caloforge.sources.geant4.light import Light, visible_energy

Deposits = list[float]
"""Flat list of energy (MeV) and the sums x + x', y + y' of both ends (mm) for each step; then also z + z' if asked for.

The depth is not read where the layer of a slab is all that matters."""

Recorder = Callable[[Any, Any], bool]


def _record_charged(step: Any, deposits: Deposits, light: Light) -> Recorder:
    """A function that records every step of a charged particle; `step` is the run's only step object."""
    energy, is_first = visible_energy(step, light, True), step.IsFirstStepInVolume
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


def _record_neutral(step: Any, deposits: Deposits, light: Light) -> Recorder:
    """The same for neutral particles, most of whose steps deposit nothing."""
    energy = visible_energy(step, light, False)
    front, back = step.GetPreStepPoint().GetPosition, step.GetPostStepPoint().GetPosition

    def record(step: Any, history: Any) -> bool:
        left = energy()
        if left:
            a, b = front(), back()
            deposits.extend((left, a.x + b.x, a.y + b.y))
        return True

    return record


def _record_charged_with_depth(step: Any, deposits: Deposits, light: Light) -> Recorder:
    """`_record_charged` with z."""
    energy, is_first = visible_energy(step, light, True), step.IsFirstStepInVolume
    front, back = step.GetPreStepPoint().GetPosition, step.GetPostStepPoint().GetPosition
    extend = deposits.extend
    x = y = z = 0.0

    def record(step: Any, history: Any) -> bool:
        nonlocal x, y, z
        if is_first():
            point = front()
            x, y, z = point.x, point.y, point.z
        point = back()
        u, v, w = point.x, point.y, point.z
        extend((energy(), x + u, y + v, z + w))
        x, y, z = u, v, w
        return True

    return record


def _record_neutral_with_depth(step: Any, deposits: Deposits, light: Light) -> Recorder:
    """`_record_neutral` with z."""
    energy = visible_energy(step, light, False)
    front, back = step.GetPreStepPoint().GetPosition, step.GetPostStepPoint().GetPosition

    def record(step: Any, history: Any) -> bool:
        left = energy()
        if left:
            a, b = front(), back()
            deposits.extend((left, a.x + b.x, a.y + b.y, a.z + b.z))
        return True

    return record


class _Scorer(g4.G4VPrimitiveScorer):
    """Passes each step to a scorer, which is created at the first step and then replaces `ProcessHits`."""

    def __init__(
        self, name: str, make: Callable[[Any, Deposits, Light], Recorder], deposits: Deposits, light: Light
    ) -> None:
        super().__init__(name)
        self._make, self._deposits, self._light = make, deposits, light

    def ProcessHits(self, step: Any, history: Any) -> bool:
        record = self._make(step, self._deposits, self._light)
        setattr(self, "ProcessHits", record)  # noqa: B010 - mypy rejects assignment to a method
        return record(step, history)


def layer_scorer(
    name: str, deposits: Deposits, photons_below: float, depth: bool = False, light: Light | None = None
) -> tuple[Any, list[Any]]:
    """A sensitive detector that appends to `deposits`, and its parts, which must be kept alive.

    Args:
        name: of the detector, unlike any other.
        deposits: list that receives every energy deposit.
        photons_below: if finite, the only neutral particles scored are photons below this energy (MeV).
        depth: whether deposits have z, too.
        light: of the material; None if every deposit is seen as it is.
    """
    scorer, seen = g4.G4MultiFunctionalDetector(name), light or Light()
    of_charged, of_neutral = _record_charged, _record_neutral
    if depth:
        of_charged, of_neutral = _record_charged_with_depth, _record_neutral_with_depth
    charged = _Scorer(f"charged-{name}", of_charged, deposits, seen)
    neutral = _Scorer(f"neutral-{name}", of_neutral, deposits, seen)
    only_charged = g4.G4SDChargedFilter(f"charged-{name}")
    if math.isinf(photons_below):
        only_neutral = g4.G4SDNeutralFilter(f"neutral-{name}")
    else:
        only_neutral = g4.G4SDParticleWithEnergyFilter(f"neutral-{name}", 0.0, photons_below)
        only_neutral.add("gamma")
    charged.SetFilter(only_charged)
    neutral.SetFilter(only_neutral)
    scorer.RegisterPrimitive(charged)
    scorer.RegisterPrimitive(neutral)
    return scorer, [charged, neutral, only_charged, only_neutral]
