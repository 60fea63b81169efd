"""What README and CONTRIBUTING show is true: commands and Python run, the model is the one that is tested."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from caloforge.cli import main
from caloforge.geometry import read_geometry
from caloforge.showers import Showers
from caloforge.sources.sample import sample_path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LEVELS = ("layers", "rings", "multipoles", "voxels")
SMALLER = {
    "caloman-ds1-photons": ["training.epochs=1", "model.hidden=[16]", "training.stages.density.select_showers=200"],
    "flagship": [
        "training.epochs=1",
        *(f"model.{level}.{setting}" for level in LEVELS for setting in ("width=16", "blocks=1", "student_pairs=1")),
        *(f"training.stages.{level}_student.epochs=1" for level in LEVELS),
        *(f"training.stages.{level}_velocity.epochs=1" for level in LEVELS),
    ],
}
"""Put behind each training command with --set: the same command, only quicker."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line.split("#")[0] for block in blocks(README, "sh") for line in block.splitlines()]
    return [line.split() for line in lines if line.startswith("caloforge ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every command has run, in the order shown."""
    folder = tmp_path_factory.mktemp("readme")
    Showers.read(sample_path("train"), stop=1400).write(folder / "showers.h5")
    Showers.read(sample_path("test"), stop=700).write(folder / "reference.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands():
            words = [{"100000": "700", "2000": "400", "1000": "20"}.get(word, word) for word in words]
            if words[1] == "train":
                words += [f"--set={setting}" for setting in SMALLER[words[2]]]
            patch.setattr(sys, "argv", words)
            with pytest.raises(SystemExit) as stopped:
                main()
            assert stopped.value.code in (0, None), words
    return folder


def test_every_command_runs_in_the_order_shown(folder: Path) -> None:
    assert len(commands()) >= 9
    for name in ("run/simulator.json", "generated.h5", "report/report.html", "analytic.h5", "comparison"):
        assert (folder / name).exists()


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    (code,) = blocks(README, "python")
    exec(compile(code, "README.md", "exec"), {})
    assert " ± " in capsys.readouterr().out


def test_the_geometry_shown_is_one(tmp_path: Path) -> None:
    (text,) = blocks(README, "yaml")
    (tmp_path / "mine.yaml").write_text(text)
    assert read_geometry(tmp_path / "mine.yaml").n_voxels == 3 + 40 + 4


def test_contributing_shows_the_classes_that_the_tests_use() -> None:
    shown = [text.strip() for text in blocks((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), "python")]
    tested = [path.read_text(encoding="utf-8").strip() for path in (ROOT / "tests").glob("own_*.py")]
    assert [text for text in shown if text not in tested] == []
    assert len(shown) >= 2


def test_make_targets_that_are_named_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in (README, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        for target in re.findall(r"make ([a-z-]+)", text):
            if target in ("analytic", "showers", "it", "sense"):
                continue
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
