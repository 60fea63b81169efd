"""The main job through the command line, tiny: train, resume, generate, evaluate, with a model of a user's own too."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from caloforge.cli import main
from caloforge.showers import Showers
from caloforge.sources.sample import sample_path

TINY = [
    "--set=training.epochs=3",
    "--set=training.batch_size=128",
    "--set=model.latent_dim=4",
    "--set=model.hidden=[32]",
    "--set=model.flow_layers=2",
    "--set=training.stages.density.select_showers=500",
]


def run(*arguments: object, cwd: Path | None = None, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "caloforge", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == status, done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.h5 (1400 showers) and test.h5 (700) of the embedded sample, and a run trained on them."""
    folder = tmp_path_factory.mktemp("main-job")
    Showers.read(sample_path("train"), stop=1400).write(folder / "train.h5")
    Showers.read(sample_path("test"), stop=700).write(folder / "test.h5")
    run("train", "caloman-demo", "--train", folder / "train.h5", "-o", folder / "run", *TINY)
    return folder


def test_training_leaves_a_complete_run(files: Path) -> None:
    names = {path.name for path in (files / "run").iterdir()}
    assert {"recipe.yaml", "log.jsonl", "checkpoint.pt", "simulator.json", "weights.safetensors"} <= names
    log = [json.loads(line) for line in (files / "run/log.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["epoch"]) for r in log] == [(s, e) for s in ("autoencoder", "density") for e in (1, 2, 3)]
    assert all(0 < record["separation_power"] <= 1 for record in log if record["stage"] == "density")
    description = json.loads((files / "run/simulator.json").read_text())
    assert description["energy_range_mev"] == [256.0, 16384.0]
    assert description["provenance"]["training_showers"] == 1120


def test_resolved_recipe_trains_the_same_weights(files: Path, tmp_path: Path) -> None:
    run("train", files / "run/recipe.yaml", "--train", files / "train.h5", "-o", tmp_path / "again")
    first, again = ((folder / "weights.safetensors").read_bytes() for folder in (files / "run", tmp_path / "again"))
    assert first == again


def test_generate_twice_with_one_seed_gives_equal_arrays(files: Path, tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        run(
            "generate",
            files / "run",
            "--energies",
            "discrete:256,...,16384",
            "-n",
            3000,
            "--seed",
            4,
            "-o",
            tmp_path / name,
        )
    a, b = Showers.read(tmp_path / "a.h5"), Showers.read(tmp_path / "b.h5")
    np.testing.assert_array_equal(a.voxels, b.voxels)
    np.testing.assert_array_equal(a.energies, b.energies)
    assert a.attributes["recipe"] == "caloman-demo"
    assert a.attributes["seed"] == 4
    assert "every value is finite and in range" in run("check", tmp_path / "a.h5").stdout


def test_evaluate_writes_every_number(files: Path, tmp_path: Path) -> None:
    run("generate", files / "run", "--energies", f"like:{files / 'test.h5'}", "-o", tmp_path / "g.h5")
    done = run("evaluate", tmp_path / "g.h5", "--reference", files / "test.h5", "-o", tmp_path / "report")
    assert str(tmp_path / "report") in done.stdout
    metrics = json.loads((tmp_path / "report/report.json").read_text())["metrics"]
    powers = {m["name"]: m for m in metrics if m["section"] == "separation_power"}
    (table1_mean,) = (m for m in metrics if (m["section"], m["name"]) == ("mean_separation_power", "table1"))
    table1 = ["e_tot_over_e_inc"]
    table1 += [f"e_layer_{k}" for k in (0, 1, 2, 3, 12)]
    table1 += [f"{q}_{k}" for q in ("ec_eta", "ec_phi", "width_eta", "width_phi") for k in (1, 2)]
    assert len(table1) == 14
    for name in [*table1, "ec_r_0", "width_r_12", "sparsity_3", "voxel_energy"]:
        assert 0 <= powers[name]["value"] <= 1
        assert 0 <= powers[name]["baseline"] < 0.3
        assert {"outside_generated", "outside_reference"} <= set(powers[name]["extra"])
    mean = np.mean([powers[name]["value"] for name in table1])
    assert table1_mean["value"] == pytest.approx(mean)
    assert mean > 3 * np.mean([powers[name]["baseline"] for name in table1])  # three epochs are too few
    (auc,) = (m for m in metrics if (m["section"], m["name"], m.get("at", "")) == ("auc", "trees", ""))
    assert auc["value"] > 0.9 > auc["baseline"]
    assert (tmp_path / "report/report.html").stat().st_size > 50_000


BAD = [
    ("check nothing.h5", "nothing.h5: no such file"),
    ("train caloman-demo --train nothing.h5 -o out", "nothing.h5: no such file"),
    ("train calo --train {train} -o out", "no such recipe: calo"),
    ("train caloman-demo --train {train} -o out --set model.width=3", "model: unknown key 'width'"),
    ("train caloman-demo --train {train} -o out --set geometry=ds2", "but the recipe is for 'ds2'"),
    ("train caloman-demo --train {train} -o out --exclude-energies 700", "no showers of 700 MeV"),
    ("train caloman-demo --train {train} -o out --resume", "holds no run to resume"),
    ("train caloman-demo --train {train} -o out --resume --overwrite", "mutually exclusive"),
    ("train caloman-demo --train {train} -o {run}", "add --resume"),
    ("train caloman-demo --train {train} -o occupied --overwrite", "is not a run of caloforge"),
    ("train caloman-demo --train {train} -o {run} --resume", "begun with another recipe"),
    ("generate out --energies list:512 -o g.h5", "no run and no model 'out'"),
    ("generate {run} --energies like:{train} -o {train}", "is the file that the energies come from"),
    ("generate {run} --energies lots -o g.h5", "is not a valid energy spectrum"),
    ("generate {run} --energies uniform:1:2 -o g.h5", "add -n N"),
    ("generate {run} --energies uniform:1:2 -n 1e3 -o g.h5", "for '-n': '1e3' is not an integer (write 1000); see"),
    ("generate {run} --energies uniform:1:2 -n 1.5 -o g.h5", "for '-n': '1.5' is not an integer; see"),
    ("generate {run} --energies uniform:1:2 -n 0 -o g.h5", "for '-n': it must be at least 1, not 0; see"),
    ("export {run} --scale big -o g.onnx", "for '--scale': 'big' is not a number; see"),
    ("view {train} --condition theta=0 -o g.html", "give --run RUN too, or leave it out"),
    ("generate {run} --energies list:512 -o occupied", "is a folder"),
    ("generate {run} --energies list:512 -o g.h5 --device cuda:9", "device 'cuda:9'"),
    ("generate {run} --energies list:512 -o g.h5 --precision half", "--precision"),
]


@pytest.mark.parametrize(("line", "message"), BAD, ids=[line[:60] for line, _ in BAD])
def test_bad_requests_are_one_line_and_status_2(
    line: str,
    message: str,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "occupied").mkdir()
    (tmp_path / "occupied/thesis.txt").write_text("precious")
    monkeypatch.chdir(tmp_path)
    words = line.format(train=files / "train.h5", run=files / "run").split()
    monkeypatch.setattr(sys, "argv", ["caloforge", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert (tmp_path / "occupied/thesis.txt").read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["occupied"]  # nothing half written


def test_energies_outside_the_training_range_are_remarked_on(files: Path, tmp_path: Path) -> None:
    done = run("generate", files / "run", "--energies", "list:512,100GeV", "-o", tmp_path / "g.h5")
    assert "50.0 % of the incident energies lie outside the training range 256 MeV … 16.38 GeV" in done.stderr
    assert "did you mean" not in done.stderr
    done = run("generate", files / "run", "--energies", "uniform:1:16", "-n", "5", "-o", tmp_path / "slip.h5")
    assert "numbers without a unit are in MeV: did you mean GeV, as in 1GeV?" in " ".join(done.stderr.split())


def test_ctrl_c_stops_cleanly_and_resume_ends_with_the_same_weights(files: Path, tmp_path: Path) -> None:
    command = ["train", "caloman-demo", "--train", str(files / "train.h5"), *TINY, "--set=training.epochs=20"]
    run(*command, "-o", tmp_path / "whole")
    process = subprocess.Popen(
        [sys.executable, "-m", "caloforge", *command, "-o", str(tmp_path / "stopped")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job would ignore it
    )
    log = tmp_path / "stopped/log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= 22):  # the second stage has begun
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    run("generate", tmp_path / "stopped", "--energies", "list:512", "-o", tmp_path / "g.h5", status=2)
    run(*command, "-o", tmp_path / "stopped", "--resume")
    for name in ("whole", "stopped"):
        assert (tmp_path / name / "log.jsonl").read_text().count("\n") == 40
    a, b = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert a == b


def test_excluded_energies_are_left_out(files: Path, tmp_path: Path) -> None:
    run("train", "caloman-demo", "--train", files / "train.h5", "-o", tmp_path / "run", *TINY,
        "--exclude-energies", "512,16384")  # fmt: skip
    description = json.loads((tmp_path / "run/simulator.json").read_text())
    assert description["energy_range_mev"] == [256.0, 8192.0]
    facts = description["provenance"]
    assert facts["excluded_energies_mev"] == [512.0, 16384.0]
    assert facts["training_showers"] == 800


def test_a_model_of_a_users_own_outside_the_package(files: Path, tmp_path: Path) -> None:
    """One file beside the recipe: trained, refused without trust, generated from with it, and evaluated."""
    shutil.copy(Path(__file__).parents[1] / "own_model.py", tmp_path / "my_showers.py")
    recipe = {
        "name": "mine",
        "geometry": "ds1-photons",
        "transforms": [
            {"kind": "readout_threshold"},
            {"kind": "incident_energy_fraction"},
            {"kind": "linear_condition"},
        ],
        "model": {"kind": "my_showers.GaussianPerFeature", "start": 0.05},
        "training": {"epochs": 3, "batch_size": 128, "learning_rate": 0.01, "select": "validation_loss"},
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    run("train", "mine.yaml", "--train", files / "train.h5", "-o", "run", cwd=tmp_path)
    law = f"like:{files / 'test.h5'}"
    refused = run("generate", "run", "--energies", law, "-o", "g.h5", cwd=tmp_path, status=2)
    assert "--trust my_showers.GaussianPerFeature" in refused.stderr
    trusted = ["--trust", "my_showers.GaussianPerFeature"]
    run("generate", "run", "--energies", law, "-o", "g.h5", *trusted, cwd=tmp_path)
    run(
        "evaluate",
        "g.h5",
        "--reference",
        files / "test.h5",
        "-o",
        "report",
        "--quick",
        "--classifiers",
        "none",
        cwd=tmp_path,
    )
    metrics = json.loads((tmp_path / "report/report.json").read_text())["metrics"]
    (power,) = (m for m in metrics if (m["section"], m["name"]) == ("separation_power", "e_tot_over_e_inc"))
    assert 0 < power["value"] <= 1


def test_help_and_version_are_quick_to_come() -> None:
    """No heavy import on the way to the help text; its speed is a matter for benchmarks."""
    code = "import sys; import caloforge.cli; print(sorted({'torch', 'numpy', 'h5py', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "train" in run("--help").stdout
    assert run("--version").stdout.startswith("caloforge 0.")


def test_a_full_device_is_one_line() -> None:
    """In a process of its own, which ends at once."""
    code = (
        "import errno, caloforge.cli as cli\n"
        "def app(**how): raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "cli.app = app\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("caloforge: no space left on the device")
    assert done.stderr.count("\n") == 1
