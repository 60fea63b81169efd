"""RealNVP: exact inverse and density, the mixture it must find, and its use inside a cascade."""

from __future__ import annotations

import pytest
import torch

from caloforge.models.inner import inner_model
from caloforge.models.realnvp import RealNVP
from caloforge.networks.affine_coupling import AffineCoupling
from models.two_modes import check_two_modes, log_density, trained, two_modes


def _disturbed(features: int) -> RealNVP:
    torch.manual_seed(0)
    model = RealNVP(features, 1, layers=5, width=16, blocks=1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model.double().eval()


@pytest.mark.parametrize("features", [1, 2, 5])
def test_inverse_and_jacobian(features: int) -> None:
    """decode inverts the flow; its log determinant is that of automatic differentiation."""
    model = _disturbed(features)
    x, c = torch.randn(6, features).double(), torch.rand(6, 1).double()
    with torch.no_grad():
        z, log_det = model.flow(x, c)
        torch.testing.assert_close(model.decode(z, c), x)
    for row in range(6):
        given = c[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(lambda v, given=given: model.flow(v[None], given)[0][0], x[row])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_det[row])


def test_a_step_by_hand() -> None:
    """z_b = x_b exp(s) + t with s = 2 tanh(0.5), t = 3, where the even features are transformed."""
    step = AffineCoupling(3, 1, even=True, limit=2.0, width=4, blocks=0)
    step.network.last.bias.data[:] = torch.tensor([1.0, 1.0, 3.0, 3.0])
    s = 2 * torch.tanh(torch.tensor(0.5))
    z, log_det = step(torch.tensor([[1.0, 2.0, -1.0]]), torch.zeros(1, 1))
    torch.testing.assert_close(z, torch.stack([s.exp() + 3, torch.tensor(2.0), 3 - s.exp()])[None])
    torch.testing.assert_close(log_det, 2 * s[None])


def test_finds_both_modes_and_their_density() -> None:
    torch.manual_seed(0)
    model = RealNVP(2, 1, layers=6, width=32, blocks=1)
    trained(model)
    check_two_modes(model.eval())
    x, c = two_modes(2000, 5)
    with torch.no_grad():
        below_entropy = float((log_density(x, c) - model.log_prob(x, c)).mean())
    assert -0.02 < below_entropy < 0.1  # the Kullback–Leibler divergence in nats: not negative, up to statistics


def test_is_a_density_for_other_models() -> None:
    inner = inner_model({"kind": "realnvp", "layers": 2, "width": 8}, 3, 2, "model.layers")
    assert inner.decode(torch.randn(4, 3), torch.rand(4, 2)).shape == (4, 3)
