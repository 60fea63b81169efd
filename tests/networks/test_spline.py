"""The spline: inverse, log-derivative against autograd, agreement with an independent library, and safety."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from zuko.transforms import MonotonicRQSTransform

from caloforge.errors import CaloforgeError
from caloforge.networks.spline import (
    MAX_SLOPE_LOGIT,
    MIN_BIN,
    MIN_SLOPE,
    n_spline_parameters,
    rational_quadratic_spline,
)


def _random(n: int, bins: int, scale: float, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, n_spline_parameters(bins), generator=generator, dtype=dtype)


@pytest.mark.parametrize("bound", [1.0, 14.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_inverse_undoes_forward(bound: float, scale: float) -> None:
    parameters = _random(4000, 8, scale)
    x = torch.linspace(-1.5 * bound, 1.5 * bound, 4000, dtype=torch.float64)
    y, log_slope = rational_quadratic_spline(x, parameters, bound)
    back, log_inverse = rational_quadratic_spline(y, parameters, bound, inverse=True)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-7 * bound)
    torch.testing.assert_close(log_inverse, -log_slope, rtol=0, atol=1e-4)


def test_log_slope_is_the_derivative() -> None:
    parameters = _random(500, 8, 1.0)
    x = torch.linspace(-1.3, 1.3, 500, dtype=torch.float64, requires_grad=True)
    y, log_slope = rational_quadratic_spline(x, parameters, 1.0)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope.exp(), slope)


def test_zero_parameters_are_the_identity() -> None:
    x = torch.linspace(-2, 2, 101)
    y, log_slope = rational_quadratic_spline(x, torch.zeros(101, n_spline_parameters(8)), 1.0)
    torch.testing.assert_close(y, x, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_slope, torch.zeros(101), rtol=0, atol=1e-5)


def test_agrees_with_an_independent_implementation() -> None:
    bins, bound = 5, 3.0
    parameters = _random(300, bins, 0.7)
    x = torch.linspace(-4, 4, 300, dtype=torch.float64)
    ours, our_log = rational_quadratic_spline(x, parameters, bound)
    widths, heights, slopes = parameters.split([bins, bins, bins - 1], dim=-1)
    theirs = MonotonicRQSTransform(widths, heights, slopes, bound=bound)
    # zuko softens its inputs in its own way, so the finished knots and slopes are put in instead.
    shares = [MIN_BIN + (1 - bins * MIN_BIN) * torch.softmax(v, -1) for v in (widths, heights)]
    theirs.horizontal, theirs.vertical = (
        torch.cumsum(torch.nn.functional.pad(s, (1, 0)), -1) * 2 * bound - bound for s in shares
    )
    bounded = MAX_SLOPE_LOGIT * torch.tanh(slopes / MAX_SLOPE_LOGIT)
    inner = MIN_SLOPE + torch.nn.functional.softplus(bounded + math.log(math.expm1(1 - MIN_SLOPE)))
    theirs.derivatives = torch.nn.functional.pad(inner, (1, 1), value=1.0)
    y, log_slope = theirs.call_and_ladj(x)
    torch.testing.assert_close(ours, y, rtol=0, atol=1e-8)
    torch.testing.assert_close(our_log, log_slope, rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.01, 1e6),
    bound=st.sampled_from([1.0, 14.0]),
    seed=st.integers(0, 10_000),
)
def test_finite_and_within_bounds_in_single_precision(scale: float, bound: float, seed: int) -> None:
    parameters = _random(2000, 8, scale, seed, torch.float32)
    generator = torch.Generator().manual_seed(seed + 1)
    x = 2 * bound * torch.randn(2000, generator=generator)
    x[:4] = torch.tensor([bound, -bound, 0.0, 1e30])
    for inverse in (False, True):
        y, log_slope = rational_quadratic_spline(x, parameters, bound, inverse)
        assert torch.isfinite(y).all()
        assert torch.isfinite(log_slope).all()
        inside = x.abs() <= bound
        assert (y[inside].abs() <= bound * (1 + 1e-6)).all()
        assert (y[~inside] == x[~inside]).all()


def test_is_monotone() -> None:
    x = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    parameters = _random(1, 8, 3.0).expand(len(x), -1)
    y, _ = rational_quadratic_spline(x, parameters, 1.0)
    assert (y.diff() > 0).all()


@pytest.mark.parametrize("dim", [-1, -2])
@pytest.mark.parametrize("inverse", [False, True])
def test_gradient_written_by_hand_is_the_numerical_one(dim: int, inverse: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (6, 4, n_spline_parameters(4)) if dim == -1 else (6, n_spline_parameters(4), 4)
    parameters = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    x = (1.7 * torch.randn(6, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, p: rational_quadratic_spline(x, p, 2.0, inverse, dim), (x, parameters))
    with torch.no_grad():  # another way through the code, the same numbers
        plain = rational_quadratic_spline(x, parameters, 2.0, inverse, dim)
    for a, b in zip(plain, rational_quadratic_spline(x, parameters, 2.0, inverse, dim), strict=True):
        assert torch.equal(a, b)


def test_parameters_may_stand_before_the_features() -> None:
    parameters = _random(40, 8, 1.0).view(5, 8, -1)
    x = torch.linspace(-2, 2, 40, dtype=torch.float64).view(5, 8)
    last = rational_quadratic_spline(x, parameters, 1.5)
    before = rational_quadratic_spline(x, parameters.transpose(1, 2).contiguous(), 1.5, dim=-2)
    for a, b in zip(last, before, strict=True):
        torch.testing.assert_close(a, b)


def test_exports() -> None:
    """Traced as for ONNX: no branch on data, and the exported program gives the same numbers."""

    class Inverse(torch.nn.Module):
        def forward(self, x: torch.Tensor, parameters: torch.Tensor) -> torch.Tensor:
            return rational_quadratic_spline(x, parameters, 3.0, inverse=True, dim=-2)[0]

    x, parameters = torch.randn(5, 4), torch.randn(5, n_spline_parameters(8), 4)
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(Inverse(), (x, parameters), dynamic_shapes=({0: batch}, {0: batch}))
    x, parameters = torch.randn(9, 4), torch.randn(9, n_spline_parameters(8), 4)
    torch.testing.assert_close(program.module()(x, parameters), Inverse()(x, parameters))


@pytest.mark.parametrize("bins", [-1, 0, 1, 1000, 5000])
def test_bins_whose_minimum_widths_do_not_fit_are_refused(bins: int) -> None:
    with pytest.raises(CaloforgeError, match=f"not {bins}"):
        n_spline_parameters(bins)


def test_as_many_bins_as_fit_are_monotone() -> None:
    bins = 999
    x = torch.linspace(-3, 3, 2001, dtype=torch.float64)
    parameters = torch.randn(2001, 1, generator=torch.Generator().manual_seed(1)).expand(-1, n_spline_parameters(bins))
    y, _ = rational_quadratic_spline(x[:, None], parameters[:, None].double(), 3.0)
    assert (y.diff(dim=0) > 0).all()
