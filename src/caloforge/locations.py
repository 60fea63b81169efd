"""Where recipes are, and which folders are runs; imports nothing heavy, so that a shell can complete names quickly."""

from __future__ import annotations

import re
from pathlib import Path

_PACKAGE = Path(__file__).parent

RECIPES = (_PACKAGE / "_recipes", _PACKAGE.parents[1] / "recipes")
"""Folders of the shipped recipes: in an installed package, and in a source checkout."""

DESCRIPTION = "simulator.json"
"""The file that makes a folder a run (`caloforge.simulator.stored`)."""


def list_recipes() -> list[str]:
    """Names of the shipped recipes."""
    return sorted({path.stem for folder in RECIPES for path in folder.glob("*.yaml")})


def is_run(folder: Path) -> bool:
    """Whether a folder holds a trained generator.

    >>> is_run(Path("no such folder"))
    False
    """
    return (folder / DESCRIPTION).is_file()


def runs_in(folder: Path) -> list[Path]:
    """The runs directly inside a folder, such as those of several seeds, in the order of their numbers.

    >>> runs_in(Path("no such folder"))
    []
    """
    return sorted(filter(is_run, folder.iterdir()), key=by_number) if folder.is_dir() else []


def by_number(path: Path) -> list[str | int]:
    """A key that sorts names by the numbers in them.

    >>> [path.name for path in sorted([Path("seed-10"), Path("seed-9")], key=by_number)]
    ['seed-9', 'seed-10']
    """
    return [int(word) if word.isdecimal() else word for word in re.split(r"(\d+)", path.name)]
