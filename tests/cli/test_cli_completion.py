"""What a shell offers when Tab is pressed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from caloforge.cli import app
from caloforge.cli.completion import detectors, geometries, recipes, runs

COMMANDS = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs, one of them further down, and files that may or may not be meant."""
    monkeypatch.setenv("CALOFORGE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    for run in ("flat", "old/flat", "models/flagship-mine"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "simulator.json").write_text("{}")
    for name in ("flagship-mine.yaml", "ds9.xml", ".hidden.yaml", "flagship.txt"):
        (tmp_path / name).touch()


@pytest.mark.parametrize(
    ("complete", "typed", "offered"),
    [
        (recipes, "flagship", ["flagship", "flagship-demo", "flagship-fast", "flagship-mine.yaml"]),
        (recipes, "caloman-d", ["caloman-demo", "caloman-ds1-photons", "caloman-ds2"]),
        (recipes, ".h", [".hidden.yaml"]),
        (geometries, "ds", ["ds1-photons", "ds1-pions", "ds2", "ds3", "ds9.xml"]),
        (detectors, "", ["atlas-like", "atlas-like-hadronic", "calogan", "w-si", "flagship-mine.yaml"]),
        (runs, "fla", ["flagship-atlas-like", "flagship-w-si", "flagship-mine", "flat"]),
        (runs, "old/", ["old/flat"]),
        (runs, "nowhere/", []),
        (runs, "~nobody-of-this-name/", []),
    ],
)
def test_what_is_offered(complete: Callable[[str], list[str]], typed: str, offered: list[str]) -> None:
    assert complete(typed) == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("caloforge bench", ["benchmark", "benchmark-geant4"]),
        ("caloforge simulate par", ["parametric"]),
        ("caloforge generate flagship-a", ["flagship-atlas-like"]),
        ("caloforge evaluate a.h5 --geometry cal", ["calogan"]),
    ],
)
def test_through_the_shell_and_without_pytorch(words: str, offered: list[str]) -> None:
    """The protocol of the script that `--install-completion` writes for bash."""
    code = "import sys, atexit; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); "
    code += "from caloforge.cli import main; main()"
    asked = {"_CALOFORGE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == offered
    assert done.stderr.split() == ["False"]


COMPLETED = {"recipe", "geometry", "detector", "run", "initial"}
"""Names of the arguments and options that are completed."""


def test_every_command_completes_its_recipes_geometries_and_runs() -> None:
    found: set[str] = set()
    waiting = [COMMANDS]
    while waiting:
        command = waiting.pop()
        waiting += getattr(command, "commands", {}).values()
        for parameter in command.params:
            if parameter.name in COMPLETED:
                assert parameter._custom_shell_complete is not None, f"{command.name}: {parameter.name}"
                found.add(str(parameter.name))
    assert found == COMPLETED
