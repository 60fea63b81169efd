"""The tables of docs/reliability.md and docs/security.md name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_case_of_the_table_says_what_happens_and_names_a_test_that_exists() -> None:
    text = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (\d+) \| [^|]+ \| `(tests/[\w/]+\.py)::(\w+)` \|$", text, re.M)
    claimed = re.search(r"^(\d+) cases\.", text, re.M)
    assert claimed is not None
    assert sum(int(cases) for cases, _, _ in rows) == int(claimed[1]) >= 120
    missing = [f"{file}::{name}" for _, file, name in rows if f"def {name}(" not in _text(file)]
    assert missing == []
    assert len({row[1:] for row in rows}) == len(rows)


def test_every_claim_about_files_of_others_has_a_test() -> None:
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \|$", text, re.M)
    assert len(rows) >= 15
    for word in re.findall(r"`([^`]+)`", " ".join(rows)):
        file, separator, name = word.rpartition("::")
        if word.endswith(".py"):
            assert "def test_" in _text(word), word
        else:
            assert f"def {name}(" in _text(file if separator else "tests/sources/test_security.py"), word


def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")
