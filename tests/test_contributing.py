"""The smallest metric and observable that CONTRIBUTING shows reach report, page, table and comparison."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import caloforge as cf

HERE = Path(__file__).parent
CONTRIBUTING = (HERE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["own_model", "own_transform", "own_observable", "own_metric"])
def test_contributing_shows_the_files_that_are_tested(name: str) -> None:
    assert (HERE / f"{name}.py").read_text(encoding="utf-8").strip() in CONTRIBUTING


def test_own_metric_and_observable_from_the_command_line(tmp_path: Path) -> None:
    """In a process of its own: what is registered stays registered."""
    cf.sample("train", stop=300).write(tmp_path / "a.h5")
    cf.sample("test", stop=300).write(tmp_path / "b.h5")
    command = [sys.executable, "-m", "caloforge", "evaluate", "a.h5", "--reference", "b.h5", "-o", "report"]
    command += ["--classifiers", "none"]
    for name in ("own_observable", "own_metric"):
        command += ["--plugin", str(HERE / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    report = cf.Report.load(tmp_path / "report")
    assert report["mean_hits", "n_hits"].estimate is not None
    for section in ("separation_power", "wasserstein"):
        assert report[section, "n_bright_2"].estimate is not None
    assert "n_bright_2" in report.hists
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "voxels above 100 MeV, layer 2" in page
    assert "Mean number of hits" in page
    assert "n_bright_2" in (tmp_path / "report" / "tables" / "separation_power.csv").read_text(encoding="utf-8")
    compared = [sys.executable, "-m", "caloforge", "compare", "report", "report", "-o", "both"]
    assert subprocess.run(compared, cwd=tmp_path, capture_output=True, timeout=200).returncode == 0
    assert "voxels above 100 MeV, layer 2" in (tmp_path / "both" / "compare.html").read_text(encoding="utf-8")
