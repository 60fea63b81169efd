"""Flows optimised for inference give what the trained ones give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from caloforge.inference import optimised
from caloforge.inference.eager_flow import ROWS_PER_LEVEL, inverse_spline_batch_last
from caloforge.inference.folded_flow import Affine, folded
from caloforge.inference.traced_flow import TracedInverseSpline
from caloforge.models.caloman import CaloMan
from caloforge.networks.flows import Flow, SplineCoupling, spline_coupling_flow
from caloforge.networks.spline import MAX_SLOPE_LOGIT, rational_quadratic_spline

FORMS = pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])


def far_from_fresh(model: CaloMan) -> CaloMan:
    """Splines and maps far from the identity."""
    model = model.double().eval()
    model.scale.fill_(1.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    return model


@FORMS
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"conditional_autoencoder": True},
        {"flow_layers": 1, "flow_bins": 4, "flow_bound": 2.0},
        {"latent_dim": 5, "flow_blocks": 1, "standardised_encoder": True},
        {"flow_blocks": 0, "flow_layers": 3},
    ],
)
def test_the_optimised_model_gives_what_the_model_gives(settings: dict, traced: bool) -> None:
    torch.manual_seed(2)
    sizes = {"latent_dim": 4, "hidden": [16, 8], "flow_width": 12, "flow_blocks": 2, **settings}
    model = far_from_fresh(CaloMan(13, 2, **sizes))  # type: ignore[arg-type]
    noise, c = torch.randn(300, model.latent_dim, dtype=torch.float64), torch.rand(300, 2, dtype=torch.float64)
    noise[0] *= 50  # outside every spline's interval
    fast = optimised(model, traced=traced)
    assert fast is not None
    with torch.no_grad():
        expected = model.decode(noise, c)
        # Rounding is all that may differ: it grows where a slope is steep.
        torch.testing.assert_close(fast(noise, c), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("rows", [ROWS_PER_LEVEL * 3 - 1, ROWS_PER_LEVEL * 3])
def test_the_optimised_model_at_a_handful_of_energies(rows: int) -> None:
    """With enough rows they are taken energy by energy; every row still has its own gates, and its own position."""
    torch.manual_seed(2)
    model = far_from_fresh(CaloMan(13, 1, latent_dim=4, hidden=[8], flow_width=12))
    noise = torch.randn(rows, 4, dtype=torch.float64)
    c = torch.tensor([0.9, 0.1, 0.5], dtype=torch.float64)[torch.randint(3, (rows,))][:, None]
    fast = optimised(model)
    assert fast is not None
    with torch.no_grad():
        torch.testing.assert_close(fast(noise, c), model.decode(noise, c), rtol=1e-7, atol=1e-7)


@FORMS
def test_the_model_is_left_as_it_is(traced: bool) -> None:
    model = CaloMan(13, 1, latent_dim=3, hidden=[8]).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = optimised(model, traced=traced)
    assert fast is not None
    for value in fast.buffers():
        value.zero_()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_folded_steps_are_the_same_map_with_one_matrix_between_couplings() -> None:
    torch.manual_seed(1)
    flow = spline_coupling_flow(6, 1, layers=3, bins=8, bound=1.0, width=16, blocks=1).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    steps = folded(flow)
    assert [type(step) for step in steps] == [Affine, SplineCoupling] * 3 + [Affine]
    z, c = torch.randn(50, 6, dtype=torch.float64), torch.rand(50, 1, dtype=torch.float64)
    for one, other in zip(Flow(steps).inverse(z, c), flow.inverse(z, c), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(Flow(steps)(z, c), flow(z, c), strict=True):
        torch.testing.assert_close(one, other)


def eager(y: Tensor, logits: Tensor, bound: float) -> Tensor:
    """`inverse_spline_batch_last` of y (B, F) with parameters (B, F, 3K - 1)."""
    bins = (logits.shape[2] + 1) // 3
    parameters = logits.permute(2, 1, 0)
    zero = torch.zeros_like(parameters[:1])
    return inverse_spline_batch_last(
        y.T, torch.cat([parameters[: 2 * bins], zero, parameters[2 * bins :], zero]), bound
    ).T


def traced(y: Tensor, logits: Tensor, bound: float) -> Tensor:
    """The same by `TracedInverseSpline`."""
    bins = (logits.shape[2] + 1) // 3
    sizes, slopes = logits[:, :, : 2 * bins].flatten(1), logits[:, :, 2 * bins :].flatten(1)
    return TracedInverseSpline(y.shape[1], bins, bound, y)(y, sizes, torch.tanh(slopes / MAX_SLOPE_LOGIT)) - bound


@pytest.mark.parametrize("inverse", [eager, traced])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_spline_is_that_of_the_flow(inverse: Callable, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    bins, bound = 6, 1.5
    y = 2 * torch.randn(400, 3, generator=generator, dtype=dtype)
    y[:4, 0] = torch.tensor([-bound, bound, 0, -bound / 3])
    logits = 2 * torch.randn(400, 3, 3 * bins - 1, generator=generator, dtype=dtype)
    expected, _ = rational_quadratic_spline(y, logits, bound, inverse=True)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-3  # float32: where a bin is flat, its inverse is steep
    x = inverse(y, logits, bound)
    torch.testing.assert_close(x, expected, rtol=0, atol=tolerance)
    outside = y.abs() > bound
    torch.testing.assert_close(x[outside], y[outside], rtol=0, atol=3e-5)


@pytest.mark.parametrize("inverse", [eager, traced])
def test_inverse_spline_survives_wild_logits(inverse: Callable) -> None:
    generator = torch.Generator().manual_seed(5)
    y = torch.rand(5000, 2, generator=generator) * 2 - 1
    x = inverse(y, 300 * torch.randn(5000, 2, 23, generator=generator), 1.0)
    assert torch.isfinite(x).all()
    assert (x.abs() <= 1 + 1e-5).all()
