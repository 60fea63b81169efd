"""Files that are kept, and names that can be stored."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caloforge import files
from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path, prepare_parent, printable, refuse_existing
from caloforge.units import count


def test_an_existing_file_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    refuse_existing(path, overwrite=False)
    path.write_text("precious")
    with pytest.raises(CaloforgeError, match=r"showers\.h5 exists: give another path or overwrite=True"):
        refuse_existing(path, overwrite=False)
    refuse_existing(path, overwrite=True)
    assert path.read_text() == "precious"


def test_only_files_are_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CaloforgeError, match="pipe is a device or a pipe"), atomic_path(pipe):
        pass
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "scratch" / "showers.h5", tmp_path / "link.h5"
    link.symlink_to(target)
    with atomic_path(link) as partial:
        partial.write_text("new")
        assert not target.exists()
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["showers.h5"]


def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    with pytest.raises(CaloforgeError, match=r"cannot write to .*: permission denied"):
        prepare_parent(tmp_path / "a.h5")
    prepare_parent(tmp_path / "new" / "a.h5")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_never_a_file_to_write(overwrite: bool, tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match="is a folder; give the path of a file"):
        refuse_existing(tmp_path, overwrite)


@pytest.mark.parametrize(
    ("text", "stored"),
    [("a/é.h5", "a/é.h5"), (Path("a/b.h5"), "a/b.h5"), ("caf\udce9.h5", "caf\\xe9.h5"), ("", "")],
)
def test_printable_text_is_utf8(text: str | Path, stored: str) -> None:
    assert printable(text) == stored


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 showers"), (1, "1 shower"), (2, "2 showers"), (12000, "12,000 showers")]
)
def test_counts_agree_with_their_noun(n: int, words: str) -> None:
    assert count(n, "shower") == words


# --- what killed processes leave behind

WRITER = """
import os, sys
from caloforge import files
with files.atomic_path(sys.argv[1]) as partial, files.atomic_folder(sys.argv[2]) as folder:
    partial.write_text("half")
    (folder / "inside").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_leftovers_of_a_killed_process_go_and_those_of_a_running_one_stay(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WRITER, str(tmp_path / "a.h5"), str(tmp_path / "report")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        files.remove_leftovers(tmp_path)
        assert len(hidden(tmp_path)) == 2  # it still writes
        writer.kill()
        writer.wait()
    files._cleaned.clear()
    with atomic_path(tmp_path / "b.h5") as partial:
        assert hidden(tmp_path) == [partial.name]
    assert [path.name for path in tmp_path.iterdir()] == ["b.h5"]


def leave(folder: Path, name: str, age: float) -> Path:
    path = folder / name
    path.write_text("half")
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_leftovers_of_other_machines_are_kept_for_a_week(tmp_path: Path) -> None:
    week = files.STALE_SECONDS
    fresh = leave(tmp_path, f".a.h5.00000000-{os.getpid()}.part", week - 60)
    leave(tmp_path, f".a.h5.00000000-{os.getpid()}.old", week + 60)
    leave(tmp_path, ".a.h5.4242.part", week + 60)  # as earlier versions named them
    others = [leave(tmp_path, name, 10 * week) for name in (".bashrc", "a.h5.part", ".a.partial", ".part")]
    (tmp_path / "a.h5").write_text("complete")
    files.remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {fresh, *others, tmp_path / "a.h5"}


def test_a_folder_moved_aside_comes_back_if_its_replacement_never_came(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    aside = tmp_path / f".run.{files._host()}-{int(gone.stdout)}.old"
    aside.mkdir()
    (aside / "weights").write_text("only copy")
    files.remove_leftovers(tmp_path)
    assert (tmp_path / "run" / "weights").read_text() == "only copy"
    assert hidden(tmp_path) == []
