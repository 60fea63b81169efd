"""Training that starts from another run's weights: what is carried over, how fast it changes, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.cli import main
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import Callback, Trainer, train
from caloforge.training.carried import InitialRun

LEVEL: dict[str, Any] = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 2}
LEARNT = {**LEVEL, "student_strides": 1, "student_pairs": 1}
TRAINING: dict[str, Any] = {"epochs": 2, "batch_size": 64, "learning_rate": 1e-2, "device": "cpu", "ema": 0.9}


def _recipe(geometry: Geometry, **training: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "geometry": geometry.to_dict(),
        "transforms": [{"kind": "readout_threshold", "value": "geometry"}],
        "model": {
            "kind": "cascade",
            "layers": LEVEL,
            "rings": LEVEL,
            "voxels": {**LEARNT, "network": "sectors"},
        },
        "training": {**TRAINING, **training},
    }


def _weights(run: Simulator) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in run.model.named_parameters()}


def _showers(geometry: Geometry, n: int, seed: int) -> Showers:
    """Exponential voxels whose mean is a share of the incident energy, of three energies."""
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 200.0, 400.0], n)
    shares = rng.dirichlet(np.full(geometry.n_voxels, 2.0), n)
    return Showers(energies, (0.9 * shares * energies[:, None]).astype(np.float32), geometry)


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    """Three layers, 13 voxels."""
    layers = (Layer(0, (0, 5, 10, 30), 1), Layer(1, (0, 10, 40), 4), Layer(7, (0, 50, 100), 1))
    return Geometry("small", layers, threshold=0.5)


@pytest.fixture(scope="module")
def showers(geometry: Geometry) -> Showers:
    return _showers(geometry, 250, 5)


@pytest.fixture(scope="module")
def source(geometry: Geometry) -> Simulator:
    """A run on other showers."""
    return train(_recipe(geometry, seed=7), _showers(geometry, 200, 6))


def test_weights_that_are_kept_are_the_runs_and_tables_are_the_new_showers(
    source: Simulator, geometry: Geometry, showers: Showers
) -> None:
    """With a rate of 0 nothing is trained; the student, too, is that of the run and not its teacher anew."""
    run = train(_recipe(geometry, carried_rate=0), showers, initial=source)
    before, after = _weights(source), _weights(run)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert run.provenance["n_epochs"] == 0
    scratch, constants = train(_recipe(geometry), showers).model, dict(run.model.named_buffers())
    for name, value in scratch.named_buffers():
        assert torch.equal(value, constants[name]), name
    assert any(not torch.equal(value, constants[name]) for name, value in source.model.named_buffers())


def test_provenance_and_a_folder_give_the_same_as_a_run_in_memory(
    source: Simulator, geometry: Geometry, showers: Showers, tmp_path: Path
) -> None:
    source.save(tmp_path / "source")
    recipe = _recipe(geometry)
    from_memory = train(recipe, showers, initial=source)
    run = train(recipe, showers, tmp_path / "run", initial=tmp_path / "source")
    assert all(torch.equal(a, b) for a, b in zip(_weights(run).values(), _weights(from_memory).values(), strict=True))
    stored = json.loads((tmp_path / "source/simulator.json").read_text())["weights_sha256"]
    assert run.provenance["initial_weights_sha256"] == stored == from_memory.provenance["initial_weights_sha256"]
    assert run.provenance["initial_recipe"] == "small"
    assert Simulator.load(tmp_path / "run").provenance["initial_weights_sha256"] == stored


def test_a_lower_rate_by_stage(source: Simulator, geometry: Geometry, showers: Showers) -> None:
    """Adam's steps are as long as the learning rate: weights carried over move a tenth as far, others do not."""
    stages = {"layers_velocity": {"carried_rate": 0.1}, "rings_velocity": {"carried_rate": 0}}
    recipe = _recipe(geometry, epochs=1, stages=stages)
    recipe["model"]["layers"] = {**LEVEL, "blocks": 2}
    fresh = InitialRun.of(source)
    start: dict[str, torch.Tensor] = {}

    class _Begin(Callback):
        def training_started(self, trainer: Trainer) -> None:
            start.update({name: value.detach().clone() for name, value in trainer.model.named_parameters()})
            lines = list(trainer.carried.lines(trainer.model, trainer.model.stages()))
            afresh = "weights carried over; afresh: modulations.1, blocks.1.0, blocks.1.2"
            assert any(line.startswith("layers_velocity: ") and line.endswith(afresh) for line in lines), lines
            assert any(line.startswith("rings_velocity: all ") for line in lines)

    run = train(recipe, showers, initial=source, callbacks=[_Begin()])
    moved = {name: float((value - start[name]).abs().max()) for name, value in _weights(run).items()}
    carried = [name for name in start if name in fresh.weights]
    assert all(torch.equal(start[name], fresh.weights[name]) for name in carried)
    own = [moved[name] for name in carried if name.startswith("models.layers.")]
    others = [moved[name] for name in start if name.startswith("models.layers.") and name not in carried]
    assert 0 < max(own) < 0.3 * max(others)
    assert all(moved[name] == 0 for name in carried if name.startswith("models.rings."))
    assert max(moved[name] for name in carried if name.startswith("models.voxels.")) > max(own)


