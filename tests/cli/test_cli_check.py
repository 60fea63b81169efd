"""`caloforge check` on files that can be read: the good ones, and those whose numbers are hardly meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.geometry import load_geometry
from caloforge.showers import Showers
from caloforge.sources.sample import sample_path

TABLE = [
    (lambda energies, voxels: (energies / 1000, voxels), "MeV: are they in GeV?"),
    (lambda energies, voxels: (energies, voxels * 1000), "in the same unit"),
    (lambda energies, voxels: (energies, voxels * 0), "no shower deposits any energy"),
    (
        lambda energies, voxels: (energies, voxels * (np.arange(len(voxels)) > 2)[:, None]),
        "3 of 50 showers deposit no",
    ),
]


@pytest.mark.parametrize(("spoil", "note"), TABLE, ids=["GeV", "scale", "all zero", "some zero"])
def test_odd_numbers_are_noted_but_read(spoil, note: str, tmp_path: Path) -> None:
    showers = Showers.read(sample_path("test"), stop=50)
    energies, voxels = spoil(showers.energies, showers.voxels)
    Showers(energies, voxels.astype(np.float32), showers.geometry).write(tmp_path / "odd.h5")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "odd.h5")])
    assert result.exit_code == 0
    assert note in " ".join(result.stderr.split())
    assert "readable, but see the notes" in result.stdout


def test_the_sample_has_no_notes_and_many_layers_are_a_range(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(sample_path("test"))])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "good: every value" in result.stdout
    assert "5 layers (0, 1, 2, 3, 12)" in result.stdout
    deep = load_geometry("ds2")
    voxels = np.full((2, deep.n_voxels), 0.1, np.float32)
    Showers(np.array([1e3, 2e3]), voxels, deep).write(tmp_path / "deep.h5")
    assert "45 layers (0 … 44)" in CliRunner().invoke(app, ["check", str(tmp_path / "deep.h5")]).stdout


def test_unknown_geometry_in_a_file_names_the_file(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "foreign.h5"
    Showers.read(sample_path("test"), stop=3).write(path)
    with h5py.File(path, "a") as file:
        file.attrs["geometry"] = "elsewhere"
    result = CliRunner().invoke(app, ["check", str(path)], catch_exceptions=True)
    assert result.exit_code != 0
    assert "foreign.h5: attribute 'geometry': unknown geometry 'elsewhere'" in str(result.exception)
