"""One cluster of two local workers for all tests here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

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
    pytest.importorskip("distributed")
    with LocalWorkers(2).open() as connection:
        yield Opened(connection)


@pytest.fixture
def cli_cluster(cluster: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--cluster`, whatever it says, is that cluster."""
    monkeypatch.setattr("caloforge.cluster.where.parse_where", lambda text, adapt=None: cluster)
