"""Where models are: in the package, and in the folder that `caloforge models get` fills.

A model is a packed run (`caloforge.simulator.packing`) with its card, in a folder of its name.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caloforge.errors import CaloforgeError, either
from caloforge.files import as_path
from caloforge.formatting import listed
from caloforge.locations import is_run

if TYPE_CHECKING:
    from caloforge.simulator import Simulator

SHIPPED = Path(__file__).parent / "shipped"
"""Models in the package."""

FOLDER_VARIABLE = "CALOFORGE_MODELS"
"""Environment variable: folder of downloaded models."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A model's name: letters, digits, dots, dashes and underscores."""


def check_name(name: str) -> str:
    """A valid name of a model.

    Raises:
        CaloforgeError: it is not one.
    """
    if not NAME.fullmatch(name):
        raise CaloforgeError(f"'{name}' is not a valid name of a model: use letters, digits, dots and dashes")
    return name


def downloads() -> Path:
    """Folder of downloaded models: CALOFORGE_MODELS, or caloforge/models among the user's data files.

    Raises:
        CaloforgeError: there is no such variable, and the user has no home folder.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_DATA_HOME"):
        return Path(given) / "caloforge" / "models"
    try:
        return Path.home() / ".local" / "share" / "caloforge" / "models"
    except RuntimeError:
        raise CaloforgeError(f"there is no home folder for models: set {FOLDER_VARIABLE} to a folder") from None


def models() -> dict[str, Path]:
    """Name and folder of every model on this machine, those in the package first."""
    found: dict[str, Path] = {}
    for folder in (SHIPPED, _downloads_if_any()):
        if folder is not None and folder.is_dir():
            for path in sorted(folder.iterdir()):
                if NAME.fullmatch(path.name) and is_run(path):
                    found.setdefault(path.name, path)
    return found


def _downloads_if_any() -> Path | None:
    try:
        return downloads()
    except CaloforgeError:
        return None


def find_run(run: str | os.PathLike[str]) -> Path:
    """The folder of a run, given that folder or the name of a model. A folder is preferred to a model of the same name.

    Raises:
        CaloforgeError: there is neither.
    """
    path = as_path(run, "run")
    text = os.fspath(run)
    if path.exists() or not NAME.fullmatch(text):
        return path  # loading says what is wrong with it
    known = models()
    if text in known:
        return known[text]
    near = difflib.get_close_matches(text, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CaloforgeError(
        f"no run and no model '{text}': {hint}models are {listed(list(known)) if known else '(none installed)'} "
        f"({either('caloforge models list', 'caloforge.zoo.models()')}); a run is the folder of a training"
    )


def load(
    run: str | os.PathLike[str], trusted: Collection[str] = (), settings: Mapping[str, Any] | None = None
) -> Simulator:
    """Load a trained generator.

    >>> run = load("flagship-w-si")
    >>> run.generate([2000.0, 8000.0], seed=1).voxels.shape
    (2, 6480)

    Args:
        run: name of a model (`caloforge models list`), or folder of a run.
        trusted: dotted paths of classes from outside the package that the run may import.
        settings: model settings to change after training, such as a sampler or its steps.

    Raises:
        CaloforgeError: there is no such run, or it cannot be loaded (see `Simulator.load`).
    """
    from caloforge.simulator import Simulator

    return Simulator.load(find_run(run), trusted, settings)
