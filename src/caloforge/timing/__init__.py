"""What a shower costs: `timing` a generator, `scan` over batches beside floor and peers, `against` Geant4."""

from __future__ import annotations

from caloforge.timing.geant4_comparison import EnergyTiming, Geant4Comparison, Geant4Timing, against_geant4
from caloforge.timing.generator import GeneratorTiming, Spread, machine, time_simulator

__all__ = [
    "EnergyTiming",
    "Geant4Comparison",
    "Geant4Timing",
    "GeneratorTiming",
    "Spread",
    "against_geant4",
    "machine",
    "time_simulator",
]
