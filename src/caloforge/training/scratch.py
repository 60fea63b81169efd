"""Rows of features and conditions in an uncompressed file, for what does not fit in memory.

A row lies in one piece, x before c, so that a shuffled batch takes one read per row, at the speed of the operating
system's page cache where that holds the file. Files are read, not mapped: mapped pages would count as memory of the
process.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.models.dataset import Pair

AHEAD = 2
"""Batches that are read in the background."""


class ScratchRows:
    """Rows in a file of fixed size, written once and read in any order.

    Args:
        path: of the file, which is created, or of one that was written before.
        n: rows.
        x, c: tensors whose trailing shapes and types are those of a row.
        written: whether the file has its rows already.

    Raises:
        CaloforgeError: the file cannot be created.
    """

    def __init__(self, path: Path, n: int, x: Tensor, c: Tensor, *, written: bool = False) -> None:
        self.path, self._n = path, n
        parts = {"x": x, "c": c}
        fields = [(name, _numpy_type(part), tuple(part.shape[1:])) for name, part in parts.items()]
        self._record = np.dtype(fields)
        self.values = x[:1].numel() if len(x) else int(np.prod(x.shape[1:]))
        try:
            self._file = os.open(path, os.O_RDWR if written else os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise CaloforgeError(f"cannot write scratch file {path}: {error.strerror}") from None

    def __len__(self) -> int:
        return self._n

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, whose space is free again only then if it has been removed; it cannot be read any more."""
        if hasattr(self, "_file"):
            os.close(self._file)
            del self._file

    @property
    def nbytes(self) -> int:
        return self._n * self._record.itemsize

    def write(self, start: int, x: Tensor, c: Tensor) -> None:
        """Write rows `start` … `start + len(x)`.

        Raises:
            CaloforgeError: the disk is full.
        """
        rows = np.empty(len(x), self._record)
        rows["x"], rows["c"] = x.cpu().numpy(), c.cpu().numpy()
        buffer, offset = memoryview(rows.view(np.uint8)), start * self._record.itemsize  # type: ignore[arg-type]
        try:
            while len(buffer):
                done = os.pwrite(self._file, buffer, offset)
                buffer, offset = buffer[done:], offset + done
        except OSError as error:
            raise CaloforgeError(f"cannot write scratch file {self.path}: {error.strerror}") from None

    def read(self, rows: slice | Tensor) -> Pair:
        if isinstance(rows, slice):
            start, stop, step = rows.indices(self._n)
            found = self._read(np.arange(start, stop, step))
        else:
            found = self._read(rows.cpu().numpy())
        x, c = (torch.from_numpy(np.ascontiguousarray(found[name])) for name in ("x", "c"))
        return x, c

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        with ThreadPoolExecutor(1, "read-ahead") as reader:
            pending: deque[Future[Pair]] = deque()
            for rows in selections:
                pending.append(reader.submit(self.read, rows))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Records at indices (B,), neighbours in one read."""
        found = np.empty(len(rows), self._record)
        if len(rows) == 0:
            return found
        size = self._record.itemsize
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
        stops = np.append(starts[1:], len(rows))
        buffer = memoryview(found.view(np.uint8))  # type: ignore[arg-type]
        for start, stop, row in zip(starts.tolist(), stops.tolist(), rows[starts].tolist(), strict=True):
            self._fill(buffer[start * size : stop * size], row * size)
        return found

    def _fill(self, part: memoryview, offset: int) -> None:
        while len(part):
            try:
                done = os.preadv(self._file, [part], offset)
            except OSError as error:
                raise CaloforgeError(f"cannot read scratch file {self.path}: {error.strerror}") from None
            if done == 0:
                raise CaloforgeError(f"scratch file {self.path} is shorter than it was; did something truncate it?")
            part, offset = part[done:], offset + done


def _numpy_type(part: Tensor) -> np.dtype:
    return torch.empty(0, dtype=part.dtype).numpy().dtype
