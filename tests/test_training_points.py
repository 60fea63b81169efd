"""Point clouds through the main job: trained by a recipe, generated to files, resumed, refused where wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.energies import parse_spectrum
from caloforge.errors import CaloforgeError
from caloforge.evaluation.selection import MeanWasserstein
from caloforge.geometry import PointGeometry
from caloforge.points import JET, PointClouds, PointFile, PointWriter, read_points, write_points
from caloforge.showers import Showers
from caloforge.simulator import PointSimulator, load_simulator
from caloforge.simulator.shards import merge
from caloforge.training import Callback, Trainer, load_recipe, train

COLUMNS = ["x", "y", "layer", "energy"]
RECIPE: dict[str, Any] = {
    "name": "small-points",
    "geometry": {"columns": COLUMNS},
    "transforms": [
        {"kind": "point_cells", "pitch": 5.0, "layers": 4},
        {"kind": "point_log", "column": "energy", "least": 0.02},
        {"kind": "linear_condition"},
    ],
    "model": {
        "kind": "epic_flow",
        "whole": ["x", "y", "layer"],
        "width": 8,
        "global_width": 2,
        "layers": 1,
        "steps": 2,
    },
    "training": {"epochs": 2, "batch_size": 32, "learning_rate": 1e-3, "device": "cpu"},
}


def _clouds(n: int = 120, seed: int = 1, most: int = 7) -> PointClouds:
    """Showers of 1 to `most` hits in cells of 5 mm and four layers, with a time; the first has the most."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, most + 1, n)
    counts[0] = most
    p = int(counts.sum())
    cells = 5.0 * rng.integers(-2, 3, (p, 2))
    points = np.column_stack([cells, rng.integers(0, 4, p), 0.02 + 20 * rng.exponential(size=p), rng.random(p)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return PointClouds(rng.uniform(1000, 2000, n), points, offsets, [*COLUMNS, "time"])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_points(_clouds(), tmp_path / "train.h5", attributes={"particle": "photon"})
    return tmp_path / "train.h5"


def _same_weights(one: PointSimulator, other: PointSimulator) -> bool:
    return all(torch.equal(one.weights()[name], value) for name, value in other.weights().items())


def test_a_run_is_trained_and_generates_a_file(file: Path, tmp_path: Path) -> None:
    """The run knows what it was trained on; room and columns are those of recipe and file."""
    run = train(RECIPE, file, tmp_path / "run")
    assert isinstance(run, PointSimulator)
    assert run.geometry == PointGeometry(tuple(COLUMNS), 7)
    assert run.provenance["training_file"] == "train.h5"
    assert run.provenance["particle"] == "photon"
    assert run.provenance["training_showers"] == 96
    low, high = run.energy_range or (0, 0)
    assert 1000 <= low < high <= 2000
    command = ["generate", str(tmp_path / "run"), "--energies", f"like:{file}", "-n", "50", "-o"]
    for name in ("a.h5", "b.h5"):
        result = CliRunner().invoke(app, [*command, str(tmp_path / name), "--batch-size", "20"])
        assert result.exit_code == 0, result.output
    made = read_points(tmp_path / "a.h5")
    assert made == read_points(tmp_path / "b.h5")
    assert len(made) == 50
    assert made.names == tuple(COLUMNS)
    assert made.counts.max() <= 7
    assert np.isin(made.energies, _clouds().energies).all()
    assert made.attributes["recipe"] == "small-points"
    assert made.attributes["weights_sha256"] == load_simulator(tmp_path / "run").provenance["weights_sha256"]


def test_files_memory_and_scratch_files_give_the_same_weights(file: Path, tmp_path: Path) -> None:
    clouds = _clouds()
    write_points(clouds[:50], tmp_path / "a.h5")
    write_points(clouds[50:], tmp_path / "b.h5")
    run = train(RECIPE, clouds)
    assert _same_weights(run, train(RECIPE, file))
    scratch = train(RECIPE, [tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "s", training={"memory_gb": 0})
    assert _same_weights(run, scratch)


class _StopAfterOne(Callback):
    def epoch_done(self, trainer: Trainer) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("memory_gb", [None, 0])
def test_a_resumed_run_ends_as_an_uninterrupted_one(memory_gb: float | None, file: Path, tmp_path: Path) -> None:
    settings = {"memory_gb": memory_gb}
    with pytest.raises(KeyboardInterrupt):
        train(RECIPE, file, tmp_path / "run", training=settings, callbacks=[_StopAfterOne()])
    resumed = train(RECIPE, file, tmp_path / "run", training=settings, resume=True)
    assert _same_weights(train(RECIPE, file), resumed)


def test_room_for_the_largest_cloud_of_training_and_validation(file: Path, tmp_path: Path) -> None:
    write_points(_clouds(30, seed=2, most=9), tmp_path / "valid.h5")
    run = train(RECIPE, file, validation=tmp_path / "valid.h5")
    assert run.geometry.most == 9
    fixed = {**RECIPE, "geometry": {"columns": COLUMNS, "most_points": 8}}
    with pytest.raises(CaloforgeError, match=r"valid.h5 has up to 9 points .* room for 8: .* set it to 9"):
        train(fixed, file, validation=tmp_path / "valid.h5")


def test_geometry_file_takes_all_columns(file: Path) -> None:
    run = train({**RECIPE, "geometry": "file"}, file, training={"epochs": 1})
    assert run.geometry.columns == (*COLUMNS, "time")


def test_selects_by_the_distance_of_clouds(file: Path) -> None:
    seen: list[float] = []

    class Look(Callback):
        def epoch_done(self, trainer: Trainer) -> None:
            seen.append(trainer.record["wasserstein"])

    train(RECIPE, file, training={"select": "wasserstein", "select_showers": 40}, callbacks=[Look()])
    assert len(seen) == 2
    assert all(np.isfinite(seen))
    with pytest.raises(CaloforgeError, match=r"selects by 'separation_power'; known are last, .*wasserstein"):
        train(RECIPE, file, training={"select": "separation_power"})


def test_mean_wasserstein_in_standard_deviations() -> None:
    """Jets with one particle whose ptrel is moved by a standard deviation: so are the observables made of it alone."""
    pt = np.linspace(0.5, 1.5, 101)
    points = np.column_stack([np.zeros(101), np.zeros(101), pt])

    def jets(moved: float) -> PointClouds:
        return PointClouds(
            np.full(101, 1e6), points + np.array([0, 0, moved]), np.arange(102), ["etarel", "phirel", "ptrel"]
        )

    distance = MeanWasserstein([jets(0)[:50], jets(0)[50:]], PointGeometry(JET, 1))
    assert distance([jets(0)]) == 0
    assert distance([jets(pt.std())]) == pytest.approx(1, rel=1e-5)


def test_seeds_and_shards(file: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(load_recipe(RECIPE).to_yaml())
    arguments = ["train", str(recipe), "--train", str(file), "--seeds", "2", "-o", str(tmp_path / "runs")]
    for more in ([], ["--resume"]):
        result = CliRunner().invoke(app, [*arguments, *more])
        assert result.exit_code == 0, result.output
    one, two = (PointSimulator.load(tmp_path / "runs" / f"seed-{k}") for k in (1, 2))
    assert not _same_weights(one, two)
    arguments = ["generate", str(tmp_path / "runs" / "seed-1"), "--energies", "uniform:1GeV:2GeV", "-n", "30"]
    arguments += ["--shards", "3", "-o", str(tmp_path / "shards")]
    for more in ([], ["--resume"]):
        result = CliRunner().invoke(app, [*arguments, *more])
        assert result.exit_code == 0, result.output
    with PointFile(tmp_path / "shards" / "shard-2-of-3.h5") as shard:
        assert len(shard) == 10
        assert shard.attributes["shard"] == 2
    result = CliRunner().invoke(app, ["merge", str(tmp_path / "shards"), "-o", str(tmp_path / "all.h5")])
    assert result.exit_code == 0, result.output
    parts = [read_points(tmp_path / "shards" / f"shard-{k}-of-3.h5") for k in range(3)]
    assert read_points(tmp_path / "all.h5") == PointClouds.joined(parts)


def test_merging_points_keeps_times_and_refuses_other_columns(tmp_path: Path) -> None:
    clouds, times = _clouds(), np.arange(120.0)
    for name, rows in (("a", slice(0, 70)), ("b", slice(70, 120))):
        with PointWriter(tmp_path / f"{name}.h5", clouds.names, columns=["geant4_cpu_seconds"]) as out:
            out.append(clouds[rows], geant4_cpu_seconds=times[rows])
    assert merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "all.h5") == 120
    with PointFile(tmp_path / "all.h5") as merged:
        assert merged.read() == clouds
        assert np.array_equal(merged.column("geant4_cpu_seconds"), times)
    write_points(clouds.without(["time"]), tmp_path / "c.h5")
    with pytest.raises(CaloforgeError, match=r"c.h5 has geometry 'points of x, y, layer, energy'"):
        merge([tmp_path / "a.h5", tmp_path / "c.h5"], tmp_path / "all.h5")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a transform of voxels": (
        {"transforms": [{"kind": "readout_threshold", "value": "geometry"}]},
        r"transforms\[0\]: readout_threshold is for voxels",
    ),
    "a model of voxels": (
        {"model": {"kind": "flow_matching", "width": 8}},
        "model: flow_matching is a model of voxels, but the geometry is one of point clouds",
    ),
    "a model of points": (
        {"geometry": "ds1-photons", "transforms": []},
        "model: epic_flow is a model of point clouds, but the geometry is one of voxels",
    ),
    "a column that is not there": (
        {"geometry": {"columns": ["x", "energy"]}},
        "points have no column 'y'; they have x, energy",
    ),
    "an unknown key": ({"geometry": {"columns": COLUMNS, "points": 3}}, "points have the keys columns.*most_points"),
}


@pytest.mark.parametrize("case", WRONG)
def test_recipes_that_do_not_fit_points(case: str) -> None:
    change, message = WRONG[case]
    with pytest.raises(CaloforgeError, match=message) as caught:
        load_recipe({**RECIPE, **change})
    assert "\n" not in str(caught.value)


def test_files_that_do_not_fit_the_recipe(file: Path, small_showers: Showers, tmp_path: Path) -> None:
    small_showers.write(tmp_path / "voxels.h5")
    with pytest.raises(CaloforgeError, match="holds voxels, but the recipe is for points"):
        train(RECIPE, tmp_path / "voxels.h5")
    with pytest.raises(CaloforgeError, match="holds points, but the recipe is for voxels of 'ds1-photons'"):
        train("caloman-demo", file)
    with pytest.raises(CaloforgeError, match="holds voxels, but the recipe is for points of x"):
        train(RECIPE, file, validation=tmp_path / "voxels.h5")
    lacking = {**RECIPE, "geometry": {"columns": [*COLUMNS, "z"]}}
    with pytest.raises(CaloforgeError, match="has no column z of its points"):
        train(lacking, file)


def test_a_file_without_unit_is_to_be_converted(tmp_path: Path) -> None:
    write_points(_clouds().without(["time"]), tmp_path / "unit.h5", layout="showerdata")
    with h5py.File(tmp_path / "unit.h5", "a") as opened:
        del opened.attrs["energy_unit"]
    with pytest.raises(CaloforgeError, match="do not store the unit of energies: convert it first"):
        train(RECIPE, tmp_path / "unit.h5")
    with pytest.raises(CaloforgeError, match="do not store the unit of energies: convert it first"):
        parse_spectrum(f"like:{tmp_path / 'unit.h5'}")
