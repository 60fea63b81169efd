"""`caloforge check` on files that can be read: the good ones, and those whose numbers are hardly meant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import caloforge as cf
from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.showers import ShowerFile, ShowerFiles, Showers
from caloforge.sources.sample import sample_path
from caloforge.training import load_recipe

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


def test_another_geometry_than_the_files_own_is_refused(tmp_path: Path) -> None:
    """One line with both, from the command line and from Python; another threshold of the same voxels is used."""
    file = sample_path("test")
    own = Showers.read(file, stop=60)
    own.write(tmp_path / "own.h5")
    result = CliRunner().invoke(app, ["check", str(file), "-g", "ds2"])
    assert result.exit_code != 0
    words = r"{} names its own geometry, '{}' \(368 voxels\), which is not that of {} \(6480 voxels\): leave it out"
    where = re.escape(str(file)), own.geometry.name
    assert re.match(words.format(*where, "--geometry ds2"), str(result.exception))
    calls: tuple[Callable[[], object], ...] = (
        lambda: Showers.read(file, "ds2"),
        lambda: ShowerFile(file, load_geometry("ds2")),
        lambda: ShowerFiles([file], "ds2"),
        lambda: cf.evaluate(file, file, geometry="ds2"),
        lambda: cf.evaluate(own, own, geometry="ds2"),
    )
    for call in calls:
        with pytest.raises(CaloforgeError, match=words.format(".*", own.geometry.name, "geometry='ds2'")):
            call()
    assert CliRunner().invoke(app, ["dimension", str(file), "-g", "ds2"]).exit_code != 0
    (tmp_path / "cut.json").write_text(json.dumps(replace(own.geometry, threshold=5.0).to_dict()))
    result = CliRunner().invoke(app, ["check", str(tmp_path / "own.h5"), "-g", str(tmp_path / "cut.json")])
    assert "above 5 MeV" in result.stdout, result.stdout


def test_a_recipe_for_another_geometry_says_so(tmp_path: Path) -> None:
    file = sample_path("test")
    words = rf"has geometry '{cf.sample('test', stop=1).geometry.name}', but the recipe is for 'ds2'; choose another"
    with pytest.raises(CaloforgeError, match=words):
        cf.train(load_recipe("caloman-demo", ["geometry=ds2"]), file)
