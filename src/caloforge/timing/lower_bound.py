"""A lower bound on the time of a network: its matrix products alone.

The shape of every matrix product is recorded during one call of the model. The lower bound is the time of these
products alone, one after the other with the full batch, on matrices already in memory: no implementation of the same
network with the same library can be much faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from caloforge.models.base import ShowerModel

Shape = tuple[int, int, int]
"""(M, K, N) of a product (M, K) x (K, N)."""


_aten = torch.ops.aten
_FIRST_FACTOR = {_aten.mm: 0, _aten.addmm: 1, _aten.bmm: 0, _aten.baddbmm: 1}
"""Which argument of an operation is the left factor of its product."""


class _Watch(TorchDispatchMode):
    """Records the shapes of matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[Shape] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = _FIRST_FACTOR.get(func.overloadpacket)
        if first is not None:
            a, b = args[first], args[first + 1]
            copies = a.shape[0] if a.ndim == 3 else 1
            self.shapes += [(a.shape[-2], a.shape[-1], b.shape[-1])] * copies
        return func(*args, **(kwargs or {}))


def matrix_products(model: ShowerModel, c: torch.Tensor) -> list[Shape]:
    """The matrix products of one `model.sample` for conditions c (B, C), in order."""
    with torch.no_grad(), _Watch() as watch:
        model.sample(c, torch.Generator(c.device).manual_seed(0))
    return watch.shapes


def bare_products(shapes: list[Shape]) -> Callable[[], None]:
    """A call that computes these products on random float32 matrices, into preallocated buffers."""
    generator = torch.Generator().manual_seed(0)
    left = {(m, k): torch.randn(m, k, generator=generator) for m, k, _ in shapes}
    out = {(m, n): torch.empty(m, n) for m, _, n in shapes}
    # Each product has its own weight, with the memory layout of `torch.nn.Linear`.
    work = [(left[m, k], torch.randn(n, k, generator=generator).T, out[m, n]) for m, k, n in shapes]

    def call() -> None:
        with torch.inference_mode():
            for a, b, result in work:
                torch.mm(a, b, out=result)

    return call


def gigaflop(shapes: list[Shape]) -> float:
    """10⁹ floating-point operations of these products."""
    return sum(2 * m * k * n for m, k, n in shapes) / 1e9
