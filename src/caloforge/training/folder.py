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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from caloforge.documents import parse_json, parse_yaml, read_text
from caloforge.errors import CaloforgeError, CannotWrite, either, option
from caloforge.files import lock, real, write_text, writing
from caloforge.locations import DESCRIPTION as SIMULATOR
from caloforge.registry import IDENTITY
from caloforge.training.callbacks import Callback, Trainer
from caloforge.training.carried import INITIAL
from caloforge.training.distributed import ProcessLost

CHECKPOINT = "checkpoint.pt"

REPLACING, REPLACED = ".replacing", ".replaced"
"""Folders inside a run's: an earlier run is moved into the first, which is then renamed."""


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
            raise CaloforgeError(
                f"{path} is a file; {either('-o takes a folder for the run: give another', 'give a folder')}"
            )
        if self._replaced.is_dir() or self._replacing.is_dir():  # of a process that was killed
            with self._locked():
                self._recover()
        if resume:
            if not (path / IDENTITY).exists():
                raise CaloforgeError(f"{path} holds no run to resume; start it without {option('resume', True)}")
        elif path.exists() and any(path.iterdir()):
            if not overwrite:
                raise CaloforgeError(
                    f"{path} exists; add {option('resume', True)} to continue it, or "
                    f"{option('overwrite', True)} to replace it"
                )
            if not (path / IDENTITY).exists():
                raise CaloforgeError(f"{path} is not a run of caloforge, and is left alone; choose another folder")
            for file in inputs:
                if real(file).is_relative_to(real(path)):
                    raise CaloforgeError(
                        f"{file} lies in {path}, which {option('overwrite', True)} replaces; choose another folder"
                    )

    @property
    def checkpoint(self) -> Path:
        return self.path / CHECKPOINT

    def check_identity(self, identity: dict[str, str]) -> None:
        """Check that a run to resume was begun with the same recipe and training data."""
        if not self.resume:
            return
        try:
            stored = parse_json(read_text(self.path / IDENTITY, "identity"), IDENTITY)
            keys_of_both = dict.fromkeys([*identity, *({INITIAL} & stored.keys())])
            different = [key for key in keys_of_both if stored.get(key) != identity.get(key)]
        except (CaloforgeError, AttributeError):
            raise CaloforgeError(
                f"{self.path / IDENTITY} is damaged; start the run anew with {option('overwrite', True)}"
            ) from None
        if different:
            if INITIAL in different:
                start = either("--from RUN", "initial=…")
                how, remedy = f"with {start}", f"give the same {start}"
                if INITIAL not in stored:
                    how, remedy = f"without {start}", "leave it out"
                raise CaloforgeError(f"{self.path} was begun {how}; {remedy}, or give another folder")
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
        with self._locked():
            try:
                with writing(self.path):
                    if not self.resume:
                        self._begin(identity, recipe_folder)
                    yield
            except Exception as error:
                if self.checkpoint.exists():
                    if isinstance(error, CaloforgeError):
                        go_on = f"continue with the same call and {option('resume', True)}"
                        anew = f"{self.path} keeps the run so far: start anew with {option('overwrite', True)}"
                        if isinstance(error, ProcessLost):  # `train` says how to go on
                            raise
                        remedy = go_on if isinstance(error, CannotWrite) else anew
                        raise type(error)(f"{error}; {remedy}") from None
                else:
                    self._clear()
                    if not existed and not any(self.path.iterdir()):
                        self.path.rmdir()
                raise
            except KeyboardInterrupt as stop:
                if not self.checkpoint.exists() and self._replaced.exists():
                    stop.add_note(f"stopped; the earlier run in {self.path} is as it was")
                raise
            finally:
                self._recover()

    # An earlier run is moved into a folder inside the new one's, and stays there until the new one has a checkpoint:
    # the folder itself may be a link, a mount point or the current folder.

    @property
    def _replaced(self) -> Path:
        return self.path / REPLACED

    @property
    def _replacing(self) -> Path:
        return self.path / REPLACING

    def _begin(self, identity: dict[str, str], recipe_folder: Path | None) -> None:
        if found := list(self.path.iterdir()):
            self._replacing.mkdir()
            for entry in found:
                entry.rename(self._replacing / entry.name)
            self._replacing.rename(self._replaced)
        own = {} if recipe_folder is None else {"recipe_folder": os.fspath(real(recipe_folder))}
        write_text(self.path / "recipe.yaml", identity["recipe_yaml"])
        write_text(self.path / IDENTITY, json.dumps(identity | own))

    def _recover(self) -> None:
        """Remove what was replaced once the new run can be resumed or used; bring it back otherwise."""
        stands = self.checkpoint.exists() or (self.path / SIMULATOR).exists()
        for folder in (self._replacing, self._replaced):
            if folder.is_dir():
                if folder == self._replacing or not stands:
                    for entry in list(folder.iterdir()):
                        if (self.path / entry.name).is_dir():
                            shutil.rmtree(self.path / entry.name)
                        entry.replace(self.path / entry.name)
                shutil.rmtree(folder, ignore_errors=True)

    def _clear(self) -> None:
        """Remove what a run writes before its first checkpoint."""
        for name in ("recipe.yaml", IDENTITY, "log.jsonl"):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "tensorboard", ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time write to the run; where the system has no such locks, the user is trusted."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CaloforgeError(f"cannot create {self.path}: {error.strerror}") from None
        if not os.access(self.path, os.W_OK):
            raise CaloforgeError(f"cannot write to {self.path}: permission denied")
        handle = -1
        with suppress(OSError):  # folders cannot be opened everywhere
            handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                if handle >= 0:
                    lock(handle)
            except BlockingIOError:
                busy = f"{self.path} is being trained by another process: wait for it, or end it"
                raise CaloforgeError(busy) from None
            yield
        finally:
            if handle >= 0:
                os.close(handle)


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
        old, new = (_flat(parse_yaml(text, "recipe")) for text in (before, now))
    except (CaloforgeError, TypeError, AttributeError):
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
