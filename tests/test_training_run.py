"""`train` from Python: recipes by name, mapping or class, showers in memory or from a file, callbacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import Callback, Recipe, Trainer, load_recipe, train
from caloforge.transforms import IncidentEnergyFraction, LinearCondition
from own_model import GaussianPerFeature

TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 64, "learning_rate": 1e-2, "device": "cpu"}


@pytest.fixture
def recipe(small_geometry: Geometry) -> dict[str, Any]:
    return {
        "name": "small",
        "geometry": small_geometry.to_dict(),
        "transforms": [{"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}],
        "model": {"kind": "caloman", "latent_dim": 2, "hidden": [8], "flow_layers": 1, "flow_width": 8},
        "training": TRAINING,
    }


def _same(a: Simulator, b: Simulator) -> bool:
    energies = np.array([100.0, 300.0])
    return np.array_equal(a.generate(energies, 1).voxels, b.generate(energies, 1).voxels)


def test_memory_and_file_and_folder_give_the_same(
    recipe: dict[str, Any], small_showers: Showers, tmp_path: Path
) -> None:
    small_showers.write(tmp_path / "train.h5")
    in_memory = train(recipe, small_showers)
    from_file = train(load_recipe(recipe), tmp_path / "train.h5", tmp_path / "run")
    assert _same(in_memory, from_file)
    assert _same(in_memory, Simulator.load(tmp_path / "run"))
    assert in_memory.provenance["training_file"] == "in memory"
    assert from_file.provenance["training_file"] == "train.h5"
    assert in_memory.provenance["training_showers"] == round(0.8 * len(small_showers))
    assert in_memory.provenance["recipe"] == "small"


def test_changes_of_a_recipe(recipe: dict[str, Any], small_showers: Showers) -> None:
    run = train(recipe, small_showers, transforms=[LinearCondition()], model={"latent_dim": 3}, training={"epochs": 1})
    assert run.model.to_config()["latent_dim"] == 3
    assert run.model.to_config()["hidden"] == [8]
    assert [type(step) for step in run.transforms] == [LinearCondition]
    assert run.provenance["n_epochs"] == 2  # two stages
    with pytest.raises(CaloforgeError, match="load_recipe"):
        train(Recipe(**recipe), small_showers, training={"epochs": 1})


def test_a_class_with_transforms(small_showers: Showers, tmp_path: Path) -> None:
    """Without a recipe; and the run's recipe.yaml trains the same again."""
    run = train(
        GaussianPerFeature,
        small_showers,
        tmp_path / "run",
        transforms=[IncidentEnergyFraction(maximum=3.0), {"kind": "linear_condition"}],
        model={"start": 0.2},
        training=TRAINING,
    )
    assert isinstance(run.model, GaussianPerFeature)
    assert run.geometry == small_showers.geometry
    trusted = ["own_model.GaussianPerFeature"]
    assert _same(run, Simulator.load(tmp_path / "run", trusted))
    again = train(tmp_path / "run/recipe.yaml", small_showers)
    assert _same(run, again)
    assert again.model.to_config()["start"] == 0.2
    with pytest.raises(CaloforgeError, match=r"training\.epochs"):
        train(GaussianPerFeature, small_showers)


class _Watch(Callback):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def training_started(self, trainer: Trainer) -> None:
        self.seen.append("start")

    def stage_started(self, trainer: Trainer) -> None:
        self.seen.append(trainer.stage.name)

    def batch_done(self, trainer: Trainer) -> None:
        trainer.log(last_loss=trainer.losses["loss"])

    def epoch_done(self, trainer: Trainer) -> None:
        assert trainer.simulator is not None
        assert trainer.simulator.model is trainer.model
        trainer.log(mean_energy=float(trainer.simulator.generate(np.full(10, 200.0), 1).voxels.mean()))
        self.seen.append(f"epoch {trainer.epoch} of {trainer.settings.epochs}")

    def stage_done(self, trainer: Trainer) -> None:
        self.seen.append("stage done")

    def training_done(self, trainer: Trainer) -> None:
        self.seen.append("done")


def test_callbacks_watch_and_log_and_change_nothing(
    recipe: dict[str, Any], small_showers: Showers, tmp_path: Path
) -> None:
    watch = _Watch()
    run = train(recipe, small_showers, tmp_path / "run", callbacks=[watch])
    epochs = ["epoch 0 of 2", "epoch 1 of 2", "stage done"]
    assert watch.seen == ["start", "autoencoder", *epochs, "density", *epochs, "done"]
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    assert all(np.isfinite([line["mean_energy"], line["last_loss"]]).all() for line in lines)
    assert _same(run, train(recipe, small_showers))


@pytest.mark.parametrize(("whole", "epochs"), [(False, [1, 1, 2]), (True, [1])])
def test_a_callback_ends_a_stage_or_the_training(
    whole: bool, epochs: list[int], recipe: dict[str, Any], small_showers: Showers, tmp_path: Path
) -> None:
    class Stop(Callback):
        def epoch_done(self, trainer: Trainer) -> None:
            if trainer.stage.name == "autoencoder":
                trainer.stop() if whole else trainer.stop_stage()

    train(recipe, small_showers, tmp_path / "run", callbacks=[Stop()])
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == epochs
    # A stage that was ended stays so; a training that was stopped can be resumed where it was.
    resumed = train(recipe, small_showers, tmp_path / "run", resume=True)
    assert resumed.provenance["n_epochs"] == (4 if whole else 3)
    if whole:
        assert _same(resumed, train(recipe, small_showers))


@pytest.mark.parametrize(("name", "value"), [("loss", 1.0), ("mine", float("nan"))])
def test_what_cannot_be_logged(name: str, value: float, recipe: dict[str, Any], small_showers: Showers) -> None:
    class Log(Callback):
        def epoch_done(self, trainer: Trainer) -> None:
            trainer.log(**{name: value})

    with pytest.raises(CaloforgeError, match=name):
        train(recipe, small_showers, callbacks=[Log()])


def test_resuming_needs_a_folder(recipe: dict[str, Any], small_showers: Showers) -> None:
    with pytest.raises(CaloforgeError, match="without a folder"):
        train(recipe, small_showers, resume=True)
