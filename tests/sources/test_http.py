"""Downloads over a line that breaks, from a server that errs."""

import hashlib
import re
import shutil
from collections import namedtuple

import pytest

from caloforge.errors import CaloforgeError
from caloforge.sources.public import http, record
from record_server import CONTENT, REFERENCE, TRAIN, contents, only

# --- broken downloads


def test_broken_download_goes_on_where_it_stopped(publisher, tmp_path, waits):
    publisher.cuts = [150_000, 100_000]
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    spans = [span for _, span in publisher.file_requests]
    assert spans[0] is None
    first, second = (int(re.fullmatch(r"bytes=(\d+)-", span)[1]) for span in spans[1:])
    # Less than one chunk of what came before the cut may be lost.
    assert 150_000 - http.CHUNK < first <= 150_000
    assert first < second <= first + 100_000
    assert waits == [1, 1]


def test_a_later_call_goes_on_from_the_part(publisher, tmp_path):
    publisher.cuts = [200_000] + [0] * http.TRIES
    with pytest.raises(CaloforgeError, match=r"broke off after \d+ of 300000 bytes: .*run the same command again"):
        record.get("ds1-photons", tmp_path, "train")
    assert list(contents(tmp_path)) == [f"{TRAIN}.part"]
    held = len(contents(tmp_path)[f"{TRAIN}.part"])
    assert 0 < held <= 200_000
    publisher.cuts, publisher.asked = [], []
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert publisher.file_requests == [(TRAIN, f"bytes={held}-")]


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_server_without_ranges_sends_the_whole_file(publisher, tmp_path, breaks):
    publisher.ranges, publisher.cuts = False, [150_000] * breaks
    (tmp_path / f"{TRAIN}.part").write_bytes(CONTENT[TRAIN][:1000])
    seen = []
    record.get("ds1-photons", tmp_path, "train", progress=lambda file, done: seen.append(done))
    assert contents(tmp_path) == only(TRAIN)
    assert len(publisher.file_requests) == 1 + breaks
    assert seen[0] == 1000


def test_server_without_ranges_that_always_cuts_is_given_up(publisher, tmp_path, waits):
    publisher.ranges, publisher.cuts = False, [150_000] * 100
    with pytest.raises(CaloforgeError, match="broke off"):
        record.get("ds1-photons", tmp_path, "train")
    # The first try gains bytes and only opens the count; the pauses double.
    assert len(publisher.file_requests) == http.TRIES
    assert waits == [1, 2, 4, 8]


def test_complete_part_needs_no_request(publisher, tmp_path):
    (tmp_path / f"{TRAIN}.part").write_bytes(CONTENT[TRAIN])
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert publisher.file_requests == []


@pytest.mark.parametrize(
    "part",
    [
        CONTENT[TRAIN] + b"too long",
        b"another version" + CONTENT[TRAIN][15:],
        b"another version" + CONTENT[TRAIN][15:5000],
    ],
    ids=["too long", "complete but changed", "incomplete and changed"],
)
def test_part_of_another_file_is_replaced(publisher, tmp_path, part):
    (tmp_path / f"{TRAIN}.part").write_bytes(part)
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert publisher.file_requests[-1] == (TRAIN, None)


def test_range_not_satisfiable_starts_afresh(publisher, tmp_path):
    """The first request for a range gets 416, as from a server whose file is shorter than our part."""
    (tmp_path / f"{TRAIN}.part").write_bytes(CONTENT[TRAIN][:1000])
    publisher.answers = [None, (416, {"Content-Range": "bytes */900"})]
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert publisher.file_requests == [(TRAIN, "bytes=1000-"), (TRAIN, None)]


def test_wrong_piece_is_not_appended(publisher, tmp_path):
    """A 206 that starts elsewhere than asked would shift every later byte."""
    (tmp_path / f"{TRAIN}.part").write_bytes(CONTENT[TRAIN][:1000])
    publisher.answers = [None, (206, {"Content-Range": "bytes 900-913/300000"})]
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    assert publisher.file_requests[-1] == (TRAIN, None)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_server_is_asked_again(publisher, tmp_path, waits, status):
    publisher.answers = [
        (status, {"Retry-After": "7"}),
        None,
        (status, {}),
        (status, {"Retry-After": "9999"}),
    ]
    record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == only(TRAIN)
    # As long as the server asks, never longer than a minute, never shorter than our own doubling pause.
    assert waits == [7, 1, 60]


# --- what cannot be mended by trying again: one line, and nothing under the file's name


def test_wrong_checksum(publisher, tmp_path):
    publisher.files[TRAIN] = b"x" + CONTENT[TRAIN][1:]
    found, right = (hashlib.md5(where[TRAIN]).hexdigest() for where in (publisher.files, CONTENT))
    with pytest.raises(CaloforgeError, match=f"has md5 checksum {found} instead of {right}"):
        record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == {}
    assert publisher.file_requests == [(TRAIN, None)]


def test_wrong_checksum_after_breaks_ends(publisher, tmp_path):
    """Pieces may stem from two versions, so that a second round is fair; a third is not."""
    publisher.files[TRAIN] = b"x" + CONTENT[TRAIN][1:]
    publisher.cuts = [150_000, None] * 10
    with pytest.raises(CaloforgeError, match="has md5 checksum"):
        record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == {}
    assert len(publisher.file_requests) == 4


def test_shorter_than_described(publisher, tmp_path):
    publisher.files[TRAIN] = CONTENT[TRAIN][:-10]
    with pytest.raises(CaloforgeError, match="broke off after"):
        record.get("ds1-photons", tmp_path, "train")
    assert TRAIN not in contents(tmp_path)


def test_longer_than_described(publisher, tmp_path):
    publisher.files[TRAIN] = CONTENT[TRAIN] + b"more"
    with pytest.raises(CaloforgeError, match="sends more than the 300000 bytes"):
        record.get("ds1-photons", tmp_path, "train")
    assert contents(tmp_path) == {}


def test_another_file_of_that_name_is_left_alone(publisher, tmp_path):
    (tmp_path / TRAIN).write_bytes(b"mine")
    with pytest.raises(CaloforgeError, match="already exists but differs from the published file"):
        record.get("ds1-photons", tmp_path)
    assert contents(tmp_path) == {TRAIN: b"mine"}
    assert publisher.file_requests == []


def test_full_disk_is_noticed_before_the_download(publisher, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "total used free")
    needed = len(CONTENT[TRAIN]) + len(CONTENT[REFERENCE]) - 100_000
    (tmp_path / f"{TRAIN}.part").write_bytes(CONTENT[TRAIN][:100_000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, needed - 1))
    with pytest.raises(CaloforgeError, match="MB free and the download needs"):
        record.get("ds1-photons", tmp_path)
    assert publisher.file_requests == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, needed))
    record.get("ds1-photons", tmp_path)
    assert contents(tmp_path) == only(TRAIN, REFERENCE)


def test_part_that_cannot_be_written(publisher, tmp_path):
    (tmp_path / f"{TRAIN}.part").mkdir()
    with pytest.raises(CaloforgeError, match=r"cannot write .*\.part: "):
        record.get("ds1-photons", tmp_path, "train")
