"""Two processes that write the same output: one of them is told, or the later one wins; nothing is mixed or lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.evaluate import evaluate
from caloforge.files import atomic_folder, open_alone
from caloforge.showers import Showers
from caloforge.sources.geant4.journal import Journal
from caloforge.sources.public import record
from record_server import TRAIN, contents, only, publishing

BUSY = "is being written by another process: wait for it, or stop it"


def test_a_file_is_opened_by_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"
    with open_alone(path, BUSY) as file:
        file.write(b"kept")
        with pytest.raises(CaloforgeError, match=r"a\.partial is being written by another process"):
            open_alone(path, BUSY)
    with open_alone(path, BUSY) as file:
        assert file.read() == b"kept"


def test_a_file_that_was_removed_while_it_was_opened_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "a.partial", []

    def renamed_just_then(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 1:
            path.rename(tmp_path / "a")

    monkeypatch.setattr("caloforge.files.lock", renamed_just_then)
    with open_alone(path, BUSY) as file:
        file.write(b"second")
    assert (tmp_path / "a").read_bytes() == b""
    assert path.read_bytes() == b"second"


def test_folders_that_are_made_at_the_same_time_replace_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, replace, calls = tmp_path / "report", os.replace, []

    def interrupted(source: os.PathLike[str], to: os.PathLike[str]) -> None:
        calls.append(to)
        if Path(to) == target and len(calls) < 4:  # another process is just quicker
            target.mkdir()
            (target / "theirs").write_text("")
        replace(source, to)

    monkeypatch.setattr("caloforge.files.os.replace", interrupted)
    with atomic_folder(target) as partial:
        (partial / "ours").write_text("")
    assert [entry.name for entry in target.iterdir()] == ["ours"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]


def test_an_interruption_leaves_the_earlier_report(
    tmp_path: Path, small_showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "report.html").write_text("earlier")

    def interrupted(*_: object) -> list[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr("caloforge.evaluation.report.figures.figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(small_showers[:300], small_showers[300:], quick=True).save(target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]
    assert (target / "report.html").read_text() == "earlier"


def test_a_file_is_downloaded_by_one_process_at_a_time(tmp_path: Path) -> None:
    with publishing() as publisher:
        url = f"{publisher.url}/api/records"
        with (
            open_alone(tmp_path / f"{TRAIN}.part", BUSY),
            pytest.raises(CaloforgeError, match=rf"{TRAIN}\.part is being downloaded by another process"),
        ):
            record.get("ds1-photons", tmp_path, TRAIN, url)
        assert record.get("ds1-photons", tmp_path, TRAIN, url) == [tmp_path / TRAIN]
    assert contents(tmp_path) == only(TRAIN)


def test_a_simulation_that_starts_anew_spares_the_journal_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.h5.partial"
    with Journal(path, {"seed": 1}, 4) as journal:
        journal.append(0, 2, b"payload")
        with pytest.raises(CaloforgeError, match="being written by another process"):
            Journal(path, {"seed": 2}, 4, anew=True)
    with Journal(path, {"seed": 1}, 4) as journal:
        assert journal.done.tolist() == [True, True, False, False]
    with Journal(path, {"seed": 2}, 4, anew=True) as journal:
        assert not journal.done.any()
