"""The journal of finished events: killed at any byte, it keeps what was whole and goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caloforge.conditions import Columns
from caloforge.energies import Incident
from caloforge.errors import CaloforgeError
from caloforge.sources.geant4.journal import Journal, check_same, decode, encode
from caloforge.sources.geant4.simulation import BLOCK_ENERGY, BLOCK_EVENTS, _blocks

CONFIG = {"n": 6, "seed": 3, "position": [0.0, 1.5]}


def block(start: int, n: int = 2) -> tuple[np.ndarray, np.ndarray]:
    voxels = np.arange(n * 4, dtype=np.float32).reshape(n, 4) + 100 * start + 0.1
    return voxels, np.linspace(0.1, 0.3, n) + start


def write(path: Path, starts: tuple[int, ...]) -> None:
    with Journal(path, CONFIG, 6) as journal:
        for start in starts:
            journal.append(start, 2, encode(*block(start)))


def test_payload_round_trip_is_exact() -> None:
    voxels, seconds = block(7, 3)
    back, seconds_back = decode(encode(voxels, seconds), 3)
    assert np.array_equal(back, voxels)
    assert np.array_equal(seconds_back, seconds)


def test_blocks_come_back_in_the_order_of_events(tmp_path: Path) -> None:
    path = tmp_path / "f.partial"
    write(path, (4, 0))
    with Journal(path, CONFIG, 6) as journal:
        assert journal.done.tolist() == [True, True, False, False, True, True]
        journal.append(2, 2, encode(*block(2)))
        assert journal.done.all()
        back = list(journal.blocks())
        assert [start for start, _, _ in back] == [0, 2, 4]
        for start, voxels, seconds in back:
            assert np.array_equal(voxels, block(start)[0])
            assert np.array_equal(seconds, block(start)[1])
        journal.remove()
    assert not path.exists()


def test_cut_at_any_byte_it_keeps_the_whole_blocks(tmp_path: Path) -> None:
    path = tmp_path / "f.partial"
    write(path, ())
    begun = path.stat().st_size
    write(path, (0,))
    one = path.stat().st_size
    write(path, (2,))
    content = path.read_bytes()
    for length in range(begun, len(content)):
        path.write_bytes(content[:length])
        with Journal(path, CONFIG, 6) as journal:
            assert journal.done.sum() == (2 if length >= one else 0)
            journal.append(4, 2, encode(*block(4)))
        with Journal(path, CONFIG, 6) as journal:
            assert [start for start, _, _ in journal.blocks()][-1] == 4


def test_a_damaged_block_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "f.partial"
    write(path, (0, 2))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with Journal(path, CONFIG, 6) as journal:
        assert journal.done.tolist() == [True, True, False, False, False, False]


def test_another_configuration_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "f.partial"
    write(path, (0,))
    with pytest.raises(CaloforgeError, match=r"written with seed = 3, now 4 is asked for: .* overwrite=True"):
        Journal(path, {**CONFIG, "seed": 4}, 6)
    with pytest.raises(CaloforgeError, match=r"written with cut = null, now 0\.7"):
        Journal(path, {**CONFIG, "cut": 0.7}, 6)
    check_same(CONFIG, {**CONFIG, "n": 9}, "f", ignore=("n",))


def test_two_writers_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.partial"
    with (
        Journal(path, CONFIG, 6),
        pytest.raises(CaloforgeError, match="being written by another process"),
    ):
        Journal(path, CONFIG, 6)
    path.write_bytes(b"\x89HDF\r\n\x1a\n something else")
    with pytest.raises(CaloforgeError, match="is not a journal"):
        Journal(path, CONFIG, 6)


def _incident(energies: np.ndarray) -> Incident:
    return Incident(energies, Columns.none(len(energies)))


def test_blocks_hold_each_missing_event_once_and_are_small() -> None:
    rng = np.random.default_rng(1)
    energies = rng.choice([1e2, 1e3, 1e4, 1e5], 500)
    done = rng.random(500) < 0.3
    blocks = list(_blocks(_incident(energies), done, 0))
    events = np.concatenate([np.arange(b.start, b.start + len(b.energies)) for b in blocks])
    assert np.array_equal(events, np.flatnonzero(~done))
    assert np.array_equal(np.concatenate([b.energies for b in blocks]), energies[~done])
    assert all(b.energies[:-1].sum() < BLOCK_ENERGY and len(b.energies) <= BLOCK_EVENTS for b in blocks)
    assert [len(b.energies) for b in _blocks(_incident(np.ones(200)), np.zeros(200, dtype=bool), 0)] == [64, 64, 64, 8]
    assert list(_blocks(_incident(energies), np.ones(500, dtype=bool), 0)) == []
