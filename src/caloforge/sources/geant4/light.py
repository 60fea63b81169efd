"""What of an energy deposit is seen: Birks' law and a time gate.

Pure functions of a step, without Geant4, so that a test can check them by hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Light:
    """What of a deposit is seen.

    Args:
        birks: kB in mm/MeV (J. B. Birks, Proc. Phys. Soc. A 64 (1951) 874).
        time_gate: ns after the start of the event.
    """

    birks: float = 0.0
    time_gate: float = math.inf


def visible_energy(step: Any, light: Light, charged: bool) -> Callable[[], float]:
    """A function that returns the visible energy (MeV) of the step that Geant4 is taking.

    Of a charged particle it is dE / (1 + kB dE/dx) with the step's deposit and length; of any particle it is 0 if the
    step ends after the time gate.

    Args:
        step: the run's only step object.
        light: of the material.
        charged: whether the particles are.
    """
    energy, length, end = step.GetTotalEnergyDeposit, step.GetStepLength, step.GetPostStepPoint()
    birks, gate = light.birks, light.time_gate

    def quenched() -> float:
        deposit: float = energy()
        way: float = length()
        # A particle at rest has no track length, nor a dE/dx.
        return deposit / (1.0 + birks * deposit / way) if way > 0.0 else deposit

    found: Callable[[], float] = quenched if charged and birks else energy
    if math.isinf(gate):
        return found
    time = end.GetGlobalTime
    return lambda: found() if time() <= gate else 0.0
