"""Wall-clock time, CPU time and memory of `caloforge evaluate` with its default sections, by number of showers.

    python benchmarks/judging.py [GENERATED.h5 REFERENCE.h5] [--showers 30000,100000,1000000] [--threads 2]

Without files, it takes the Geant4 showers of the package. Larger samples than a file has are copies of its showers, all
energies of a shower times 1 ± 0.001 at random.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from caloforge.showers import Showers, ShowerWriter
from caloforge.sources.sample import sample_path


def write(showers: Showers, n: int, path: Path, seed: int) -> None:
    """A file of n showers, smeared copies where there are not so many."""
    rng = np.random.default_rng(seed)
    with ShowerWriter(path, showers.geometry, {"particle": "gamma"}) as out:
        for start in range(0, n, len(showers)):
            part = showers[: n - start]
            width = 0.001 if start else 0
            out.append(part.energies, part.voxels * rng.normal(1, width, (len(part), 1)).astype(np.float32))


def judged(generated: Path, reference: Path, folder: Path, threads: int) -> tuple[float, float, float]:
    """Seconds of wall-clock and CPU time, and peak memory in GB, of one evaluation."""
    command = [sys.executable, "-m", "caloforge", "evaluate", str(generated), "--reference", str(reference)]
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "-o", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"evaluate failed with status {process.returncode}: {' '.join(command)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generated", type=Path, nargs="?", default=sample_path("test"))
    parser.add_argument("reference", type=Path, nargs="?", default=sample_path("train"))
    parser.add_argument("--showers", default="30000,100000")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    samples = [Showers.read(path) for path in (options.generated, options.reference)]
    print("| showers per sample | wall-clock time | CPU time | peak memory |\n|---|---|---|---|")
    for n in map(int, options.showers.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("generated.h5", "reference.h5")]
            for seed, (showers, path) in enumerate(zip(samples, files, strict=True)):
                write(showers, n, path, seed)
            wall, cpu, memory = judged(*files, Path(folder) / "report", options.threads)
        print(f"| {n:,} | {wall:.0f} s | {cpu:.0f} s | {memory:.1f} GB |", flush=True)


if __name__ == "__main__":
    main()
