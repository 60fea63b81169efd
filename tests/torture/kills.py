"""Kills: commands end with SIGKILL at random moments, again and again, until they have finished.

    python tests/torture/kills.py                # 100 kills of each command, as `make torture` does
    python tests/torture/kills.py train 20       # 20 kills of one

After every kill, whatever has its final name must be whole. In the end the result must be that of an uninterrupted
command, with nothing left beside it. Commands run in forks of this process, which has imported everything: the kills
then fall into the work and not into the start.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "sources"))

from record_server import CONTENT, TRAIN, publishing

from caloforge import files
from caloforge.cli import main
from caloforge.evaluation.report.report import Report
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.sample import sample_path
from caloforge.training import loop

TABLES = Path(os.environ.get("CALOFORGE_GEANT4_DATA", str(Path(__file__).parents[3] / "shared" / "geant4-data")))
LONGEST = 300.0
"""Seconds for an uninterrupted command."""


class Victim(ABC):
    """A command that is killed; `folder` is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def command(self) -> list[str]:
        """The words of the next call."""

    @abstractmethod
    def check(self) -> None:
        """Everything under its final name is whole."""

    @abstractmethod
    def result(self) -> str:
        """A hash of what a finished command leaves."""

    def clear(self) -> None:
        """Remove the result, so that the next call begins anew."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def litter(self) -> list[str]:
        return [str(p) for p in self.folder.rglob(".*")] + [str(p) for p in self.folder.rglob("*.partial")]


def digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def showers_of(path: Path) -> str:
    showers = Showers.read(path)
    return digest(showers.energies, showers.voxels)


class Train(Victim):
    def command(self) -> list[str]:
        tiny = ["epochs=4", "batch_size=64", "stages.density.select=validation_loss"]
        model = ["latent_dim=4", "hidden=[16]", "flow_layers=1"]
        begun = ["--resume"] if (self.folder / "run" / "identity.json").exists() else ["--overwrite"]
        settings = [f"--set=training.{word}" for word in tiny] + [f"--set=model.{word}" for word in model]
        return ["train", "caloman-demo", "--train", str(SMALL), "-o", str(self.folder / "run"), *begun, *settings]

    def check(self) -> None:
        checkpoint = self.folder / "run" / "checkpoint.pt"
        if checkpoint.exists():
            torch.load(checkpoint, weights_only=True)
        if (self.folder / "run" / "simulator.json").exists():
            self.result()

    def result(self) -> str:
        return str(json.loads((self.folder / "run" / "simulator.json").read_text())["weights_sha256"])[:16]


class Generate(Victim):
    """Shards, resumed."""

    def command(self) -> list[str]:
        words = ["--energies", "uniform:1GeV:4GeV", "-n", "4000", "--shards", "4", "--batch-size", "250"]
        return ["generate", str(RUN), *words, "--resume", "-o", str(self.folder / "shards")]

    def check(self) -> None:
        for path in self.folder.glob("shards/shard-*.h5"):
            with ShowerFile(path) as file:
                assert len(file) == 1000
                file.read()

    def result(self) -> str:
        return " ".join(showers_of(path) for path in sorted(self.folder.glob("shards/shard-*.h5")))


class Evaluate(Victim):
    """A report is whole or absent, and an earlier one stays until the new one is whole."""

    def command(self) -> list[str]:
        words = ["--classifiers", "none", "--quick", "--overwrite"]
        return ["evaluate", str(SMALL), "-r", str(OTHER), *words, "-o", str(self.folder / "report")]

    def check(self) -> None:
        if (self.folder / "report").exists():
            Report.load(self.folder / "report")

    def result(self) -> str:
        document = json.loads((self.folder / "report" / "report.json").read_text())
        return digest(np.frombuffer(json.dumps(document["metrics"]).encode(), np.uint8))


class Download(Victim):
    def command(self) -> list[str]:
        words = ["--files", TRAIN, "--records-url", f"{RECORDS}/api/records"]
        return ["data", "get", "ds1-photons", "-o", str(self.folder / "data"), *words]

    def check(self) -> None:
        path = self.folder / "data" / TRAIN
        assert not path.exists() or path.read_bytes() == CONTENT[TRAIN]

    def result(self) -> str:
        return hashlib.sha256((self.folder / "data" / TRAIN).read_bytes()).hexdigest()[:16]

    def litter(self) -> list[str]:
        return [*super().litter(), *map(str, self.folder.rglob("*.part"))]


class Geant4(Victim):
    def command(self) -> list[str]:
        words = ["-d", "w-si", "-p", "e-", "-e", "list:400", "-n", "400", "-s", "3", "--geant4-data", str(TABLES)]
        return ["simulate", "geant4", *words, "-o", str(self.folder / "g4.h5")]

    def check(self) -> None:
        if (self.folder / "g4.h5").exists():
            self.result()

    def result(self) -> str:
        return showers_of(self.folder / "g4.h5")


VICTIMS = {"train": Train, "generate": Generate, "evaluate": Evaluate, "data get": Download, "simulate geant4": Geant4}


def start(words: list[str]) -> int:
    """The command in a fork; its process number."""
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        sys.argv = ["caloforge", *words]
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        files._cleaned.clear()
        loop.CHECKPOINT_SECONDS = 0.0
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main()
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    finally:
        os._exit(status)


def ended(child: int, seconds: float) -> int | None:
    """Status of a process that ends within so many seconds; None for one that does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


