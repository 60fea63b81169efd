"""Output to a reader that is gone, to a full disk, to nowhere: the work is done all the same."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from caloforge.showers import Showers

NO_ROOM = Path("/dev/full").exists()


@pytest.fixture
def folder(tmp_path: Path, small_showers: Showers) -> Path:
    small_showers.write(tmp_path / "s.h5")
    return tmp_path


def shell(folder: Path, words: str, redirected: str, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """`caloforge WORDS REDIRECTED` in a shell, in `folder`; the status is that of caloforge."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    environment |= {"OMP_NUM_THREADS": "1"} | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {})
    command = f"{shlex.quote(sys.executable)} -m caloforge {words} {redirected}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("reader", ["| head -n 0", "2>&1 | head -n 0", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_the_work_is_done_although_nobody_reads_on(reader: str, unbuffered: bool, folder: Path) -> None:
    done = shell(folder, "merge s.h5 -o m.h5", reader, unbuffered)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert Showers.read(folder / "m.h5") == Showers.read(folder / "s.h5")


@pytest.mark.skipif(not NO_ROOM, reason="no /dev/full on this system")
def test_remarks_that_cannot_be_written_are_no_reason_to_stop(folder: Path) -> None:
    assert shell(folder, "merge s.h5 -o m.h5", "2>/dev/full").returncode == 0
    assert Showers.read(folder / "m.h5") == Showers.read(folder / "s.h5")
    assert shell(folder, "check nothing.h5", "2>/dev/full").returncode == 2


@pytest.mark.skipif(not NO_ROOM, reason="no /dev/full on this system")
@pytest.mark.parametrize("words", ["check s.h5", "--help", "--version"])
def test_results_that_cannot_be_written_are_one_line(words: str, folder: Path) -> None:
    done = shell(folder, words, ">/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("caloforge: no space left on the device")
    assert "Traceback" not in done.stderr
