"""Conditions beyond the energy on the command line: what goes right, and a line for everything that cannot be."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.training import train

LEVEL = {"kind": "flow_matching", "width": 8, "blocks": 1, "steps": 1}


def tilted(geometry: Geometry, n: int = 100) -> Showers:
    rng = np.random.default_rng(3)
    energies, theta = rng.uniform(100, 400, n), rng.uniform(0, 1, n)
    voxels = rng.dirichlet(np.full(geometry.n_voxels, 5.0), n) * (energies * (1 - 0.5 * theta))[:, None]
    return Showers(energies, voxels, geometry, {}, {"theta": theta})


@pytest.fixture
def files(tmp_path: Path, small_geometry: Geometry) -> Path:
    """A folder with showers at angles, and a run trained on them."""
    showers = tilted(small_geometry)
    showers.write(tmp_path / "angles.h5")
    Showers(showers.energies, showers.voxels, small_geometry).write(tmp_path / "plain.h5")
    recipe = {
        "name": "angles",
        "geometry": small_geometry.to_dict(),
        "transforms": [{"kind": "readout_threshold"}],
        "model": {"kind": "cascade", "layers": LEVEL, "rings": LEVEL, "voxels": LEVEL},
        "training": {"epochs": 1, "batch_size": 64, "learning_rate": 1e-2, "device": "cpu"},
    }
    train(recipe, showers, tmp_path / "run")
    train(recipe, Showers.read(tmp_path / "plain.h5"), tmp_path / "plain")
    return tmp_path


def invoke(*words: object) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])


def done(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.output.split())


def fails(*words: object) -> str:
    result = invoke(*words)
    assert isinstance(result.exception, CaloforgeError), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_training_says_what_the_model_is_told(files: Path, small_geometry: Geometry) -> None:
    showers = tilted(small_geometry)
    turning = {"frame": f"{TURNING_FRAME} from the entry point"}
    conditions = {**showers.conditions, "phi": 1.0}
    Showers(showers.energies, showers.voxels, small_geometry, turning, conditions).write(files / "turning.h5")
    said = done("train", files / "run" / "recipe.yaml", "--train", files / "turning.h5", "-o", files / "again")
    assert re.search(r"conditions: theta 0\.\d+ deg … 5\d\.\d+ deg left out: phi, on which", said)
    words = ("--set", "conditions=warmth", "-o", files / "none")
    failed = fails("train", files / "run" / "recipe.yaml", "--train", files / "turning.h5", *words)
    assert "the showers have no condition warmth; they have phi, theta" in failed


def test_angles_by_law(files: Path) -> None:
    out = files / "g.h5"
    done(
        "generate", files / "run", "--energies", "uniform:100:400", "--angles", "uniform:10:50deg", "-n", 40, "-o", out
    )
    with ShowerFile(out) as file:
        theta = np.degrees(file.conditions()["theta"])
        assert file.attributes["condition_laws"] == "theta=uniform:10:50deg"
    assert 10 < theta.min() < theta.max() < 50
    assert re.search(r"theta 1\d\.\d+ deg … 4\d\.\d+ deg \(angle of incidence", done("check", out))


def test_angles_of_a_file_come_with_their_energies(files: Path) -> None:
    done("generate", files / "run", "--energies", f"like:{files / 'angles.h5'}", "-o", files / "g.h5")
    generated, reference = Showers.read(files / "g.h5"), Showers.read(files / "angles.h5")
    assert np.array_equal(generated.energies, reference.energies)
    assert generated.conditions == reference.conditions


def test_shards_have_the_conditions_of_their_rows(files: Path) -> None:
    like = f"like:{files / 'angles.h5'}"
    done("generate", files / "run", "--energies", like, "-n", 130, "-o", files / "whole.h5")
    done("generate", files / "run", "--energies", like, "-n", 130, "--shards", 3, "-o", files / "shards")
    done("merge", files / "shards", "-o", files / "merged.h5")
    whole, merged = Showers.read(files / "whole.h5"), Showers.read(files / "merged.h5")
    assert np.array_equal(whole.energies, merged.energies)
    assert whole.conditions == merged.conditions
    turns = "theta=list:0,10,20deg"
    spectrum = ("--energies", "uniform:100:400", "-n", 20, "--condition", turns)
    done("generate", files / "run", *spectrum, "--shards", 3, "-o", files / "turns")
    done("merge", files / "turns", "-o", files / "in-turn.h5")
    theta = Showers.read(files / "in-turn.h5").conditions["theta"]
    assert np.degrees(theta).round(6).tolist() == ([0, 10, 20] * 7)[:20]


def test_conditions_that_a_run_does_not_know_are_named(files: Path) -> None:
    said = done("generate", files / "plain", "--energies", f"like:{files / 'angles.h5'}", "-o", files / "g.h5")
    assert "the run was not trained with theta (" in said
    assert "theta" not in Showers.read(files / "g.h5").conditions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--energies", "list:200"), "run was trained with theta (0."),
        (("run", "--energies", "list:200", "--angles", "uniform:0:80deg"), "the run was trained at"),
        (("run", "--energies", "list:200", "--angles", "30"), "is it in degrees? Write 30deg"),
        (("run", "--energies", "list:200", "--angles", "flat:0:1"), "'flat:0:1' is not a valid law of theta"),
        (("run", "--energies", "list:200", "--angles", "0.5", "--condition", "theta=0.5"), "theta has two laws"),
        (
            ("run", "--energies", "list:200", "--angles", "0.5", "--condition", "warm=1"),
            "does not know the condition warm",
        ),
        (("run", "--energies", "list:200", "--condition", "theta"), "'theta' is not of the form NAME=LAW"),
        (("run", "--energies", "list:200", "--angles", "5mm"), "'mm' in '5mm' is not a unit of theta"),
        (("run", "--energies", "like:plain.h5"), "give --condition theta=LAW"),
        (("plain", "--energies", "list:200", "--angles", "0.5"), "it knows the energy alone: leave out --angles or"),
    ],
)
def test_what_a_run_does_not_take_is_one_line(
    words: tuple[str, ...], message: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    assert message in fails("generate", *words, "-n", 200, "-o", "g.h5")
    assert not (files / "g.h5").exists()


@pytest.mark.usefixtures("no_page")
def test_evaluation_by_a_condition(files: Path, small_geometry: Geometry) -> None:
    angles, words = files / "angles.h5", ("--classifiers", "none", "--quick")
    tilted(small_geometry, 300).write(files / "more.h5")
    done("evaluate", files / "more.h5", "-r", angles, "--by", "theta", *words, "-o", files / "report")
    table = (files / "report" / "tables" / "mean_separation_power.csv").read_text()
    assert "theta 0 … " in table
    done("evaluate", files / "plain.h5", "-r", angles, *words, "--ignore-conditions", "theta", "-o", files / "other")
    assert "--energies like:REFERENCE, or compare without it (--ignore-conditions theta)" in fails(
        "evaluate", files / "plain.h5", "-r", angles, *words, "-o", files / "r"
    )
    assert "no condition warm to compare by; they have theta" in fails(
        "evaluate", angles, "-r", angles, "--by", "warm", *words, "-o", files / "r"
    )


def test_files_with_different_conditions_are_one_line(files: Path) -> None:
    assert "differ in conditions: only one of them has the condition theta" in fails(
        "merge", files / "angles.h5", files / "plain.h5", "-o", files / "m.h5"
    )


def test_one_command_line_exit_code(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import caloforge.cli as commands

    monkeypatch.setattr(
        "sys.argv", ["caloforge", "generate", str(files / "run"), "--energies", "list:200", "-o", "g.h5"]
    )
    with pytest.raises(SystemExit) as stopped:
        commands.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") <= 2


def test_a_law_of_angles_is_in_radians(files: Path) -> None:
    done("generate", files / "run", "--energies", "list:200", "--angles", "0.5", "-n", 3, "-o", files / "g.h5")
    assert Showers.read(files / "g.h5").conditions["theta"].tolist() == [0.5] * 3
    assert math.degrees(0.5) == pytest.approx(28.6, abs=0.1)
