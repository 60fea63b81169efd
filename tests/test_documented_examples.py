"""The examples of the Python documentation run, with the results that they show; their types are checked strictly."""

from __future__ import annotations

import doctest
import runpy
from pathlib import Path

import pytest

from documented_examples import ROOT, check_types, module, session

EXAMPLES = {"first_showers": (60,), "training": (200,), "reconstruction": (2, 1000)}
"""Name → what `main` is called with, fewer showers or epochs than by default."""


def test_the_page_on_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "python.md"
    examples = doctest.DocTestParser().get_doctest(session(page), {}, page.name, str(page), 0)
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found = runner.run(examples)
    assert found.failed == 0, f"{found.failed} of {found.attempted} examples failed; see the output"
    assert found.attempted > 40
    assert (tmp_path / "figures.png").exists()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"](*EXAMPLES[name])
    if name == "reconstruction":
        assert 0 < found < 0.5


def test_every_example_is_run() -> None:
    assert sorted(path.stem for path in (ROOT / "examples").glob("*.py")) == sorted(EXAMPLES)


def test_examples_of_a_page_become_one_module(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n```pycon\n>>> a = 1\n>>> a\n1\n```\nand\n```python\nb = a\n```\n```sh\nls\n```\n")
    assert module(page) == "a = 1\na\nb = a\n"
    assert session(page).splitlines()[2] == ">>> a = 1"


@pytest.mark.slow
def test_their_types_are_right() -> None:
    done = check_types()
    assert done.returncode == 0, done.stdout
