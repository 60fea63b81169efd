"""Rows of tables in Markdown: what the pages of models repeat of the tables of results."""

from __future__ import annotations


def rows_below(text: str, heading: str, labels: list[str]) -> list[str]:
    """Head and chosen rows of the first table below a heading.

    Raises:
        ValueError: there is no such heading, or no such row.
    """
    lines = text.splitlines()
    titles = [number for number, line in enumerate(lines) if line.startswith("#") and line.strip("# ") == heading]
    if not titles:
        raise ValueError(f"no heading '{heading}'")
    start = next(number for number in range(titles[0], len(lines)) if lines[number].startswith("|"))
    stop = next((number for number in range(start, len(lines)) if not lines[number].startswith("|")), len(lines))
    found = lines[start : start + 2]
    for label in labels:
        rows = [row for row in lines[start + 2 : stop] if row.split("|")[1].strip() == label]
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} rows '{label}' below '{heading}'")
        found += rows
    return found
