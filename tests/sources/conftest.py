"""Fixtures of the tests of sources: Geant4's tables, a server that publishes, and pauses that nobody waits for."""

import os
from pathlib import Path

import pytest
from record_server import publishing

from caloforge.errors import CaloforgeError
from caloforge.sources import catalog, download
from caloforge.sources.geant4.datasets import FoundData, find_data
from caloforge.sources.geant4.run import binding_version


@pytest.fixture
def geant4_tables() -> Path:
    """The folder of the reduced tables; skips the test without it or without geant4-pybind."""
    try:
        binding_version()
    except CaloforgeError as error:
        pytest.skip(str(error))
    usual = Path(__file__).parents[3] / "shared" / "geant4-data"
    tables = Path(os.environ.get("CALOFORGE_GEANT4_DATA", str(usual)))
    if not tables.is_dir():
        pytest.skip(f"Geant4's tables are not at {tables}; CALOFORGE_GEANT4_DATA may say where they are")
    return tables


@pytest.fixture
def data(geant4_tables: Path) -> FoundData:
    """The reduced tables, found."""
    return find_data(geant4_tables)


@pytest.fixture
def waits(monkeypatch):
    """The pauses between tries, in seconds, which a test does not sit through."""
    recorded = []
    monkeypatch.setattr(download, "sleep", recorded.append)
    return recorded


@pytest.fixture
def publisher(monkeypatch, waits):
    """A server whose record `catalog.get` finds without being told."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with publishing() as server:
        monkeypatch.setenv(catalog.RECORDS_VARIABLE, f"{server.url}/api/records")
        yield server
