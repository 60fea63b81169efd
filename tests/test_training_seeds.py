"""Several trainings that differ in their seed: each is what a training with that seed gives, and none is done twice."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge import training
from caloforge.cli import main
from caloforge.errors import CaloforgeError
from caloforge.sources.sample import sample
from caloforge.training import load_recipe
from caloforge.training.seeds import seed_runs
from caloforge.zoo import load

MODEL = {"latent_dim": 2, "hidden": [8], "flow_layers": 1}
SETTINGS = {"epochs": 1, "batch_size": 64, "stages": {"density": {"select": "validation_loss"}}}
TINY = "--set model.latent_dim=2 --set model.hidden=[8] --set model.flow_layers=1 --set training.epochs=1 " + (
    "--set training.batch_size=64 --set training.stages.density.select=validation_loss"
)
TRAIN = f"train caloman-demo --train train.h5 -o run {TINY}"

Command = Callable[[str], tuple[int, str, list[str]]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in `tmp_path`, beside train.h5; gives status, standard output, and lines of error."""
    monkeypatch.chdir(tmp_path)
    sample("train", stop=120).write("train.h5")

    def run(words: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["caloforge", *shlex.split(words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        streams = capsys.readouterr()
        return int(stopped.value.code or 0), streams.out, streams.err.strip().splitlines()

    return run


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_each_is_the_training_with_its_seed_and_is_done_once(command: Command, tmp_path: Path) -> None:
    status, out, told = command(f"{TRAIN} --seeds 2")
    assert status == 0
    assert [line for line in told if line.startswith("seed")] == [
        "seed 1 (1 of 2): training, run/seed-1",
        "seed 2 (2 of 2): training, run/seed-2",
    ]
    assert "runs: run/seed-1, run/seed-2" in out
    recipe = load_recipe("caloman-demo", changes={"model": MODEL, "training": {**SETTINGS, "seed": 2}})
    alone = training.train(recipe, "train.h5")
    second = load("run/seed-2")
    assert second.provenance["training_seed"] == 2
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0, atol=0)

    before = stamps(Path("run/seed-1"))
    status, _, told = command(f"{TRAIN} --seeds 3 --resume")
    assert status == 0
    assert told[0] == "seed 1 (1 of 3): finished earlier, run/seed-1"
    assert "seed 3 (3 of 3): training, run/seed-3" in told
    assert stamps(Path("run/seed-1")) == before

    status, _, told = command("generate run --energies like:train.h5 -o generated.h5")
    assert (status, told) == (
        2,
        [
            "caloforge: run holds several trainings, seed-1, seed-2 and seed-3: give one of them, such as run/seed-1",
        ],
    )


def test_an_interrupted_series_says_how_to_go_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real = training.train

    def stopped_at_the_second(recipe: Any, *words: Any, **options: Any) -> Any:
        if recipe.training.seed == 8:
            raise KeyboardInterrupt
        return real(recipe, *words, **options)

    monkeypatch.setattr(training, "train", stopped_at_the_second)
    status, _, told = command(f"{TRAIN} --seeds 2 --set training.seed=7")
    assert status == 130
    assert "stopped; to continue, repeat the command with --resume (what is finished is kept)" in told
    monkeypatch.undo()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """What counts of two trainings: the first finished, the second begun."""
    recipe = load_recipe("caloman-demo")
    for seed in (1, 2):
        folder = tmp_path / "runs" / f"seed-{seed}"
        folder.mkdir(parents=True)
        own = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": seed})})
        (folder / "identity.json").write_text(json.dumps({"recipe": recipe.name, "recipe_yaml": own.to_yaml()}))
    described = {"format": 1, "provenance": {"training_file": "a.h5"}}
    (tmp_path / "runs" / "seed-1" / "simulator.json").write_text(json.dumps(described))
    for name in ("a.h5", "b.h5"):
        (tmp_path / name).touch()
    return tmp_path / "runs"


def test_what_is_left_to_do(runs: Path) -> None:
    recipe = load_recipe("caloman-demo")
    plan = seed_runs(recipe, runs.with_name("a.h5"), runs, 3, resume=True)
    assert [(run.seed, run.begun, run.finished) for run in plan] == [
        (1, True, True),
        (2, True, False),
        (3, False, False),
    ]
    assert [run.of(recipe).training.seed for run in plan] == [1, 2, 3]
    anew = seed_runs(recipe, runs.with_name("a.h5"), runs, 2, overwrite=True)
    assert not any(run.begun or run.finished for run in anew)


@pytest.mark.parametrize(
    ("seeds", "file", "changes", "options", "words"),
    [
        (0, "a.h5", {}, {}, "seeds must be at least 1, not 0"),
        (2, "a.h5", {}, {}, r"seed-1 exists; add resume=True to continue it, or overwrite=True to replace it"),
        (2, "a.h5", {"seed": 5}, {"resume": True}, "holds no run of seed 5 … 6 to resume"),
        (2, "a.h5", {"seed": 2}, {"overwrite": True}, "runs also holds seed-1, which would stay: remove it"),
        (2, "a.h5", {"epochs": 9}, {"resume": True}, r"another recipe \(training.epochs was 60, now 9\)"),
        (2, "b.h5", {}, {"resume": True}, r"seed-1 was trained on a.h5, not on b.h5"),
    ],
)
def test_what_cannot_be_done_is_found_before_the_first(
    runs: Path, seeds: int, file: str, changes: dict[str, Any], options: dict[str, bool], words: str
) -> None:
    recipe = load_recipe("caloman-demo", changes={"training": changes})
    with pytest.raises(CaloforgeError, match=words):
        seed_runs(recipe, runs.with_name(file), runs, seeds, **options)  # type: ignore[arg-type]


def test_a_single_run_is_no_folder_of_several(runs: Path) -> None:
    with pytest.raises(CaloforgeError, match="seed-1 holds a single run; give another folder for several"):
        seed_runs(load_recipe("caloman-demo"), runs.with_name("a.h5"), runs / "seed-1", 2)
