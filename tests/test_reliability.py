"""The table of docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_case_of_the_table_names_a_test_that_exists() -> None:
    rows = re.findall(r"^\| .* \| `(tests/[\w/]+\.py)::(\w+)` \|$", (ROOT / "docs/reliability.md").read_text(), re.M)
    assert len(rows) >= 120
    missing = [f"{file}::{name}" for file, name in rows if f"def {name}(" not in (ROOT / file).read_text()]
    assert missing == []
