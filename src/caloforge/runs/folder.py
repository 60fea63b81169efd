"""The folder of a run: made late, kept whole, never in the way.

It holds `recipe.yaml` (resolved, everything that decided the run), `identity.json` (what it was begun with),
`log.jsonl` (a line per epoch), `checkpoint.pt` (to resume from) and, once trained, the saved simulator. It is made
only when files, recipe, model and device have all been found good, and goes again if training fails before a
checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from caloforge.errors import CaloforgeError
from caloforge.files import write_text
from caloforge.registry import IDENTITY
from caloforge.runs.job import Training
from caloforge.training import Observer, StageSettings

CHECKPOINT = "checkpoint.pt"


def check_folder(job: Training) -> None:
    """Refuse a folder that the run cannot go into; changes nothing."""
    if job.out.exists() and not job.out.is_dir():
        raise CaloforgeError(f"{job.out} is a file; -o takes a folder for the run: give another")
    if job.resume:
        if not (job.out / IDENTITY).exists():
            raise CaloforgeError(f"{job.out} holds no run to resume; start it without --resume")
    elif job.out.exists() and any(job.out.iterdir()):
        if not job.overwrite:
            raise CaloforgeError(f"{job.out} exists; add --resume to go on with it, or --overwrite to replace it")
        if not (job.out / IDENTITY).exists():
            raise CaloforgeError(f"{job.out} is not a run of caloforge, and is left alone; choose another folder")
        for path in (job.train, job.valid):
            if path is not None and path.resolve().is_relative_to(job.out.resolve()):
                raise CaloforgeError(f"{path} lies in {job.out}, which --overwrite replaces; choose another folder")


def check_identity(job: Training, identity: dict[str, str]) -> None:
    """Check that the run to go on with is this very one."""
    try:
        stored = json.loads((job.out / IDENTITY).read_text(encoding="utf-8"))
        different = [key for key in identity if stored.get(key) != identity[key]]
    except (OSError, ValueError, AttributeError):
        raise CaloforgeError(f"{job.out / IDENTITY} is damaged; start the run anew with --overwrite") from None
    if different:
        what = "training file" if different == ["training_fingerprint"] else "recipe"
        keys = _different_keys(stored.get("recipe_yaml"), identity["recipe_yaml"]) if what == "recipe" else ""
        raise CaloforgeError(f"{job.out} was begun with another {what}{keys}; give the same, or another folder")


def _different_keys(before: Any, now: Any) -> str:
    """The recipe's keys whose values differ, in brackets; empty where they cannot be told."""
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


@contextmanager
def run_folder(job: Training, identity: dict[str, str]) -> Iterator[Path]:
    """The run's folder while it is trained in.

    Ctrl-C leaves what there is, to go on with. A failure leaves the folder only where there is a checkpoint in it.
    """
    existed = job.out.exists()
    if not job.resume:
        if existed and job.overwrite:
            shutil.rmtree(job.out)
        # Where the user's own classes lie, for `generate --trust`; not part of what the run is.
        own = {"recipe_folder": os.fspath(job.recipe_folder.resolve())} if job.recipe.trusted else {}
        write_text(job.out / "recipe.yaml", identity["recipe_yaml"])
        write_text(job.out / IDENTITY, json.dumps(identity | own))
    try:
        yield job.out
    except Exception as error:
        if (job.out / CHECKPOINT).exists():
            if isinstance(error, CaloforgeError):
                raise CaloforgeError(f"{error}; {job.out} keeps the run so far: start anew with --overwrite") from None
        else:
            for name in ("recipe.yaml", IDENTITY, "log.jsonl"):
                (job.out / name).unlink(missing_ok=True)
            shutil.rmtree(job.out / "tensorboard", ignore_errors=True)
            if not existed and not any(job.out.iterdir()):
                job.out.rmdir()
        raise


class Logging(Observer):
    """Keep `log.jsonl` equal to the training's history, and pass everything on."""

    def __init__(self, path: Path, observer: Observer) -> None:
        self.path, self.observer = path, observer

    def resumed(self, history: list[dict[str, Any]]) -> None:
        write_text(self.path, "".join(json.dumps(record) + "\n" for record in history))
        self.observer.resumed(history)

    def stage_started(self, stage: str, settings: StageSettings, first_epoch: int, n_batches: int) -> None:
        self.observer.stage_started(stage, settings, first_epoch, n_batches)

    def batch_done(self, loss: float) -> None:
        self.observer.batch_done(loss)

    def epoch_done(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        self.observer.epoch_done(record)
