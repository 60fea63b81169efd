"""`--train A.h5 B.h5`: options that take several files, such as those from a shell glob."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

OPTIONS = ("--train", "--valid")

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
"""File extensions that distinguish further files from the recipe."""


def each_with_its_option(words: Iterable[str]) -> list[str]:
    """Command-line words with the option repeated before each further file after it.

    >>> each_with_its_option(["flagship-demo", "--train", "a.h5", "b.h5", "-o", "run"])
    ['flagship-demo', '--train', 'a.h5', '--train', 'b.h5', '-o', 'run']
    """
    found: list[str] = []
    option, values = "", 0
    for word in words:
        name, _, value = word.partition("=")
        if word.startswith("-") and len(word) > 1:
            option, values = (name, int(bool(value))) if name in OPTIONS else ("", 0)
        elif option and values == 0:
            values = 1
        elif option and Path(word).suffix.lower() in SUFFIXES:
            found.append(option)
        else:
            option = ""
        found.append(word)
    return found


class SeveralFiles(TyperCommand):
    """A command whose `--train` and `--valid` take several files each."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, each_with_its_option(args))
