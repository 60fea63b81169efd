"""Fuzzing: damaged files are read by the thousand; each must be read, or refused in one line, within seconds.

    python tests/torture/fuzz.py                 # all kinds, as `make torture` does
    python tests/torture/fuzz.py HDF5 500 7      # 500 files from seed 7

Every case is decided by (kind, seed). It runs in a child process, so that a crash or a hang of a library is a finding
too, after which the next child goes on.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.sharedctypes
import resource
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

COUNTS = {
    "HDF5": 10_000,
    "YAML": 2000,
    "XML": 2000,
    "JSON": 2000,
    "safetensors": 2000,
    "checkpoints": 2000,
    "journals": 2000,
}
"""Files of each kind."""

SECONDS = 10.0
"""Longest time for one file; more is a hang."""

START = 600.0
"""Longest time for a child process to import everything and write good examples, on a machine that is busy."""

MEGABYTES = 1000
"""Most memory of a process that reads damaged files."""


@dataclass
class Findings:
    """What happened to the files of a kind; `faults` has a line for each that was neither read nor refused in one."""

    read: int = 0
    refused: int = 0
    slowest: float = 0.0
    megabytes: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def n(self) -> int:
        return self.read + self.refused + len(self.faults)


def fuzz(kind: str, count: int, first_seed: int = 0) -> Findings:
    """Read `count` damaged files of a kind."""
    context = multiprocessing.get_context("spawn")
    found, seed, stop = Findings(), first_seed, first_seed + count
    while seed < stop:
        here, begun = context.Value("q", seed, lock=False), context.Value("d", time.monotonic() + START, lock=False)
        results = context.SimpleQueue()
        child = context.Process(target=_child, args=(kind, seed, stop, here, begun, results))
        child.start()
        while child.is_alive() and time.monotonic() - begun.value < SECONDS:
            child.join(0.2)
            _collect(results, found)
        hangs = child.is_alive()
        if hangs:
            child.kill()
        child.join()
        _collect(results, found)
        if hangs or child.exitcode:
            what = "hangs" if hangs else f"ends the process ({child.exitcode})"
            found.faults.append(f"{kind} {here.value}: {what}")
        seed = here.value + 1
    return found


def _collect(results: multiprocessing.SimpleQueue, found: Findings) -> None:  # type: ignore[type-arg]
    while not results.empty():
        outcome, detail, seconds, megabytes = results.get()
        found.slowest, found.megabytes = max(found.slowest, seconds), max(found.megabytes, megabytes)
        if outcome == "fault":
            found.faults.append(detail)
        else:
            setattr(found, outcome, getattr(found, outcome) + 1)


def _child(kind: str, seed: int, stop: int, here, begun, results) -> None:  # type: ignore[no-untyped-def]
    for number, outcome, detail in attempts(kind, seed, stop, lambda number: _note(here, begun, number)):
        here.value = number
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        results.put((outcome, detail, time.monotonic() - begun.value, peak))
    begun.value = time.monotonic() + START  # to end takes as long as it takes


def _note(here, begun, number: int) -> None:  # type: ignore[no-untyped-def]
    here.value, begun.value = number, time.monotonic()


def attempts(
    kind: str, seed: int, stop: int, before: Callable[[int], None] = lambda number: None
) -> Iterator[tuple[int, str, str]]:
    """Read the damaged files seed … stop − 1 in this process: (seed, `read`, `refused` or `fault`, what was wrong)."""
    import numpy as np
    from mutations import mutated
    from targets import TARGETS, quiet

    target = TARGETS[kind]
    with tempfile.TemporaryDirectory(prefix="caloforge-fuzz-") as folder, quiet():
        examples = [(path, path.read_bytes()) for path in target.prepare(Path(folder))]
        for number in range(seed, stop):
            before(number)
            rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
            path, original = examples[number % len(examples)]
            path.write_bytes(mutated(original, target.mutations, rng))
            outcome, detail = outcome_of(lambda path=path: target.read(path))  # type: ignore[misc]
            path.write_bytes(original)
            yield number, outcome, f"{kind} {number}: {detail}"


def outcome_of(read: Callable[[], object]) -> tuple[str, str]:
    """Whether a file was read, refused in one line, or neither; with the error."""
    from caloforge.errors import CaloforgeError

    try:
        read()
    except CaloforgeError as error:
        return "fault" if "\n" in str(error) or len(str(error)) < 10 else "refused", str(error)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "caloforge" in frame.filename] or frames
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return "fault", f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:150]}"
    return "read", ""


def _cpu_seconds() -> float:
    """Of children that have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main(words: list[str]) -> int:
    """Print a line per kind; the status is 1 if there is a fault."""
    kinds = [words[0]] if words else list(COUNTS)
    failed = False
    for kind in kinds:
        begun, used = time.monotonic(), _cpu_seconds()
        count = int(words[1]) if len(words) > 1 else COUNTS[kind]
        found = fuzz(kind, count, int(words[2]) if len(words) > 2 else 0)
        print(
            f"{kind:12} {found.n:6} files: {found.refused} refused in one line, {found.read} read, {len(found.faults)} "
            f"faults; slowest {found.slowest:.2f} s, {found.megabytes:.0f} MB; {time.monotonic() - begun:.0f} s, "
            f"{_cpu_seconds() - used:.0f} s of CPU",
            flush=True,
        )
        for fault in found.faults[:50]:
            print(f"  {fault}")
        failed = failed or bool(found.faults) or found.megabytes > MEGABYTES
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
