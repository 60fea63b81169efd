"""Schedulers that others started, and jobs of dask-jobqueue: real processes on this machine."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
pytest.importorskip("dask_jobqueue", reason="--cluster needs the extra cluster")

from caloforge.cluster.parts import Maker, SamplePart, Told, Watcher, Work
from caloforge.cluster.tasks import make_parts
from caloforge.cluster.where import BatchSystem, RunningScheduler


@dataclass
class SlowNumbers(Work):
    """Files with their number in it, half a second each."""

    def packages(self) -> dict[str, str]:
        return {}

    def start(self) -> Maker:
        return SlowNumberMaker()


class SlowNumberMaker(Maker):
    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        if keep and path.exists():
            return "kept one"
        time.sleep(0.5)
        path.write_text(str(number))
        return ""

    def close(self) -> None:
        pass


@contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    running = subprocess.Popen([sys.executable, "-m", *words], cwd=Path(__file__).parent, **quiet)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def parts(n: int) -> list[SamplePart]:
    return [SamplePart(number, f"part-{number}", 1) for number in range(n)]


@pytest.mark.slow
def test_a_scheduler_that_is_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")  # workers unpickle the class above
    address = f"tcp://127.0.0.1:{(port := free_port())}"
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    worker = ("distributed.cli.dask_worker", address, "--host", "127.0.0.1", "--no-dashboard", "--nthreads", "1")

    with ExitStack() as stack:
        first = stack.enter_context(process(*scheduler))
        stack.enter_context(process(*worker))

        class Restarting(Watcher):
            restarted = False

            def progress(self, showers: int, workers: int) -> None:
                if showers >= 2 and not self.restarted:
                    self.restarted = True
                    first.kill()
                    first.wait()
                    time.sleep(1)
                    stack.enter_context(process(*scheduler))
                    stack.enter_context(process(*worker))

        watcher = Restarting()
        result = make_parts(RunningScheduler(address), SlowNumbers(), parts(8), tmp_path, watcher=watcher)
    assert watcher.restarted
    assert sorted(result.made) == list(range(8))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"part-{k}": str(k) for k in range(8)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # dask-jobqueue leaves pipes open
def test_jobs_of_dask_jobqueue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=":")
    (tmp_path / "farm.yaml").write_text(
        "cluster: local\nworkers: 2\ncores: 1\nprocesses: 1\nmemory: 1GB\nscheduler_options: {host: 127.0.0.1}\n"
    )
    (tmp_path / "out").mkdir()
    result = make_parts(BatchSystem.read(tmp_path / "farm.yaml"), SlowNumbers(), parts(6), tmp_path / "out")
    assert sorted(result.made) == list(range(6))
    assert result.failed == {}
    gc.collect()
