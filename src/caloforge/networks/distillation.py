"""Distillation of an autoregressive flow into one that samples in a single pass (CaloFlow II, arXiv:2110.11377).

Teacher and student have the same blocks and permutations; the teacher's splines depend on the data side of each block,
the student's on the noise side. The teacher maps data to noise in one pass and the student maps noise to data in one
pass, so each loss needs one pass of both:

    x-loss   data x → teacher → z → student → x′,     compare x′ to x;
    z-loss   noise z → student → x → teacher → z′,    compare z′ to z.

Both also compare the intermediate outputs between blocks and the spline parameters, which agree if student and teacher
are the same map.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from caloforge.networks.flows import Flow, FlowStep
from caloforge.networks.made import AutoregressiveSpline

Trace = list[tuple[Tensor, Tensor, Tensor]]
"""For each block, data side first: its data side, its noise side, and the spline parameters."""


@contextmanager
def frozen_weights(flow: Flow) -> Iterator[None]:
    """Context without gradients for the flow's weights and without dropout."""
    training = flow.training
    flow.eval().requires_grad_(False)
    try:
        yield
    finally:
        flow.train(training).requires_grad_(True)


def trace(flow: Flow, x: Tensor, c: Tensor, inverse: bool) -> Trace:
    """The intermediate outputs, in the direction in which the flow takes one pass.

    Args:
        flow: autoregressive splines with permutations in between.
        x: (B, D) data, or noise if `inverse`. c: (B, C) conditions.
    """
    steps: Trace = []
    for step in reversed(flow.steps) if inverse else flow.steps:
        if isinstance(step, AutoregressiveSpline):
            parameters = step.network(x, c)
            y, _ = step.transform(parameters, x, inverse)
            steps.append((y, x, parameters) if inverse else (x, y, parameters))
            x = y
        else:
            assert isinstance(step, FlowStep)
            x, _ = step.inverse(x, c) if inverse else step(x, c)
    return steps[::-1] if inverse else steps


def x_loss(teacher: Flow, student: Flow, x: Tensor, c: Tensor) -> Tensor:
    """(B,) difference between data x (B, D) and the student's reconstruction, including intermediate outputs."""
    with torch.no_grad():
        true = trace(teacher, x, c, inverse=False)
    return _difference(true, trace(student, true[-1][1], c, inverse=True))


def z_loss(teacher: Flow, student: Flow, z: Tensor, c: Tensor) -> Tensor:
    """(B,) difference between noise z (B, D) and the teacher's reconstruction, including intermediate outputs."""
    generated = trace(student, z, c, inverse=True)
    return _difference(trace(teacher, generated[0][0], c, inverse=False), generated)


def _difference(teacher: Trace, student: Trace) -> Tensor:
    """(B,) sum of the mean squared differences on both sides of each block and of the spline parameters."""
    total = teacher[0][0].new_zeros(len(teacher[0][0]))
    for one, other in zip(teacher, student, strict=True):
        for a, b in zip(one, other, strict=True):
            total = total + ((a - b) ** 2).flatten(1).mean(dim=1)
    return total
