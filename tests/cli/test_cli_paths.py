"""Paths with any characters, of any length, links in a loop, folders and devices where a file should be."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caloforge.cli import main
from caloforge.files import atomic_folder, atomic_path
from caloforge.showers import Showers

NAMES = [
    "with space",
    "qu'o\"te`$x",
    "new\nline",
    "ünï-码",
    "-dash",
    "st*r[1]?",
    "co:lon",
    "x=y",
    "[/red]",
    ".hidden",
    "bad\udcff",
]


def call(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command in this process; its exit status."""
    monkeypatch.setattr(sys, "argv", ["caloforge", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def refused(capsys: pytest.CaptureFixture[str], *facts: str) -> None:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("caloforge")
    for fact in facts:
        assert fact in lines[0]


@pytest.fixture
def unprinted(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What is printed is thrown away: pytest-xdist cannot pass on names that are not UTF-8."""
    yield
    capsys.readouterr()


@pytest.mark.usefixtures("unprinted")
@pytest.mark.parametrize("name", NAMES)
def test_a_name_may_have_any_characters(
    name: str, tmp_path: Path, small_showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    first, second = folder / f"{name}.h5", folder / f"{name}-2.h5"
    small_showers[:300].write(first)
    small_showers[300:].write(second)
    monkeypatch.setattr("caloforge.evaluation.report.figures.figures", lambda records: [])
    evaluation = ["evaluate", first, "--reference", second, "--quick", "--classifiers", "none"]
    assert call(monkeypatch, "check", first) == 0
    assert call(monkeypatch, "merge", first, second, "-o", folder / f"{name}-m.h5") == 0
    assert call(monkeypatch, *evaluation, "-o", folder / f"{name}-report") == 0
    assert call(monkeypatch, "compare", folder / f"{name}-report", "-o", folder / f"{name}-comparison") == 0
    assert len(Showers.read(folder / f"{name}-m.h5")) == 600
    command = json.loads((folder / f"{name}-report" / "report.json").read_text())["about"]["command"]
    assert command.startswith("caloforge evaluate")
    assert len([*(folder / f"{name}-comparison").iterdir()]) == 3


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    with atomic_path(tmp_path / ("é" * 127)) as partial:
        partial.write_text("x")
    with atomic_folder(tmp_path / ("f" * 255)) as partial:
        (partial / "y").touch()
    assert sorted(len(entry.name.encode()) for entry in tmp_path.iterdir()) == [254, 255]


@pytest.mark.parametrize("command", ["merge", "train", "evaluate", "export", "check"])
def test_links_in_a_loop_are_one_line(
    command: str,
    tmp_path: Path,
    small_showers: Showers,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(tmp_path / "loop")
    small_showers.write(tmp_path / "s.h5")
    words = {
        "merge": ["merge", tmp_path / "s.h5", "-o", tmp_path / "loop" / "m.h5"],
        "train": ["train", "caloman-demo", "--train", tmp_path / "s.h5", "-o", tmp_path / "loop"],
        "evaluate": ["evaluate", tmp_path / "loop", "--reference", tmp_path / "s.h5"],
        "export": ["export", tmp_path / "loop", "-o", tmp_path / "x.onnx"],
        "check": ["check", tmp_path / "loop"],
    }
    assert call(monkeypatch, *words[command]) == 2
    refused(capsys, "loop")


@pytest.mark.parametrize("target", [".", "/"])
@pytest.mark.parametrize("form", ["onnx", "ddml-hdf5"])
def test_a_folder_is_no_graph(
    target: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "export", "run", "-f", form, "--energies", "list:1GeV", "-o", target) == 2
    refused(capsys)


@pytest.mark.parametrize(
    "words", [["merge", "a.h5", "-o", ""], ["evaluate", "a.h5", "-r", "b.h5", "--out="], ["check", ""]]
)
def test_an_empty_argument_is_not_the_current_folder(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 2
    refused(capsys, "is empty: is a variable of the shell not set?")


@pytest.mark.parametrize(
    "command", [["generate", "run", "--energies"], ["simulate", "geant4", "-d", "w-si", "-p", "e-", "-e"]]
)
def test_more_parts_than_a_folder_holds(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *command, "list:1GeV", "-n", 10, "--shards", 10**12, "-o", tmp_path / "x") == 2
    refused(capsys, "--shards", "1000000000000")
