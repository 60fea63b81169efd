"""Consistency functions: from any state of a trajectory from noise to data to its end (arXiv:2303.01469).

Time runs as in `caloforge.diffusion.transport`, from noise at t = 0 to data at t = 1. The function is

    f(x_t, t) = x_t + (1 − t) s(x_t, t)

with a network s, so that f(x_1, 1) = x_1. It is the end of the trajectory if it does not change along it, which is
learned between neighbours of a grid of N steps, without gradient through the later state (arXiv:2310.14189):

    loss = |f(x_t, t) − f(x_t', t')|² / (F (1 − t)),    t' = t + 1/N.

Distillation finds x_t' from x_t by one step of a solver with a teacher's velocity. Squares, with this weight, take the
place of the paper's pseudo-Huber metric.

A sample is f(ε, 0). With n evaluations its noise is renewed n − 1 times: x ← f(σ_t ε' + α_t x, t) at t = 1/n … 1 − 1/n.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from caloforge.diffusion.solvers import Field
from caloforge.diffusion.transport import PATHS


def end_of_trajectory(s: Field, x_t: Tensor, t: Tensor) -> Tensor:
    """f (B, F) of x_t (B, F) at t, (B,) or (1,)."""
    return x_t + (1 - t)[:, None] * s(x_t, t)


def consistency_loss(s: Field, x_t: Tensor, t: Tensor, later: Tensor, t_later: Tensor) -> Tensor:
    """(B,) weighted mean squared difference between the ends of two states of one trajectory.

    Args:
        s: network.
        x_t, t: (B, F), (B,) the state from which s learns, t < 1.
        later, t_later: (B, F), (B,) the state closer to the data, whose end s should find.
    """
    with torch.no_grad():
        target = end_of_trajectory(s, later, t_later)
    return (end_of_trajectory(s, x_t, t) - target).square().mean(dim=1) / (1 - t)


def sample_by_consistency(s: Field, path: str, noises: Sequence[Tensor]) -> Tensor:
    """x (B, F) by one evaluation of s for each of the noises (B, F), the first from pure noise.

    Args:
        s: network.
        path: of noise and data (`caloforge.diffusion.transport`).
        noises: independent, from N(0, 1).
    """
    x = end_of_trajectory(s, noises[0], noises[0].new_zeros(1))
    for k, noise in enumerate(noises[1:], 1):
        t = noise.new_full((1,), k / len(noises))
        sigma_t, alpha_t, *_ = PATHS[path](t)
        x = end_of_trajectory(s, sigma_t * noise + alpha_t * x, t)
    return x
