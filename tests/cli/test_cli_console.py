"""Progress where nobody watches: plain lines in a log file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import caloforge
from caloforge.cli import console


def test_log_files_get_lines_not_bars(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.progress_bar() as bar:
        task = bar.add_task("shapes", total=10, remark="loss 3")
        for second in (1.0, 2.0, 40.0, 41.0):
            clock[0] = second
            bar.advance(task)
        bar.update(task, completed=10, remark="loss 2")
        bar.update(task, completed=10, remark="loss 2")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == ["shapes: 3 of 10", "shapes: 10 of 10"]
    assert lines[0].endswith("loss 3")
    assert lines[1].endswith("loss 2")


def test_help_shows_the_names_of_extras() -> None:
    """Rich takes `[root]` for markup, and prints nothing, unless it is escaped."""
    for path in (Path(caloforge.__file__).parent / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                assert not re.search(r"caloforge\[", ast.get_docstring(node) or ""), f"{path.name}: {node.name}"
