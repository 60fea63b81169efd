"""The embedded sample: what it holds, and that its recorded command makes these very showers."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import numpy as np
import pytest

from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4.datasets import FoundData
from caloforge.sources.geant4.detector import load_detector
from caloforge.sources.geant4.request import SimulationRequest
from caloforge.sources.geant4.simulation import simulate
from caloforge.sources.sample import FILES, sample_path
from caloforge.sources.sample.pack import pack, rounded


@pytest.mark.parametrize("part", FILES)
def test_files_are_small_and_say_where_they_came_from(part: str) -> None:
    assert sum(sample_path(other).stat().st_size for other in FILES) < 8e6
    with ShowerFile(sample_path(part)) as file:
        assert file.geometry.name == "ds1-photons"
        assert set(np.unique(file.energies())) == {256.0 * 2**k for k in range(7)}
        for attribute in ("source", "detector_file", "seed", "command", "geant4_config"):
            assert attribute in file.attributes, attribute


def test_parts_share_no_shower() -> None:
    train, test = (Showers.read(sample_path(part)) for part in FILES)
    assert not {row.tobytes() for row in train.voxels} & {row.tobytes() for row in test.voxels}


def test_rounding_keeps_twelve_bits() -> None:
    np.testing.assert_array_equal(rounded(np.float32([0, 1, 3.5, 1 + 2**-11])), np.float32([0, 1, 3.5, 1 + 2**-11]))
    np.testing.assert_array_equal(rounded(np.float32([1 + 2**-13, 1 + 3 * 2**-13])), np.float32([1, 1 + 2**-11]))
    values = np.random.default_rng(0).exponential(50, 10_000).astype(np.float32)
    assert np.max(np.abs(rounded(values) / values - 1)) <= 2**-12


def test_packing_keeps_everything_else(tmp_path: Path) -> None:
    pack(sample_path("test"), tmp_path / "again.h5")
    before, after = Showers.read(sample_path("test")), Showers.read(tmp_path / "again.h5")
    np.testing.assert_array_equal(before.voxels, after.voxels)
    np.testing.assert_array_equal(before.energies, after.energies)
    assert before.attributes["command"] == after.attributes["command"]


@pytest.mark.parametrize("part", FILES)
def test_recorded_command_makes_these_showers(part: str, data: FoundData, tmp_path: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the stored showers were made on x86-64; elsewhere Geant4 rounds otherwise")
    stored = Showers.read(sample_path(part), stop=3)
    config = json.loads(stored.attributes["geant4_config"])
    request = SimulationRequest(
        detector=load_detector("atlas-like"),
        particle=config["particle"],
        energies=config["energies"],
        n=3,
        seed=config["seed"],
        data=data,
    )
    simulate(request, tmp_path / "raw.h5")
    again = Showers.read(tmp_path / "raw.h5")
    np.testing.assert_array_equal(again.energies, stored.energies)
    np.testing.assert_array_equal(rounded(again.voxels), stored.voxels)
