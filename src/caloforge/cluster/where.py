"""Where a cluster is: workers on this machine, a running scheduler, or a batch system described in a YAML file.

    local:4                 four worker processes here, on the loopback interface, with encrypted connections
    tcp://host:8786         a Dask scheduler that is running (also tls://)
    slurm.yaml              a cluster of `dask-jobqueue`: which one, how many workers, and its keyword arguments

A YAML file has the keys `cluster` (slurm, htcondor, lsf, pbs, sge, …), `workers` (how many to ask for) and whatever
else the class of dask-jobqueue takes, such as `cores`, `memory`, `queue` and `walltime`.
"""

from __future__ import annotations

import gc
import logging
import re
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caloforge.cluster.local import prepare_workers, start_method
from caloforge.documents import read_document
from caloforge.errors import CaloforgeError, missing_extra, option

if TYPE_CHECKING:
    from dask_jobqueue.core import JobQueueCluster
    from distributed import Client

SYSTEMS = {
    "htcondor": "HTCondorCluster",
    "local": "LocalCluster",
    "lsf": "LSFCluster",
    "moab": "MoabCluster",
    "oar": "OARCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "slurm": "SLURMCluster",
}
"""Name of a batch system in a YAML file → class of dask-jobqueue; `local` runs the jobs' scripts on this machine."""

ANSWERS_WITHIN = 10.0
"""Seconds in which a scheduler answers."""

RETURNS_WITHIN = 120.0
"""Seconds in which a scheduler that was lost returns."""

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # attempts are counted by `tasks`
    "distributed.scheduler.worker-saturation": 1.0,  # a worker that dies loses only the parts that it was generating
    "distributed.worker.profile.enabled": False,  # of workers on this machine
    "distributed.scheduler.work-stealing": False,  # parts are handed out one by one; these four save the workers' cores
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "10s",
    "distributed.admin.system-monitor.interval": "2s",
}
"""Dask's settings for schedulers that are started here."""


@dataclass(frozen=True)
class Adapt:
    """Number of workers between two limits, by what there is to do.

    Raises:
        CaloforgeError: the limits are not 0 ≤ least ≤ most, or most is 0.
    """

    least: int
    most: int

    def __post_init__(self) -> None:
        if not (0 <= self.least <= self.most and self.most > 0):
            raise CaloforgeError(
                f"{option('adapt', f'{self.least}:{self.most}')}: give the lowest and highest number, as in 1:100"
            )

    @classmethod
    def parse(cls, text: str) -> Adapt:
        """Limits from text such as `1:100`.

        Raises:
            CaloforgeError: the text has a different form.
        """
        if not re.fullmatch(r"\d{1,6}:\d{1,6}", text, re.ASCII):
            raise CaloforgeError(f"{option('adapt', text)}: give the lowest and highest number of workers, as in 1:100")
        least, most = text.split(":")
        return cls(int(least), int(most))


@dataclass(frozen=True)
class Connection:
    """A Dask client, and how many workers were asked for (0: not known)."""

    client: Client
    wanted: int


class Where(ABC):
    """A cluster that can be opened."""

    can_return = False
    """Whether a scheduler that was lost may be found again."""

    def prepare(self, modules: Sequence[str]) -> None:  # noqa: B027 (most clusters have nothing to prepare)
        """Start in the background what takes time; called before `open`, and not necessarily.

        Args:
            modules: names of modules that the work needs, for workers that can import them together.
        """

    @abstractmethod
    def open(self, again: bool = False) -> AbstractContextManager[Connection]:
        """Connect, and at the end close what was started.

        Args:
            again: wait for a scheduler that was lost.

        Raises:
            CaloforgeError: there is no such cluster.
        """


@dataclass(frozen=True)
class LocalWorkers(Where):
    """Worker processes on this machine, one thread each."""

    n: int
    adapt: Adapt | None = None

    def prepare(self, modules: Sequence[str]) -> None:
        """See `Where.prepare`."""
        prepare_workers(modules)

    @contextmanager
    def open(self, again: bool = False) -> Iterator[Connection]:
        """See `Where.open`."""
        import dask
        from distributed import Client, LocalCluster, Security

        n = self.n if self.adapt is None else self.adapt.least
        with (
            dask.config.set({**SETTINGS, "distributed.worker.multiprocessing-method": start_method()}),
            LocalCluster(
                n_workers=n,
                threads_per_worker=1,
                memory_limit=0,
                host="127.0.0.1",
                protocol="tls://",
                security=Security.temporary(),
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address=None,
                silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster) as client,
        ):
            if self.adapt is not None:
                cluster.adapt(minimum=self.adapt.least, maximum=self.adapt.most)
            yield Connection(client, n if self.adapt is None else self.adapt.most)


