"""YAML and JSON of unknown origin: recipes, geometries, detectors, runs, reports.

Whatever is wrong with a text is one error that names the file: no UTF-8, bad syntax, a key given twice (of which the
parsers would silently take the last), nesting too deep, or aliases that expand without end. A byte order mark is
skipped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from caloforge.errors import CaloforgeError

MOST_YAML_BYTES = 4_000_000
"""Longest YAML text that is parsed: about half a minute."""

MOST_TEXT = 64_000_000
"""Bytes of a text that are read: a device or a wrong file may have no end."""

MOST_VALUES = 1_000_000
"""Values in a YAML text once its aliases are expanded."""


def read_document(path: str | os.PathLike[str], what: str) -> Any:
    """The content of a YAML file, or of a JSON file (`.json`).

    Args:
        path: the file.
        what: what it should be, for the error, as in "geometry file".

    Raises:
        CaloforgeError: it is absent or cannot be read or parsed.
    """
    path = Path(path)
    text = read_text(path, what)
    return parse_json(text, str(path)) if path.suffix.lower() == ".json" else parse_yaml(text, str(path))


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        CaloforgeError: it is absent or cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_TEXT + 1)
        if len(raw) > MOST_TEXT:
            raise CaloforgeError(f"the {what} {path} is larger than {MOST_TEXT // 1_000_000} MB: is it another file?")
        return raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise CaloforgeError(f"no such {what}: {path}") from None
    except OSError as error:
        raise CaloforgeError(f"cannot read the {what} {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CaloforgeError(f"the {what} {path} is not UTF-8 text (byte {error.start})") from None


def parse_json(text: str | bytes, origin: str) -> Any:
    """Plain data from JSON.

    Args:
        text: JSON; bytes may be in any UTF encoding.
        origin: what to call it in an error.

    Raises:
        CaloforgeError: it cannot be parsed, or has a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _mapping(pairs, origin))
    except CaloforgeError:
        raise
    except RecursionError:
        raise CaloforgeError(f"{origin} is nested too deeply") from None
    except ValueError as error:
        raise CaloforgeError(f"{origin} is not valid JSON: {error}") from None


def _mapping(pairs: list[tuple[str, Any]], origin: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CaloforgeError(f"{origin} has the key '{twice}' twice; keep one of them")
    return found


def parse_yaml(text: str, origin: str) -> Any:
    """Plain data from YAML.

    Args:
        text: YAML.
        origin: what to call it in an error.

    Raises:
        CaloforgeError: it cannot be parsed, has a key twice, is too long, or refers to itself.
    """
    if len(text) > MOST_YAML_BYTES:
        raise CaloforgeError(f"{origin} is too long for YAML: {len(text):,} bytes, at most {MOST_YAML_BYTES:,}")
    try:
        plain = yaml.load(text, Loader=_Loader)  # a SafeLoader: plain data only
        _count(plain, {}, set())
    except RecursionError:
        raise CaloforgeError(f"{origin} is nested too deeply") from None
    except Exception as error:  # PyYAML passes on what dates, numbers and tags raise
        raise CaloforgeError(f"{origin} cannot be parsed as YAML: {' '.join(str(error).split())}") from None
    return plain


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain data, which takes each key of a mapping once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key_node, _ in node.value:
                if key_node.tag == "tag:yaml.org,2002:merge":
                    continue
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, Hashable):
                    raise ValueError(f"a key that is a {type(key).__name__} ({_line(key_node)})")
                if key in seen:
                    raise ValueError(f"the key '{key}' is there twice ({_line(key_node)}); keep one of them")
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def _count(value: Any, known: dict[int, int], above: set[int]) -> int:
    """How many values there are in `value` with every alias expanded."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) in above:
        raise ValueError("it contains itself")
    if id(value) not in known:
        entries = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(entry, known, above | {id(value)}) for entry in entries)
        if known[id(value)] > MOST_VALUES:
            raise ValueError(f"its aliases expand to more than {MOST_VALUES:,} values")
    return known[id(value)]
