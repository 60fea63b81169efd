"""FFJORD: the exact density of a Gaussian, that of flow matching, the gradient through the solver, and a mixture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from caloforge.errors import CaloforgeError
from caloforge.models.ffjord import FFJORD
from caloforge.models.flow_matching import FlowMatching
from caloforge.training import TrainingSettings
from models.two_modes import check_two_modes, log_density, trained, two_modes

MATRIX = torch.tensor([[0.5, 0.3], [-0.4, 0.2]], dtype=torch.float64)


class Linear(nn.Module):
    """v(x, t, c) = A x + c, whose flow is x_1 = e^A x_0 + A⁻¹ (e^A − 1) c."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(MATRIX.clone())

    def forward(self, x: Tensor, t: Tensor, c: Tensor) -> Tensor:
        moved: Tensor = x @ self.matrix.T + c
        return moved


def linear_flow(**settings: Any) -> FFJORD:
    model = FFJORD(2, 1, width=4, blocks=1, standardise="none", **settings).double()
    model.velocity = Linear()
    return model


def exact(x: Tensor, c: Tensor) -> Tensor:
    """(B,) log density of e^A z + A⁻¹ (e^A − 1) (c, c), z ~ N(0, 1)."""
    grown = torch.matrix_exp(MATRIX)
    shift = torch.linalg.solve(MATRIX, grown - torch.eye(2).double()) @ torch.ones(2).double()
    found: Tensor = torch.distributions.MultivariateNormal(c * shift, grown @ grown.T).log_prob(x)
    return found


def gaussian(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (2 * torch.randn(n, 2, generator=generator)).double(), torch.rand(n, 1, generator=generator).double()


def test_density_of_a_gaussian() -> None:
    x, c = gaussian(50)
    torch.testing.assert_close(linear_flow().log_prob(x, c), exact(x, c), atol=1e-6, rtol=0)
    loss = linear_flow(steps=16, probes=0).loss(x, c)
    torch.testing.assert_close(-2 * loss, exact(x, c), atol=1e-6, rtol=0)


def test_hutchinsons_estimate_has_the_right_mean() -> None:
    """Random signs: εᵀ A ε = tr A ± |A_01 + A_10|, each with probability 1/2."""
    x, c = (part[:1].expand(4000, -1) for part in gaussian(1))
    torch.manual_seed(2)
    with torch.no_grad():
        found = -2 * linear_flow(steps=8, probes=1).loss(x, c)
    off = (MATRIX[0, 1] + MATRIX[1, 0]).abs()
    error = (found - exact(x, c)).abs()
    torch.testing.assert_close(error, off.expand(4000), atol=1e-4, rtol=0)
    assert found.mean().item() == pytest.approx(exact(x[:1], c[:1]).item(), abs=4 * off.item() / 4000**0.5)


def test_samples_are_the_flow_of_the_noise() -> None:
    z, c = gaussian(20)
    grown = torch.matrix_exp(MATRIX)
    shift = torch.linalg.solve(MATRIX, grown - torch.eye(2).double()) @ torch.ones(2).double()
    torch.testing.assert_close(linear_flow(steps=8).decode(z, c), z @ grown.T + c * shift, atol=1e-4, rtol=0)


def test_the_same_network_has_the_density_of_flow_matching() -> None:
    torch.manual_seed(0)
    ours, other = FFJORD(3, 1, width=8, blocks=2), FlowMatching(3, 1, width=8, blocks=2)
    with torch.no_grad():
        for parameter in ours.velocity.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    other.velocity.load_state_dict(ours.velocity.state_dict())
    x = 3 + 2 * torch.randn(30, 3)
    ours.standardise.fit(x)
    mean, std = ours.standardise.constants()
    other.shift.copy_(mean)
    other.scale.copy_(std)
    c = torch.rand(30, 1)
    torch.testing.assert_close(ours.log_prob(x, c), other.log_prob(x, c))


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4"])
def test_the_gradient_goes_through_the_steps(solver: str) -> None:
    """Against finite differences of the loss, in every weight."""
    x, c = gaussian(10)
    model = linear_flow(solver=solver, steps=2, probes=0)
    matrix = next(model.velocity.parameters())
    model.loss(x, c).mean().backward()
    assert matrix.grad is not None
    step = 1e-6
    for place in ((0, 0), (0, 1), (1, 0), (1, 1)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                matrix[place] += sign * step
                values.append(model.loss(x, c).mean().item())
                matrix[place] -= sign * step
        assert matrix.grad[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)


def test_finds_both_modes_and_their_density() -> None:
    torch.manual_seed(0)
    model = FFJORD(2, 1, width=32, blocks=2, steps=4, probes=1)
    settings = {"epochs": 6, "batch_size": 200, "learning_rate": 5e-3, "schedule": "cosine", "ema": 0.98}
    trained(model, TrainingSettings(**settings, clip_norm=5, device="cpu"), n=4000)  # type: ignore[arg-type]
    model.eval()
    check_two_modes(model)
    x, c = two_modes(1000, 5)
    with torch.no_grad():
        below_entropy = float((log_density(x, c) - model.log_prob(x, c)).mean())
    assert -0.03 < below_entropy < 0.2  # the Kullback–Leibler divergence in nats: not negative, up to statistics


def test_sectors_must_be_equal() -> None:
    with pytest.raises(CaloforgeError, match="5 features do not come in 4 equal sectors"):
        FFJORD(5, 1, network="sectors", sectors=4)
