"""Commands on odd terminals, under batch systems, with limits, and with names that look like markup."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caloforge.cli import SPINS, main
from caloforge.cli.console import stdout
from caloforge.errors import CaloforgeWarning
from caloforge.showers import Showers
from caloforge.simulator.shards import merge

COMMAND = [sys.executable, "-m", "caloforge"]
SMALL = ["simulate", "parametric", "-g", "ds1-photons", "-e", "list:1GeV"]


def run(*words: object, limits: dict[int, int] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with limits (`resource.RLIMIT_…`) and environment variables."""

    def lower() -> None:
        for which, value in (limits or {}).items():
            resource.setrlimit(which, (value, value))

    return subprocess.run(
        [*COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lower,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def one_line(done: subprocess.CompletedProcess[str], *facts: str) -> None:
    assert done.returncode == 2, done.stderr
    *progress, line = done.stderr.splitlines()
    assert line.startswith("caloforge")
    assert not any("Traceback" in each for each in progress)
    for fact in facts:
        assert fact in line


# ---- terminals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["0", "wide"])
def test_a_width_that_is_none_is_not_used(columns: str) -> None:
    assert len(run("--help", COLUMNS=columns).stdout) > 1000


def test_a_table_without_a_width(tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5")
    assert "600" in run("check", tmp_path / "s.h5", COLUMNS="0").stdout


def test_brackets_and_colons_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("flow[/old]", "rep[new]", ":smile:", "[bold]x[/bold]"):
        stdout.print(text)
        assert capsys.readouterr().out == f"{text}\n"


def test_a_geometry_with_brackets_in_its_name(tmp_path: Path) -> None:
    one_line(run("check", tmp_path / "[/geo].h5"), "[/geo].h5")
    (tmp_path / "[geo].yaml").write_text("name: '[/x]'\nlayers: [{id: 0, r_edges: [0, 10]}]\n")
    words = ["simulate", "parametric", "-g", "[geo].yaml", "-e", "list:1GeV", "-o", "[/out].h5"]
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "[/out].h5: 1 analytic shower in [/x]" in done.stdout


def test_a_backend_that_is_not_installed_does_not_matter() -> None:
    code = "from caloforge import plots\nwith plots.style(): pass"
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_of_a_notebook.backend"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---- values ---------------------------------------------------------------------------------------------------------


def test_a_seed_that_no_file_holds_is_refused(tmp_path: Path) -> None:
    one_line(run(*SMALL, "--seed", 2**64, "-o", tmp_path / "x.h5"), "--seed", str(2**63 - 1))
    assert not list(tmp_path.iterdir())


# ---- limits ---------------------------------------------------------------------------------------------------------


def test_the_limit_of_file_sizes_is_one_line(tmp_path: Path) -> None:
    words = [*SMALL, "-n", 5000, "--compression", 0, "-o", tmp_path / "x.h5"]
    one_line(run(*words, limits={resource.RLIMIT_FSIZE: 1_000_000}), "x.h5", "ulimit -f")
    assert not list(tmp_path.iterdir())


def test_more_files_than_may_be_open_are_merged(tmp_path: Path, small_showers: Showers) -> None:
    small_showers[:2].write(tmp_path / "s.h5")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_open = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 50
    resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + 10, limits[1]))
    try:
        assert merge([tmp_path / "s.h5"] * 30, tmp_path / "m.h5") == 60
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("value", ["x", -1, 1.5])
def test_shards_with_numbers_that_are_none(value: object, tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5", {"shard": value, "shards": 10**15})
    with pytest.raises(ValueError, match="'shard'"):
        merge([tmp_path / "s.h5"], tmp_path / "m.h5")


def test_shards_of_a_number_that_no_farm_has(tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5", {"shard": 0, "shards": 10**15})
    with pytest.raises(ValueError, match="shards missing: 1, 2, 3, 4, 5, … of 1000000000000000"):
        merge([tmp_path / "s.h5"], tmp_path / "m.h5")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_what_the_system_refuses_is_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def app(**how: object) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr("caloforge.cli.app", app)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"caloforge: some/file: {os.strerror(number)}")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("unable to mmap 8 bytes from file <weights>: Cannot allocate memory (12)"),
        lambda: np.empty(10**15),
        lambda: torch.empty(10**14),
    ],
)
def test_no_memory_is_one_line(error: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def app(**how: object) -> None:
        if isinstance(error, Exception):
            raise error
        error()

    monkeypatch.setattr("caloforge.cli.app", app)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("caloforge: not enough memory (")


# ---- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_tidies_up(number: signal.Signals, tmp_path: Path) -> None:
    words = [*SMALL, "-n", 10_000_000, "--batch-size", 200, "-o", tmp_path / "x.h5"]
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # the tests may run under nohup
    ) as process:
        end = time.monotonic() + 120
        while not list(tmp_path.glob(".*.part")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.rstrip().endswith("caloforge: interrupted")
    assert not list(tmp_path.iterdir())


def test_nohup_is_respected(tmp_path: Path) -> None:
    code = (
        "import os, signal, caloforge.cli as cli\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "cli.app = lambda **how: os.kill(os.getpid(), signal.SIGHUP)\n"
        "cli.main()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- notes ----------------------------------------------------------------------------------------------------------


def in_gev(showers: Showers) -> Showers:
    return Showers(showers.energies / 1000, showers.voxels / 1000, showers.geometry)


DOUBTS: dict[str, tuple[Callable[[Showers], Showers], str]] = {
    "all in GeV": (in_gev, "are they in GeV"),
    "voxels in GeV": (lambda s: Showers(s.energies, s.voxels / 1000, s.geometry), "E_dep / E_inc is 0.0009"),
    "some empty": (
        lambda s: Showers(s.energies, s.voxels * (s.energies > 100)[:, None], s.geometry),
        "200 of 600 showers deposit no",
    ),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_the_notes_of_check_reach_merge(case: str, tmp_path: Path, small_showers: Showers) -> None:
    change, note = DOUBTS[case]
    change(small_showers).write(tmp_path / "s.h5")
    with pytest.warns(CaloforgeWarning, match=note):
        merge([tmp_path / "s.h5"], tmp_path / "m.h5")


def test_a_warning_is_a_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, small_showers: Showers
) -> None:
    in_gev(small_showers).write(tmp_path / "s.h5")
    done = run("merge", tmp_path / "s.h5", "-o", tmp_path / "m.h5")
    assert done.returncode == 0
    assert any(line.startswith("note: ") and "GeV" in line for line in done.stderr.splitlines())
    words = ["simulate", "parametric", "-e", f"like:{tmp_path / 's.h5'}", "-n", 1, "-o", tmp_path / "x.h5"]
    assert "are they in GeV" in run(*words).stderr


def test_a_virtual_file_without_its_sources_is_not_merged(tmp_path: Path, small_showers: Showers) -> None:
    path = tmp_path / "v.h5"
    small_showers.write(path)
    with h5py.File(path, "r+") as file:
        del file["showers"]
        layout = h5py.VirtualLayout((600, 13), "f4")
        layout[:] = h5py.VirtualSource("gone.h5", "v", (600, 13))
        file.create_virtual_dataset("showers", layout)
        assert not np.any(file["showers"][...])  # HDF5 itself reads zeros
    one_line(run("merge", path, "-o", tmp_path / "m.h5"), "gone.h5")


@pytest.mark.parametrize(("given", "used"), [(None, SPINS), ("7", "7")])
def test_waiting_threads_soon_sleep_unless_the_user_says_otherwise(
    given: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", given or "")
    if given is None:
        monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setattr(sys, "argv", ["caloforge", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["GOMP_SPINCOUNT"] == used
