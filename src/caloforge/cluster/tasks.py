"""Handing out parts to the workers of a cluster: a bounded number at a time, failures again, nothing finished twice.

No more parts are in flight than there are threads, or a few times as many if they are short, so ten thousand parts
take no more memory than a few. Each attempt that fails counts, whether the part raised an error or its worker died; a
part is tried `retries` + 1 times. After the first death no thread gets a second part, so that it is clear which one a
worker dies of. If the scheduler is lost, whatever is unfinished is handed out again once it has returned, and files
that appeared in the meantime are kept.
"""

from __future__ import annotations

import importlib.metadata
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic

from distributed import Client, Future
from distributed.scheduler import KilledWorker

from caloforge.cluster.parts import Result, SamplePart, Watcher, Work
from caloforge.cluster.where import Connection, Where
from caloforge.cluster.worker import Attempt, Production, attempt, other_version
from caloforge.errors import CaloforgeError, option
from caloforge.files import atomic_path, remove_leftovers

LOOK_EVERY = 0.5
"""Seconds between two looks at the connection and at signals while nothing happens."""

SHORT, SHORT_PER_THREAD = 0.2, 4
"""Parts that take less than so many seconds are handed out several at a time."""

COUNT_EVERY = 2.0
"""Seconds after which the workers are counted again."""


News = SimpleQueue["Future[Attempt] | tuple[int, int]"]
"""Attempts that have ended, and (number of a part, showers so far)."""


def make_parts(
    where: Where,
    work: Work,
    parts: Sequence[SamplePart],
    folder: Path,
    *,
    retries: int = 3,
    collect: bool = False,
    watcher: Watcher | None = None,
) -> Result:
    """Generate parts on a cluster.

    Args:
        where: the cluster.
        work: generates a part.
        parts: what to generate.
        folder: for their files; it exists.
        retries: how many more times a part is tried that has failed, and a scheduler is looked for that was lost.
        collect: the workers return the files, which are written here; otherwise the workers write them.
        watcher: told about the run.

    Raises:
        CaloforgeError: the cluster cannot be opened, a worker cannot do this work, or the scheduler does not return.
    """
    if retries < 0:
        raise CaloforgeError(f"the number of retries must be at least 0, not {retries}")
    run = _Run(work, folder, retries, collect, watcher or Watcher(), {part.number: part for part in parts})
    token = folder / run.token
    if not collect:
        token.touch()
    try:
        while run.unfinished:
            with where.open(again=run.losses > 0) as connection:
                run.on(connection)
            if run.unfinished:
                run.losses += 1
                if not where.can_return or run.losses > retries:
                    raise CaloforgeError(
                        f"the scheduler was lost; {len(run.unfinished)} of {len(parts)} files are not finished: repeat "
                        f"the command with {option('resume', True)}"
                    )
    finally:
        token.unlink(missing_ok=True)
        remove_leftovers(folder)  # of workers on this machine that were killed
    return run.result


@dataclass
class _Run:
    """The state of a run, which outlives a connection."""

    work: Work
    folder: Path
    retries: int
    collect: bool
    watcher: Watcher
    unfinished: dict[int, SamplePart]
    result: Result = field(default_factory=Result)
    losses: int = 0
    name: str = field(default_factory=lambda: f"caloforge-{uuid.uuid4().hex[:12]}")
    attempts: Counter[int] = field(default_factory=Counter)
    failures: Counter[int] = field(default_factory=Counter)
    finished_showers: int = 0

    @property
    def token(self) -> str:
        """Name of the file by which workers recognise the folder."""
        return f".{self.name}"

    def on(self, connection: Connection) -> None:
        """Work on one connection, until nothing is unfinished or the scheduler is lost."""
        client = connection.client
        _check_present_workers(client)
        if self.losses == 0:
            self.watcher.opened(client.dashboard_link)
        news: News = SimpleQueue()
        try:
            client.subscribe_topic(self.name, lambda event: news.put(tuple(event[1])))
            folder = None if self.collect else self.folder
            client.register_plugin(Production(self.work, folder, self.token), name=self.name)
            self._hand_out(_Flight(client, connection.wanted, news))
        except OSError:
            if client.status == "running":
                raise
        finally:
            if client.status == "running":
                with suppress(OSError, KeyError):
                    client.unregister_worker_plugin(self.name)

    def _hand_out(self, flight: _Flight) -> None:
        waiting = deque(self.unfinished)
        while (waiting or flight.running) and flight.client.status == "running":
            flight.count()
            while waiting and len(flight.running) < flight.limit(self._mean_seconds()):
                number = waiting.popleft()
                flight.running[self._submit(flight, number)] = number
            self.watcher.progress(self.finished_showers + sum(flight.partial.values()), flight.workers)
            ended = flight.ended()
            if any(future.status == "cancelled" for future in ended):
                return  # the scheduler is lost
            ended = flight.still_ended(ended)
            whole = [future for future in ended if future.status != "error"]
            results = _fetched(flight.client, whole)
            for future in ended:
                number = flight.running.pop(future)
                flight.partial.pop(number, None)
                error = self._settle(number, results[future]) if future in results else flight.death(future)
                if error is not None and self._may_retry(number, error, flight.was_bystander(future)):
                    waiting.append(number)
        self.watcher.progress(self.finished_showers, flight.workers)

    def _mean_seconds(self) -> float:
        """Time that a part takes; infinity while that is not known."""
        return self.result.seconds / len(self.result.made) if self.result.made else float("inf")

    def _submit(self, flight: _Flight, number: int) -> Future[Attempt]:
        keep = self.attempts[number] > 0
        self.attempts[number] += 1
        future = flight.client.submit(
            attempt,
            self.name,
            number,
            self.unfinished[number].file_name,
            keep,
            key=f"{self.name}-{number}-{self.attempts[number]}",
            pure=False,
        )
        future.add_done_callback(flight.news.put)
        return future

    def _settle(self, number: int, done: Attempt) -> str | None:
        """Take in the end of an attempt; its error, or None."""
        part = self.unfinished[number]
        if done.unusable:
            raise CaloforgeError(done.error or done.worker)
        if done.start_seconds:
            self.result.starts[done.worker] = self.result.starts.get(done.worker, 0.0) + done.start_seconds
        self.result.seconds += done.seconds
        if done.error is not None:
            return done.error
        if done.content is not None:
            with atomic_path(self.folder / part.file_name) as partial:
                partial.write_bytes(done.content)
        if done.remark and done.remark not in self.result.remarks:
            self.result.remarks.append(done.remark)
        self.result.made.append(number)
        self.finished_showers += part.showers
        del self.unfinished[number]
        return None

    def _may_retry(self, number: int, error: str, bystander: bool) -> bool:
        """Whether a part is tried again; if not, it has failed."""
        self.failures[number] += not bystander
        if self.failures[number] <= self.retries:
            self.result.retried += 1
            self.watcher.retried(self.unfinished[number], error)
            return True
        self.result.failed[number] = error
        del self.unfinished[number]
        return False


