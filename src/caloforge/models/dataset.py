"""`ShowerDataset`: rows of features x (N, …) and conditions c (N, C), read when they are needed.

Rows come from tensors in memory (`MemoryRows`), or from anything else with the methods of `Rows`. Maps of (x, c) are
put on top and evaluated on the rows that are asked for, without gradients:

    data = ShowerDataset(MemoryRows(x, c)).map(encode)
    x, c = data.take(torch.tensor([4, 0, 2]))

A map is deterministic, or draws random numbers either once (`once`: the training evaluates it one time and keeps the
result), or for every batch anew (`each_batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
"""Features x (B, …) and conditions c (B, C)."""

PairMap = Callable[[Tensor, Tensor], Pair]

When = Literal["any time", "once", "each batch"]


class Rows(Protocol):
    """Where the rows of a data set come from."""

    @property
    def limit(self) -> int | None:
        """How many rows may be in memory at a time; None: all of them."""

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

    limit = None

    def __init__(self, x: Tensor, c: Tensor) -> None:
        self.x, self.c = x, c

    def __len__(self) -> int:
        return len(self.x)

    def read(self, rows: slice | Tensor) -> Pair:
        return self.x[rows], self.c[rows]

    def stream(self, selections: Iterable[Tensor]) -> Iterator[Pair]:
        return map(self.read, selections)


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
        return self._mapped(self.rows.read(rows if self.selection is None else self.selection[rows]))

    def batches(self, order: Tensor, size: int) -> Iterator[Pair]:
        """(x, c) of the rows `order`, `size` at a time."""
        rows = order if self.selection is None else self.selection[order]
        return map(self._mapped, self.rows.stream(rows.split(size)))

    def chunks(self) -> Iterator[Pair]:
        """(x, c) of all rows in order, as many at a time as fit in memory: for statistics in one pass."""
        size = self.rows.limit or len(self)
        return self.batches(torch.arange(len(self)), size) if size < len(self) else iter([self.take(slice(None))])

    def sample(self) -> Pair:
        """(x, c) of all rows, or of a random subset where not all fit in memory: for other statistics."""
        limit = self.rows.limit
        if limit is None or limit >= len(self):
            return self.take(slice(None))
        return self.take(torch.randperm(len(self))[:limit].sort().values)

    def _mapped(self, pair: Pair) -> Pair:
        x, c = pair[0].to(self.device), pair[1].to(self.device)
        with torch.no_grad():
            for function, _ in self.maps:
                x, c = function(x, c)
        return x, c
