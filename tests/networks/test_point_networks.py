"""Networks of point clouds: symmetry under permutations, independence of clouds, gradients, empty clouds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from caloforge.networks.point_networks import DeepSet, EPiCVelocity
from caloforge.packed import Packed

FEATURES, CONDITIONS = 3, 2


def _with_weights(network: nn.Module) -> nn.Module:
    """With last layers that are not zero."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network.double()


@pytest.fixture
def clouds() -> Packed:
    counts = torch.tensor([5, 0, 9, 1])
    return Packed.of(torch.randn(15, FEATURES, generator=torch.Generator().manual_seed(1)).double(), counts)


@pytest.fixture
def velocity() -> nn.Module:
    return _with_weights(EPiCVelocity(FEATURES, CONDITIONS, width=8, global_width=4, layers=3))


@pytest.fixture
def deep_set() -> nn.Module:
    return _with_weights(DeepSet(FEATURES, CONDITIONS, width=8, outputs=2))


T = torch.tensor([0.1, 0.5, 0.7, 0.9]).double()
C = torch.rand(4, CONDITIONS, generator=torch.Generator().manual_seed(2)).double()


def _permutation(clouds: Packed) -> torch.Tensor:
    """(P,) another order of the points within each cloud."""
    shuffled = torch.randperm(len(clouds.cloud), generator=torch.Generator().manual_seed(3))
    return shuffled[clouds.cloud[shuffled].argsort(stable=True)]


def test_permuted_points_have_permuted_velocities(clouds: Packed, velocity: nn.Module) -> None:
    order = _permutation(clouds)
    assert not torch.equal(order, torch.arange(len(order)))
    direct = velocity(clouds, T, C)
    permuted = velocity(clouds.with_points(clouds.points[order]), T, C)
    torch.testing.assert_close(permuted, direct[order], rtol=1e-10, atol=1e-12)
    assert direct.std() > 1e-3


def test_the_order_of_points_does_not_matter_to_a_deep_set(clouds: Packed, deep_set: nn.Module) -> None:
    direct = deep_set(clouds, C)
    assert direct.shape == (4, 2)
    torch.testing.assert_close(
        deep_set(clouds.with_points(clouds.points[_permutation(clouds)]), C), direct, rtol=1e-10, atol=1e-12
    )


def test_a_cloud_does_not_depend_on_the_others_of_its_batch(
    clouds: Packed, velocity: nn.Module, deep_set: nn.Module
) -> None:
    together, numbers = velocity(clouds, T, C), deep_set(clouds, C)
    for k in range(4):
        own = clouds.cloud == k
        alone = Packed.of(clouds.points[own], clouds.counts[k : k + 1])
        torch.testing.assert_close(velocity(alone, T[k : k + 1], C[k : k + 1]), together[own], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(deep_set(alone, C[k : k + 1])[0], numbers[k], rtol=1e-10, atol=1e-12)


def test_points_of_a_cloud_know_of_each_other(clouds: Packed, velocity: nn.Module) -> None:
    moved = clouds.points.clone()
    moved[0] += 1
    change = (velocity(clouds.with_points(moved), T, C) - velocity(clouds, T, C)).abs().amax(dim=1)
    assert (change[:5] > 1e-6).all()
    assert (change[5:] == 0).all()


@pytest.mark.parametrize("kind", ["velocity", "deep_set"])
def test_gradients_reach_all_parameters(kind: str, clouds: Packed, request: pytest.FixtureRequest) -> None:
    network: nn.Module = request.getfixturevalue(kind)
    out = network(clouds, T, C) if kind == "velocity" else network(clouds, C)
    out.square().sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_an_untrained_velocity_is_zero(clouds: Packed) -> None:
    network = EPiCVelocity(FEATURES, CONDITIONS, width=8, global_width=4, layers=1).double()
    assert torch.equal(network(clouds, T, C), torch.zeros_like(clouds.points))
