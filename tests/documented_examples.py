"""The Python of the documentation as modules, for doctest and for a strict type check.

`python tests/documented_examples.py` checks the types of all of it, as `make lint` does.
"""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "python.md")


def session(page: Path) -> str:
    """The `pycon` blocks of a page, with the lines of the page, so that failures name those."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = line == "```pycon"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines) + "\n"


def module(page: Path) -> str:
    """The source of a page's examples: its `pycon` and `python` blocks, in order."""
    text = page.read_text(encoding="utf-8")
    parts = []
    for language, block in re.findall(r"```(pycon|python)\n(.*?)```", text, flags=re.DOTALL):
        examples = doctest.DocTestParser().get_examples(block) if language == "pycon" else []
        parts += [example.source for example in examples] if examples else [block]
    return "".join(parts)


def check_types() -> subprocess.CompletedProcess[str]:
    """Run `mypy --strict` on the examples of all pages."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{page.stem.lower()}_examples.py" for page in PAGES]
        for page, file in zip(PAGES, files, strict=True):
            file.write_text(module(page), encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", *map(str, files)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


if __name__ == "__main__":
    done = check_types()
    print(done.stdout + done.stderr, end="")
    sys.exit(done.returncode)
