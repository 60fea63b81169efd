"""Worker processes, each with a Geant4 of its own: blocks of events out, finished blocks back.

A worker is a fresh interpreter (spawn) with a pipe to the parent. It keeps Geant4's output in a log file, reads
nothing from standard input, leaves Ctrl-C to the parent, and ends when the parent's end of the pipe closes, be it
by a kill. Which worker makes which block is a matter of time; what is in a block is not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.detector import Detector


@dataclass(frozen=True)
class Setup:
    """What a worker needs to build Geant4: plain data, sent once."""

    detector: Detector
    beam: dict[str, Any]
    seed: int
    environment: dict[str, str]
    commands: tuple[str, ...]
    elements: frozenset[int]


@dataclass(frozen=True)
class Block:
    """Consecutive events: the first one's number and their incident energies (n,) in MeV."""

    start: int
    energies: np.ndarray


@dataclass(frozen=True)
class Finished:
    """A block's answer: first event, number of events, the journal's payload."""

    start: int
    count: int
    payload: bytes


def geant4_version(environment: Mapping[str, str]) -> str:
    """Geant4's version, as in 11.4.1, asked of a process of its own.

    Raises:
        CaloforgeError: geant4-pybind cannot be imported.
    """
    command = [sys.executable, "-c", "import geant4_pybind; print(geant4_pybind.G4VERSION_NUMBER)"]
    answer = subprocess.run(
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    words = answer.stdout.split()
    if answer.returncode or not words:
        said = (answer.stderr.strip() or "no reason given").splitlines()[-1]
        raise CaloforgeError(f"geant4-pybind does not start: {said}; try pip install --force-reinstall geant4-pybind")
    number = int(words[-1])
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"


def run_blocks(setup: Setup, blocks: Iterable[Block], n_workers: int, logs: Path) -> Generator[Finished, None, None]:
    """Simulate `blocks` in up to `n_workers` processes; yield each as it is finished, in any order.

    Closing the iterator, or an error, ends the workers at once.

    Args:
        setup: what each builds.
        blocks: what is to be done.
        n_workers: at least 1.
        logs: folder for the logs, one per worker.

    Raises:
        CaloforgeError: what a worker says (a material that does not exist, say), or that one died, with the last
            complaint in its log.
    """
    todo = iter(blocks)
    workers: dict[Connection, BaseProcess] = {}
    context = multiprocessing.get_context("spawn")
    try:
        for number in range(n_workers):
            block = next(todo, None)
            if block is None:
                break
            ours, theirs = context.Pipe()
            log = logs / f"worker-{number}.log"
            process: BaseProcess = context.Process(
                target=_serve, args=(theirs, setup, str(log)), name=log.name, daemon=True
            )
            process.start()
            theirs.close()
            workers[ours] = process
            ours.send(block)
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except (EOFError, OSError):
                    raise _death(workers[connection], logs) from None
                if isinstance(answer, CaloforgeError):
                    raise answer
                block = next(todo, None)
                if block is None:
                    workers.pop(connection)
                    connection.close()
                else:
                    with suppress(BrokenPipeError):  # a worker that has died is noticed when its answer is read
                        connection.send(block)
                yield answer
    finally:
        for connection, process in workers.items():
            process.terminate()
            connection.close()
        for process in workers.values():
            process.join()


def _death(process: BaseProcess, logs: Path) -> CaloforgeError:
    process.join()
    log = logs / process.name
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip(" -*!")]
    # Geant4 names the place of a fatal error and its reason in the lines around "issued by"; Python ends with it.
    place = next((k for k, line in enumerate(lines) if "issued by" in line), len(lines) - 1)
    said = " ".join(lines[max(place, 0) : place + 3])[:400] or "it said nothing"
    return CaloforgeError(
        f"a Geant4 process died (exit code {process.exitcode}): {said}; finished events are kept, the same "
        "command goes on from them"
    )


def _serve(connection: Connection, setup: Setup, log: str) -> None:
    """The main loop of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect(log)
    os.environ.update(setup.environment)
    from caloforge.sources.geant4.application import Application, Beam
    from caloforge.sources.geant4.journal import encode

    try:
        application = Application(setup.detector, Beam(**setup.beam), setup.commands, setup.elements)
    except CaloforgeError as error:
        connection.send(error)
        return
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            block: Block = connection.recv()
            voxels, cpu_seconds = application.simulate(setup.seed, block.start, block.energies)
            payload = encode(voxels, cpu_seconds)
            connection.send(Finished(block.start, len(block.energies), payload))
    # Geant4's singletons are torn down in no order that it likes: there is nothing left to save.
    os._exit(0)


def _redirect(log: str) -> None:
    """Standard input from nowhere; output, C++'s too, into `log`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for old, new in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(old, new)
