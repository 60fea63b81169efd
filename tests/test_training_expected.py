"""What trainings of a recipe reached, and whether another training came out alike."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from caloforge.cli import main
from caloforge.errors import CaloforgeError
from caloforge.locations import list_recipes
from caloforge.sources.sample import sample
from caloforge.training import find_recipe, load_recipe, train
from caloforge.training.expected import Expected, compared, expected_of, history_of, reached
from caloforge.training.settings import TrainingSettings

Command = Callable[[str], tuple[int, str, list[str]]]

SETTINGS = TrainingSettings(
    epochs=2,
    batch_size=8,
    learning_rate=0.001,
    stages={"density": {"select": "separation_power"}, "student": {"select": "validation_loss"}},
)
HISTORY = [
    {"stage": "autoencoder", "validation_loss": 3.0},
    {"stage": "autoencoder", "validation_loss": 2.5},
    {"stage": "density", "validation_loss": 1.0, "separation_power": 0.03},
    {"stage": "density", "validation_loss": 0.5, "separation_power": 0.04},
    {"stage": "student", "validation_loss": 0.1},
    {"stage": "student", "validation_loss": 0.2},
]


def expected(seeds: int = 3, **stages: list[float]) -> Expected:
    return Expected(sample="photons", showers=100, seeds=seeds, stages=stages)


def test_what_counts_is_the_epoch_that_was_kept() -> None:
    assert reached(HISTORY, SETTINGS) == {
        "autoencoder": ("validation_loss", 2.5),
        "density": ("separation_power", 0.03),
        "student": ("validation_loss", 0.1),
    }


def test_the_limit_is_that_of_students_distribution() -> None:
    """t of 99 % is 6.9646 with two degrees of freedom, and 31.821 with one (tables)."""
    assert expected(3, model=[2.0, 0.1]).limit("model") == pytest.approx(2 + 6.9646 * 0.1 * np.sqrt(4 / 3), abs=1e-4)
    assert expected(2, model=[2.0, 0.1]).limit("model") == pytest.approx(2 + 31.821 * 0.1 * np.sqrt(1.5), abs=1e-3)
    assert expected(1, model=[2.0]).limit("model") is None


def test_one_training_in_a_hundred_that_is_like_the_others_is_called_worse() -> None:
    random = np.random.default_rng(1)
    worse = 0
    for _ in range(3000):
        *earlier, new = random.normal(5, 2, 4)
        own = expected(3, model=[float(np.mean(earlier)), float(np.std(earlier, ddof=1))])
        worse += compared(own, [{"stage": "model", "validation_loss": new}], SETTINGS)[0].worse
    assert 0.01 * 3000 - 4 * np.sqrt(30) < worse < 0.01 * 3000 + 4 * np.sqrt(30)


def test_a_worse_stage_is_named_and_a_better_one_is_not() -> None:
    own = expected(3, autoencoder=[2.0, 0.01], density=[0.05, 0.001], student=[0.1, 0.01])
    stages = compared(own, HISTORY, SETTINGS)
    assert [stage.worse for stage in stages] == [True, False, False]
    assert str(stages[0]) == ("autoencoder: validation_loss 2.5, expected 2 ± 0.01: WORSE than expected, limit 2.0804")
    assert "separation_power 0.03, expected 0.05 ± 0.001: as expected" in str(stages[1])


def test_one_training_has_no_spread() -> None:
    own = expected(1, autoencoder=[2.0], density=[0.05], student=[0.1])
    stage = compared(own, HISTORY, SETTINGS)[0]
    assert not stage.worse
    assert str(stage).endswith("no spread known")


def test_other_stages_are_refused() -> None:
    with pytest.raises(CaloforgeError, match="expects the stages density, but the training has autoencoder, density"):
        compared(expected(density=[1.0, 0.1]), HISTORY, SETTINGS)


def test_the_numbers_of_some_trainings() -> None:
    runs = [[{"stage": "model", "validation_loss": value}] for value in (1.0, 2.0, 3.0)]
    own = expected_of(runs, SETTINGS, "photons", 100)
    assert (own.seeds, own.stages) == (3, {"model": [2.0, 1.0]})
    assert expected_of(runs[:1], SETTINGS, "photons", 100).stages == {"model": [1.0]}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [([], "give"), ([1, 2, 3], "give"), ([1, -1], "not negative"), ([float("nan")], "finite"), (["a"], "number")],
)
def test_bad_numbers_in_a_recipe(numbers: list[Any], message: str) -> None:
    plain = yaml.safe_load(find_recipe("caloman-demo").read_text())
    plain["expected"] = {"sample": "photons", "showers": 1, "seeds": 3, "stages": {"autoencoder": numbers}}
    with pytest.raises(CaloforgeError, match=rf"expected\.stages.*{message}"):
        load_recipe(plain)


def test_what_is_expected_changes_nothing_in_a_run() -> None:
    """A run can be resumed after the numbers of its recipe were renewed."""
    plain = yaml.safe_load(find_recipe("caloman-demo").read_text())
    plain.pop("expected", None)
    without = load_recipe(plain).to_yaml()
    plain["expected"] = {"sample": "photons", "showers": 1, "seeds": 1, "stages": {"autoencoder": [1.0]}}
    assert load_recipe(plain).to_yaml() == without


@pytest.mark.parametrize("name", list_recipes())
def test_recipes_expect_stages_that_they_could_have(name: str) -> None:
    recipe = load_recipe(name)
    if recipe.expected is not None:
        assert recipe.expected.seeds == 1 or all(len(each) == 2 for each in recipe.expected.stages.values())


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in `tmp_path`, beside train.h5 and a small recipe; gives status, output, errors."""
    monkeypatch.chdir(tmp_path)
    sample("train", stop=120).write("train.h5")

    def run(words: str) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["caloforge", *shlex.split(words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        streams = capsys.readouterr()
        return int(stopped.value.code or 0), streams.out, streams.err.strip().splitlines()

    return run


def write_recipe(path: str, own: dict[str, Any] | None) -> None:
    plain = yaml.safe_load(find_recipe("vae-ds1-photons-small").read_text())
    plain["model"] |= {"code_dim": 2, "hidden": [8]}
    plain["training"] |= {"epochs": 1, "batch_size": 64}
    plain.pop("expected", None)
    Path(path).write_text(yaml.safe_dump(plain | ({} if own is None else {"expected": own})))


def test_the_command_compares_and_says_so_by_its_status(command: Command) -> None:
    write_recipe("plain.yaml", None)
    train("plain.yaml", "train.h5", "first")
    (stage, (_, value)), *_ = reached(history_of(Path("first")), load_recipe("plain.yaml").training).items()
    own: dict[str, Any] = {"sample": "demo photons", "showers": 120, "seeds": 3}

    write_recipe("good.yaml", own | {"stages": {stage: [value, 0.0]}, "evaluation": {"trees": [0.9, 0.01]}})
    status, out, _ = command("train good.yaml --train train.h5 -o good --check-expected")
    assert status == 0
    assert "good, and what the recipe expects after 3 seeds (demo photons)" in out
    assert "as expected" in out
    assert "caloforge evaluate gave trees 0.9 ± 0.01" in out

    write_recipe("bad.yaml", own | {"stages": {stage: [value - 1, 0.01]}})
    write_recipe("other.yaml", own | {"stages": {"modell": [value, 0.01]}})
    status, _, errors = command("train other.yaml --train train.h5 -o other --check-expected")
    assert status == 2
    assert "the recipe expects the stages modell, but the training has model" in errors[-1]
    assert not Path("other").exists()

    status, out, _ = command("train bad.yaml --train train.h5 -o bad --check-expected")
    assert status == 1
    assert "WORSE than expected" in out
    assert Path("bad/simulator.json").exists()


def test_what_cannot_be_compared_is_refused_before_the_training(command: Command) -> None:
    write_recipe("plain.yaml", None)
    write_recipe("own.yaml", {"sample": "photons", "showers": 30002, "seeds": 1, "stages": {"model": [1.0]}})
    for words, message in (
        ("train plain.yaml --train train.h5", "does not say what to expect"),
        ("train own.yaml --train train.h5 --set training.epochs=2", "--set changes it"),
        ("train own.yaml --train train.h5 --exclude-energies 512", "leave out --exclude-energies, --valid and --from"),
        (
            "train own.yaml --train train.h5 --set training.seed=2",
            "on 30,002 showers (photons), and the training",
        ),
    ):
        status, _, errors = command(f"{words} -o run --check-expected")
        assert (status, len(errors)) == (2, 1), errors
        assert message in errors[0]
    assert not Path("run").exists()
