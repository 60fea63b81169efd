"""Worker processes, each with its own Geant4, that simulate blocks of events.

A worker is a fresh interpreter (spawn) with a pipe to the parent. It writes Geant4's output to a log file, reads
nothing from standard input, leaves Ctrl-C to the parent, and exits when the parent's end of the pipe closes, even if
the parent was killed. Which worker gets which block depends on timing; the contents of a block do not.
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

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.fast import FastShowers
from caloforge.sources.geant4.hit_cells import HitCells


@dataclass(frozen=True)
class Setup:
    """What a worker needs to set up Geant4: plain data, sent once."""

    detector: Detector
    beam: dict[str, Any]
    seed: int
    environment: dict[str, str]
    commands: tuple[str, ...]
    elements: frozenset[int]
    fast: FastShowers | None = None
    cells: HitCells | None = None


@dataclass(frozen=True)
class Block:
    """Consecutive events: number of the first one, incident energies (n,) in MeV, and conditions if they have any."""

    start: int
    energies: np.ndarray
    conditions: Columns | None = None


@dataclass(frozen=True)
class Finished:
    """A simulated block: first event, number of events, payload for the journal."""

    start: int
    count: int
    payload: bytes


def geant4_version(environment: Mapping[str, str]) -> str:
    """The Geant4 version, e.g. 11.4.1, determined in a separate process.

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
    """Simulate `blocks` in up to `n_workers` processes; yield each as it completes, in any order.

    Closing the iterator, or an error, terminates the workers.

    Args:
        setup: for every worker.
        blocks: events to simulate.
        n_workers: at least 1.
        logs: folder for the logs, one per worker.

    Raises:
        CaloforgeError: an error from a worker (such as an unknown material), or a worker died; the message includes the
            end of its log.
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
                    process = workers[connection]
                    process.join()
                    raise _death(process.exitcode, logs / process.name) from None
                if isinstance(answer, CaloforgeError):
                    raise answer
                block = next(todo, None)
                if block is None:
                    workers.pop(connection)
                    connection.close()
                else:
                    with suppress(BrokenPipeError):  # a dead worker is noticed when its answer is read
                        connection.send(block)
                yield answer
    finally:
        for connection, process in workers.items():
            process.terminate()
            connection.close()
        for process in workers.values():
            process.join()


class Geant4Process:
    """One Geant4 that serves several runs of blocks.

    Not by `multiprocessing`, which refuses to start processes from the workers of Dask.

    Args:
        setup: of the simulation.
        log: file for Geant4's output.

    Raises:
        CaloforgeError: an error of the set-up, such as an unknown material, or the process died.
    """

    def __init__(self, setup: Setup, log: Path) -> None:
        self._log = log
        self._connection, theirs = multiprocessing.Pipe()
        code = f"from caloforge.sources.geant4.workers import serve_at; serve_at({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        try:
            self._ask((setup, str(log)))
        except BaseException:
            self.close()
            raise

    def run(self, blocks: Iterable[Block]) -> Generator[Finished, None, None]:
        """Simulate blocks one after the other."""
        for block in blocks:
            yield self._ask(block)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.wait()

    def _ask(self, message: Any) -> Any:
        try:
            self._connection.send(message)
            answer = self._connection.recv()
        except (EOFError, OSError):
            raise _death(self._process.wait(), self._log) from None
        if isinstance(answer, CaloforgeError):
            raise answer
        return answer


def serve_at(number: int) -> None:
    """The process of a `Geant4Process`, with its end of the pipe under this file descriptor."""
    connection = Connection(number)
    setup, log = connection.recv()
    _serve(connection, setup, log, announced=True)


def _death(exit_code: int | None, log: Path) -> CaloforgeError:
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.splitlines() if line.strip(" -*!")]
    # Geant4 reports a fatal error in the lines around "issued by"; Python reports it on the last line.
    place = next((k for k, line in enumerate(lines) if "issued by" in line), len(lines) - 1)
    said = " ".join(lines[max(place, 0) : place + 3])[:400] or "no output"
    return CaloforgeError(
        f"a Geant4 process died (exit code {exit_code}): {said}; finished events are kept, run the same "
        "command again to continue"
    )


def _serve(connection: Connection, setup: Setup, log: str, announced: bool = False) -> None:
    """The main loop of a worker; `announced`: it sends None once it is ready."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _redirect(log)
    os.environ.update(setup.environment)
    from caloforge.sources.geant4.application import Application, Beam
    from caloforge.sources.geant4.journal import encode, encode_hits

    try:
        fast = None if setup.fast is None else setup.fast.start()
        application = Application(setup.detector, Beam(**setup.beam), setup.commands, setup.elements, fast, setup.cells)
    except CaloforgeError as error:
        connection.send(error)
        return
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        if announced:
            connection.send(None)
        while True:
            block: Block = connection.recv()
            rows, cpu_seconds = application.simulate(setup.seed, block.start, block.energies, block.conditions)
            payload = (encode if setup.cells is None else encode_hits)(rows, cpu_seconds)
            connection.send(Finished(block.start, len(block.energies), payload))
    # Skip the destruction of Geant4's singletons, whose order is undefined; there is nothing left to save.
    os._exit(0)


def _redirect(log: str) -> None:
    """Redirect standard input from the null device, and all output, including that of C++, to `log`."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for old, new in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(old, new)
