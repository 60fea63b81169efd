"""Numbers at the ends of what can be, samples of one shower, clocks that were set back."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from caloforge import files
from caloforge.analysis.contents import contents
from caloforge.energies import parse_spectrum
from caloforge.errors import CaloforgeError, CaloforgeWarning
from caloforge.evaluation.evaluate import evaluate
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator.shards import merge


@pytest.mark.parametrize("energy", [5e-324, 1e-308, 1e-31, 1e31, 1e300])
def test_energies_that_are_hardly_numbers_are_refused(energy: float, tmp_path: Path, small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match=r"incident energy of row 0 is .* MeV, not within 1e-30 … 1e\+30"):
        Showers([energy], np.zeros((1, 13)), small_geometry)
    with pytest.raises(CaloforgeError, match="not within"):
        parse_spectrum(f"list:{energy!r}").draw(None, np.random.default_rng(0))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.zeros((1, 13)), [[energy]]
    with (
        pytest.raises(CaloforgeError, match=r"s\.h5: incident energy of row 0"),
        ShowerFile(tmp_path / "s.h5", small_geometry) as opened,
    ):
        opened.energies()


@pytest.mark.parametrize("scale", [1e-32, 1e13])
def test_energies_of_any_size_are_evaluated(scale: float, tmp_path: Path, small_showers: Showers) -> None:
    scaled = Showers(small_showers.energies * scale, small_showers.voxels.astype(float) * scale, small_showers.geometry)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CaloforgeWarning)  # small ones look like GeV
        report = evaluate(scaled[:300], scaled[300:], quick=True)
    report.save(tmp_path / "report")
    assert (tmp_path / "report" / "report.html").exists()


def test_one_shower_is_a_sample(tmp_path: Path, small_showers: Showers) -> None:
    small_showers[:1].write(tmp_path / "s.h5")
    with ShowerFile(tmp_path / "s.h5") as file:
        assert contents(file).response.shape == (1,)
    assert merge([tmp_path / "s.h5", tmp_path / "s.h5"], tmp_path / "m.h5") == 2
    with pytest.raises(CaloforgeError, match="1 shower to compare; at least 2 are needed"):
        evaluate(small_showers[:1], small_showers, quick=True)


def test_showers_without_voxels_are_refused(tmp_path: Path, small_geometry: Geometry) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.zeros((3, 0), "f4"), np.ones((3, 1))
    for geometry in (small_geometry, None):
        with pytest.raises(CaloforgeError, match="0 voxels"):
            ShowerFile(tmp_path / "s.h5", geometry)


@pytest.mark.parametrize("now", [0.0, -1e9])
def test_a_clock_that_was_set_back_removes_nothing(now: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / ".a.h5.00000000-1.part"
    theirs.write_text("written in the future")
    os.utime(theirs, (4e9, 4e9))
    monkeypatch.setattr("caloforge.files.time.time", lambda: now)
    files.write_text(tmp_path / "b", "x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [theirs.name, "b"]
