"""Peak memory for generating one batch, in a separate process: `python -m caloforge.timing.memory RUN BATCH [CLASS …]`.

Prints two numbers in MB as JSON: after loading the run, and after one batch.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np


def peak_mb() -> float:
    """Peak memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage is useless here: Linux includes the memory of the parent at the time of the fork.
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    """Load the run, generate a batch, print the peak memory."""
    from caloforge.inference import Batch, TorchEngine
    from caloforge.registry import importable
    from caloforge.simulator import Simulator

    run, size, *trusted = sys.argv[1:]
    with importable(Path.cwd()):
        simulator = Simulator.load(run, trusted)
    loaded = peak_mb()
    low, high = simulator.energy_range or (1000.0, 1000.0)
    energies = np.geomspace(low, high, int(size))
    TorchEngine(simulator).generate(Batch(0, energies, 1, simulator.conditions.examples(len(energies)).table))
    print(json.dumps([loaded, peak_mb()]))


if __name__ == "__main__":
    main()
