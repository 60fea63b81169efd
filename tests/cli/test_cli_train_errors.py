"""What a user gets wrong with `caloforge train`: one line, status 2, and nothing left that blocks the next try."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import get_args

import h5py
import pytest

from caloforge.cli import choices, main
from caloforge.export import FORMATS
from caloforge.export.engines import ENGINES
from caloforge.export.graph import Precision
from caloforge.export.tracing import Exporter
from caloforge.registry import importable_for
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.sources.sample import sample_path
from caloforge.training import CHECKPOINT

ROOT = Path(__file__).parents[2]
TINY = [
    "--set=training.epochs=2",
    "--set=training.batch_size=128",
    "--set=model.latent_dim=4",
    "--set=model.hidden=[16]",
    "--set=model.flow_layers=1",
    "--set=training.stages.density.select=validation_loss",
]


@pytest.fixture(scope="module")
def train_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("showers") / "train.h5"
    Showers.read(sample_path("train"), stop=700).write(path)
    return path


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run the command line in `tmp_path` as a shell would; gives status, standard output, and lines of error."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["caloforge", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        streams = capsys.readouterr()
        return int(stopped.value.code or 0), streams.out, streams.err.strip().splitlines()

    return run


def _own(folder: Path, name: str, old: str = "", new: str = "") -> None:
    """The model and the recipe that CONTRIBUTING shows, with a change, as NAME.py and NAME.yaml."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (model, *_), (recipe, *_) = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("python", "yaml"))
    assert old in model
    (folder / f"{name}.py").write_text(model.replace(old, new, 1))
    (folder / f"{name}.yaml").write_text(recipe.replace("own_model.", f"{name}."))


BEFORE = [
    ("--set model.latent_dim=1000", "latent_dim must be 2 … 369"),
    ("--set model.latent_dim=-3", "latent_dim must be 2 … 369"),
    ("--set model.hidden=[-3]", "--set model.hidden=[-3]: model: 'hidden.0' is -3: input should be greater than 0"),
    ("--set training.batch_size=0", "--set training.batch_size=0: 'training.batch_size' is 0"),
    ("--set training.learning_rate=-1", "'training.learning_rate' is -1"),
    ("--set training.epochs=-1", "'training.epochs' is -1"),
    ("--set training.stages.densty.epochs=1", "unknown key 'densty' (the model has: autoencoder, density)"),
    ("--set training.select=beauty", "selects by 'beauty'; known are last, validation_loss, separation_power"),
    ("--set training.device=foo", "device 'foo' is not known: give cpu, cuda, cuda:N, mps or auto"),
    ("--set training.learning_rate=1e30", "became nan in epoch 1: lower the learning rate"),
    ("--valid nothing.h5", "nothing.h5: no such file"),
    ("--valid zero.h5 --train zero.h5", "zero.h5: no shower deposits any energy"),
    ("--valid broken.h5", "broken.h5: voxel 3 of row 3 is nan MeV, not finite"),
    ("--exclude-energies lots", "'lots' is not a valid energy"),
    ("--resume --overwrite", "--resume and --overwrite are mutually exclusive"),
]


@pytest.mark.parametrize(("wrong", "message"), BEFORE, ids=[wrong for wrong, _ in BEFORE])
def test_a_failure_before_the_first_epoch_leaves_no_folder(
    wrong: str, message: str, command, train_file: Path, tmp_path: Path
) -> None:
    for name in ("zero.h5", "broken.h5"):
        shutil.copy(train_file, tmp_path / name)
    with h5py.File(tmp_path / "zero.h5", "r+") as file:
        file["showers"][...] = 0
    with h5py.File(tmp_path / "broken.h5", "r+") as file:
        file["showers"][3, 3] = float("nan")
    words = wrong.split()
    data = [] if "--train" in words else ["--train", train_file]
    status, _, errors = command("train", "caloman-demo", *data, "-o", "run", *TINY, *words)
    assert status == 2
    assert message in errors[-1]
    assert "Traceback" not in "".join(errors)
    assert not (tmp_path / "run").exists()