def test_another_geometry_gets_what_does_not_depend_on_it(source: Simulator, showers: Showers) -> None:
    """One layer more: the blocks of all levels fit, the first and last layers do not."""
    layers = (*showers.geometry.layers, Layer(8, (0, 10, 40), 4))
    larger = Geometry("larger", layers, threshold=0.5)
    run = train(_recipe(larger, carried_rate=0), _showers(larger, 200, 8), initial=source)
    before, after = _weights(source), _weights(run)
    for level in ("layers", "rings", "voxels"):
        name = f"models.{level}.velocity.blocks.0.{'inward' if level == 'voxels' else '0'}.weight"
        assert torch.equal(before[name], after[name])
        first = f"models.{level}.velocity.first.weight"
        assert before[first].shape != after[first].shape
    assert np.isfinite(run.generate(np.array([150.0]), 1).voxels).all()


def test_a_condition_that_the_run_did_not_know(source: Simulator, geometry: Geometry, showers: Showers) -> None:
    """What sees the conditions starts afresh, the rest is carried over; and the other way round."""
    theta = np.linspace(0, 1, len(showers))
    slanted = Showers(showers.energies, showers.voxels, geometry, conditions={"theta": theta})
    run = train(_recipe(geometry, carried_rate=0), slanted, initial=source)
    before, after = _weights(source), _weights(run)
    assert run.conditions.names == ("theta",)
    assert torch.equal(
        before["models.rings.velocity.blocks.0.0.weight"], after["models.rings.velocity.blocks.0.0.weight"]
    )
    seen = "models.rings.velocity.embedding.conditions.0.weight"
    assert after[seen].shape[1] == before[seen].shape[1] + 1
    back = train(_recipe(geometry, carried_rate=0), showers, initial=run)
    assert _weights(back)[seen].shape == before[seen].shape


class _Interrupt(Callback):
    """Ctrl-C in the second batch of a stage's second epoch."""

    def __init__(self, stage: str) -> None:
        self.stage, self.batches = stage, 0

    def batch_done(self, trainer: Trainer) -> None:
        if trainer.stage.name == self.stage and trainer.epoch == 1:
            self.batches += 1
            if self.batches == 2:
                raise KeyboardInterrupt


@pytest.mark.parametrize("stage", ["layers_velocity", "voxels_student"])
def test_resumed_training_ends_with_the_same_weights(
    stage: str, source: Simulator, geometry: Geometry, showers: Showers, tmp_path: Path
) -> None:
    """Also past a stage that is not trained."""
    source.save(tmp_path / "source")
    stages = {"rings_velocity": {"carried_rate": 0}, "voxels_velocity": {"carried_rate": 0.2}}
    recipe = _recipe(geometry, stages=stages)
    whole = train(recipe, showers, initial=tmp_path / "source")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, showers, tmp_path / "run", initial=tmp_path / "source", callbacks=[_Interrupt(stage)])
    with pytest.raises(CaloforgeError, match=r"run was begun with initial=…; give the same initial=…"):
        train(recipe, showers, tmp_path / "run", resume=True)
    resumed = train(recipe, showers, tmp_path / "run", initial=tmp_path / "source", resume=True)
    assert all(torch.equal(a, b) for a, b in zip(_weights(whole).values(), _weights(resumed).values(), strict=True))


def test_a_run_without_a_start_is_not_resumed_with_one(
    source: Simulator, geometry: Geometry, showers: Showers, tmp_path: Path
) -> None:
    recipe = _recipe(geometry)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, showers, tmp_path / "run", callbacks=[_Interrupt("rings_velocity")])
    with pytest.raises(CaloforgeError, match=r"run was begun without initial=…; leave it out"):
        train(recipe, showers, tmp_path / "run", initial=source, resume=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--from nowhere", "no such run: nowhere"),
        ("--from empty", "empty contains no trained simulator"),
        ("--from file.txt", "file.txt is a file: give the folder of a run"),
        ("--from damaged", "damaged: weights.safetensors is not the file saved with it"),
        ("--from other", "other has a model of kind caloman, but the recipe's is cascade"),
        (
            "--from source --set model.layers.width=5 --set model.rings.width=5 --set model.voxels.width=5",
            "no weight of source fits the model of the recipe: their sizes differ",
        ),
        (
            "--set training.carried_rate=0.1",
            "carried_rate 0.1, but no weights are carried over: give a run to start from",
        ),
        ("--from source --set training.carried_rate=2", "--set training.carried_rate=2: 'training.carried_rate' is 2"),
        ("--from source --set training.carried_rate=-1", "'training.carried_rate' is -1"),
        ("--from source -o source --overwrite", "source lies in source, which --overwrite replaces"),
    ],
)
def test_one_line_for_each_mistake(
    words: str,
    message: str,
    source: Simulator,
    geometry: Geometry,
    showers: Showers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    showers.write(tmp_path / "train.h5")
    (tmp_path / "recipe.yaml").write_text(json.dumps(_recipe(geometry)))
    source.save("source")
    (tmp_path / "source/identity.json").write_text("{}")
    shutil.copytree("source", "damaged")
    (tmp_path / "damaged/weights.safetensors").write_bytes(b"nothing")
    shutil.copytree("source", "other")
    described = json.loads((tmp_path / "other/simulator.json").read_text())
    (tmp_path / "other/simulator.json").write_text(json.dumps(described | {"model": {"kind": "caloman"}}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    out = [] if "-o" in words else ["-o", "run"]
    monkeypatch.setattr("sys.argv", ["caloforge", "train", "recipe.yaml", "--train", "train.h5", *out, *words.split()])
    with pytest.raises(SystemExit) as stopped:
        main()
    errors = capsys.readouterr().err.strip().splitlines()
    assert stopped.value.code == 2
    assert message in errors[-1]
    assert "Traceback" not in "".join(errors)
    assert not (tmp_path / "run").exists()
    assert (tmp_path / "source/simulator.json").exists()
