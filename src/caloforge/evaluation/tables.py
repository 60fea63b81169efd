"""What a table of a report is, for the page, the terminal and CSV files.

A row is a mapping from column keys to values. A metric that cannot be had has the key `unavailable` with the
reason. CSV files carry every key in full precision; the page shows the columns.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SHORT = 12
"""Lists up to this length are written out in a cell."""


@dataclass(frozen=True)
class Column:
    """A column of the page: `kind` is text, number, share, pull or bar (value on a logarithmic line with its floor).

    `error` names the key that stands behind the value as ±, `digits` one that only sets how many digits it gets.
    """

    key: str
    title: str
    kind: str = "number"
    error: str | None = None
    hint: str = ""
    digits: str | None = None


@dataclass(frozen=True)
class Table:
    """A table: `name` is the CSV file's stem, `section` where it stands, `columns` what the page shows."""

    name: str
    section: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: list[Row] = field(default_factory=list)

    def keys(self) -> list[str]:
        """All keys of all rows, in order of appearance: the CSV file's header."""
        return list(dict.fromkeys(key for row in self.rows for key in row))


VALUE = Column("value", "value", error="error", hint="on the full samples, with its error")
ALL = Column("value", "all showers", error="error", hint=VALUE.hint)
AT_N = Column("value_at_n", "value at N", hint="with as many showers a side as the floor", digits="error")
FLOOR = Column("floor", "floor", error="floor_error", hint="reference against an independent reference sample")
FLOOR_AT_N = Column("floor", "floor at N", error="floor_error", hint="reference against an independent one, N a side")
PULL = Column("pull", "off floor", "pull", hint="(value at N − floor at N) in standard errors of both")


def flatten(entry: Mapping[str, Any], prefix: str = "") -> Row:
    """Nested mappings as one row, keys joined by underscores; short lists become text, long ones are left out."""
    row: Row = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            row.update(flatten(value, f"{prefix}{key}_"))
        elif not isinstance(value, (list, tuple)):
            row[f"{prefix}{key}"] = value
        elif fits(value):
            row[f"{prefix}{key}"] = ", ".join(map(str, value))
    return row


def fits(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is short and plain enough to be written out in a cell."""
    return len(value) <= SHORT and not any(isinstance(item, (list, tuple, Mapping)) for item in value)


def write_csv(table: Table, path: Path) -> None:
    """Write all of a table, every number in full precision."""
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, table.keys(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)
