"""`PointSimulator`: point clouds in physical units, seeds, saving and loading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.epic_flow import EPiCFlow
from caloforge.simulator import PointSimulator, Simulator
from caloforge.transforms import build_transforms

ENERGIES = np.linspace(1000, 5000, 30)


@pytest.fixture
def run() -> PointSimulator:
    geometry = PointGeometry(("x", "y", "layer", "energy"), 8)
    chain = [
        {"kind": "point_deposit", "least": 0.02},
        {"kind": "point_cells", "pitch": 5.0, "layers": 45},
        {"kind": "point_log", "column": "energy", "least": 0.02},
    ]
    torch.manual_seed(1)
    numbers = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 2}
    model = EPiCFlow(geometry.row_length + 1, 1, geometry=geometry, numbers=numbers, width=8, layers=1, steps=2)
    for value in (model.numbers.model.shift, model.numbers.model.scale):
        value[0] = 4.0
    return PointSimulator(geometry, build_transforms(chain, geometry), model, {"recipe": "test"}, (1000.0, 5000.0))


def test_generates_clouds_in_cells_above_the_threshold(run: PointSimulator) -> None:
    clouds = run.generate(ENERGIES, seed=3, batch_size=7)
    assert len(clouds) == 30
    assert clouds.counts.max() > 1
    assert clouds["energy"].min() >= 0.02 * (1 - 1e-6)
    assert np.array_equal(clouds["x"] / 5, np.rint(clouds["x"] / 5))
    assert clouds["layer"].min() >= 0
    assert clouds.attributes["recipe"] == "test"
    assert clouds.attributes["seed"] == 3


def test_saved_and_loaded_gives_the_same_clouds(run: PointSimulator, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    loaded = PointSimulator.load(tmp_path / "run")
    assert loaded.geometry == run.geometry
    assert loaded.generate(ENERGIES, seed=3) == run.generate(ENERGIES, seed=3)
    assert loaded.generate(ENERGIES, seed=4) != run.generate(ENERGIES, seed=3)


def test_sampling_settings_can_be_changed(run: PointSimulator, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    finer = PointSimulator.load(tmp_path / "run", settings={"steps": 5})
    assert isinstance(finer.model, EPiCFlow)
    assert finer.model.steps == 5


def test_a_simulator_of_voxels_is_told_what_the_run_is(run: PointSimulator, tmp_path: Path) -> None:
    run.save(tmp_path / "run")
    with pytest.raises(CaloforgeError, match=r"generates point clouds, not voxels"):
        Simulator.load(tmp_path / "run")
