"""`Packed`: the points of all clouds of a batch in one tensor, so that clouds of unequal size waste nothing.

Data sets, scratch files and samplers have a row for each cloud, all rows equally long:

    row = [n, s_1 … s_K, p_1 … p_M]        n points, K numbers of the whole cloud, room for M points of F columns

so that what works on rows works on clouds too; what is beyond the n-th point is zero. Networks see packed points (P, F)
instead, P the number of points of the batch, and sums over clouds are sums over segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packed:
    """The points of B clouds, one cloud after another.

    >>> rows = torch.tensor([[2, 1.0, 5.0, 0.0], [0, 0.0, 0.0, 0.0], [1, 7.0, 0.0, 0.0]])
    >>> clouds = Packed.of_rows(rows, columns=1, most=3)
    >>> clouds.points[:, 0], clouds.sums(clouds.points)[:, 0]
    (tensor([1., 5., 7.]), tensor([6., 0., 7.]))

    Args:
        points: (P, F).
        cloud: (P,) index of the cloud that each point belongs to, rising.
        counts: (B,) number of points of each cloud; int64, as `cloud`.
        others: (B, K) numbers of whole clouds.
    """

    points: Tensor
    cloud: Tensor
    counts: Tensor
    others: Tensor

    @classmethod
    def of(cls, points: Tensor, counts: Tensor, others: Tensor | None = None) -> Packed:
        """From points (P, F), one cloud after another, and counts (B,)."""
        cloud = torch.repeat_interleave(
            torch.arange(len(counts), device=counts.device), counts, output_size=len(points)
        )
        return cls(points, cloud, counts, points.new_zeros(len(counts), 0) if others is None else others)

    @classmethod
    def of_rows(cls, rows: Tensor, columns: int, most: int) -> Packed:
        """From rows (B, 1 + K + most · columns)."""
        counts = rows[:, 0].round().long().clamp(0, most)
        start = rows.shape[1] - most * columns
        return cls.of(rows[:, start:].reshape(len(rows), most, columns)[taken(counts, most)], counts, rows[:, 1:start])

    def rows(self, most: int) -> Tensor:
        """(B, 1 + K + most · F); of a cloud with more points, the first ones remain."""
        there = taken(self.counts, most)
        table = self.points.new_zeros(*there.shape, self.points.shape[1])
        table[there] = self.points if bool((self.counts <= most).all()) else self.points[self.rank < most]
        n = there.sum(dim=1, keepdim=True).to(self.points)
        return torch.cat([n, self.others, table.flatten(1)], dim=1)

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def rank(self) -> Tensor:
        """(P,) number of each point within its cloud, from 0."""
        first = torch.cumsum(self.counts, 0) - self.counts
        return torch.arange(len(self.cloud), device=self.cloud.device) - first[self.cloud]

    def with_points(self, points: Tensor) -> Packed:
        """The same clouds with other points (P, F′)."""
        return replace(self, points=points)

    def parts(self, points: int) -> Iterator[tuple[slice, Packed]]:
        """The clouds some at a time, each with its rows: at most so many points together, and at least one cloud."""
        ends, start = torch.cumsum(self.counts, 0), 0
        while start < len(self):
            first = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(torch.searchsorted(ends, first + points, right=True)))
            rows, here = slice(start, stop), slice(first, int(ends[stop - 1]))
            yield rows, Packed(self.points[here], self.cloud[here] - start, self.counts[rows], self.others[rows])
            start = stop

    def selected(self, kept: Tensor) -> Packed:
        """The same clouds with the points where `kept` (P,) is true."""
        counts = torch.zeros_like(self.counts).index_add_(0, self.cloud, kept.long())
        return Packed(self.points[kept], self.cloud[kept], counts, self.others)

    def sums(self, values: Tensor) -> Tensor:
        """(B, W) sums over each cloud of values (P, W) of its points; 0 for a cloud without any."""
        values = _wide(values)
        return values.new_zeros(len(self), values.shape[1]).index_add_(0, self.cloud, values)

    def means(self, values: Tensor) -> Tensor:
        """(B, W) means over each cloud of values (P, W) of its points; 0 for a cloud without any."""
        return self.sums(values) / self.counts.clamp_min(1)[:, None]

    def spread(self, of_clouds: Tensor) -> Tensor:
        """(P, …) each cloud's row of (B, …) for each of its points."""
        return _wide(of_clouds).index_select(0, self.cloud).to(of_clouds.dtype)


def normal_noise(clouds: Packed, columns: int, most: int, generator: torch.Generator | None = None) -> Tensor:
    """(P, columns) from N(0, 1), drawn as rows, so that a cloud's noise does not depend on the others' sizes."""
    like = clouds.others
    noise = torch.randn(len(clouds), most, columns, generator=generator, device=like.device, dtype=like.dtype)
    return noise[taken(clouds.counts, most)]


def _wide(values: Tensor) -> Tensor:
    """bfloat16 as float32, since sums over many points, and their gradients, need more than its 8 bits."""
    return values.float() if values.dtype == torch.bfloat16 else values


def taken(counts: Tensor, most: int) -> Tensor:
    """(B, most), true where a row has a point."""
    return torch.arange(most, device=counts.device) < counts[:, None]
