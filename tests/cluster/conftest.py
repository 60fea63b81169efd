"""One cluster of two local workers for all tests here."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from caloforge.cluster.where import Connection, LocalWorkers, Where


@dataclass(frozen=True)
class Opened(Where):
    """A cluster that is open already."""

    connection: Connection

    def open(self, again: bool = False) -> AbstractContextManager[Connection]:
        return nullcontext(self.connection)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Where]:
    pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
    with LocalWorkers(2).open() as connection:
        yield Opened(connection)


@pytest.fixture
def cli_cluster(cluster: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--cluster`, whatever it says, is that cluster."""
    monkeypatch.setattr("caloforge.cluster.where.parse_where", lambda text, adapt=None: cluster)


@pytest.fixture
def killing(cluster: Where) -> Callable[[Path], AbstractContextManager[None]]:
    """A context that kills a worker of the cluster as soon as there is a shard in a folder, and checks that it did."""
    with cluster.open() as connection:
        pids = list(connection.client.run(os.getpid).values())

    @contextmanager
    def killed_at_first_shard(folder: Path) -> Iterator[None]:
        killed = []

        def kill() -> None:
            until = time.monotonic() + 120
            while time.monotonic() < until and not list(folder.glob("shard-*.h5")):
                time.sleep(0.002)
            os.kill(pids[0], signal.SIGKILL)
            killed.append(pids[0])

        thread = threading.Thread(target=kill)
        thread.start()
        yield
        thread.join()
        assert len(killed) == 1

    return killed_at_first_shard
