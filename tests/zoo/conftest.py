"""Shared by the tests of models: a small run with a teacher and students, and folders of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from caloforge.geometry import Geometry
from caloforge.models.cascade import Cascade
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

LEVEL = {"kind": "flow_matching", "width": 16, "blocks": 1, "steps": 2, "student_strides": 1}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOFORGE_MODELS", str(tmp_path / "models"))


@pytest.fixture
def small_run(small_geometry: Geometry, small_showers: Showers) -> Simulator:
    """An untrained cascade whose tables are those of the small showers; its energies are 100 … 400 MeV."""
    torch.manual_seed(0)
    model = Cascade(13, 1, geometry=small_geometry, layers=LEVEL, rings=LEVEL, voxels=LEVEL, hits=True)
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    for number in range(4):
        energies = model.hierarchy.energies(x, c)
        split = [*model.hierarchy][number]
        split.fit(energies[number + 1], energies[number])
    with torch.no_grad():
        for weight in model.parameters():  # some start from zero, where students do nothing
            weight.add_(0.1 * torch.randn_like(weight))
    transforms = build_transforms([{"kind": "readout_threshold"}], small_geometry)
    facts = {"recipe": "tiny", "particle": "gamma", "detector": "toy", "training_showers": 600, "n_epochs": 20}
    return Simulator(small_geometry, transforms, model.eval(), facts, (100.0, 400.0))
