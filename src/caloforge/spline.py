"""Monotone rational-quadratic splines (Durkan et al., arXiv:1906.04032), safe to sample from and to export.

On [-B, B] a spline with K bins maps knots x_0 < … < x_K to y_0 < … < y_K with slopes d_k at the knots. In the bin
of x, with ξ = (x − x_k)/(x_{k+1} − x_k) and s = (y_{k+1} − y_k)/(x_{k+1} − x_k),

    y = y_k + (y_{k+1} − y_k) [s ξ² + d_k ξ(1 − ξ)] / [s + (d_{k+1} + d_k − 2 s) ξ(1 − ξ)].

Outside [-B, B] it is the identity, and the outer slopes are 1.

Three habits keep it sound where other implementations fail. Slopes are bounded on both sides and every bin has a
least width and height, so that nothing overflows. The discriminant of the inverse, which rounding can push below
zero, is clamped. Bins are found by comparing and counting, values by `gather`: no search, no boolean indexing and
no branch on data, so that the spline exports to ONNX and compiles.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

MIN_BIN = 1e-3
"""Least width and height of a bin, as a share of 2B."""

MIN_SLOPE = 1e-3
"""Least slope at a knot."""

MAX_SLOPE_LOGIT = 20.0
"""Bound on the logit of a slope: slopes stay below about 20, however large the network's output."""


def n_spline_parameters(bins: int) -> int:
    """Numbers per feature that a spline with `bins` bins takes: widths, heights and inner slopes."""
    return 3 * bins - 1


def rational_quadratic_spline(
    x: Tensor, parameters: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """Apply a spline, or its inverse, to each element of x.

    Args:
        x: any shape S, any real values.
        parameters: S + (3K − 1,) unconstrained: K logits of widths, K of heights, K − 1 of inner slopes.
        bound: B, half the width of the interval that is bent.
        inverse: whether to apply the inverse map.

    Returns:
        y of shape S, and log |dy/dx| of shape S.
    """
    bins = (parameters.shape[-1] + 1) // 3
    width_logits, height_logits, slope_logits = parameters.split([bins, bins, bins - 1], dim=-1)
    x_knots, y_knots = _knots(width_logits, bound), _knots(height_logits, bound)
    bounded = MAX_SLOPE_LOGIT * torch.tanh(slope_logits / MAX_SLOPE_LOGIT)
    # softplus(0) would give inner slopes of ln 2; the shift makes zero logits the identity.
    inner = MIN_SLOPE + functional.softplus(bounded + math.log(math.exp(1 - MIN_SLOPE) - 1))
    slopes = functional.pad(inner, (1, 1), value=1.0)

    inside = (x >= -bound) & (x <= bound)
    clamped = x.clamp(-bound, bound)
    searched = y_knots if inverse else x_knots
    k = (clamped.unsqueeze(-1) >= searched[..., 1:-1]).sum(dim=-1, keepdim=True)

    def at(values: Tensor, index: Tensor) -> Tensor:
        return values.gather(-1, index).squeeze(-1)

    x_k, x_next = at(x_knots, k), at(x_knots, k + 1)
    y_k, y_next = at(y_knots, k), at(y_knots, k + 1)
    d_k, d_next = at(slopes, k), at(slopes, k + 1)
    width, height = x_next - x_k, y_next - y_k
    s = height / width
    curvature = d_k + d_next - 2 * s

    if inverse:
        # Quadratic a ξ² + b ξ + c = 0 in the form whose denominator cannot cancel.
        rise = clamped - y_k
        a = height * (s - d_k) + rise * curvature
        b = height * d_k - rise * curvature
        c = -s * rise
        discriminant = (b * b - 4 * a * c).clamp_min(0)
        xi = (2 * c / (-b - torch.sqrt(discriminant))).clamp(0, 1)
        bent = x_k + xi * width
    else:
        xi = (clamped - x_k) / width
        mixed = xi * (1 - xi)
        bent = y_k + height * (s * xi * xi + d_k * mixed) / (s + curvature * mixed)

    mixed = xi * (1 - xi)
    denominator = s + curvature * mixed
    numerator = d_next * xi * xi + 2 * s * mixed + d_k * (1 - xi) ** 2
    log_slope = 2 * torch.log(s) + torch.log(numerator) - 2 * torch.log(denominator)
    if inverse:
        log_slope = -log_slope
    return torch.where(inside, bent, x), torch.where(inside, log_slope, torch.zeros_like(log_slope))


def _knots(logits: Tensor, bound: float) -> Tensor:
    """Rising knots from −B to B, exact at both ends."""
    bins = logits.shape[-1]
    # The softmax, spelled out: torch's own spends most of its time on overhead where rows are as short as these.
    weights = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
    shares = MIN_BIN + (1 - MIN_BIN * bins) * weights / weights.sum(dim=-1, keepdim=True)
    inner = (2 * bound) * torch.cumsum(shares, dim=-1)[..., :-1] - bound
    return functional.pad(functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)
