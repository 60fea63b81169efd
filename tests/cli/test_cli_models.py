"""`caloforge models`, and models' names in place of runs; what is said of runs that do not fit what they are asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_cli_generate import done, fails, invoke, save_run

from caloforge.geometry import Geometry, load_geometry
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.zoo.model_card import Card


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOFORGE_MODELS", str(tmp_path / "models"))


@pytest.fixture
def run(tmp_path: Path, small_geometry: Geometry, small_showers: Showers) -> Path:
    return save_run(tmp_path / "run", small_geometry, small_showers)


def test_from_a_run_to_a_model_that_is_used_by_its_name(run: Path, tmp_path: Path) -> None:
    archive = tmp_path / "toy.zip"
    printed = invoke("models", "pack", run, "-o", archive, "--licence", "CC0-1.0")
    assert printed.exit_code == 0, printed.output
    assert "float16; a shower changes by" in printed.stdout
    assert "without --citation" in printed.stderr
    assert "without --licence" not in printed.stderr
    assert f"{tmp_path / 'models' / 'toy'}" in done("models", "get", archive)
    assert "toy\n" in done("models", "list")
    shown = done("models", "show", "toy")
    assert "density ratio" not in shown  # of the weights, which a card without a report does not have
    for text in ("CC0-1.0", "100 MeV … 400 MeV", "small: 13 voxels in 3 layers", "loguniform:100MeV:400MeV"):
        assert text in shown
    assert Card(**json.loads(done("models", "show", "toy", "--json"))).name == "toy"
    done("generate", "toy", "--energies", "uniform:100:400", "-n", 20, "-o", tmp_path / "g.h5")
    assert Showers.read(tmp_path / "g.h5").attributes["model"] == "toy"
    done("benchmark", "toy", "--batches", "1")


def test_a_card_explains_its_numbers() -> None:
    shown = " ".join(done("models", "show", "flagship-atlas-like").split())
    assert "28502 (without those held out for validation)" in shown
    assert "w: density ratio, Geant4 over generated" in shown


def test_unknown_models_list_the_known_ones(run: Path, tmp_path: Path) -> None:
    done("models", "pack", run, "-o", tmp_path / "toy.zip")
    done("models", "get", tmp_path / "toy.zip")
    for words in (
        ("generate", "toi", "--energies", "list:100", "-o", tmp_path / "g.h5"),
        ("export", "toi", "-o", tmp_path / "g.onnx"),
        ("benchmark", "toi"),
        ("models", "show", "toi"),
    ):
        assert "no run and no model 'toi': did you mean toy?" in fails(*words)


def test_what_is_there_is_replaced_only_if_asked(run: Path, tmp_path: Path) -> None:
    done("models", "pack", run, "-o", tmp_path / "toy")
    assert "toy exists: give another output" in fails("models", "pack", run, "-o", tmp_path / "toy")
    done("models", "pack", run, "-o", tmp_path / "toy", "--overwrite")
    assert "and not a packed model" in fails("models", "pack", run, "-o", run, "--overwrite")
    done("models", "pack", run, "-o", tmp_path / "toy.zip")
    assert "toy.zip exists" in fails("models", "pack", run, "-o", tmp_path / "toy.zip")
    assert Simulator.load(run).n_parameters > Simulator.load(tmp_path / "toy").n_parameters


@pytest.mark.parametrize(
    ("provenance", "said"),
    [
        ({"training_epochs": {"autoencoder": 1, "density": 1}}, "all stages of this run were trained for one epoch"),
        ({"training_epochs": {"autoencoder": 9, "density": 1}}, "the stages density of this run were trained for one"),
        ({"training_seconds": {"a": 1.0, "b": 1.0}, "n_epochs": 2}, "all stages of this run were trained for one"),
        ({"training_showers": 600}, "the run was trained on 600 showers only"),
        ({"training_epochs": {"density": 9}, "training_showers": 5000, "n_epochs": 9}, ""),
        ({"training_epochs": "many", "training_showers": "some", "training_seconds": 3}, ""),
    ],
)
def test_a_short_training_is_said(
    small_geometry: Geometry, small_showers: Showers, tmp_path: Path, provenance: dict[str, object], said: str
) -> None:
    run = save_run(tmp_path / "short", small_geometry, small_showers, **provenance)
    printed = invoke("generate", run, "--energies", "list:100,200", "-o", tmp_path / "g.h5")
    assert printed.exit_code == 0, printed.output
    assert ("warning: " + said in printed.stderr) if said else ("warning: " not in printed.stderr)


def test_energies_of_other_showers_are_said(run: Path, small_showers: Showers, tmp_path: Path) -> None:
    other = Showers([200.0], [[1.0] * 368], load_geometry("ds1-photons"))
    other.write(tmp_path / "other.h5", {"particle": "e-", "detector": "elsewhere"})
    small_showers.write(tmp_path / "same.h5", {"particle": "gamma", "detector": "unknown"})
    simulator = Simulator.load(run)
    simulator.provenance |= {"particle": "gamma", "detector": "toy"}
    simulator.save(tmp_path / "of-photons")
    words = ("generate", tmp_path / "of-photons", "-n", 10, "--energies")
    printed = invoke(*words, f"like:{tmp_path / 'other.h5'}", "-o", tmp_path / "a.h5")
    for text in ("'ds1-photons' (368 voxels); the run generates 'small' (13 voxels)", "with particle e-", "elsewhere"):
        assert text in printed.stderr
    assert "warning: " not in invoke(*words, f"like:{tmp_path / 'same.h5'}", "-o", tmp_path / "b.h5").stderr
