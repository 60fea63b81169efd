"""Trained generators: `Simulator`, generation to files, and shards."""

from __future__ import annotations

from caloforge.simulator.core import Simulator
from caloforge.simulator.generation import Generation, generate

__all__ = ["Generation", "Simulator", "generate"]
