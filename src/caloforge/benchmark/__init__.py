"""What a shower costs: `timing` a generator, `scan` over batches beside floor and peers, `against` Geant4."""

from __future__ import annotations

from caloforge.benchmark.against import Comparison, EnergyTiming, Geant4Timing, against_geant4
from caloforge.benchmark.timing import GeneratorTiming, Spread, machine, time_simulator

__all__ = [
    "Comparison",
    "EnergyTiming",
    "Geant4Timing",
    "GeneratorTiming",
    "Spread",
    "against_geant4",
    "machine",
    "time_simulator",
]
