"""What a shell offers when Tab is pressed: recipes, geometries, detectors, reconstructions, and runs.

Each function takes what has been typed so far and returns names that begin with it. Nothing here imports PyTorch.
Install with `caloforge --install-completion`. Where nothing matches, bash completes file names itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

GEOMETRY_FILES = (".yaml", ".yml", ".json", ".xml")


def recipes(incomplete: str) -> list[str]:
    """Shipped recipes, and recipe files."""
    from caloforge.locations import list_recipes

    return [*_beginning(list_recipes(), incomplete), *_files(incomplete, (".yaml", ".yml"))]


def geometries(incomplete: str) -> list[str]:
    """Built-in geometries, and geometry files."""
    from caloforge.geometry.builtin import BUILTIN

    return [*_beginning(BUILTIN, incomplete), *_files(incomplete, GEOMETRY_FILES)]


def detectors(incomplete: str) -> list[str]:
    """Shipped detectors for Geant4, and detector files."""
    from caloforge.sources.geant4.detector import shipped_detectors

    return [*_beginning(shipped_detectors(), incomplete), *_files(incomplete, (".yaml", ".yml", ".json"))]


def reconstructions(incomplete: str) -> list[str]:
    """Shipped recipes of a reconstruction, and recipe files."""
    from caloforge.reconstruction.recipe_file import shipped_reconstructions

    return [*_beginning(shipped_reconstructions(), incomplete), *_files(incomplete, (".yaml", ".yml", ".json"))]


def runs(incomplete: str) -> list[str]:
    """Models, and folders that hold a run: in the current folder, or in the one that has been typed."""
    from caloforge.locations import is_run
    from caloforge.zoo.shelf import models

    found = [text for text, path in _entries(incomplete) if is_run(path)]
    return [*_beginning(models(), incomplete), *found]


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    return [text for text, path in _entries(incomplete) if path.suffix.lower() in suffixes]


def _entries(incomplete: str) -> list[tuple[str, Path]]:
    """Entries of the folder that has been typed whose names begin with the rest, as they would be typed."""
    folder, slash, beginning = incomplete.rpartition("/")
    try:
        paths = sorted(Path(folder + slash or ".").expanduser().iterdir())
    except (OSError, RuntimeError):  # no such folder, not readable, or ~ of nobody
        return []
    shown = [path for path in paths if path.name.startswith(beginning) and (beginning or path.name[0] != ".")]
    return [(folder + slash + path.name, path) for path in shown]
