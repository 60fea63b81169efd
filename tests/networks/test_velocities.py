"""Velocity networks: nothing moves before training, and sectors are alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from caloforge.networks.velocities import LayerBlock, LayerVelocity, ResidualVelocity, SectorVelocity, _circular_modes


def _shaken(network: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return network.double()


LAYERS = [0, 2, 1, 0, 2] * 6
"""Of 30 features, in no order."""


def _batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, c = torch.randn(4, 30, generator=generator).double(), torch.randn(4, 2, generator=generator).double()
    return x, torch.rand(4, generator=generator).double(), c


@pytest.mark.parametrize(
    "network",
    [
        ResidualVelocity(30, 2, 16, 2),
        SectorVelocity(30, 2, 10, 16, 24, 2),
        LayerVelocity(LAYERS, [-1, 1], 16, 24, 2, groups=4),
    ],
)
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


def test_without_mixing_a_layer_sees_its_own_features_and_conditions_alone() -> None:
    network = _shaken(LayerVelocity(LAYERS, [-1, 1], 16, 24, 2, groups=4))
    with torch.no_grad():
        for block in network.blocks:
            block.mixing.zero_()
    x, t, c = _batch()
    layer = torch.tensor(LAYERS)
    out = network(x, t, c)
    changed = network(torch.where(layer == 2, x + 1, x), t, c)
    assert torch.equal(changed[:, layer != 2], out[:, layer != 2])
    assert not torch.isclose(changed[:, layer == 2], out[:, layer == 2]).any()
    changed = network(x, t, c + torch.tensor([0.0, 1.0]))
    assert torch.equal(changed[:, layer != 1], out[:, layer != 1])
    assert not torch.isclose(changed[:, layer == 1], out[:, layer == 1]).any()
    assert not torch.isclose(network(x, t, c + torch.tensor([1.0, 0.0])), out).any()


def test_mixing_makes_every_layer_see_every_other() -> None:
    network = _shaken(LayerVelocity(LAYERS, [-1, 1], 16, 24, 2, groups=4))
    x, t, c = _batch()
    changed = torch.where(torch.tensor(LAYERS) == 0, x + 1, x)
    assert not torch.isclose(network(changed, t, c), network(x, t, c)).any()


def test_order_of_features_does_not_matter_to_a_network_of_layers() -> None:
    """Features that are permuted within the layers, with the rows of the first and last weights, give the same."""
    network = _shaken(LayerVelocity([0, 0, 1, 1], [-1], 8, 12, 1, groups=2))
    other = _shaken(LayerVelocity([0, 1, 0, 1], [-1], 8, 12, 1, groups=2))
    other.load_state_dict(network.state_dict())
    x, t, c = torch.randn(5, 4).double(), torch.rand(5).double(), torch.zeros(5, 1).double()
    order = [0, 2, 1, 3]
    with torch.no_grad():
        other.bias.copy_(network.bias[order])
    torch.testing.assert_close(other(x[:, order], t, c), network(x, t, c)[:, order])


def test_mixing_by_hand() -> None:
    """One channel, two layers: h = 1 and 2, mixed by [[1, 2], [3, 4]] into 5 and 11."""
    block = LayerBlock(2, 1, 1, 1).double()
    with torch.no_grad():
        block.mixing.copy_(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
        block.inward.weight.copy_(torch.tensor([[0.5, 1.0]]))
        block.inward.bias.zero_()
        block.seen.weight.zero_()
        block.outward.weight.fill_(1.0)
        block.outward.bias.zero_()
    h = torch.tensor([1.0, 2.0]).double().view(2, 1, 1)
    update = torch.tensor([0.5 + 5.0, 1.0 + 11.0]).double()
    expected = h.flatten() + update * torch.sigmoid(update)
    torch.testing.assert_close(block(h, torch.zeros(1, 1).double()).flatten(), expected)


def test_each_layer_has_weights_of_its_own_for_some_conditions() -> None:
    """Code -2: what a layer's vector is at first is linear in the condition, with weights of its own."""
    torch.manual_seed(0)
    network = LayerVelocity([0, 1], [-1, -2], 8, 12, 1, groups=2)
    x, t, c = torch.zeros(3, 2), torch.zeros(1), torch.tensor([[0.3, -1.0], [0.3, 0.0], [0.3, 1.0]])
    told = []
    hook = network.blocks[0].register_forward_pre_hook(lambda _, inputs: told.append(inputs[0]))
    network(x, t, c)
    hook.remove()
    assert len(network.common) == 2
    torch.testing.assert_close(told[0][:, 2], -told[0][:, 0])
    assert told[0][:, 1].abs().max() == 0
    assert (told[0][0, 2] - told[0][1, 2]).abs().max() > 0.1