def torture(victim: Victim, kills: int, seed: int = 1) -> str:
    """Kill a command so many times.

    Returns:
        what was done, in words.

    Raises:
        AssertionError: something was lost, left or corrupt.
    """
    rng = np.random.default_rng(seed)
    begun = time.monotonic()
    status = ended(start(victim.command()), LONGEST)
    assert status == 0, f"the uninterrupted command ended with {status}"
    usual, wanted = time.monotonic() - begun, victim.result()
    assert not victim.litter(), victim.litter()
    victim.clear()
    killed = finished = 0
    while killed < kills:
        child = start(victim.command())
        status = ended(child, float(rng.uniform(0, 0.9 * usual)))
        if status is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
            victim.check()
            if killed < kills:
                continue
            status = ended(start(victim.command()), LONGEST)
        assert status == 0, f"after {killed} kills the command ended with {status}"
        finished += 1
        assert victim.result() == wanted, f"after {killed} kills the result differs"
        assert not victim.litter(), victim.litter()
        victim.clear()
    return f"{killed} kills, {finished} times finished with the uninterrupted result, nothing corrupt, nothing left"


def prepare(folder: Path) -> None:
    """Inputs of all victims."""
    global SMALL, OTHER, RUN
    torch.set_num_threads(1)
    SMALL, OTHER, RUN = folder / "small.h5", folder / "other.h5", folder / "run"
    Showers.read(sample_path("train"), stop=700).write(SMALL)
    Showers.read(sample_path("test"), stop=700).write(OTHER)
    model = ["latent_dim=4", "hidden=[16]", "flow_layers=1"]
    words = ["train", "caloman-demo", "--train", str(SMALL), "-o", str(RUN), "--set=training.epochs=1"]
    words += [*(f"--set=model.{word}" for word in model), "--set=training.stages.density.select=validation_loss"]
    assert ended(start(words), LONGEST) == 0


def run(words: list[str]) -> int:
    """Print a line per command; the status is 1 if one of them lost something."""
    global RECORDS
    wanted = [words[0]] if words else list(VICTIMS)
    kills = int(words[1]) if len(words) > 1 else 100
    failed = False
    with tempfile.TemporaryDirectory(prefix="caloforge-kills-") as folder, publishing() as publisher:
        RECORDS = publisher.url
        prepare(Path(folder))
        for name in wanted:
            begun = time.monotonic()
            if name == "simulate geant4" and not TABLES.is_dir():
                print(f"{name:16} not run: Geant4's tables are not at {TABLES}", flush=True)
                continue
            own = Path(folder) / "victim"
            own.mkdir(exist_ok=True)
            try:
                words_ = torture(VICTIMS[name](own), kills)
            except AssertionError as error:
                words_, failed = f"FAILED: {error}", True
            print(f"{name:16} {words_}; {time.monotonic() - begun:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
