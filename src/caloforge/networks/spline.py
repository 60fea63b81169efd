"""Monotone rational-quadratic splines (Durkan et al., arXiv:1906.04032), robust in sampling and export.

On [-B, B] a spline with K bins maps knots x_0 < … < x_K to y_0 < … < y_K with slopes d_k at the knots. In the bin
of x, with ξ = (x − x_k)/(x_{k+1} − x_k) and s = (y_{k+1} − y_k)/(x_{k+1} − x_k),

    y = y_k + (y_{k+1} − y_k) [s ξ² + d_k ξ(1 − ξ)] / [s + (d_{k+1} + d_k − 2 s) ξ(1 − ξ)].

Outside [-B, B] it is the identity, and the outer slopes are 1.

Three choices make it robust. Slopes are bounded on both sides and every bin has a minimum width and height, so that
nothing overflows. The discriminant of the inverse, which rounding can make negative, is clamped. Bins are found by
comparing and counting, and values by `gather`, without search, boolean indexing or data-dependent branches, so that the
spline can be exported to ONNX and compiled.

One choice makes it fast: only the bin that contains x is evaluated; the others enter through two sums, whose gradient
is implemented explicitly. For inference there are two other forms of the inverse, without slope or gradient:
`inverse_spline_batch_last` (large batches) and `TracedInverseSpline` (graphs), both in `caloforge.inference`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from caloforge.errors import CaloforgeError

MIN_BIN = 1e-3
"""Minimum width and height of a bin, as a fraction of 2B."""

MIN_SLOPE = 1e-3
"""Minimum slope at a knot."""

MAX_SLOPE_LOGIT = 20.0
"""Bound on the logit of a slope: slopes stay below about 20, whatever the network's output."""

UNIT_SLOPE_LOGIT = math.log(math.expm1(1 - MIN_SLOPE))
"""Shift of the slope logits such that logit 0 gives slope 1."""


def n_spline_parameters(bins: int) -> int:
    """Parameters per feature of a spline with `bins` bins: widths, heights and inner slopes.

    Raises:
        CaloforgeError: fewer than two bins, or so many that their minimum widths do not fit into the spline's range.
    """
    if not 2 <= bins < 1 / MIN_BIN:
        raise CaloforgeError(f"a spline has 2 … {math.ceil(1 / MIN_BIN) - 1} bins, not {bins}: choose another number")
    return 3 * bins - 1


def rational_quadratic_spline(
    x: Tensor, parameters: Tensor, bound: float, inverse: bool = False, dim: int = -1
) -> tuple[Tensor, Tensor]:
    """Apply a spline, or its inverse, to each element of x.

    Args:
        x: real values of any shape S.
        parameters: S with an additional axis of 3K − 1 unconstrained parameters: logits of K widths, K heights and
            K − 1 inner slopes.
        bound: B, half the width of the interval.
        inverse: whether to apply the inverse map.
        dim: position of that axis, counted from the end. On a CPU, -2 is much faster than -1, because sums over the
            bins then run along whole rows of features.

    Returns:
        y of shape S, and log |dy/dx| of shape S.
    """
    bins = (parameters.shape[dim] + 1) // 3
    inside = (x >= -bound) & (x <= bound)
    clamped = x.clamp(-bound, bound)
    if torch.is_grad_enabled() and parameters.requires_grad:
        in_bin = _Bin.apply(parameters, clamped, bound, inverse, dim)
    else:
        in_bin = _select_bin(parameters, clamped, bound, inverse, dim)[0]
    k, left_of_x, of_x, left_of_y, of_y, d_k, d_next = in_bin
    # Edges and sizes from the fractions of a bin and of those to its left, plus the minimum of each bin.
    least, free, size = MIN_BIN * k.to(x.dtype), 1 - MIN_BIN * bins, 2 * bound
    x_k, width = size * (least + free * left_of_x) - bound, size * (MIN_BIN + free * of_x)
    y_k, height = size * (least + free * left_of_y) - bound, size * (MIN_BIN + free * of_y)
    d_k, d_next = _slope(d_k), _slope(d_next)
    s = height / width
    curvature = d_k + d_next - 2 * s

    if inverse:
        # Quadratic a ξ² + b ξ + c = 0 in the form without cancellation in the denominator. The discriminant is positive
        # so that the root has a gradient.
        rise = clamped - y_k
        a = height * (s - d_k) + rise * curvature
        b = height * d_k - rise * curvature
        c = -s * rise
        discriminant = (b * b - 4 * a * c).clamp_min(1e-30)
        xi = (2 * c / (-b - torch.sqrt(discriminant))).clamp(0, 1)
        mixed = xi * (1 - xi)
        denominator = s + curvature * mixed
        y = x_k + xi * width
    else:
        xi = ((clamped - x_k) / width).clamp(0, 1)
        mixed = xi * (1 - xi)
        denominator = s + curvature * mixed
        y = y_k + height * (s * xi * xi + d_k * mixed) / denominator

    numerator = d_next * xi * xi + 2 * s * mixed + d_k * (1 - xi) ** 2
    log_slope = torch.log(s * s * numerator / (denominator * denominator))
    if inverse:
        log_slope = -log_slope
    return torch.where(inside, y, x), torch.where(inside, log_slope, torch.zeros_like(log_slope))


