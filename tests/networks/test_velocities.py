"""Velocity networks: nothing moves before training, and sectors are alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from caloforge.networks.velocities import ResidualVelocity, SectorVelocity, _circular_modes


def _shaken(network: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return network.double()


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, c = torch.randn(4, 30, generator=generator).double(), torch.randn(4, 2, generator=generator).double()
    return x, torch.rand(4, generator=generator).double(), c


@pytest.mark.parametrize("network", [ResidualVelocity(30, 2, 16, 2), SectorVelocity(30, 2, 10, 16, 24, 2)])
def test_an_untrained_network_moves_nothing(network: torch.nn.Module) -> None:
    x, t, c = (part.float() for part in _batch())
    assert not network(x, t, c).any()
    assert network(x, t, c).shape == (4, 30)


@pytest.mark.parametrize("sectors", [10, 5])
def test_output_turns_and_is_mirrored_with_the_input(sectors: int) -> None:
    network = _shaken(SectorVelocity(30, 2, sectors, 16, 24, 3, groups=4))
    x, t, c = _batch()
    out = network(x, t, c).view(4, sectors, -1)
    turned = network(x.view(4, sectors, -1).roll(3, dims=1).flatten(1), t, c).view(4, sectors, -1)
    torch.testing.assert_close(turned, out.roll(3, dims=1), atol=1e-4, rtol=1e-4)  # the waves are in float32
    mirrored = network(x.view(4, sectors, -1).flip(1).flatten(1), t, c).view(4, sectors, -1)
    torch.testing.assert_close(mirrored, out.flip(1), atol=1e-4, rtol=1e-4)


def test_output_turns_and_is_mirrored_with_conditions_of_sectors() -> None:
    """Two conditions of each sector, after two of all."""
    network = _shaken(SectorVelocity(30, 22, 10, 16, 24, 3, sector_conditions=2))
    x, t, c = _batch()
    own = torch.randn(4, 20, generator=torch.Generator().manual_seed(3)).double()

    def output(change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        changed = [change(part.view(4, 10, -1)).flatten(1) for part in (x, own)]
        return network(changed[0], t, torch.cat([c, changed[1]], dim=1)).view(4, 10, -1)

    out = output(lambda part: part)
    torch.testing.assert_close(output(lambda part: part.roll(3, dims=1)), out.roll(3, dims=1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output(lambda part: part.flip(1)), out.flip(1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(network(x, t, torch.cat([c, own.roll(2, dims=1)], dim=1)).view(4, 10, -1), out)


@pytest.mark.parametrize("sectors", [1, 2, 5, 10])
def test_waves_make_the_circular_convolution(sectors: int) -> None:
    """Weights by distance as a matrix, worked out directly."""
    waves, spectrum = _circular_modes(sectors)
    weights = torch.randn(sectors // 2 + 1, generator=torch.Generator().manual_seed(1))
    apart = (torch.arange(sectors)[:, None] - torch.arange(sectors)).abs()
    matrix = weights[torch.minimum(apart, sectors - apart)]
    torch.testing.assert_close(waves @ waves.T, torch.eye(sectors), atol=1e-6, rtol=0)
    torch.testing.assert_close(waves.T @ torch.diag(spectrum @ weights) @ waves, matrix, atol=1e-5, rtol=0)


def test_sectors_see_each_other() -> None:
    """Also the one on the other side, and after a single block."""
    network = _shaken(SectorVelocity(10, 2, 10, 16, 24, 1))
    x, t, c = _batch()
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x, t, c).sum(dim=0), x[:, :10])
    assert (jacobian.abs().sum(dim=1) > 1e-9).all()


def test_time_and_conditions_matter() -> None:
    x, t, c = _batch()
    for network in (ResidualVelocity(30, 2, 16, 2), SectorVelocity(30, 2, 10, 16, 24, 2)):
        network = _shaken(network)
        assert not torch.allclose(network(x, t, c), network(x, t + 0.3, c))
        assert not torch.allclose(network(x, t, c), network(x, t, c + 0.3))
