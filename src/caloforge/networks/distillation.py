"""Distillation of an autoregressive flow into one that samples in one pass (CaloFlow II, arXiv:2110.11377).

Teacher and student have the same blocks and permutations, the teacher's splines worked out from the data side of each
block, the student's from the noise side. The teacher maps data to noise in one pass, the student noise to data, so
both ways around cost one pass each:

    x-loss   data x → teacher → z → student → x′,     compare x′ to x;
    z-loss   noise z → student → x → teacher → z′,    compare z′ to z.

Both compare what stands between the blocks, too, and the parameters of the splines, where student and teacher must
agree if they are the same map.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from caloforge.networks.flows import Flow
from caloforge.networks.made import AutoregressiveSpline

Trace = list[tuple[Tensor, Tensor, Tensor]]
"""For each block, data side first: what stands on its data side, on its noise side, and the splines' parameters."""


@contextmanager
def frozen_weights(flow: Flow) -> Iterator[None]:
    """No gradient for the flow's weights, and no dropout, while the block runs."""
    training = flow.training
    flow.eval().requires_grad_(False)
    try:
        yield
    finally:
        flow.train(training).requires_grad_(True)


def trace(flow: Flow, x: Tensor, c: Tensor, inverse: bool) -> Trace:
    """Everything between the blocks, on the way of the flow that takes one pass.

    Args:
        flow: autoregressive splines with permutations between them.
        x: (B, D) data, or noise if `inverse`. c: (B, C) conditions.
    """
    found: Trace = []
    for step in reversed(flow.steps) if inverse else flow.steps:
        if isinstance(step, AutoregressiveSpline):
            parameters = step.network(x, c)
            y, _ = step.bend(parameters, x, inverse)
            found.append((y, x, parameters) if inverse else (x, y, parameters))
            x = y
        else:
            x, _ = step.inverse(x, c) if inverse else step(x, c)  # type: ignore[operator]
    return found[::-1] if inverse else found


def x_loss(teacher: Flow, student: Flow, x: Tensor, c: Tensor) -> Tensor:
    """(B,) difference between data x (B, D) and what teacher and student make of them, and on the way."""
    with torch.no_grad():
        true = trace(teacher, x, c, inverse=False)
    return _difference(true, trace(student, true[-1][1], c, inverse=True))


def z_loss(teacher: Flow, student: Flow, z: Tensor, c: Tensor) -> Tensor:
    """(B,) difference between noise z (B, D) and what student and teacher make of it, and on the way."""
    made = trace(student, z, c, inverse=True)
    return _difference(trace(teacher, made[0][0], c, inverse=False), made)


def _difference(teacher: Trace, student: Trace) -> Tensor:
    """(B,) mean squared difference on both sides of each block, and of the splines' parameters."""
    total = teacher[0][0].new_zeros(len(teacher[0][0]))
    for one, other in zip(teacher, student, strict=True):
        for a, b in zip(one, other, strict=True):
            total = total + ((a - b) ** 2).flatten(1).mean(dim=1)
    return total