def _slope(logit: Tensor) -> Tensor:
    """Slope at a knot, 1 for logit 0, bounded on both sides."""
    bounded = MAX_SLOPE_LOGIT * torch.tanh(logit / MAX_SLOPE_LOGIT)
    # softplus(0) would give inner slopes of ln 2; with the shift, zero logits give the identity.
    return MIN_SLOPE + functional.softplus(bounded + UNIT_SLOPE_LOGIT)


def _select_bin(
    parameters: Tensor, x: Tensor, bound: float, inverse: bool, dim: int
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The bin of each element of x, with its parameters.

    Returns:
        seven tensors of the shape of x: the bin index k; for widths, then heights, the sum of the softmax over the
        bins before k and its value at k; the logits of the slopes at both ends of the bin, 0 at the ends of the spline.
        And the tensors needed for their gradient.
    """
    bins = (parameters.shape[dim] + 1) // 3
    # Explicit softmax: PyTorch's own is dominated by overhead for such short rows.
    weights = []
    for logits in (parameters.narrow(dim, 0, bins), parameters.narrow(dim, bins, bins)):
        weights.append(torch.exp(logits - logits.amax(dim=dim, keepdim=True)))
    sums = [torch.cumsum(w, dim) for w in weights]
    totals = [s.narrow(dim, bins - 1, 1) for s in sums]
    searched = 1 if inverse else 0
    # Knots as fractions of the interval, with the minimum of each bin moved to the other side.
    position = (x.unsqueeze(dim) + bound) * (0.5 / bound)
    knots = sums[searched].narrow(dim, 0, bins - 1) * ((1 - MIN_BIN * bins) / totals[searched])
    knots = knots + MIN_BIN * _counting(bins - 1, 1, x, dim)
    k = (position >= knots).sum(dim=dim, keepdim=True)
    before, first = (k - 1).clamp_min(0), k == 0
    zero = torch.zeros((), device=x.device, dtype=x.dtype)
    shares = []
    for w, s, total in zip(weights, sums, totals, strict=True):
        shares += [torch.where(first, zero, s.gather(dim, before)) / total, w.gather(dim, k) / total]
    slopes = parameters.narrow(dim, 2 * bins, bins - 1)
    left = torch.where(first, zero, slopes.gather(dim, before))
    right = torch.where(k == bins - 1, zero, slopes.gather(dim, k.clamp_max(bins - 2)))
    in_bin = tuple(t.squeeze(dim) for t in (k, *shares, left, right))
    return in_bin, (k, *weights, *totals, *shares)


def _counting(n: int, start: int, like: Tensor, dim: int) -> Tensor:
    """The n integers starting from `start`, along `dim`."""
    return torch.arange(start, start + n, device=like.device, dtype=like.dtype).view([n] + [1] * (-dim - 1))


class _Bin(torch.autograd.Function):
    """`_select_bin` with an explicit gradient, in a few passes over the parameters instead of autograd's dozens.

    With p the softmax, P_k the sum of p_m over m < k: ∂P_k/∂l_m = p_m ([m < k] − P_k), ∂p_k/∂l_m = p_m ([m = k] − p_k).
    """

    @staticmethod
    def forward(ctx: Any, parameters: Tensor, x: Tensor, bound: float, inverse: bool, dim: int) -> tuple[Tensor, ...]:
        in_bin, saved = _select_bin(parameters, x, bound, inverse, dim)
        ctx.dim = dim
        ctx.save_for_backward(*saved)
        ctx.mark_non_differentiable(in_bin[0])
        return in_bin

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dim = ctx.dim
        k, *rest = ctx.saved_tensors
        weights, totals, shares = rest[:2], rest[2:4], rest[4:]
        bins = weights[0].shape[dim]
        shape = list(weights[0].shape)
        shape[dim] = 3 * bins - 1
        out = weights[0].new_empty(shape)
        of = [g.unsqueeze(dim) for g in grads[1:]]
        left_of_k = _counting(bins, 0, weights[0], dim) < k
        for n in range(2):
            of_sum, of_value = of[2 * n], of[2 * n + 1]
            mean = of_sum * shares[2 * n] + of_value * shares[2 * n + 1]
            factor = torch.where(left_of_k, (of_sum - mean) / totals[n], -mean / totals[n])
            part = out.narrow(dim, n * bins, bins)
            torch.mul(weights[n], factor, out=part)
            part.scatter_add_(dim, k, of_value * shares[2 * n + 1])
        part = out.narrow(dim, 2 * bins, bins - 1).zero_()
        zero = torch.zeros((), device=out.device, dtype=out.dtype)
        part.scatter_add_(dim, (k - 1).clamp_min(0), torch.where(k == 0, zero, of[4]))
        part.scatter_add_(dim, k.clamp_max(bins - 2), torch.where(k == bins - 1, zero, of[5]))
        return out, None, None, None, None
