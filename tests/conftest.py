"""Shared by all tests: one thread, and the real showers and Geant4's tables where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.showers import Showers
from caloforge.sources.geant4.request import binding_version

os.environ["COLUMNS"] = "120"  # tables as wide as this wherever the tests run; read when a console is made

REAL = Path(__file__).parents[2] / "shared" / "data"
TABLES = Path(os.environ.get("CALOFORGE_GEANT4_DATA", str(REAL.with_name("geant4-data"))))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)  # small tensors: more threads only get in each other's way


@pytest.fixture
def small_geometry() -> Geometry:
    """Three layers, 3 + 8 + 2 = 13 voxels: without, with and again without alpha bins."""
    layers = (Layer(0, (0, 5, 10, 30), 1), Layer(1, (0, 10, 40), 4), Layer(7, (0, 50, 100), 1))
    return Geometry("small", layers, threshold=0.5)


@pytest.fixture
def small_showers(small_geometry: Geometry) -> Showers:
    """600 made-up showers of three energies: exponential voxels whose mean is a share of the incident energy."""
    rng = np.random.default_rng(5)
    energies = np.resize([100.0, 200.0, 400.0], 600)
    shares = rng.dirichlet(np.full(small_geometry.n_voxels, 2.0), 600)
    voxels = shares * energies[:, None] * rng.normal(0.9, 0.05, (600, 1)).clip(0.5)
    return Showers(energies, voxels.astype(np.float32), small_geometry)


@pytest.fixture
def real() -> Callable[[str], Path]:
    """name → path of a file of real Geant4 showers below `shared/data`; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = REAL / name
        if not path.exists():
            pytest.skip(f"needs the Geant4 showers {name}, which are no part of the repository")
        return path

    return find


@pytest.fixture
def no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are saved without figures and page, which take most of the time."""
    monkeypatch.setattr("caloforge.evaluation.report.report.render", lambda records, folder: folder)


@pytest.fixture
def geant4_tables() -> Path:
    """The folder of the reduced tables; skips the test without it or without geant4-pybind."""
    try:
        binding_version()
    except CaloforgeError as error:
        pytest.skip(str(error))
    if not TABLES.is_dir():
        pytest.skip(f"Geant4's tables are not at {TABLES}; CALOFORGE_GEANT4_DATA may say where they are")
    return TABLES
