"""The finished events of a run, in a file that remains valid if the process is killed at any moment.

`FILE.partial` is an append-only file next to the target. Its first line is the run's configuration as JSON; then
follow blocks of consecutive events, each with a header

    magic (4 bytes), first event, number of events, length of the payload, CRC-32 of the payload

and a zlib payload: CPU seconds (n,) float64, then voxels (n, V) float32, or numbers of hits (n,) int64 and hits (P, 4)
float32, little-endian. A block is valid if it is complete and its checksum agrees; anything after the last valid block
is truncated at the next start.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from caloforge.documents import parse_json
from caloforge.errors import CaloforgeError, option
from caloforge.files import open_alone, prepare_parent

_HEADER = struct.Struct("<4sQQQI")
_MAGIC = b"CFG4"

MOST_BYTES = 1 << 30
"""Of a block once it is decompressed."""


Decoded = tuple[Any, np.ndarray]
"""Voxels (n, V), or the hits (h, 4) of each event, and CPU seconds (n,)."""


def encode(voxels: np.ndarray | Sequence[np.ndarray], cpu_seconds: np.ndarray) -> bytes:
    """The payload of a block of events: voxels (n, V) in MeV and CPU seconds (n,)."""
    return zlib.compress(cpu_seconds.astype("<f8").tobytes() + np.asarray(voxels, "<f4").tobytes(), 1)


def decode(payload: bytes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (count, V) float32 and CPU seconds (count,) float64 of a payload.

    Raises:
        ValueError, zlib.error: it is not the payload of so many events, or longer than `MOST_BYTES`.
    """
    raw = zlib.decompressobj().decompress(payload, MOST_BYTES)
    return np.frombuffer(raw, "<f4", offset=8 * count).reshape(count, -1), np.frombuffer(raw, "<f8", count)


def encode_hits(hits: Sequence[np.ndarray], cpu_seconds: np.ndarray) -> bytes:
    """The payload of a block of events: the hits (h, 4) of each and CPU seconds (n,)."""
    counts, points = np.array([len(each) for each in hits], "<i8"), np.concatenate(hits).astype("<f4")
    return zlib.compress(cpu_seconds.astype("<f8").tobytes() + counts.tobytes() + points.tobytes(), 1)


def decode_hits(payload: bytes, count: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The hits (h, 4) float32 of each event and CPU seconds (count,) float64 of a payload; errors as of `decode`."""
    raw = zlib.decompressobj().decompress(payload, MOST_BYTES)
    counts = np.frombuffer(raw, "<i8", count, offset=8 * count)
    points = np.frombuffer(raw, "<f4", offset=16 * count).reshape(int(counts.sum()), 4)
    return np.split(points, np.cumsum(counts)[:-1]), np.frombuffer(raw, "<f8", count)


class Journal(AbstractContextManager["Journal"]):
    """Open the journal at `path`, or create it.

    Args:
        path: the partial file.
        config: all settings that the events depend on; compared with those in the file.
        n: number of events of the whole run.
        anew: forget what the file holds.

    Raises:
        CaloforgeError: the file has another configuration, is not a journal, is being written by another
            process, or cannot be written.
    """

    def __init__(self, path: Path, config: dict[str, Any], n: int, *, anew: bool = False) -> None:
        self.path = path
        self.done = np.zeros(n, dtype=bool)
        self._places: dict[int, tuple[int, int, int]] = {}
        prepare_parent(path)
        try:
            self._file = open_alone(path, "is being written by another process: wait for it, or stop it")
        except OSError as error:
            raise CaloforgeError(f"cannot write {path}: {error.strerror}") from None
        try:
            if anew:
                self._file.truncate(0)
            self._end = self._begin(config) if path.stat().st_size == 0 else self._resume(config)
            self._file.truncate(self._end)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, config: dict[str, Any]) -> int:
        self._file.write(json.dumps(config, sort_keys=True).encode() + b"\n")
        self._file.flush()
        return self._file.tell()

    def _resume(self, config: dict[str, Any]) -> int:
        line = self._file.readline()
        try:
            begun = parse_json(line, str(self.path))
        except CaloforgeError:
            begun = None
        if not isinstance(begun, dict):
            raise CaloforgeError(f"{self.path} is not a journal of a simulation: rename or remove it")
        check_same(begun, json.loads(json.dumps(config)), str(self.path))
        end = self._file.tell()
        while True:
            header = self._file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return end
            magic, start, count, length, crc = _HEADER.unpack(header)
            whole = magic == _MAGIC and length <= self.path.stat().st_size
            payload = self._file.read(length) if whole else b""
            if len(payload) < length or zlib.crc32(payload) != crc or not 0 < count <= len(self.done) - start:
                return end
            self._note(start, count, end + _HEADER.size, length)
            end = self._file.tell()

    def _note(self, start: int, count: int, place: int, length: int) -> None:
        self.done[start : start + count] = True
        self._places[start] = (count, place, length)

    def append(self, start: int, count: int, payload: bytes) -> None:
        """Append the block of events start … start + count - 1 (see `encode`); on return it is on disk."""
        self._file.seek(self._end)
        self._file.write(_HEADER.pack(_MAGIC, start, count, len(payload), zlib.crc32(payload)) + payload)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note(start, count, self._end + _HEADER.size, len(payload))
        self._end = self._file.tell()

    def blocks(self, decoder: Callable[[bytes, int], Decoded] = decode) -> Iterator[tuple[int, Any, np.ndarray]]:
        """(first event, voxels or hits, CPU seconds) of each block, in the order of events."""
        for start in sorted(self._places):
            count, place, length = self._places[start]
            self._file.seek(place)
            try:
                found = decoder(self._file.read(length), count)
            except (ValueError, zlib.error) as error:
                raise CaloforgeError(
                    f"{self.path}: the events from {start} on cannot be read ({error}); "
                    f"add {option('overwrite', True)} to start anew"
                ) from None
            yield start, *found

    def remove(self) -> None:
        """Close the journal and delete its file, once the target has been written."""
        self.path.unlink(missing_ok=True)  # while it is locked: afterwards another process may have its own there
        self._file.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and not self.done.any() and not self._file.closed:
            self.path.unlink(missing_ok=True)  # nothing to resume
        self._file.close()


def check_same(begun: Any, wanted: dict[str, Any], path: str, ignore: tuple[str, ...] = ()) -> None:
    """Raise a `CaloforgeError` that names the first setting that differs between two runs."""
    if not isinstance(begun, dict):
        raise CaloforgeError(f"{path} does not say how it was generated: add {option('overwrite', True)} to start anew")
    for key in dict.fromkeys([*wanted, *begun]):
        if key in ignore:
            continue
        old, new = begun.get(key), wanted.get(key)
        if old != new:
            raise CaloforgeError(
                f"{path} was written with {key} = {_short(old)}, now {_short(new)} is asked for: repeat the original "
                f"call to continue, or add {option('overwrite', True)} to start again"
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
