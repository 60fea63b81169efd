"""Flow steps: invertible, log-determinant equal to autograd's, gradients everywhere; densities integrate to one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from caloforge.models.base import n_parameters
from caloforge.networks.flows import (
    ConditionalSplines,
    ConditionalStandardise,
    FlowStep,
    LULinear,
    Permutation,
    SplineCoupling,
    spline_coupling_flow,
)

STEPS: dict[str, Callable[[], FlowStep]] = {
    "permutation": lambda: Permutation(5),
    "given order": lambda: Permutation(5, torch.tensor([3, 0, 4, 1, 2])),
    "standardise": lambda: _standardised(),
    "conditional splines": lambda: ConditionalSplines(5, 2, 8, 1.0, 16),
    "lu": lambda: LULinear(5),
    "coupling, even": lambda: SplineCoupling(5, 2, True, 8, 1.0, 16, 2),
    "coupling, odd": lambda: SplineCoupling(5, 2, False, 8, 1.0, 16, 2),
}


def _standardised() -> ConditionalStandardise:
    step = ConditionalStandardise(5, 2)
    generator = torch.Generator().manual_seed(8)
    step.fit(torch.randn(50, 5, generator=generator), torch.rand(50, 2, generator=generator))
    return step


def _shaken(module: torch.nn.Module) -> torch.nn.Module:
    """Weights away from their neutral start, so that nothing is the identity by accident."""
    torch.manual_seed(3)
    with torch.no_grad():
        for p in module.parameters():
            p += 0.3 * torch.randn_like(p)
    return module.double()


@pytest.mark.parametrize("name", STEPS)
def test_step_inverts_and_has_the_right_determinant(name: str) -> None:
    step = _shaken(STEPS[name]())
    torch.manual_seed(1)
    x, c = 0.8 * torch.randn(6, 5, dtype=torch.float64), torch.rand(6, 2, dtype=torch.float64)
    z, log_det = step(x, c)
    back, log_inverse = step.inverse(z, c)
    torch.testing.assert_close(back, x, atol=1e-8, rtol=0)
    torch.testing.assert_close(log_inverse, -log_det, atol=1e-6, rtol=0)
    for k in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda v, k=k: step(v[None], c[k : k + 1])[0][0], x[k])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_det[k], atol=1e-8, rtol=0)


def test_lu_starts_as_identity() -> None:
    x = torch.randn(4, 7)
    z, log_det = LULinear(7)(x, torch.zeros(4, 1))
    torch.testing.assert_close(z, 1.001 * x, atol=1e-5, rtol=1e-3)
    assert log_det.abs().max() < 0.01


def test_a_step_must_have_both_directions() -> None:
    class OneWay(FlowStep):
        def forward(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, c

    with pytest.raises(TypeError, match="inverse"):
        OneWay()  # type: ignore[abstract]


def test_standardising_takes_out_what_the_conditions_explain() -> None:
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(5000, 2, generator=generator)
    rest = torch.randn(5000, 3, generator=generator)
    x = c @ torch.tensor([[1.0, -2, 0], [0.5, 4, 0]]) + torch.tensor([3.0, 0, -7]) + torch.tensor([1.0, 0.1, 0]) * rest
    step = ConditionalStandardise(3, 2)
    assert torch.equal(step(x, c)[0], x)  # the identity until it is fitted
    step.fit(x, c)
    torch.testing.assert_close(step.slope[:, 1], torch.tensor([-2.0, 4.0]), atol=0.02, rtol=0)
    z, log_det = step(x, c)
    torch.testing.assert_close(z[:, :2].std(dim=0), torch.ones(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(log_det[0].item(), -torch.log(torch.tensor(0.1)).item(), atol=0.05, rtol=0)
    assert z[:, 2].abs().max() < 1e-3  # nothing is left of a feature that the conditions fix, nor is it blown up


def test_conditional_splines_start_near_the_identity_and_mix_no_features() -> None:
    step = ConditionalSplines(4, 2, 8, 6.0, 16)
    x, c = torch.randn(20, 4), torch.rand(20, 2)
    assert (step(x, c)[0] - x).abs().max() < 0.3
    shaken = _shaken(step)
    jacobian = torch.autograd.functional.jacobian(lambda v: shaken(v[None], c[:1].double())[0][0], x[0].double())
    assert torch.equal(jacobian, torch.diag(torch.diag(jacobian)))


def test_density_integrates_to_one() -> None:
    flow = _shaken(spline_coupling_flow(2, 1, layers=2, bins=6, bound=1.0, width=16, blocks=1))
    side = torch.linspace(-25, 25, 401, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = flow.log_prob(grid, torch.full((len(grid), 1), 0.3, dtype=torch.float64)).exp()
    total = density.sum().item() * (side[1] - side[0]).item() ** 2
    assert abs(total - 1) < 0.02


def test_gradient_reaches_every_parameter() -> None:
    flow = spline_coupling_flow(6, 1, layers=4, bins=8, bound=1.0, width=16, blocks=3)
    torch.manual_seed(0)
    flow.log_prob(0.3 * torch.randn(64, 6), torch.rand(64, 1)).mean().backward()
    for name, p in flow.named_parameters():
        if name.endswith(("lower", "upper")):
            continue  # half of these matrices is unused by construction
        assert p.grad is not None, name
        assert p.grad.abs().max() > 0, name


def test_learns_a_known_conditional_density() -> None:
    """x | c ~ N(0.4 (2c − 1), ¼²) in 2-D: the fitted density comes close to the true entropy."""
    torch.manual_seed(0)
    # With random orders between the layers, two layers may bend one feature twice and the other never.
    flow = spline_coupling_flow(2, 1, layers=4, bins=8, bound=1.0, width=16, blocks=1)
    optimizer = torch.optim.Adam(flow.parameters(), 2e-2)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for _ in range(300):
        c = torch.rand(512, 1)
        x = 0.4 * (2 * c - 1) + 0.25 * torch.randn(512, 2)
        loss = -flow.log_prob(x, c).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        annealing.step()
    c = torch.rand(20_000, 1)
    x = 0.4 * (2 * c - 1) + 0.25 * torch.randn(20_000, 2)
    entropy = 1 + torch.log(2 * torch.pi * torch.tensor(0.25**2)).item()
    with torch.no_grad():
        assert -flow.log_prob(x, c).mean().item() == pytest.approx(entropy, abs=0.06)
        sample, _ = flow.inverse(torch.randn(20_000, 2), torch.full((20_000, 1), 0.75))
    torch.testing.assert_close(sample.mean(0), torch.full((2,), 0.2), atol=0.02, rtol=0)
    torch.testing.assert_close(sample.std(0), torch.full((2,), 0.25), atol=0.02, rtol=0)


def test_published_size_is_what_the_layers_add_up_to() -> None:
    """20 codes, 10 bent and 10 kept, width 64, 3 blocks, 23 numbers per spline; five 20 x 20 LU maps."""
    coupling = (11 * 64 + 64) + 3 * (2 * (64 * 64 + 64) + 2 * 64) + (64 * 230 + 230)
    lu = 2 * 400 + 40
    flow = spline_coupling_flow(20, 1, layers=4, bins=8, bound=1.0, width=64, blocks=3)
    assert n_parameters([flow]) == 4 * coupling + 5 * lu
