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
import importlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from targets import GEOMETRY, showers

from caloforge import files
from caloforge.cli import app, main
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.report import Report
from caloforge.plots.style import StyledFigure
from caloforge.showers import ShowerFile, Showers
from caloforge.training import stage_run
from record_server import CONTENT, TRAIN, publishing

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


def tiny(epochs: int) -> list[str]:
    """Settings of a training of a second."""
    training = [f"epochs={epochs}", "batch_size=64", "stages.density.select=validation_loss"]
    model = ["latent_dim=4", "hidden=[16]", "flow_layers=1"]
    words = [*(f"training.{word}" for word in training), *(f"model.{word}" for word in model)]
    return [f"--set={word}" for word in (*words, f"geometry={GEOMETRY_FILE}")]


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
        begun = "--resume" if (self.folder / "run" / "identity.json").exists() else "--overwrite"
        return ["train", "caloman-demo", "--train", str(SMALL), "-o", str(self.folder / "run"), begun, *tiny(4)]

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
        words = ["--energies", "uniform:100MeV:400MeV", "-n", "4000", "--shards", "4", "--batch-size", "250"]
        return ["generate", str(RUN), *words, "--resume", "-o", str(self.folder / "shards")]

    def check(self) -> None:
        for path in self.folder.glob("shards/shard-*.h5"):
            with ShowerFile(path) as file:
                assert len(file) == 1000
                file.read()

    def result(self) -> str:
        return " ".join(showers_of(path) for path in sorted(self.folder.glob("shards/shard-*.h5")))


class Evaluate(Victim):
    """Numbers are whole or absent, and so are all figures together; an earlier report stays until there are numbers.

    Drawing is replaced by copying one figure, since it takes much longer than all the rest.
    """

    def command(self) -> list[str]:
        words = ["--classifiers", "none", "--quick", "--overwrite"]
        return ["evaluate", str(SMALL), "-r", str(OTHER), *words, "-o", str(self.folder / "report")]

    def check(self) -> None:
        if (self.folder / "report").exists():
            Report.load(self.folder / "report")
        figures = self.folder / "report" / "figures"
        found = {path.suffix: path.read_bytes() for path in figures.glob("*")}
        assert not figures.exists() or found == FIGURES
        page = self.folder / "report" / "report.html"
        assert not page.exists() or (found and page.read_text().rstrip().endswith("</html>"))

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


FIGURES = {".png": b"a figure", ".pdf": b"a figure, too"}


def copied(figure: object, target: Path | io.BytesIO, **settings: object) -> None:
    """In place of `savefig`."""
    if isinstance(target, io.BytesIO):
        target.write(FIGURES[".png"])
    else:
        target.write_bytes(FIGURES[target.suffix])


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
        stage_run.CHECKPOINT_SECONDS = 0.0
        StyledFigure.savefig = copied  # type: ignore[method-assign,assignment]
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
            try:
                os.killpg(child, signal.SIGKILL)
            except ProcessLookupError:  # killed before it led a group of its own
                os.kill(child, signal.SIGKILL)
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
    done = f"{killed} kills, {finished} times finished with the uninterrupted result, nothing corrupt, nothing left"
    return f"{done} ({usual:.1f} s uninterrupted)"


def prepare(folder: Path) -> None:
    """Inputs of all victims; whatever they import is imported here, once."""
    global SMALL, OTHER, RUN, GEOMETRY_FILE
    torch.set_num_threads(1)
    SMALL, OTHER, RUN, GEOMETRY_FILE = (folder / name for name in ("small.h5", "other.h5", "run", "geometry.json"))
    GEOMETRY_FILE.write_text(json.dumps(GEOMETRY.to_dict()))
    for seed, path in enumerate((SMALL, OTHER)):
        showers(700, seed).write(path)
    words = ["train", "caloman-demo", "--train", str(SMALL), "-o", str(RUN), *tiny(1)]
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        evaluate(Showers.read(SMALL), Showers.read(OTHER), quick=True).save(folder / "report")
        app(words, standalone_mode=False)
    for module in ("caloforge.cli.generation_job", "caloforge.sources.geant4.workers", "caloforge.sources.public.http"):
        importlib.import_module(module)


def cpu_seconds() -> float:
    """Of this process and of all that have ended."""
    spent = [resource.getrusage(which) for which in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


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
            begun, used = time.monotonic(), cpu_seconds()
            if name == "simulate geant4" and not TABLES.is_dir():
                print(f"{name:16} not run: Geant4's tables are not at {TABLES}", flush=True)
                continue
            own = Path(folder) / "victim"
            own.mkdir(exist_ok=True)
            try:
                words_ = torture(VICTIMS[name](own), kills)
            except AssertionError as error:
                words_, failed = f"FAILED: {error}", True
            spent = f"{time.monotonic() - begun:.0f} s, {cpu_seconds() - used:.0f} s of CPU"
            print(f"{name:16} {words_}; {spent}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
