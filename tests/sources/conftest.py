"""Fixtures of the tests of sources: a server that publishes, and pauses that nobody waits for."""

from pathlib import Path

import pytest

from caloforge.sources.geant4.datasets import FoundData, find_data
from caloforge.sources.public import http, record
from record_server import publishing


@pytest.fixture
def data(geant4_tables: Path) -> FoundData:
    """The reduced tables, found."""
    return find_data(geant4_tables)


@pytest.fixture
def hadronic_data(geant4_tables: Path) -> FoundData:
    """The reduced tables that carry hadrons, found; skips the test without them."""
    folder = geant4_tables.with_name("geant4-hadronic-data")
    if not folder.is_dir():
        pytest.skip(f"Geant4's tables with hadrons are not at {folder}")
    return find_data(folder)


@pytest.fixture
def waits(monkeypatch):
    """The pauses between tries, in seconds, which a test does not sit through."""
    recorded = []
    monkeypatch.setattr(http, "sleep", recorded.append)
    return recorded


@pytest.fixture
def publisher(monkeypatch, waits):
    """A server whose record `catalog.get` finds without being told."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with publishing() as server:
        monkeypatch.setenv(record.RECORDS_VARIABLE, f"{server.url}/api/records")
        yield server
