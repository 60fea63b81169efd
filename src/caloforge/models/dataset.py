"""`ShowerDataset`: rows of features x (N, …) and conditions c (N, C), read when they are needed.

Rows come from tensors in memory (`MemoryRows`), or from anything else with the methods of `Rows`. Maps of (x, c) are
put on top and evaluated on the rows that are asked for, without gradients:

    data = ShowerDataset(MemoryRows(x, c)).map(encode)
    x, c = data.take(torch.tensor([4, 0, 2]))

A map is deterministic, or draws random numbers either once (`once`: the training evaluates it one time and keeps the
result), or for every batch anew (`each_batch`).

Constants of a model come from `pieces` or `chunks` (a pass over all rows), or from `sample` (all rows, or a random
subset of large data). They depend on the data alone, not on where the rows are kept, so that constants do not either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Features x (B, …) and conditions c (B, C)."""

PairMap = Callable[[Tensor, Tensor], Pair]

When = Literal["any time", "once", "each batch"]

STATISTIC_VALUES = 65_000_000
"""Most values (260 MB of float32) that a statistic is handed at a time: all of data set 1, 10 000 showers of ds2."""

PIECE_VALUES = 5_000_000
"""Values that maps are evaluated on at a time: their intermediate results are several times as large."""

PIECE_ROWS = 8192
"""Rows that maps are evaluated on at a time, at most."""


class Rows(Protocol):
    """Where the rows of a data set come from."""

    @property
    def values(self) -> int:
        """Numbers in the features of a row."""

    def __len__(self) -> int: ...

    def read(self, rows: slice | Tensor) -> Pair:
        """The rows at a slice or at indices (B,), in that order."""

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        """The rows at each of the selections, the next ones being read meanwhile if that saves time."""


class MemoryRows:
    """Rows of two tensors.

    Args:
        x: (N, …). c: (N, C).
    """

    def __init__(self, x: Tensor, c: Tensor) -> None:
        self.x, self.c = x, c

    @property
    def values(self) -> int:
        return self.x[:1].numel()

    def __len__(self) -> int:
        return len(self.x)

    def read(self, rows: slice | Tensor) -> Pair:
        return self.x[rows], self.c[rows]

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        return map(self.read, selections)

    def write(self, start: int, x: Tensor, c: Tensor) -> None:
        """Set rows `start` … `start + len(x)`."""
        self.x[start : start + len(x)] = x
        self.c[start : start + len(c)] = c


class TimedRows:
    """Rows of another kind, and the seconds spent waiting for them.

    Args:
        rows: what is read.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows, self.seconds = rows, 0.0

    @property
    def values(self) -> int:
        return self.rows.values

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: slice | Tensor) -> Pair:
        started = time.monotonic()
        found = self.rows.read(rows)
        self.seconds += time.monotonic() - started
        return found

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        batches = self.rows.stream(selections)
        while True:
            started = time.monotonic()
            batch = next(batches, None)
            self.seconds += time.monotonic() - started
            if batch is None:
                return
            yield batch


@dataclass(frozen=True)
class ShowerDataset:
    """Rows of (x, c), and the maps on top of them.

    Args:
        rows: where they come from.
        device: that maps are evaluated on, and that the results are on.
        maps: in the order of their evaluation, with when they are evaluated.
        selection: (N,) indices of `rows`; None: all.
    """

    rows: Rows
    device: torch.device | str = "cpu"
    maps: tuple[tuple[PairMap, When], ...] = ()
    selection: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, c: Tensor) -> ShowerDataset:
        """A data set in memory, from x (N, …) and c (N, C)."""
        return cls(MemoryRows(x, c))

    def __len__(self) -> int:
        return len(self.rows) if self.selection is None else len(self.selection)

    def to(self, device: torch.device | str) -> ShowerDataset:
        """The same rows, on a device."""
        return replace(self, device=device)

    def map(self, function: PairMap, when: When = "any time") -> ShowerDataset:
        """The data set of function(x, c), row by row.

        Args:
            function: (x (B, …), c (B, C)) → the same for other features and conditions; each row by itself.
            when: `any time`: the function is deterministic, so that the training may evaluate it once or for each
                batch, whichever is cheaper; `once`: its random numbers stay the same for all epochs; `each batch`: they
                are drawn anew for every batch.
        """
        return replace(self, maps=(*self.maps, (function, when)))

    def subset(self, about: int) -> ShowerDataset:
        """Every k-th row, so that `about` of them or up to twice as many are left."""
        rows = torch.arange(len(self)) if self.selection is None else self.selection
        return replace(self, selection=rows[:: max(1, len(self) // about)])

    def take(self, rows: slice | Tensor) -> Pair:
        """(x, c) of the rows at a slice or at indices (B,)."""
        return self.mapped(self.rows.read(rows if self.selection is None else self.selection[rows]))

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        """(x, c) of the rows at each of the selections, before the maps (`mapped`)."""
        return self.rows.stream(rows if self.selection is None else self.selection[rows] for rows in selections)

    def pieces(self, size: int | None = None) -> Iterator[Pair]:
        """(x, c) of all rows in order, `size` at a time; by default as many as maps are best evaluated on."""
        size = size or min(PIECE_ROWS, max(1, PIECE_VALUES // max(1, self.rows.values)))
        return (self.take(slice(start, start + size)) for start in range(0, len(self), size))

    def chunks(self) -> Iterator[Pair]:
        """(x, c) of all rows, at once up to `STATISTIC_VALUES`, else in pieces: for sums, which depend on the order."""
        return self.pieces(len(self) if len(self) * self.rows.values <= STATISTIC_VALUES else None)

    def sample(self) -> Pair:
        """(x, c) of all rows, or of a random subset of them with `STATISTIC_VALUES` values: for other statistics."""
        with torch.random.fork_rng():  # a row for its size, which must not use up the random numbers of the maps
            x, c = self.take(slice(0, 1))
        limit = max(1, STATISTIC_VALUES // max(1, x.numel() + c.numel()))
        chosen = self
        if limit < len(self):
            rows = torch.randperm(len(self))[:limit].sort().values
            chosen = replace(self, selection=rows if self.selection is None else self.selection[rows])
        if not self.maps:
            return chosen.take(slice(None))
        parts = list(chosen.pieces())
        return parts[0] if len(parts) == 1 else (torch.cat([x for x, _ in parts]), torch.cat([c for _, c in parts]))

    def mapped(self, pair: Pair) -> Pair:
        """(x, c), as they were read, after the maps."""
        x, c = pair[0].to(self.device), pair[1].to(self.device)
        with torch.no_grad():
            for function, _ in self.maps:
                x, c = function(x, c)
        return x, c
