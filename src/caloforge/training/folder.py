"""The folder of a run: created late, kept whole, removed where nothing in it is worth keeping.

It holds `recipe.yaml` (resolved, everything that decided the run), `identity.json` (what it was begun with),
`log.jsonl` (a line per epoch), `checkpoint.pt` (to resume from) and, once trained, the saved simulator. It is created
only when files, recipe, model and device have all been found valid, and removed if training fails before a
checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from caloforge.errors import CaloforgeError
from caloforge.files import write_text
from caloforge.registry import IDENTITY
from caloforge.training.callbacks import Callback, Trainer

CHECKPOINT = "checkpoint.pt"


class RunFolder:
    """The folder that a run is written to.

    Args:
        path: the folder.
        resume: continue the run in it. overwrite: replace an earlier run.

    Raises:
        CaloforgeError: the folder cannot take the run; nothing has been changed.
    """

    def __init__(
        self, path: Path, *, resume: bool = False, overwrite: bool = False, inputs: Iterable[Path] = ()
    ) -> None:
        self.path, self.resume, self.overwrite = path, resume, overwrite
        if path.exists() and not path.is_dir():
            raise CaloforgeError(f"{path} is a file; -o takes a folder for the run: give another")
        if resume:
            if not (path / IDENTITY).exists():
                raise CaloforgeError(f"{path} holds no run to resume; start it without --resume")
        elif path.exists() and any(path.iterdir()):
            if not overwrite:
                raise CaloforgeError(f"{path} exists; add --resume to continue it, or --overwrite to replace it")
            if not (path / IDENTITY).exists():
                raise CaloforgeError(f"{path} is not a run of caloforge, and is left alone; choose another folder")
            for file in inputs:
                if file.resolve().is_relative_to(path.resolve()):
                    raise CaloforgeError(f"{file} lies in {path}, which --overwrite replaces; choose another folder")

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    def check_identity(self, identity: dict[str, str]) -> None:
        """Check that a run to resume was begun with the same recipe and training data."""
        if not self.resume:
            return
        try:
            stored = json.loads((self.path / IDENTITY).read_text(encoding="utf-8"))
            different = [key for key in identity if stored.get(key) != identity[key]]
        except (OSError, ValueError, AttributeError):
            raise CaloforgeError(f"{self.path / IDENTITY} is damaged; start the run anew with --overwrite") from None
        if different:
            what = "training file" if different == ["training_fingerprint"] else "recipe"
            keys = _different_keys(stored.get("recipe_yaml"), identity["recipe_yaml"]) if what == "recipe" else ""
            raise CaloforgeError(f"{self.path} was begun with another {what}{keys}; give the same, or another folder")

    @contextmanager
    def open(self, identity: dict[str, str], recipe_folder: Path | None = None) -> Iterator[None]:
        """Create the folder, and keep it in order while the run is trained.

        Ctrl-C keeps everything, so that the run can be resumed. A failure keeps it only where there is a checkpoint.

        Args:
            identity: what the run was begun with.
            recipe_folder: where classes of the user's own are found again (`generate --trust`).
        """
        existed = self.path.exists()
        if not self.resume:
            if existed and self.overwrite:
                shutil.rmtree(self.path)
            own = {} if recipe_folder is None else {"recipe_folder": os.fspath(recipe_folder.resolve())}
            write_text(self.path / "recipe.yaml", identity["recipe_yaml"])
            write_text(self.path / IDENTITY, json.dumps(identity | own))
        try:
            yield
        except Exception as error:
            if self.checkpoint.exists():
                if isinstance(error, CaloforgeError):
                    raise CaloforgeError(
                        f"{error}; {self.path} keeps the run so far: start anew with --overwrite"
                    ) from None
            else:
                for name in ("recipe.yaml", IDENTITY, "log.jsonl"):
                    (self.path / name).unlink(missing_ok=True)
                shutil.rmtree(self.path / "tensorboard", ignore_errors=True)
                if not existed and not any(self.path.iterdir()):
                    self.path.rmdir()
            raise


class LogFile(Callback):
    """Keeps `log.jsonl` equal to the training's history.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def training_started(self, trainer: Trainer) -> None:
        if trainer.history:  # resumed: the file may have lines of epochs after the checkpoint
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in trainer.history))

    def epoch_done(self, trainer: Trainer) -> None:
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(trainer.record) + "\n")


def _different_keys(before: Any, now: Any) -> str:
    """The recipe's keys whose values differ, in brackets; empty where they cannot be determined."""
    try:
        old, new = (_flat(yaml.safe_load(text)) for text in (before, now))
    except (yaml.YAMLError, AttributeError):
        return ""
    missing = "nothing"
    pairs = [(key, old.get(key, missing), new.get(key, missing)) for key in {**old, **new}]
    words = [f"{key} was {a}, now {b}" for key, a, b in pairs if a != b]
    return f" ({'; '.join(words)})" if words else ""


def _flat(plain: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping of dotted keys."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else None
    if items is None:
        return {prefix.rstrip("."): plain}
    return {key: value for name, inner in items for key, value in _flat(inner, f"{prefix}{name}.").items()}
