"""Trained generators: `Simulator`, generation to files, shards, and `ShowerStream` for PyTorch's data loaders."""

from __future__ import annotations

from caloforge.simulator.core import Simulator
from caloforge.simulator.generation import Generation, generate
from caloforge.simulator.point_simulator import PointSimulator
from caloforge.simulator.shower_stream import ShowerStream
from caloforge.simulator.sorts import AnySimulator, load_simulator, simulator_of

__all__ = [
    "AnySimulator",
    "Generation",
    "PointSimulator",
    "ShowerStream",
    "Simulator",
    "generate",
    "load_simulator",
    "simulator_of",
]
