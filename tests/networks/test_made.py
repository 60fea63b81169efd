"""Masked networks: who depends on whom; steps: invertible, right determinants, and a loop that costs one pass."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from caloforge.models.base import n_parameters
from caloforge.networks.made import MADE, AutoregressiveSpline, MADELoop, invert_by_passes

SIZES = [(5, 16, 2), (7, 3, 1), (9, 40, 0), (1, 8, 1)]
"""Features, width, hidden layers: fewer and more hidden units than features, and a single feature."""


def _shaken(module: torch.nn.Module, size: float = 0.2) -> torch.nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for p in module.parameters():
            p += size * torch.randn_like(p)
    return module.double().eval()


def _step(features: int, width: int, hidden: int, given: Literal["data", "noise"]) -> AutoregressiveSpline:
    step = AutoregressiveSpline(
        features, 2, bins=5, bound=3.0, width=width, hidden_layers=hidden, dropout=0.3, given=given
    )
    _shaken(step)
    return step


def _batch(features: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, features, generator=generator, dtype=torch.float64)
    return 1.5 * x, torch.rand(n, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("features", "width", "hidden"), SIZES)
def test_numbers_of_a_feature_see_the_ones_before_it_and_the_conditions(features: int, width: int, hidden: int) -> None:
    made = _shaken(MADE(features, 2, 3, width, hidden))
    x, c = _batch(features, 20)  # rows enough that no hidden unit is silent in all of them
    of_x, of_c = torch.autograd.functional.jacobian(lambda *v: made(*v).sum(dim=(0, 1)), (x, 5 * c - 2))
    seen = of_x.abs().sum(dim=1) > 0  # (D, B, D) → (D, D)
    assert not torch.triu(seen).any()
    if width >= 4 * features:
        assert torch.equal(seen, torch.tril(torch.ones_like(seen), -1))
    assert (of_c.abs().sum(dim=(1, 2)) > 0).all()


@pytest.mark.parametrize("given", ["data", "noise"])
@pytest.mark.parametrize(("features", "width", "hidden"), SIZES)
def test_step_inverts_and_has_the_right_determinant(
    features: int, width: int, hidden: int, given: Literal["data", "noise"]
) -> None:
    step = _step(features, width, hidden, given)
    x, c = _batch(features)
    z, log_det = step(x, c)
    back, log_inverse = step.inverse(z, c)
    torch.testing.assert_close(back, x, atol=1e-7, rtol=0)
    torch.testing.assert_close(log_inverse, -log_det, atol=1e-6, rtol=0)
    one_pass = step if given == "data" else step.inverse  # the loop has no gradients
    for k in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda v, k=k: one_pass(v[None], c[k : k + 1])[0][0], x[k])
        expected = torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(expected, one_pass(x, c)[1][k], atol=1e-8, rtol=0)


@pytest.mark.parametrize(("features", "width", "hidden"), SIZES)
def test_the_loop_gives_what_the_network_gives(features: int, width: int, hidden: int) -> None:
    made = _shaken(MADE(features, 2, 3, width, hidden))
    x, c = _batch(features)
    with torch.no_grad():
        expected = made(x, c)
        loop = MADELoop(made, c)
        for i in range(features):
            torch.testing.assert_close(loop.step(i).T, expected[:, :, i])
            loop.x[i] = x[:, i]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_the_loop_equals_one_pass_per_feature(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    step = AutoregressiveSpline(40, 2, bins=8, bound=6.0, width=64, hidden_layers=1).to(dtype)
    z, c = (t.to(dtype) for t in _batch(40, 50))
    torch.testing.assert_close(step.inverse(z, c)[0], invert_by_passes(step, z, c), atol=tolerance, rtol=0)


def test_wild_weights_and_far_noise_stay_finite() -> None:
    step = _step(12, 16, 1, "data").float()
    with torch.no_grad():
        for p in step.parameters():
            p *= 100
    z = 100 * torch.randn(200, 12, generator=torch.Generator().manual_seed(0))
    for values in step.inverse(z, torch.rand(200, 2)):
        assert torch.isfinite(values).all()


def test_dropout_acts_in_training_only() -> None:
    step = _step(6, 32, 1, "data")
    x, c = _batch(6)
    assert torch.equal(step(x, c)[0], step(x, c)[0])
    step.train()
    assert not torch.equal(step(x, c)[0], step(x, c)[0])


@pytest.mark.parametrize(
    ("features", "conditions", "width", "hidden", "expected"), [(3, 1, 64, 2, 13_189), (504, 4, 378, 1, 4_729_410)]
)
def test_size_by_hand(features: int, conditions: int, width: int, hidden: int, expected: int) -> None:
    """One block of CaloFlow's flow I and one of flow II."""
    layers = (features * width + width) + (conditions * width + width) + hidden * (width * width + width)
    assert layers + width * 23 * features + 23 * features == expected
    assert n_parameters([MADE(features, conditions, 23, width, hidden)]) == expected