@dataclass(frozen=True)
class RunningScheduler(Where):
    """A scheduler by its address."""

    address: str
    can_return = True

    @contextmanager
    def open(self, again: bool = False) -> Iterator[Connection]:
        """See `Where.open`."""
        with self._client(RETURNS_WITHIN if again else ANSWERS_WITHIN) as client:
            yield Connection(client, 0)

    def _client(self, patience: float) -> Client:
        from distributed import Client

        until = time.monotonic() + patience
        while True:
            try:
                return Client(self.address, timeout=ANSWERS_WITHIN)
            except (OSError, ValueError, TypeError) as error:  # a timeout is an OSError too
                if time.monotonic() + ANSWERS_WITHIN / 2 < until and isinstance(error, OSError):
                    time.sleep(1.0)
                    continue
                raise CaloforgeError(
                    f"no scheduler answers at {self.address} within {patience:.0f} s: is it running, and can its port "
                    "be reached from here?"
                ) from None


@dataclass(frozen=True)
class BatchSystem(Where):
    """A cluster of dask-jobqueue: a scheduler in this process, and workers in batch jobs.

    Args:
        path: the YAML file, for messages.
        name: one of `SYSTEMS`.
        workers: how many to ask for.
        keywords: of the class of dask-jobqueue.
        adapt: limits for a number of workers that follows what there is to do.
    """

    path: Path
    name: str
    workers: int
    keywords: dict[str, Any]
    adapt: Adapt | None = None

    @classmethod
    def read(cls, path: Path, adapt: Adapt | None = None) -> BatchSystem:
        """Read a YAML file.

        Raises:
            CaloforgeError: it cannot be read, or a key is missing or unknown.
        """
        found = read_document(path, "description of a cluster")
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise CaloforgeError(f"{path} does not describe a cluster: write 'cluster: slurm', 'workers: 20', …")
        keywords = dict(found)
        name, workers = keywords.pop("cluster", None), keywords.pop("workers", None)
        if name not in SYSTEMS:
            given = "has no key 'cluster'" if name is None else f"has an unknown cluster '{name}'"
            near = get_close_matches(str(name), SYSTEMS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise CaloforgeError(f"{path} {given}{hint}: give one of {', '.join(SYSTEMS)}")
        if workers is None and adapt is not None:
            workers = adapt.least
        if not isinstance(workers, int) or isinstance(workers, bool) or (workers < 1 and adapt is None):
            given = "has no key 'workers'" if workers is None else f"has 'workers: {workers}'"
            raise CaloforgeError(
                f"{path} {given}: say how many workers to ask for, or use {option('adapt', 'MIN:MAX')}"
            )
        return cls(path, name, workers, keywords, adapt)

    def cluster(self) -> JobQueueCluster:
        """The cluster, with its scheduler but without workers.

        Raises:
            CaloforgeError: the keyword arguments do not suit the class.
        """
        import dask
        import dask_jobqueue
        from dask_jobqueue import local

        made = local.LocalCluster if self.name == "local" else getattr(dask_jobqueue, SYSTEMS[self.name])
        keywords = dict(self.keywords)
        keywords["scheduler_options"] = {"dashboard_address": ":0", **keywords.get("scheduler_options", {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # of a cluster that was never complete
            try:
                with dask.config.set(SETTINGS):
                    return made(**keywords)
            except (TypeError, ValueError, RuntimeError, OSError) as error:
                unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
                text = f"unknown key '{unknown[1]}'" if unknown else " ".join(str(error).split())
            gc.collect()
        raise CaloforgeError(f"{self.path}: {text} ({made.__name__} of dask-jobqueue)")

    @contextmanager
    def open(self, again: bool = False) -> Iterator[Connection]:
        """See `Where.open`."""
        from distributed import Client

        with self.cluster() as cluster, Client(cluster) as client:
            if self.adapt is None:
                cluster.scale(self.workers)
            else:
                cluster.adapt(minimum=self.adapt.least, maximum=self.adapt.most)
            yield Connection(client, self.workers if self.adapt is None else self.adapt.most)


def parse_where(text: str, adapt: Adapt | None = None) -> Where:
    """A cluster from text (see the module docstring). Nothing is started.

    Args:
        text: `local:N`, the address of a scheduler, or the path of a YAML file.
        adapt: limits for the number of workers, in place of a fixed one.

    Raises:
        CaloforgeError: it has another form; the YAML file does not describe a cluster; Dask is not installed; `adapt`
            is given for a scheduler whose workers others start.
    """
    for package in ("distributed", "dask_jobqueue", "cryptography"):
        if find_spec(package) is None:
            raise missing_extra(package, "cluster", option("cluster"))
    if match := re.fullmatch(r"local:(\d{1,4})", text, re.ASCII):
        if int(match[1]) < 1:
            raise CaloforgeError("the cluster local:0 has no workers: give at least one worker")
        return LocalWorkers(int(match[1]), adapt)
    if re.match(r"(tcp|tls|ws|wss|ucx)://", text):
        if adapt is not None:
            raise CaloforgeError(
                f"{option('adapt')} needs a cluster that is started here; the workers of {text} are not"
            )
        return RunningScheduler(text)
    if Path(text).suffix.lower() in (".yaml", ".yml"):
        return BatchSystem.read(Path(text), adapt)
    raise CaloforgeError(
        f"'{text}' is not a cluster: give local:N, the address of a scheduler (tcp://host:8786), or a .yaml "
        "file (docs/cluster.md)"
    )
