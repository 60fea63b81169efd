"""More normal numbers than were given, computed from those inside a graph.

For a consumer that passes n numbers z_k from N(0, 1) to a model that takes more. The digits of a normal number that
matter for a shower are its first few; the others are nearly uniform, and a hash of all digits gives the numbers that
are lacking:

    q_k = ⌊2²⁰ z_k⌋,   s_i = Σ_k A_ki q_k mod p,   h_j = (Σ_i B_ij s_i + b_j) mod p,   u_j = (h_j⁵ mod p + ½) / p

with p = 2³¹ − 1 and fixed random integers A, B, b. Raising to the fifth power permutes the integers modulo p, because 5
and p − 1 have no common divisor, and keeps derived numbers from being linear in each other. Pairs (u, u') give normal
numbers by Box and Muller: sqrt(−2 ln u) times cos 2πu' and sin 2πu'. All integers stay below 2⁶³, so the hash is exact
and the same in every library. The same z_k give the same numbers.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

PRIME = 2**31 - 1

STATE = 16
"""s_i: about 500 bits."""

BITS = 20
"""Binary digits of z_k behind the point that are hashed; a float32 has them up to |z_k| = 16."""

LARGEST = 16.0
"""Numbers are moved into ± this for the hash, which their size must not overflow."""


def enough_noise(given: Tensor, dimension: int) -> Tensor:
    """(B, D): the first D of the numbers given, followed by derived ones where there are fewer.

    Args:
        given: (B, n) from N(0, 1); their first 24 binary digits are used.
        dimension: D.
    """
    lacking = dimension - given.shape[1]
    return given[:, :dimension] if lacking <= 0 else torch.cat([given, derived_noise(given, lacking)], dim=1)


def derived_noise(given: Tensor, dimension: int) -> Tensor:
    """(B, D) numbers from N(0, 1), each a function of all those given.

    Args:
        given: (B, n) from N(0, 1), n at most 2¹⁸.
        dimension: D.
    """
    pairs = (dimension + 1) // 2
    first, second, shift = _integers(given.shape[1], 2 * pairs)
    digits = torch.floor(given.float().clamp(-LARGEST, LARGEST) * 2**BITS).to(torch.int64)
    state = (digits @ first) % PRIME
    whole = (state @ second + shift) % PRIME
    square = whole * whole % PRIME
    fifth = square * square % PRIME * whole % PRIME
    uniform = ((fifth.double() + 0.5) / PRIME).float()
    radius = torch.sqrt(-2 * torch.log(uniform[:, :pairs]))
    angle = 2 * math.pi * uniform[:, pairs:]
    both = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
    return both[:, :dimension].to(given.dtype)


def _integers(n: int, dimension: int) -> tuple[Tensor, Tensor, Tensor]:
    """A (n, STATE) below 2²⁰, B (STATE, D) below 2²⁷ and b (D,) below p: no sum reaches 2⁶³."""
    rng = np.random.default_rng(31_415)  # any fixed number; it belongs to the format
    sizes = ((2**20, (n, STATE)), (2**27, (STATE, dimension)), (PRIME, (dimension,)))
    first, second, shift = (torch.from_numpy(rng.integers(1, below, size)) for below, size in sizes)
    return first, second, shift
