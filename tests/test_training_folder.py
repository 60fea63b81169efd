"""The folder of a run: an earlier run is not lost before the new one stands, and one process writes at a time."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest
import torch

from caloforge.errors import CaloforgeError, CannotWrite
from caloforge.training.checkpoint import FORMAT, Checkpoint, read_checkpoint, write_checkpoint
from caloforge.training.folder import RunFolder

IDENTITY = {"recipe_yaml": "name: new\n", "training_fingerprint": "1"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A finished run, with a file that no run has."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("identity.json", "recipe.yaml", "checkpoint.pt", "simulator.json", "notes.txt"):
        (folder / name).write_text("old" if name != "identity.json" else "{}")
    (folder / "tensorboard").mkdir()
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() if entry.is_file() else "/" for entry in folder.iterdir()}


@pytest.mark.parametrize("how", ["folder", "link", "here"])
@pytest.mark.parametrize("error", [RuntimeError("a defect"), CaloforgeError("a mistake"), KeyboardInterrupt()])
def test_an_earlier_run_comes_back_if_the_new_one_never_stood(
    how: str, error: BaseException, old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, path = contents(old), old
    if how == "link":
        path = tmp_path / "link"
        path.symlink_to(old)
    elif how == "here":
        monkeypatch.chdir(old)
        path = Path()
    with pytest.raises(type(error)), RunFolder(path, overwrite=True).open(IDENTITY):
        assert (path / "recipe.yaml").read_text() == "name: new\n"
        assert not (path / "checkpoint.pt").exists()
        raise error
    assert contents(old) == before


def test_an_earlier_run_goes_when_the_new_one_stands(old: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunFolder(old, overwrite=True).open(IDENTITY):
        (old / "checkpoint.pt").write_text("new")
        raise KeyboardInterrupt
    assert set(contents(old)) == {"identity.json", "recipe.yaml", "checkpoint.pt"}
    assert (old / "checkpoint.pt").read_text() == "new"


@pytest.mark.parametrize("moved", [0, 1, 3, 6])
def test_an_earlier_run_survives_a_kill(moved: int, old: Path) -> None:
    """Whether the process died while it moved the run aside, or before the first checkpoint of the new one."""
    before = contents(old)
    aside = old / (".replaced" if moved == len(before) else ".replacing")
    aside.mkdir()
    for entry in sorted(old.iterdir())[1 : moved + 1]:
        entry.rename(aside / entry.name)
    if moved == len(before):
        (old / "identity.json").write_text("new")
        (old / "tensorboard").mkdir()
    RunFolder(old, resume=True)
    assert contents(old) == before


def test_what_was_replaced_goes_if_the_new_run_was_killed_after_its_checkpoint(old: Path) -> None:
    (old / ".replaced").mkdir()
    (old / ".replaced" / "checkpoint.pt").write_text("older")
    before = contents(old)
    RunFolder(old, resume=True)
    assert contents(old) == {name: text for name, text in before.items() if name != ".replaced"}


def test_two_processes_do_not_write_to_one_run(old: Path) -> None:
    first, second = RunFolder(old, resume=True), RunFolder(old, resume=True)
    with first.open(IDENTITY), pytest.raises(CaloforgeError, match="another process"), second.open(IDENTITY):
        pass
    with second.open(IDENTITY):  # the first has ended
        pass


def test_a_full_disk_says_how_to_go_on(old: Path) -> None:
    with pytest.raises(CannotWrite, match="resume=True"), RunFolder(old, resume=True).open(IDENTITY):
        raise OSError(errno.ENOSPC, "No space left on device")


# ---- checkpoints ----------------------------------------------------------------------------------------------------


def state() -> Checkpoint:
    return {
        "format": FORMAT,
        "stage": 0,
        "epoch": 3,
        "ended": False,
        "history": [],
        "model": {"w": torch.ones(1000)},
        "optimizers": [],
        "average": None,
        "best": {"value": 1.0, "epoch": 2, "weights": None},
    }


def test_a_disk_that_fills_up_keeps_the_last_good_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, state())
    good = path.read_bytes()
    left = 0
    write = io.FileIO.write

    class Full(io.FileIO):
        def write(self, data: object) -> int:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(self, data)

    for k in range(4):
        left = k
        with monkeypatch.context() as patch, pytest.raises(CannotWrite, match="no space left"):
            patch.setattr(Path, "open", lambda self, mode, buffering=0: Full(self, "w"))
            write_checkpoint(path, state())
        assert path.read_bytes() == good
        assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def bad_checkpoints() -> dict[str, object]:
    good = state()
    return {
        "another program's": {"epoch": 3, "model": {}},
        "a list": [1, 2],
        "a tensor": torch.ones(3),
        "of our format, empty": {"format": FORMAT},
        "without weights": {name: value for name, value in good.items() if name != "model"},
        "negative stage": {**good, "stage": -1},
        "text for epoch": {**good, "epoch": "3"},
    }


@pytest.mark.parametrize("case", ["empty file", "text", "half", *bad_checkpoints()])
def test_a_bad_checkpoint_is_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, state())
    match case:
        case "empty file":
            path.write_bytes(b"")
        case "text":
            path.write_text("hello")
        case "half":
            path.write_bytes(path.read_bytes()[:500])
        case _:
            torch.save(bad_checkpoints()[case], path)
    with pytest.raises(CaloforgeError) as caught:
        read_checkpoint(path, torch.device("cpu"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
