"""Which command made each table of results and each figure in docs/, and which are stale.

provenance.yaml lists them with the sources that they depend on, and with the state of these sources when the numbers
were made. Comments, docstrings and spaces do not count, nor does the description of a recipe.

    python docs/provenance.py                                    # what is stale: repeat the command that is printed
    python docs/provenance.py made results.md#intrinsic-dimension             # after repeating it
    python docs/provenance.py holds results.md#intrinsic-dimension "REASON"   # where the numbers are not affected
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent
ROOT = DOCS.parent
REGISTRY = DOCS / "provenance.yaml"
LENGTH = 6
"""Hexadecimal digits kept of a digest."""

WORDS_OF_RECIPES = ("name", "description")


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Args:
        at: page, anchor of the heading above, and its number below that heading if it is not the first.
        rows: lines of Markdown.
        line: number of its first line, from 1.
    """

    at: str
    rows: tuple[str, ...]
    line: int


def tables(page: str, text: str) -> Iterator[Table]:
    """The tables of a page of Markdown, those in blocks of code left out."""
    lines, anchor, number, fenced, row = text.splitlines(), "", 0, False, 0
    while row < len(lines):
        line = lines[row]
        fenced ^= line.startswith("```")
        if not fenced and line.startswith("#"):
            anchor, number = slug(line.lstrip("#")), 0
        if fenced or not line.startswith("|"):
            row += 1
            continue
        first = row
        while row < len(lines) and lines[row].startswith("|"):
            row += 1
        number += 1
        at = f"{page}#{anchor}" + (f"/{number}" if number > 1 else "")
        yield Table(at, tuple(lines[first:row]), first + 1)


def slug(heading: str) -> str:
    """The anchor of a heading on GitHub, and on the site."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`$\\]", "", heading).strip().lower()).replace(" ", "-")


@cache
def digest(path: str, raw: bytes) -> str:
    """Of what a source does: code without comments, docstrings and spaces, the content of a recipe."""
    if path.endswith(".py"):
        content = "".join(_code(raw.decode("utf-8")).split())
    elif path.startswith("recipes/"):
        recipe = yaml.safe_load(raw)
        content = json.dumps({k: v for k, v in recipe.items() if k not in WORDS_OF_RECIPES}, sort_keys=True)
    else:
        content = raw.decode("utf-8")
    return hashlib.sha256(content.encode()).hexdigest()[:LENGTH]


def _code(text: str) -> str:
    """Source without comments and docstrings."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else ():
            if (
                isinstance(each, ast.Expr)
                and isinstance(each.value, ast.Constant)
                and isinstance(each.value.value, str)
            ):
                for row in range(each.lineno - 1, each.end_lineno or each.lineno):
                    lines[row] = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT and lines[row - 1]:
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(lines)


class Registry:
    """provenance.yaml.

    Args:
        path: the file.
        root: the folder that its sources are relative to.
    """

    def __init__(self, path: Path = REGISTRY, root: Path = ROOT) -> None:
        self.path, self.root = path, root
        text = path.read_text(encoding="utf-8")
        self.head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
        plain = yaml.safe_load(text)
        self.groups: Mapping[str, list[str]] = plain["groups"]
        self.entries: dict[str, dict[str, Any]] = {entry["at"]: entry for entry in plain["made"]}
        if len(self.entries) != len(plain["made"]):
            raise ValueError(f"{path.name} lists something twice")

    def sources(self, at: str) -> list[str]:
        """Files that an entry depends on."""
        return list(
            dict.fromkeys(file for name in self.entries[at]["sources"] for file in self.groups.get(name, [name]))
        )

    def now(self, at: str) -> str:
        """Digests of the sources as they are."""
        return " ".join(digest(file, (self.root / file).read_bytes()) for file in self.sources(at))

    def changed(self, at: str) -> list[str]:
        """Sources that differ from when it was made."""
        before, now = (str(each).split() for each in (self.entries[at]["digests"], self.now(at)))
        if len(before) != len(now):
            return ["the list of sources"]
        return [file for file, a, b in zip(self.sources(at), before, now, strict=True) if a != b]

    def stale(self) -> list[str]:
        """What is stale, a line each with the remedy."""
        return [
            f"{at} was made before {', '.join(changed)} changed. Repeat it ({self.entries[at]['command']}), then run "
            f"`python docs/provenance.py made {at}`; if its numbers are not affected, "
            f'`python docs/provenance.py holds {at} "REASON"`'
            for at in self.entries
            if (changed := self.changed(at))
        ]

    def renew(self, at: str, reason: str = "") -> None:
        """Record that an entry agrees with its sources as they are: made anew, or still right for a reason."""
        entry = self.entries[at]
        entry["digests"] = self.now(at)
        entry.pop("holds", None)
        if reason:
            entry["holds"] = reason
        self.save()

    def save(self) -> None:
        """Write the file."""
        plain = {"groups": dict(self.groups), "made": list(self.entries.values())}
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
        self.path.write_text(self.head + text.replace("\n- at:", "\n\n- at:"), encoding="utf-8")


def main(words: list[str] | None = None) -> int:
    """The command line; the exit status is 1 if anything is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=("list", "made", "holds"), default="list")
    parser.add_argument("at", nargs="?", help="a table or figure, as listed in provenance.yaml")
    parser.add_argument("reason", nargs="?", default="")
    given = parser.parse_args(words)
    registry = Registry()
    if given.action != "list":
        if given.at not in registry.entries:
            parser.error(f"{given.at} is not listed; listed are {', '.join(registry.entries)}")
        if (given.action == "holds") != bool(given.reason):
            parser.error("holds takes a reason, and made does not")
        registry.renew(given.at, given.reason)
        return 0
    for at, entry in registry.entries.items():
        if "holds" in entry:
            print(f"{at}: {entry['holds']}")
    found = registry.stale()
    print("\n".join(found) if found else f"none of {len(registry.entries)} tables and figures is stale")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
