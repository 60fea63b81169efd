"""Files that are kept, and names that can be stored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caloforge.errors import CaloforgeError
from caloforge.files import atomic_path, prepare_parent, printable, refuse_existing
from caloforge.units import count


def test_an_existing_file_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    refuse_existing(path, overwrite=False)
    path.write_text("precious")
    with pytest.raises(CaloforgeError, match=r"showers\.h5 exists: give another -o or --overwrite"):
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
