"""`caloforge dimension`: its files contain what the library computes, its errors say what to correct."""

import csv
import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.analysis import shower_dimension
from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.manifold import intrinsic_dimension
from caloforge.showers import ShowerFile, Showers, ShowerWriter


@pytest.fixture(scope="module")
def shower_file(tmp_path_factory):
    """300 showers at two energies whose shapes are mixtures of three fixed ones, the last ten repeated."""
    geometry = load_geometry("ds1-photons")
    rng = np.random.default_rng(0)
    energies = np.resize([256.0, 1024.0], 300)
    shapes = rng.exponential(size=(3, geometry.n_voxels))
    voxels = rng.uniform(0.2, 1.0, size=(300, 3)) @ (shapes / shapes.sum(axis=1, keepdims=True)) / 3
    voxels = (voxels * energies[:, None]).astype(np.float32)
    path = tmp_path_factory.mktemp("showers") / "showers.h5"
    with ShowerWriter(path, geometry) as out:
        out.append(np.append(energies, energies[-10:]), np.concatenate([voxels, voxels[-10:]]))
    return path


def invoke(*arguments):
    return CliRunner().invoke(app, ["dimension", *map(str, arguments)])


def test_command_writes_what_the_library_computes(shower_file, tmp_path):
    folder = tmp_path / "out"
    result = invoke(shower_file, "--k", "5,10", "--seed", 3, "-o", folder)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in folder.iterdir()) == [f"dimension.{kind}" for kind in ("csv", "json", "pdf", "png")]
    report = json.loads((folder / "dimension.json").read_text())
    assert (report["n_showers"], report["geometry"], report["seed"]) == (310, "ds1-photons", 3)

    showers = Showers.read(shower_file)
    r_max = (showers.deposited / showers.energies).max()
    assert report["r_max"] == pytest.approx(r_max, rel=1e-12)
    scaled = showers.voxels / (r_max * showers.energies[:, None])
    u = np.append(scaled, scaled.sum(axis=1, keepdims=True), axis=1)
    v = 1e-6 + (1 - 2e-6) * np.minimum(u, 1)
    spaces = {"raw": showers.voxels, "preprocessed": u, "logit": np.log(v) - np.log1p(-v)}
    assert [row["representation"] for row in report["results"]] == list(spaces)
    for row, x in zip(report["results"], spaces.values(), strict=True):
        assert (row["energy"], row["n_points"], row["n_duplicates"]) == (None, 300, 10)
        for written, computed in zip(row["estimates"], intrinsic_dimension(x, [5, 10], seed=3), strict=True):
            assert written["k"] == computed.k
            assert written["value"] == pytest.approx(computed.value, rel=1e-3)
            assert written["error"] == pytest.approx(computed.error, rel=1e-2)
            assert f"{written['value']:.2f} ± {written['error']:.2f}" in result.output
    assert 2 < report["results"][0]["estimates"][0]["value"] < 3.5
    with (folder / "dimension.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 3 * 4
    assert float(table[1]["value"]) == report["results"][0]["estimates"][1]["value"]


def test_command_per_energy(shower_file, tmp_path):
    result = invoke(shower_file, "--k", "5", "--per-energy", "--points", 100, "-o", tmp_path)
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "dimension.json").read_text())["results"]
    assert [row["energy"] for row in rows] == [None] * 3 + [256.0] * 3 + [1024.0] * 3
    assert all(row["n_points"] + row["n_duplicates"] == 100 for row in rows)
    # At one energy, dividing by it is a mere scale; what is left is the appended sum of the voxels.
    assert all(1.5 < row["estimates"][0]["value"] < 4 for row in rows)
    assert "E_inc = 1.024 GeV, 100 showers" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--k", "5,x"], "--k '5,x'"),
        (["--k", "1,5"], "at least 2, not 1"),
        (["--points", "50"], "--points 50 must be larger"),
        (
            ["--k", "305"],
            "all energies, raw: k = 305 neighbours need at least 306 distinct points",
        ),
    ],
)
def test_command_names_mistakes(shower_file, arguments, message):
    error = invoke(shower_file, *arguments).exception
    assert isinstance(error, CaloforgeError)
    assert message in str(error)
    assert "\n" not in str(error)


def test_command_refuses_a_negative_seed(shower_file):
    result = invoke(shower_file, "--seed", -1)
    assert result.exit_code == 2
    assert "--seed" in result.output


def test_command_refuses_many_energies_and_files_for_folders(shower_file, tmp_path):
    geometry = load_geometry("ds1-photons")
    path = tmp_path / "many.h5"
    with ShowerWriter(path, geometry) as out:
        out.append(np.linspace(1e3, 2e3, 60), np.ones((60, geometry.n_voxels)))
    error = invoke(path, "--per-energy").exception
    assert "60 distinct incident energies" in str(error)
    error = invoke(shower_file, "-o", path).exception
    assert "is a file" in str(error)


@pytest.mark.parametrize(("order", "in_blocks"), [("random", True), ("sorted", True), ("random", False)])
def test_of_a_large_file_only_chosen_chunks_are_read(order, in_blocks, tmp_path, monkeypatch):
    """Blocks of neighbours, evenly spread, or single showers where the blocks have other energies than the file."""
    geometry = load_geometry("ds1-photons")
    rng = np.random.default_rng(1)
    energies = rng.permutation(np.geomspace(1e3, 1e5, 1600))
    energies = np.sort(energies) if order == "sorted" else energies
    voxels = (rng.exponential(size=(1600, geometry.n_voxels)) * energies[:, None] / 500).astype(np.float32)
    paths = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for path, part in zip(paths, (slice(0, None, 2), slice(1, None, 2)), strict=True):
        with h5py.File(path, "w") as file:
            file["incident_energies"] = energies[part][:, None]
            file.create_dataset("showers", data=voxels[part], chunks=(8, geometry.n_voxels), compression="gzip")
    monkeypatch.setattr(shower_dimension, "LARGE_VALUES", 1000)
    if not in_blocks:
        monkeypatch.setattr(shower_dimension, "SAME_SPECTRUM", 2.0)
    read, rows = ShowerFile.read, []

    def counted(self, start=0, stop=None):
        rows.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(ShowerFile, "read", counted)
    result = invoke(*paths, "--k", "5", "--points", 160, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out/dimension.json").read_text())
    assert report["n_showers"] == 1600
    assert report["results"][0]["n_points"] == 160
    assert report["file"] == f"{paths[0]}, {paths[1]}"
    assert sum(rows) == 160 if in_blocks else sum(rows) > 400
