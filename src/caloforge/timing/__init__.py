"""Time and memory per shower.

generator                  a simulator alone
scan                       over batches and threads, with a lower bound (`lower_bound`) and other candidates
candidates                 the other engines, and reference implementations (`reference_implementations`)
geant4_comparison          a simulator and Geant4 at the same energies on the same core
defaults                   energies, particle and detector taken from the run
memory, figure             peak memory of a process; plot of time against batch size
"""

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
