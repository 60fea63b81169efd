"""Messages name arguments to users of Python, and options to users of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import caloforge as cf
from caloforge.cli import app
from caloforge.errors import CaloforgeError, command_line_words, option
from caloforge.overrides import overridden
from caloforge.sources.sample import sample_path

PACKAGE = Path(cf.__file__).parent
EXEMPT = ("errors.py", "evaluation/report/legacy.py", "export/macros.py")
"""The mechanism itself, the reader of older reports, and a README that is exported."""

OPTION = re.compile(
    r"^(?!.*pip install).*((?<![\w-])--[a-z]|(?<![\w-])-[ogn]\b|\bcaloforge (evaluate|train|generate|merge)\b)", re.S
)


def command_line_words_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of strings that name options, other than docstrings and the arguments of `either` and `option`."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("either", "option"):
            skipped.update(inner for argument in node.args for inner in ast.walk(argument))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(node.value)
    for node in ast.walk(tree):
        known = isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in skipped
        if known and OPTION.search(node.value):
            yield node.lineno, node.value


def test_only_the_command_line_names_options() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text[:80]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if not path.is_relative_to(PACKAGE / "cli") and not path.as_posix().endswith(EXEMPT)
        for line, text in command_line_words_in(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "use `option` or `either` of caloforge.errors:\n" + "\n".join(found)


def test_the_scan_finds_options() -> None:
    tree = ast.parse("f'give another --geometry'\nf'{option(\"geometry\")}, {either(\"-o\", \"\")}'\nx = 'add -o'")
    assert sorted(line for line, _ in command_line_words_in(tree)) == [1, 3]


def test_python_names_arguments_and_the_command_line_options() -> None:
    assert (option("seed"), option("engine", "torch"), option("resume", True)) == (
        "seed=…",
        "engine='torch'",
        "resume=True",
    )
    with command_line_words():
        assert (option("per_energy"), option("engine", "torch")) == ("--per-energy", "--engine torch")
    with pytest.raises(CaloforgeError, match=r"^the override 'seed': |^an override is dotted\.key=value"):
        overridden({}, ["seed"])


def test_the_same_error_from_both(tmp_path: Path) -> None:
    showers = cf.sample("test", stop=40)
    with pytest.raises(CaloforgeError, match=r"leave out baseline=…") as caught:
        cf.evaluate(showers, cf.sample("train", stop=40), baseline=showers)
    assert "--" not in str(caught.value)
    command = ["evaluate", str(sample_path("test")), "--reference", str(sample_path("train"))]
    command += ["--baseline", str(sample_path("test")), "--quick", "--classifiers", "none", "-o", str(tmp_path / "out")]
    assert "leave out --baseline" in str(CliRunner().invoke(app, command).exception)
    assert option("baseline") == "baseline=…"  # no longer on the command line
