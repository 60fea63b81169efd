"""A little of `make torture` in the default suite, and all of its fuzzing in the slow one."""

from __future__ import annotations

import pytest
from fuzz import COUNTS, MEGABYTES, attempts, fuzz
from kills import VICTIMS, run

FEW = 10
"""Files of each kind in the default suite."""


@pytest.mark.parametrize("kind", COUNTS)
def test_some_damaged_files_are_read_or_refused_in_one_line(kind: str) -> None:
    found = [(outcome, detail) for _, outcome, detail in attempts(kind, 0, FEW)]
    assert len(found) == FEW
    assert [detail for outcome, detail in found if outcome == "fault"] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", COUNTS)
def test_damaged_files_are_read_or_refused_in_one_line(kind: str) -> None:
    found = fuzz(kind, COUNTS[kind])
    assert found.faults == []
    assert found.n == COUNTS[kind]
    assert found.megabytes < MEGABYTES


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", VICTIMS)
def test_killed_commands_lose_nothing(command: str) -> None:
    assert run([command, "100"]) == 0