@dataclass
class _Flight:
    """What is in flight on one connection."""

    client: Client
    wanted: int
    news: News
    running: dict[Future[Attempt], int] = field(default_factory=dict)
    partial: dict[int, int] = field(default_factory=dict)
    bystanders: set[Future[Attempt]] = field(default_factory=set)
    crowded: bool = False
    careful: bool = False
    threads: int = 0
    workers: int = 0
    counted: float = float("-inf")

    def count(self, now: bool = False) -> None:
        """Count workers and threads, unless that has just been done."""
        if now or monotonic() - self.counted > COUNT_EVERY:
            each = self.client.nthreads()
            self.threads, self.workers, self.counted = sum(each.values()), len(each), monotonic()

    def limit(self, seconds: float) -> int:
        """Most parts in flight: one per thread, more if they are short or workers are missing.

        Args:
            seconds: time that a part takes.
        """
        threads = max(1, self.threads)
        if self.careful:
            return threads
        # Up to two, so that an adaptive cluster sees that more workers would be of use.
        most = SHORT_PER_THREAD * threads if seconds < SHORT else max(threads, min(2 * threads, self.wanted))
        self.crowded |= most > threads
        return most

    def ended(self) -> list[Future[Attempt]]:
        """Attempts that have ended since the last call; waits for the first news, but not long."""
        found: list[Future[Attempt]] = []
        with suppress(Empty):
            event = self.news.get(timeout=LOOK_EVERY)
            while True:
                if not isinstance(event, tuple):
                    found += [event] if event in self.running else []
                elif event[0] in self.running.values():
                    self.partial[event[0]] = event[1]
                event = self.news.get_nowait()
        return found

    def still_ended(self, ended: Sequence[Future[Attempt]]) -> list[Future[Attempt]]:
        """Those whose end was not taken back; results that died with their worker are computed again, and awaited."""
        found: list[Future[Attempt]] = []
        for future in ended:
            if future.status in ("finished", "error"):
                found.append(future)
            else:
                future.add_done_callback(self.news.put)
        return found

    def was_bystander(self, future: Future[Attempt]) -> bool:
        """Whether a task that died may only have waited behind another one."""
        return future.status == "error" and future in self.bystanders

    def death(self, future: Future[Attempt]) -> str:
        """Why a task was not even done with an error."""
        self.count(now=True)
        if self.crowded and not self.careful:
            self.careful, self.bystanders = True, {future, *self.running}
        error = future.exception()
        if isinstance(error, KilledWorker):
            return f"its worker died ({error.last_worker.address})"
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _fetched(client: Client, whole: Sequence[Future[Attempt]]) -> dict[Future[Attempt], Attempt]:
    """Results of attempts that have ended, except those that died with their worker before they were fetched."""
    try:
        return dict(zip(whole, client.gather(whole), strict=True))
    except KilledWorker:
        found: dict[Future[Attempt], Attempt] = {}
        for future in whole:
            with suppress(KilledWorker):
                found[future] = future.result()
        return found


def _check_present_workers(client: Client) -> None:
    """Check caloforge's version on the workers that are there, by means that do not need it.

    Raises:
        CaloforgeError: a worker has another version, or none.
    """
    own = _installed_version()
    for address, found in client.run(importlib.metadata.version, "caloforge", on_error="return").items():
        if own is not None and found != own:
            known = found if isinstance(found, str) else None
            raise CaloforgeError(f"{address}: {other_version('caloforge', known, own)}")


def _installed_version() -> str | None:
    """Of caloforge, if it is installed rather than run from its sources."""
    try:
        return importlib.metadata.version("caloforge")
    except importlib.metadata.PackageNotFoundError:
        return None
