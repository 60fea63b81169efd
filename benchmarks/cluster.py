"""What a cluster costs: overhead per task and memory with many tasks, and the speed of `--cluster local:2`.

    python benchmarks/cluster.py tasks -n 10000              # tasks that write one line each
    python benchmarks/cluster.py speed RUN -n 1000000        # RUN of a ds1 recipe, against one process and two shells

The three ways of `speed` take turns, with one thread per process. `tasks` prints the memory of
the process that contains client and scheduler, after a tenth of the tasks and at the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from caloforge.cluster.parts import Maker, SamplePart, Told, Watcher, Work
from caloforge.cluster.where import parse_where

SPECTRUM = "discrete:256,...,16384"


@dataclass
class Lines(Work):
    """Files with one line."""

    def packages(self) -> dict[str, str]:
        return {}

    def start(self) -> Maker:
        return LineMaker()


class LineMaker(Maker):
    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        path.write_text(f"{number}\n")
        return ""

    def close(self) -> None:
        pass


class Memory(Watcher):
    """Resident memory of this process as files appear."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.first_at = 0.0
        self.mb: dict[int, float] = {}

    def progress(self, showers: int, workers: int) -> None:
        if showers and not self.first_at:
            self.first_at = time.perf_counter()
        for tenth in (1, 10):
            if showers >= self.total * tenth // 10 and tenth not in self.mb:
                self.mb[tenth] = psutil.Process().memory_info().rss / 1e6


def tasks(n: int, where: str) -> None:
    """Time n tasks that do next to nothing."""
    from caloforge.cluster.tasks import make_parts

    memory = Memory(n)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        result = make_parts(
            parse_where(where), Lines(), [SamplePart(k, f"{k}.txt", 1) for k in range(n)], Path(folder), watcher=memory
        )
        ended = time.perf_counter()
        assert len(list(Path(folder).iterdir())) == len(result.made) == n
    print(
        f"{n} tasks on {where}: {1e3 * (ended - memory.first_at) / n:.2f} ms per task; start and end of the cluster "
        f"included {1e3 * (ended - begun) / n:.2f} ms; memory {memory.mb[1]:.0f} MB after {n // 10} tasks, "
        f"{memory.mb[10]:.0f} MB after all; load {os.getloadavg()[0]:.1f}"
    )


def speed(run: Path, n: int, shards: int, turns: int) -> None:
    """Time three ways to generate n showers."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    generate = [sys.executable, "-m", "caloforge", "generate", str(run), "--energies", SPECTRUM, "-n", str(n)]

    def seconds(*commands: list[str]) -> float:
        begun = time.perf_counter()
        running = [
            subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for words in commands
        ]
        if any(process.wait() for process in running):
            sys.exit(f"failed: {commands}")
        return time.perf_counter() - begun

    def one_process(folder: Path) -> float:
        return seconds([*generate, "--shards", str(shards), "-o", str(folder)])

    def cluster(folder: Path) -> float:
        return seconds([*generate, "--shards", str(shards), "--cluster", "local:2", "-o", str(folder)])

    def two_shells(folder: Path) -> float:
        return seconds(*([*generate, "--shard", f"{k}/2", "-o", str(folder / f"{k}.h5")] for k in range(2)))

    ways: dict[str, Callable[[Path], float]] = {
        "one process": one_process,
        "--cluster local:2": cluster,
        "two shells with --shard": two_shells,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name, way in ways.items():
            folder = Path(tempfile.mkdtemp())
            try:
                times[name].append(way(folder))
            finally:
                shutil.rmtree(folder)
            print(f"turn {turn}, {name}: {times[name][-1]:.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    best = min(times["one process"])
    for name, found in times.items():
        print(f"{name}: fastest {min(found):.1f} s, {best / min(found):.2f} times as fast as one process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["tasks", "speed"])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("-n", type=int)
    parser.add_argument("--shards", type=int, default=10)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--cluster", default="local:2")
    given = parser.parse_args()
    if given.what == "tasks":
        tasks(given.n or 10_000, given.cluster)
    elif given.run is None:
        parser.error("speed needs the folder of a run")
    else:
        speed(given.run, given.n or 1_000_000, given.shards, given.turns)


if __name__ == "__main__":
    main()
