"""Time of an epoch with one process and with two, one thread each and the same batches: python benchmarks/processes.py

Measure on a machine with two idle cores. Analytic showers of ds2, the flagship's recipe; the last epoch of each stage
counts. --set training.epochs=2 and --set training.stages.STAGE.epochs=2 shorten the training.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def seconds_by_stage(run: Path) -> dict[str, float]:
    """Of the last epoch of each stage."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {record["stage"]: record["seconds"] for record in records}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--recipe", default="flagship-fast")
    arguments.add_argument("--geometry", default="ds2")
    arguments.add_argument("-n", type=int, default=2000, help="showers")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    chosen = arguments.parse_args()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        showers = str(folder / "showers.h5")
        make = ["simulate", "parametric", "--geometry", chosen.geometry, "--energies", "loguniform:1GeV:1TeV"]
        make += ["-n", str(chosen.n), "-o", showers]
        subprocess.run([sys.executable, "-m", "caloforge", *make], check=True, env=environment)
        times = []
        for n in (1, chosen.processes):
            run = folder / f"run-{n}"
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
            command += ["-m", "caloforge", "train", chosen.recipe, "--train", showers, "-o", str(run)]
            for override in (f"geometry={chosen.geometry}", *chosen.set):
                command += ["--set", override]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            times.append(seconds_by_stage(run))
    rows = [(stage, alone, times[1][stage]) for stage, alone in times[0].items()]
    rows.append(("all stages", sum(times[0].values()), sum(times[1].values())))
    for stage, alone, shared in rows:
        print(f"{stage}: {alone:.2f} s with one process, {shared:.2f} s with {n}: {alone / shared:.2f} times as fast")


if __name__ == "__main__":
    main()
