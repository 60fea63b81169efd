"""A batch divided among processes: what a model may ask about the rows that it is given.

A training with k processes (`caloforge.training.distributed`) gives each of them every k-th row of a batch, and takes
the step that one process would take with all rows. Losses of single showers need nothing for that: random numbers with
one row per shower (`torch.randn_like(x)`, `torch.rand(len(x))`, dropout, …) are drawn for the whole batch, of which a
process gets its own rows, and batch normalisation uses means over the whole batch. What depends on other rows, or on a
row's index, asks:

    part = part_of(x)                    # of one process alone: the whole batch
    u = torch.arange(part.total)[part.rows] / part.total
    nearest = torch.cdist(x, part.whole(x))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Part:
    """The rows of a batch that this process has.

    Args:
        total: number of rows of the whole batch.
        rows: which of them this process has.
        size: number of processes that have the others.
    """

    total: int
    rows: slice
    size: int = 1

    def __len__(self) -> int:
        return len(range(*self.rows.indices(self.total)))

    def split(self, row: int) -> tuple[Part, Part]:
        """The parts of the batch's first `row` rows, and of those that follow."""
        start, step = self.rows.start, self.rows.step
        later = start + step * max(0, -(-(row - start) // step))
        return (
            replace(self, total=row, rows=slice(start, row, step)),
            replace(self, total=self.total - row, rows=slice(later - row, self.total - row, step)),
        )

    def whole(self, x: Tensor) -> Tensor:
        """The rows x (B, …) of all processes, in the order of the batch (total, …); with gradients."""
        if self.size == 1:
            return x
        gathered: Tensor = _Gathered.apply(x, self)  # type: ignore[no-untyped-call]
        return gathered


_present: ContextVar[Part | None] = ContextVar("part", default=None)


def part_of(x: Tensor) -> Part:
    """Which rows of the batch x (B, …) are."""
    return _present.get() or Part(len(x), slice(0, len(x), 1))


@contextmanager
def sharing(part: Part) -> Iterator[None]:
    """Inside the block, rows are those of `part`; of a batch that is not divided, nothing changes."""
    if part.size == 1:
        yield
        return
    before = _present.get()
    token = _present.set(part)
    try:
        with _ForWholeBatch() if before is None else nullcontext():  # which looks up the present part
            yield
    finally:
        _present.reset(token)


def _gather(x: Tensor, part: Part) -> Tensor:
    """The rows of all processes, where each has every `size`-th."""
    longest = -(-part.total // part.size)
    padded = x.new_zeros(longest, *x.shape[1:])
    padded[: len(x)] = x
    found = [torch.empty_like(padded) for _ in range(part.size)]
    dist.all_gather(found, padded)
    return torch.stack(found, dim=1).flatten(0, 1)[: part.total]


class _Gathered(torch.autograd.Function):
    """`Part.whole`. Gradients are those of the mean over the batch, of which each process has the mean of its rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Part) -> Tensor:
        ctx.part = part
        return _gather(x, part)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _summed(gradient * len(ctx.part))[ctx.part.rows] / len(ctx.part), None


class _Summed(torch.autograd.Function):
    """Sum over the processes, with gradients as those of `_Gathered`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, n: int) -> Tensor:
        ctx.n = n
        return _summed(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _summed(gradient * ctx.n) / ctx.n, None


def _summed(x: Tensor) -> Tensor:
    total = x.contiguous().clone()
    dist.all_reduce(total)
    return total


# ---- functions of torch that are evaluated for the whole batch -------------------------------------------------------

OF_SIZES: set[Callable[..., Any]] = {torch.randn, torch.rand}
LIKE: set[Callable[..., Any]] = {torch.randn_like, torch.rand_like, torch.randint_like}
IN_PLACE: set[Callable[..., Any]] = {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.random_,
}
DROPOUTS: set[Callable[..., Any]] = {
    functional.dropout,
    functional.dropout1d,
    functional.dropout2d,
    functional.dropout3d,
    torch.dropout,
}


class _ForWholeBatch(TorchFunctionMode):
    """Random numbers with a row per shower are drawn for all rows, so that all processes draw the same; each takes its
    own. Those with a generator of their own are left alone, and so are those of other sizes."""

    @property
    def part(self) -> Part:
        part = _present.get()
        assert part is not None
        return part

    @property
    def n(self) -> int:
        return len(self.part)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not None:
            return function(*args, **kwargs)
        if function is torch.randint or function in OF_SIZES:
            return self._of_size(function, args, kwargs)
        if function is functional.batch_norm:
            return self._batch_norm(*args, **kwargs)
        if args and isinstance(args[0], Tensor) and args[0].dim() and len(args[0]) == self.n:
            if function in LIKE:
                return self._own(function(self._for_all(args[0]), *args[1:], **kwargs))
            if function in IN_PLACE:
                return args[0].copy_(self._own(function(self._for_all(args[0].detach()), *args[1:], **kwargs)))
            if function in DROPOUTS:
                kept = function(torch.ones_like(self._for_all(args[0])), *args[1:], **kwargs)
                return args[0] * self._own(kept)
        return function(*args, **kwargs)

    def _own(self, of_all: Tensor) -> Tensor:
        return of_all[self.part.rows].contiguous()

    def _for_all(self, x: Tensor) -> Tensor:
        """Like x (B, …), with as many rows as the whole batch, and the same order of its axes in memory."""
        axes = sorted(range(x.dim()), key=x.stride, reverse=True)
        sizes = (self.part.total, *x.shape[1:])
        inverse = sorted(range(x.dim()), key=axes.__getitem__)
        return x.new_empty([sizes[axis] for axis in axes]).permute(inverse)

    def _of_size(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        first = 0  # of the arguments that are sizes
        if function is torch.randint:
            first = next((k for k, arg in enumerate(args) if isinstance(arg, tuple | list)), len(args))
        given = args[first:]
        size = kwargs.get("size", given[0] if given and not isinstance(given[0], int) else given)
        drawn: Tensor
        if len(size) == 0 or size[0] != self.n:
            drawn = function(*args, **kwargs)
            return drawn
        others = {key: value for key, value in kwargs.items() if key != "size"}
        return self._own(function(*args[:first], (self.part.total, *size[1:]), **others))

    def _batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Batch normalisation (B, channels, …) with mean and variance over the rows of all processes."""
        if not training:
            return functional.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
        rest = [0, *range(2, x.dim())]
        ones = x.new_ones(1) * (x.numel() // x.shape[1])
        sums: Tensor = _Summed.apply(torch.cat([x.sum(dim=rest), ones]), self.n)  # type: ignore[no-untyped-call]
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = x - mean.view(-1, *[1] * (x.dim() - 2))
        squares: Tensor = _Summed.apply(centred.square().sum(dim=rest), self.n)  # type: ignore[no-untyped-call]
        variance = squares / count
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                running_mean.lerp_(mean, momentum)
                running_var.lerp_(variance * count / (count - 1), momentum)
        scale = (variance + eps).rsqrt() * (1 if weight is None else weight)
        result: Tensor = centred * scale.view(-1, *[1] * (x.dim() - 2))
        return result if bias is None else result + bias.view(-1, *[1] * (x.dim() - 2))
