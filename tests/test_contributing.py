"""What CONTRIBUTING shows runs: metric, observable and classifier reach report, page, table and comparison."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import caloforge as cf

HERE = Path(__file__).parent
CONTRIBUTING = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["own_model", "own_transform", "own_sampler", "own_observable", "own_metric", "own_classifier"]
)
def test_contributing_shows_the_files_that_are_tested(name: str) -> None:
    assert (HERE / f"{name}.py").read_text(encoding="utf-8").strip() in CONTRIBUTING


def test_own_metric_and_observable_from_the_command_line(tmp_path: Path) -> None:
    """In a process of its own: what is registered stays registered."""
    cf.sample("train", stop=300).write(tmp_path / "a.h5")
    cf.sample("test", stop=300).write(tmp_path / "b.h5")
    command = [sys.executable, "-m", "caloforge", "evaluate", "a.h5", "--reference", "b.h5", "-o", "report"]
    command += ["--classifiers", "layers"]
    for name in ("own_observable", "own_metric", "own_classifier"):
        command += ["--plugin", str(HERE / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    report = cf.Report.load(tmp_path / "report")
    assert report["mean_hits", "n_hits"].estimate is not None
    assert "Mean number of hits: number of hits" in done.stdout
    auc = report["auc", "layers"]
    assert auc.label == "layer energies"
    assert auc.estimate is not None
    assert auc.pull is not None
    for section in ("separation_power", "wasserstein"):
        assert report[section, "n_bright_2"].estimate is not None
    assert "n_bright_2" in report.hists
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "voxels above 100 MeV, layer 2" in page
    assert "Mean number of hits" in page
    assert "AUC of classifiers: layer energies" in page
    assert "n_bright_2" in (tmp_path / "report" / "tables" / "separation_power.csv").read_text(encoding="utf-8")
    compared = [sys.executable, "-m", "caloforge", "compare", "report", "report", "-o", "both"]
    assert subprocess.run(compared, cwd=tmp_path, capture_output=True, timeout=200).returncode == 0
    assert "voxels above 100 MeV, layer 2" in (tmp_path / "both" / "compare.html").read_text(encoding="utf-8")


def test_own_sampler_with_its_settings(tmp_path: Path) -> None:
    """The recipe and the commands as they are printed, with one epoch."""
    (recipe,) = re.findall(r"```yaml\n(name: my-diffusion\n.*?)```", CONTRIBUTING, re.S)
    (commands,) = re.findall(r"```\n(caloforge train my-diffusion.*?)```", CONTRIBUTING, re.S)
    (tmp_path / "my-diffusion.yaml").write_text(recipe.replace("epochs: 5", "epochs: 1"), encoding="utf-8")
    shutil.copy(HERE / "own_sampler.py", tmp_path)
    cf.sample("train", stop=300).write(tmp_path / "train.h5")
    for line in commands.splitlines():
        command = [sys.executable, "-m", *shlex.split(line)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    assert len(cf.Showers.read(tmp_path / "multistep.h5")) == 300
    changed = cf.Showers.read(tmp_path / "own.h5").attributes["model_settings_changed"]
    assert json.loads(str(changed)) == {"sampler": {"power": 5}, "steps": 10}
