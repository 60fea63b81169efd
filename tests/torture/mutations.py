"""Damage: bytes of a file changed at random, and values of a text replaced by unlikely ones; all from a seed."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

HEAD = 6144
"""Bytes at the beginning of an HDF5 file in which its structure lies."""

VALUES = (
    *(
        "null",
        "true",
        "nan",
        ".nan",
        ".inf",
        "-.inf",
        "1e400",
        "-1",
        "0",
        "0.5",
        "1e-320",
        "99999999999999999999",
        "{}",
    ),
    *(
        "[]",
        "[[]]",
        "''",
        "~",
        "x",
        "[1, 2]",
        "{a: 1}",
        '{"a": 1}',
        "2001-01-01",
        "0x10",
        "1_000",
        "!!binary aGk=",
        "💥",
    ),
)
"""Unlikely values for a recipe, a geometry, a report."""

TOKEN = re.compile(rb"[\w.+-]+|\"[^\"]*\"")


def flip(data: bytearray, rng: np.random.Generator, stop: int | None = None) -> None:
    """Change 1 … 16 bytes before `stop`."""
    stop = len(data) if stop is None else min(stop, len(data))
    for position in rng.integers(0, max(stop, 1), rng.integers(1, 17)):
        if position < len(data):
            data[position] = rng.choice([0, 255, data[position] ^ (1 << rng.integers(8)), rng.integers(256)])


def in_head(data: bytearray, rng: np.random.Generator) -> None:
    flip(data, rng, HEAD)


def truncate(data: bytearray, rng: np.random.Generator) -> None:
    del data[rng.integers(0, len(data) + 1) :]


def blank(data: bytearray, rng: np.random.Generator) -> None:
    """Zero a block, as a disk does that loses a sector."""
    start = int(rng.integers(0, max(len(data), 1)))
    size = int(rng.choice([16, 512, 4096]))
    data[start : start + size] = bytes(len(data[start : start + size]))


def insert(data: bytearray, rng: np.random.Generator) -> None:
    start = int(rng.integers(0, len(data) + 1))
    data[start:start] = rng.bytes(int(rng.integers(1, 64)))


def repeat(data: bytearray, rng: np.random.Generator) -> None:
    """A block once more, as after a doubled write."""
    start = int(rng.integers(0, max(len(data), 1)))
    block = data[start : start + int(rng.integers(1, 512))]
    data[start:start] = block


def replace_token(data: bytearray, rng: np.random.Generator) -> None:
    """Another value, or another token of the text, in place of one."""
    found = list(TOKEN.finditer(data))
    if not found:
        return
    token = found[rng.integers(len(found))]
    other = found[rng.integers(len(found))].group()
    new = VALUES[rng.integers(len(VALUES))].encode() if rng.random() < 0.7 else other
    data[token.start() : token.end()] = new


def move_line(data: bytearray, rng: np.random.Generator) -> None:
    """Remove a line, or put it elsewhere too."""
    lines = bytes(data).split(b"\n")
    line = lines.pop(rng.integers(len(lines)))
    if rng.random() < 0.5:
        lines.insert(rng.integers(len(lines) + 1), line)
        lines.insert(rng.integers(len(lines) + 1), line)
    data[:] = b"\n".join(lines)


Mutation = Callable[[bytearray, np.random.Generator], None]

OF_BYTES: tuple[Mutation, ...] = (in_head, in_head, flip, truncate, blank, insert, repeat)
OF_TEXT: tuple[Mutation, ...] = (replace_token, replace_token, replace_token, move_line, flip, truncate, insert, repeat)


def mutated(original: bytes, mutations: tuple[Mutation, ...], rng: np.random.Generator) -> bytes:
    """`original` after one mutation, sometimes two or three."""
    data = bytearray(original)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutations[rng.integers(len(mutations))](data, rng)
    return bytes(data)
