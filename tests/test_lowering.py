"""Networks rewritten for sampling give what the trained ones give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from caloforge.lowering.eager import ROWS_PER_LEVEL, inverse_spline
from caloforge.lowering.graph import InverseSpline
from caloforge.models.caloman import CaloMan
from caloforge.networks.spline import MAX_SLOPE_LOGIT, rational_quadratic_spline
from own_model import GaussianPerFeature

WAYS = pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])


def far_from_fresh(model: CaloMan) -> CaloMan:
    """Splines and maps far from the identity."""
    model = model.double().eval()
    model.scale.fill_(1.9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn_like(parameter)
    return model


@WAYS
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
def test_the_lowered_model_gives_what_the_model_gives(settings: dict, graph: bool) -> None:
    torch.manual_seed(2)
    sizes = {"latent_dim": 4, "hidden": [16, 8], "flow_width": 12, "flow_blocks": 2, **settings}
    model = far_from_fresh(CaloMan(13, 2, **sizes))  # type: ignore[arg-type]
    noise, c = torch.randn(300, model.latent_dim, dtype=torch.float64), torch.rand(300, 2, dtype=torch.float64)
    noise[0] *= 50  # outside every spline's interval
    fast = model.lowered(graph)
    assert fast is not None
    with torch.no_grad():
        expected = model.decode(noise, c)
        # Rounding is all that may differ: it grows where a slope is steep.
        torch.testing.assert_close(fast(noise, c), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("rows", [ROWS_PER_LEVEL * 3 - 1, ROWS_PER_LEVEL * 3])
def test_the_lowered_model_at_a_handful_of_energies(rows: int) -> None:
    """With enough rows they are taken energy by energy; every row still gets its own gates, and its own place."""
    torch.manual_seed(2)
    model = far_from_fresh(CaloMan(13, 1, latent_dim=4, hidden=[8], flow_width=12))
    noise = torch.randn(rows, 4, dtype=torch.float64)
    c = torch.tensor([0.9, 0.1, 0.5], dtype=torch.float64)[torch.randint(3, (rows,))][:, None]
    fast = model.lowered()
    assert fast is not None
    with torch.no_grad():
        torch.testing.assert_close(fast(noise, c), model.decode(noise, c), rtol=1e-7, atol=1e-7)


@WAYS
def test_lowering_leaves_the_model_alone(graph: bool) -> None:
    model = CaloMan(13, 1, latent_dim=3, hidden=[8]).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = model.lowered(graph)
    assert fast is not None
    for value in fast.buffers():
        value.zero_()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_only_what_is_known_is_lowered() -> None:
    class Changed(CaloMan):
        pass

    assert Changed(13, 1, latent_dim=3).lowered() is None
    assert GaussianPerFeature(13, 1).lowered() is None


def eager(y: Tensor, logits: Tensor, bound: float) -> Tensor:
    """`inverse_spline` of y (B, F) with numbers (B, F, 3K - 1)."""
    bins = (logits.shape[2] + 1) // 3
    numbers = logits.permute(2, 1, 0)
    zero = torch.zeros_like(numbers[:1])
    return inverse_spline(y.T, torch.cat([numbers[: 2 * bins], zero, numbers[2 * bins :], zero]), bound).T


def graph(y: Tensor, logits: Tensor, bound: float) -> Tensor:
    """The same by `InverseSpline`."""
    bins = (logits.shape[2] + 1) // 3
    sizes, slopes = logits[:, :, : 2 * bins].flatten(1), logits[:, :, 2 * bins :].flatten(1)
    return InverseSpline(y.shape[1], bins, bound, y)(y, sizes, torch.tanh(slopes / MAX_SLOPE_LOGIT)) - bound


@pytest.mark.parametrize("ours", [eager, graph])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_spline_is_that_of_the_flow(ours: Callable, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(4)
    bins, bound = 6, 1.5
    y = 2 * torch.randn(400, 3, generator=generator, dtype=dtype)
    y[:4, 0] = torch.tensor([-bound, bound, 0, -bound / 3])
    logits = 2 * torch.randn(400, 3, 3 * bins - 1, generator=generator, dtype=dtype)
    expected, _ = rational_quadratic_spline(y, logits, bound, inverse=True)
    tolerance = 1e-10 if dtype == torch.float64 else 2e-3  # float32: where a bin is flat, its inverse is steep
    made = ours(y, logits, bound)
    torch.testing.assert_close(made, expected, rtol=0, atol=tolerance)
    outside = y.abs() > bound
    torch.testing.assert_close(made[outside], y[outside], rtol=0, atol=3e-5)


@pytest.mark.parametrize("ours", [eager, graph])
def test_inverse_spline_survives_wild_logits(ours: Callable) -> None:
    generator = torch.Generator().manual_seed(5)
    y = torch.rand(5000, 2, generator=generator) * 2 - 1
    x = ours(y, 300 * torch.randn(5000, 2, 23, generator=generator), 1.0)
    assert torch.isfinite(x).all()
    assert (x.abs() <= 1 + 1e-5).all()
