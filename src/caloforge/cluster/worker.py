"""The worker's end: a Dask plugin that holds the `Work`, and the task that generates one part of it.

A plugin reaches every worker once, also those that join later or are restarted, so the work is loaded once per worker
process: by the first part that it gets. Errors are returned as text: Dask would send exceptions, which may not be
readable at the other end, and print them on every worker.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from caloforge import __version__
from caloforge.allocation import keep_freed_blocks
from caloforge.cluster.parts import Maker, Told, Work
from caloforge.errors import CaloforgeError, command_line_words, from_command_line, option

TELL_EVERY = 1.0
"""Seconds between two reports of a worker on the part that it generates."""

SWITCH_INTERVAL = 0.05
"""Seconds after which a part yields to the thread of messages, ten times Python's own: they can wait."""

SEEN_WITHIN = 3.0
"""Seconds in which a new file becomes visible on all machines of a shared file system."""


@dataclass(frozen=True)
class Attempt:
    """The result of one attempt.

    Args:
        number: of the part.
        worker: address of the worker.
        start_seconds: time to load the work, if this attempt did; otherwise 0.
        seconds: time spent on the part.
        remark: of the maker.
        content: the file, if it is to be collected.
        error: what went wrong, in one line; None for success.
        unusable: the worker cannot do this work at all.
    """

    number: int
    worker: str
    start_seconds: float
    seconds: float
    remark: str = ""
    content: bytes | None = None
    error: str | None = None
    unusable: bool = False


class Production(WorkerPlugin):
    """The work of one command, in a worker.

    Args:
        work: generates the parts.
        folder: for the files, on a file system that all workers share; None if their content is to be returned.
        token: name of a file in the folder, by which a worker sees that it is the same one.
    """

    def __init__(self, work: Work, folder: Path | None, token: str) -> None:
        self.work, self.folder, self.token = work, folder, token
        self.versions = {"caloforge": __version__, **work.packages()}
        self.from_command_line = from_command_line()

    def setup(self, worker: Worker) -> None:
        """Called by Dask in each worker process."""
        keep_freed_blocks()
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._address = str(worker.address)
        self._lock = threading.Lock()
        self._maker: Maker | None = None

    def teardown(self, worker: Worker) -> None:
        """Called by Dask when the work is done, or the worker ends."""
        if self._maker is not None:
            self._maker.close()

    def ready(self) -> tuple[Maker, float]:
        """The maker, and the seconds that it took to start if it was not running.

        Raises:
            CaloforgeError: this worker cannot do the work.
        """
        with self._lock:
            if self._maker is not None:
                return self._maker, 0.0
            begun = time.perf_counter()
            check_versions(self.versions)
            if self.folder is not None:
                check_folder(self.folder, self.token)
            self._maker = self.work.start()
            return self._maker, time.perf_counter() - begun

    def attempt(self, number: int, file_name: str, keep: bool, told: Told) -> Attempt:
        """Generate one part."""
        with command_line_words(self.from_command_line):
            return self._attempt(number, file_name, keep, told)

    def _attempt(self, number: int, file_name: str, keep: bool, told: Told) -> Attempt:
        try:
            maker, start = self.ready()
        except Exception as error:
            return Attempt(number, self._address, 0.0, 0.0, error=f"{self._address}: {_line(error)}", unusable=True)
        begun = time.perf_counter()

        def done(**facts: Any) -> Attempt:
            return Attempt(number, self._address, start, time.perf_counter() - begun, **facts)

        try:
            if self.folder is not None:
                return done(remark=maker.make(number, self.folder / file_name, keep, told))
            with tempfile.TemporaryDirectory(prefix="caloforge-part-") as scratch:
                path = Path(scratch) / file_name
                remark = maker.make(number, path, False, told)
                return done(remark=remark, content=path.read_bytes())
        except Exception as error:
            return done(error=_line(error))


def attempt(production: str, number: int, file_name: str, keep: bool) -> Attempt:
    """The task: one attempt at a part.

    Args:
        production: name of the plugin, and of the topic under which progress is reported.
        number: of the part.
        file_name: of the part.
        keep: see `Maker.make`.
    """
    worker = get_worker()
    plugin = worker.plugins.get(production)
    if not isinstance(plugin, Production):  # the scheduler was restarted, and does not know it yet
        return Attempt(number, str(worker.address), 0.0, 0.0, error="the worker has not received the work")
    heard = time.monotonic()

    def told(showers: int) -> None:
        nonlocal heard
        if time.monotonic() - heard >= TELL_EVERY:
            heard = time.monotonic()
            worker.log_event(production, (number, showers))

    return plugin.attempt(number, file_name, keep, told)


def check_versions(wanted: Mapping[str, str]) -> None:
    """Check that packages have the same versions as where the command runs.

    Raises:
        CaloforgeError: names the package and both versions.
    """
    for package, version in wanted.items():
        found: str | None = __version__ if package == "caloforge" else None
        with suppress(importlib.metadata.PackageNotFoundError):
            found = found or importlib.metadata.version(package)
        if found != version:
            raise CaloforgeError(other_version(package, found, version))


def other_version(package: str, found: str | None, wanted: str) -> str:
    """What to say of a worker with another version of a package (None: without it)."""
    has = f"has no {package}" if found is None else f"has {package} {found}"
    return f"this worker {has}, the command runs with {wanted}: install the same version on all machines"


def check_folder(folder: Path, token: str) -> None:
    """Check that this process can write into `folder`, and sees the file `token` that the command has put there.

    Raises:
        CaloforgeError: it cannot, or does not.
    """
    remedy = f"give a folder on a file system that all workers share, or add {option('collect', True)}"
    own = folder / f"{token}-{os.getpid()}"
    try:
        own.touch()
        own.unlink()
    except OSError as error:
        raise CaloforgeError(f"this worker cannot write to {folder} ({error.strerror}): {remedy}") from None
    until = time.monotonic() + SEEN_WITHIN
    while not (folder / token).exists():
        if time.monotonic() > until:
            raise CaloforgeError(f"{folder} is another folder on this worker: {remedy}")
        time.sleep(0.1)


def _line(error: Exception) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CaloforgeError) else f"{type(error).__name__}: {text}"
