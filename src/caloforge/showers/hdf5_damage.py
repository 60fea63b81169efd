"""Damage on which the HDF5 library hangs or crashes, found before the library meets it.

- A global heap (HDF5 File Format Specification, III.E) holds texts and the sources of virtual datasets. Where one of
  its entries has no length, the library looks for the next one for ever. Where a text claims to be longer than the
  file, the library takes memory for all of it, up to 4 GB.
- A chunk with checksums (Fletcher 32) of fewer than the checksum's four bytes makes it read beyond its memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

ENDS = 1 << 24
"""Bytes at each end of a file that are searched for heaps: attributes are written first or last."""

SIGNATURE, HEADER, CHECKSUM = b"GCOL\x01", 16, 4

VIRTUAL = b"\x04\x03"
"""Version and class of a virtual dataset's layout message, directly before the address."""

MOST_ENTRIES = 1 << 16
"""Of a global heap: their numbers have 16 bits."""


def has_damaged_texts(path: Path) -> bool:
    """Whether the library would never return from a global heap of this file, or take memory for more than there is."""
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        heaps = list(_heaps(content))
        return any(_is_endless(content, heap) for heap in heaps) or _is_claimed_too_long(content, heaps)


def _heaps(content: mmap.mmap) -> Iterator[int]:
    """Positions of global heaps near either end."""
    for start, stop in _ends(len(content)):
        position = content.find(SIGNATURE, start, stop)
        while position >= 0:
            yield position
            position = content.find(SIGNATURE, position + 1, stop)


def _ends(size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, min(ENDS, size)), (max(ENDS, size - ENDS), size)


def _is_endless(content: mmap.mmap, heap: int) -> bool:
    """Whether going from entry to entry of a heap, as the library does, comes to one that leads to itself or back."""
    stop = min(heap + int.from_bytes(content[heap + 8 : heap + 16], "little"), len(content))
    position = heap + HEADER
    while position + HEADER <= stop:
        index = int.from_bytes(content[position : position + 2], "little")
        length = int.from_bytes(content[position + 8 : position + 16], "little")
        length = HEADER + (length + 7) // 8 * 8 if index else length  # index 0 is free space, header included
        if length % (1 << 64) == 0 or length >= 1 << 63:
            return True
        position += length
    return False


def _is_claimed_too_long(content: mmap.mmap, heaps: list[int]) -> bool:
    """Whether there is a reference to a text in one of the heaps, whose length is more than that of the file.

    A reference is the length (4 bytes), the address of the heap (8) and the number of the entry (4); that of a virtual
    dataset's sources has no length.
    """
    if not heaps:
        return False
    for start, stop in _ends(len(content)):
        part = content[start:stop]
        for position in _addresses(part, np.array(heaps, dtype=np.uint64)):
            if position < 4:
                continue
            length = int.from_bytes(part[position - 4 : position], "little")
            entry = int.from_bytes(part[position + 8 : position + 12], "little")
            virtual = part[position - 2 : position] == VIRTUAL
            if length > len(content) and 0 < entry < MOST_ENTRIES and not virtual:
                return True
    return False


def _addresses(part: bytes, heaps: np.ndarray) -> Iterator[int]:
    """Positions of 8 bytes that are one of the addresses `heaps`; files of ragged rows have thousands of heaps."""
    for shift in range(min(8, len(part))):
        numbers = np.frombuffer(part, dtype="<u8", count=(len(part) - shift) // 8, offset=shift)
        low = np.flatnonzero((numbers >= heaps.min()) & (numbers <= heaps.max()))
        yield from (8 * low[np.isin(numbers[low], heaps)] + shift).tolist()


def has_short_chunk(dataset: h5py.Dataset) -> bool:
    """Whether a chunk is too short for the checksum that it should end with."""
    if dataset.chunks is None or not dataset.fletcher32 or not hasattr(dataset.id, "chunk_iter"):
        return False
    sizes: list[int] = []
    dataset.id.chunk_iter(lambda chunk: sizes.append(chunk.size))
    return any(size < CHECKSUM for size in sizes)