def test_what_was_corrected_runs_with_the_same_folder(command, train_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()  # made by the user, empty: not ours to remove
    begin = ["train", "caloman-demo", "--train", train_file, "-o", "run", *TINY]
    assert command(*begin, "--set", "training.learning_rate=1e30")[0] == 2
    assert list((tmp_path / "run").iterdir()) == []
    status, output, _ = command(*begin)
    assert status == 0
    assert "run: run" in output


def test_a_failure_after_a_checkpoint_says_how_to_go_on(command, train_file: Path, tmp_path: Path) -> None:
    begin = ["train", "caloman-demo", "--train", train_file, "-o", "run", *TINY]
    status, _, errors = command(*begin, "--set", "training.stages.density.learning_rate=1e30")
    assert status == 2
    assert "stage 'density' became nan" in errors[-1]
    assert errors[-1].endswith("run keeps the run so far: start anew with --overwrite")
    assert (tmp_path / "run" / CHECKPOINT).exists()
    assert "--overwrite" in command(*begin)[2][-1]
    assert command(*begin, "--overwrite")[0] == 0


def test_overwrite_spares_folders_that_are_no_runs_and_files_that_are_needed(
    command, train_file: Path, tmp_path: Path
) -> None:
    """A folder with a recipe.yaml of the user's own is no run; nor may the showers lie in what is replaced."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/recipe.yaml").write_text("precious")
    shutil.copy(train_file, tmp_path / "project/train.h5")
    begin = ["train", "caloman-demo", "--train", "project/train.h5", "-o", "project", "--overwrite", *TINY]
    assert "not a run of caloforge" in command(*begin)[2][-1]
    (tmp_path / "project/identity.json").write_text("{}")
    assert "project/train.h5 lies in project, which --overwrite replaces" in command(*begin)[2][-1]
    assert (tmp_path / "project/recipe.yaml").read_text() == "precious"


@pytest.mark.parametrize("flag", [[], ["--overwrite"], ["--resume"]])
def test_a_file_for_a_folder(flag: list[str], command, train_file: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    status, _, errors = command("train", "caloman-demo", "--train", train_file, "-o", "thesis.txt", *flag)
    assert (status, len(errors)) == (2, 1)
    assert "thesis.txt is a file; -o takes a folder for the run" in errors[0]
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_damaged_identity_is_named(command, train_file: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/identity.json").write_text("{")
    _, _, errors = command("train", "caloman-demo", "--train", train_file, "-o", "run", "--resume", *TINY)
    assert "run/identity.json is damaged; start the run anew with --overwrite" in errors[-1]


OWN = [
    ("class Gaussian", "clas Gaussian", r"SyntaxError: invalid syntax \(.*/NAME\.py, line 11\)"),
    ("log_std = self.log_std(c)\n", "log_std = self.log_std(x)\n",
     r"your own code failed: RuntimeError: mat1 .*NAME\.py, line 26\); .*CALOFORGE_TRACEBACK=1"),
    (".sum(dim=1)", ".sum()", r"the loss of stage 'model' has the shape \(\); it must be one number per shower"),
    ("features: int, conditions: int,", "features: int,", "the constructor of GaussianPerFeature must take features"),
    ("start: float", "start: Tensor", "the arguments of GaussianPerFeature need plain types"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(OWN)))
def test_what_is_wrong_with_a_users_own_model_is_one_line(case: int, command, train_file: Path, tmp_path: Path) -> None:
    old, new, message = OWN[case]
    name = f"own_wrong_{case}"
    _own(tmp_path, name, old, new)
    status, _, errors = command("train", f"{name}.yaml", "--train", train_file, "-o", "run")
    assert status == 2
    assert re.search(message.replace("NAME", name), errors[-1])
    assert "Traceback" not in "".join(errors)
    assert not (tmp_path / "run").exists()


def test_the_whole_traceback_of_own_code_on_request(
    command, train_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _own(tmp_path, "own_traced", "log_std = self.log_std(c)\n", "log_std = self.log_std(x)\n")
    monkeypatch.setenv("CALOFORGE_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        command("train", "own_traced.yaml", "--train", train_file, "-o", "run")


def test_contributings_recipe_works_and_the_next_step_is_a_command(command, train_file: Path, tmp_path: Path) -> None:
    """The model and the recipe as shown; the printed command needs no quoting by hand, and finds the model again."""
    _own(tmp_path, "own_model_shown")
    status, output, _ = command("train", "own_model_shown.yaml", "--train", train_file, "-o", "my run")
    assert status == 0
    (line,) = [line for line in output.splitlines() if line.startswith("next: ")]
    words = shlex.split(line.removeprefix("next: "))
    assert words[:3] == ["caloforge", "generate", "my run"]
    assert words[-2:] == ["--trust", "own_model_shown.GaussianPerFeature"]
    status, _, errors = command(*words[1:])
    assert status == 0, errors
    assert len(Showers.read(tmp_path / "generated.h5")) == 700
    assert json.loads((tmp_path / "my run/identity.json").read_text())["recipe_folder"] == str(tmp_path)


def test_a_run_of_ones_own_model_is_found_from_elsewhere(
    command, train_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _own(tmp_path, "own_far")
    assert command("train", "own_far.yaml", "--train", train_file, "-o", "run")[0] == 0
    del sys.modules["own_far"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    trusted = ["own_far.GaussianPerFeature"]
    with importable_for(tmp_path / "run", trusted):
        assert Simulator.load(tmp_path / "run", trusted).provenance["recipe"] == "mine"


def test_where_the_recipe_lay_is_no_part_of_what_the_run_is(command, train_file: Path, tmp_path: Path) -> None:
    """A run goes on when recipe and model have moved together."""
    _own(tmp_path, "own_moved")
    begin = ["--train", train_file, "-o", "run"]
    assert command("train", "own_moved.yaml", *begin)[0] == 0
    (tmp_path / "moved").mkdir()
    for kind in ("py", "yaml"):
        (tmp_path / f"own_moved.{kind}").rename(tmp_path / f"moved/own_moved.{kind}")
    assert command("train", "moved/own_moved.yaml", *begin, "--resume")[0] == 0


def test_names_that_are_no_utf8(command, train_file: Path, tmp_path: Path) -> None:
    """Linux allows any bytes; they are stored escaped."""
    odd = "train\udcff.h5"
    try:
        shutil.copy(train_file, tmp_path / odd)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names alone")
    assert command("train", "caloman-demo", "--train", odd, "-o", "run\udcff", *TINY)[0] == 0
    facts = json.loads((tmp_path / "run\udcff/simulator.json").read_text())["provenance"]
    assert facts["training_file"] == "train\\xff.h5"
    assert command("simulate", "parametric", "-g", "ds1-photons", "-e", f"like:{odd}", "-n", "2", "-o", "a.h5")[0] == 0
    assert Showers.read(tmp_path / "a.h5").attributes["energies"] == "like:train\\xff.h5"


def test_simulate_keeps_existing_files(command, tmp_path: Path) -> None:
    begin = ["simulate", "parametric", "-g", "ds1-photons", "-e", "list:512", "-n", "3", "-o", "a.h5"]
    assert "a.h5: 3 analytic showers" in command(*begin)[1]
    before = (tmp_path / "a.h5").read_bytes()
    assert command(*begin)[2] == ["caloforge: a.h5 exists: give another output or --overwrite"]
    own = [*begin[:4], "-e", "like:a.h5", "-o", "a.h5", "--overwrite"]
    assert "a.h5 is the file that the energies come from" in command(*own)[2][0]
    assert (tmp_path / "a.h5").read_bytes() == before
    assert "a.h5: 1 analytic shower in" in command(*begin, "-n", "1", "--overwrite")[1]


USAGE = [
    ("train --trian x", "caloforge train: No such option"),
    ("train caloman-demo -o run", "caloforge train: Missing option '--train'"),
    ("frobnicate", "caloforge: No such command 'frobnicate'"),
    ("simulate parametric -e list:512 -o a.h5 -n three", "caloforge simulate parametric: Invalid value for '-n'"),
    (
        "generate run --energies list:1 -o a.h5 --engine jax",
        "'jax' is not one of 'torch', 'compile', 'onnx', 'onnx-int8'",
    ),
    ("export run -o a.onnx --precision int4", "'int4' is not one of 'float32', 'int8'"),
    ("export run -o a.onnx --format tflite", "'tflite' is not one of 'onnx', 'atlas'"),
    ("export run -o a.onnx --exporter new", "'new' is not one of"),
    ("benchmark run --reference zuko", "'zuko'"),
    ("generate run --energies list:1 -o a.h5 --sampler heun", "use --set model.sampler="),
    ("generate run --energies list:1 -o a.h5 --steps=3", "use --set model.steps="),
    ("benchmark run --against geant4", "use the command caloforge benchmark-geant4"),
    ("dimension a.h5 --seed -1", "caloforge dimension: Invalid value for '--seed'"),
    ("data get ds1-photons -f foo", "caloforge: no file 'foo' in ds1-photons: give train, reference, all or one of"),
]


@pytest.mark.parametrize(("line", "message"), USAGE)
def test_usage_errors_are_one_line_that_names_the_command(line: str, message: str, command, tmp_path: Path) -> None:
    status, output, errors = command(*line.split())
    assert (status, output, len(errors)) == (2, "", 1)
    assert message in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_choices_are_those_of_the_library() -> None:
    assert tuple(choices.EngineChoice) == ENGINES
    assert tuple(choices.FormatChoice) == FORMATS
    assert set(choices.GraphPrecisionChoice) == set(get_args(Precision))
    assert set(choices.ExporterChoice) == set(get_args(Exporter))


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["train", "--help"], 0), (["simulate"], 2)])
def test_help_and_version_are_no_errors(words: list[str], status: int, command) -> None:
    code, output, errors = command(*words)
    assert (code, errors) == (status, [])
    assert "caloforge" in output


def test_extras_are_shown_in_help(command) -> None:
    assert "caloforge[tensorboard]" in command("train", "--help")[1]
    assert "caloforge[geant4]" in command("simulate", "geant4", "--help")[1]


def test_ctrl_c_is_status_130(command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("caloforge.sources.public.catalog.geometry_in_file", lambda *words: interrupted())
    status, _, errors = command("data", "list")
    assert (status, errors) == (130, ["caloforge: interrupted"])


def test_the_demo_stops_where_a_step_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("caloforge.training.train", interrupted)
    status, output, errors = command("demo", "-o", tmp_path / "demo")
    assert (status, errors[-1]) == (130, "caloforge: interrupted")
    assert "caloforge generate" not in output


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.28 TiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 400000000000 bytes. Error code 12 (Cannot allocate memory)"
        ),
    ],
)
def test_too_large_for_the_memory_is_one_line(error: Exception, command, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("caloforge.training.load_recipe", starved)
    status, _, lines = command("train", "caloman-demo", "--train", "t.h5", "-o", "run")
    assert status == 2
    assert len(lines) == 1
    assert "not enough memory" in lines[0]
    assert "smaller batches" in lines[0]
