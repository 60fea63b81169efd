"""CaloGAN: locally connected maps, attention and energies against hand-computed values; its size; a response."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.models.base import n_parameters
from caloforge.models.calogan import CaloGAN
from caloforge.networks.layer_images import LayerAttention, LocallyConnected, resampling

SMALL: dict[str, Any] = {"noise_dim": 8, "generator_channels": [4, 4, 2], "critic_channels": [4, 4, 2, 2]}


def test_locally_connected_with_equal_weights_is_a_convolution() -> None:
    torch.manual_seed(0)
    local = LocallyConnected(2, 3, (4, 7), (3, 2), stride=(1, 2), padding=1)
    kernel, x = torch.randn(3, 2, 3, 2), torch.randn(5, 2, 4, 7)
    assert local.bias is not None
    local.weight.data[:] = kernel.flatten(2).permute(1, 2, 0)
    local.bias.data[:] = torch.tensor([1.0, 2.0, 3.0])
    expected = functional.conv2d(x, kernel, torch.tensor([1.0, 2.0, 3.0]), stride=(1, 2), padding=1)
    torch.testing.assert_close(local(x), expected)


def test_locally_connected_by_hand() -> None:
    """1 × 3 voxels, kernel 1 × 2: two positions with weights (1, 2) and (3, 4)."""
    local = LocallyConnected(1, 1, (1, 3), (1, 2), bias=False)
    local.weight.data[:] = torch.tensor([[[[1.0], [2.0]]], [[[3.0], [4.0]]]])
    found = local(torch.tensor([[[[5.0, 6.0, 7.0]]]]))
    torch.testing.assert_close(found, torch.tensor([[[[5.0 + 12, 18.0 + 28]]]]))


@pytest.mark.parametrize(
    ("source", "target", "rows"),
    [
        (2, 4, [[1, 0], [1, 0], [0, 1], [0, 1]]),
        (4, 2, [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]),
        (2, 3, [[1, 0], [0.5, 0.5], [0, 1]]),
        (1, 3, [[1], [1], [1]]),
    ],
)
def test_resampling_by_hand(source: int, target: int, rows: list[list[float]]) -> None:
    torch.testing.assert_close(resampling(source, target), torch.tensor(rows, dtype=torch.float32))


def test_attention_by_hand() -> None:
    """Scores (log 3, 0) everywhere: a weight of 3/4 for the image, 1/4 for the mean of two voxels of the one before."""
    attention = LayerAttention((1, 4), (1, 2))
    torch.nn.init.zeros_(attention.scores.weight)
    attention.scores.bias.data[:] = torch.tensor([math.log(3), 0.0])
    image, before = torch.tensor([[[[8.0, 4.0]]]]), torch.tensor([[[[0.0, 2.0, 4.0, 8.0]]]])
    torch.testing.assert_close(attention(image, before), torch.tensor([[[[6 + 0.25, 3 + 1.5]]]]))


def test_sizes_of_the_published_networks() -> None:
    """Counted map by map for the layer of 12 × 12 voxels; the geometry is the paper's 3 × 96, 12 × 12, 12 × 6."""
    geometry = load_geometry("calogan")
    model = CaloGAN(504, 1, geometry=geometry)
    dense, convolution, norm = 1024 * 14 * 14 * 36 + 14 * 14 * 36, 36 * 16 * 4 + 16, 2 * 16
    local, last = 13 * 13 * 6 * (16 * 4 + 1), 12 * 12 * 6 * 4
    assert n_parameters([model.generator.layers[1]]) == dense + convolution + norm + local + last  # type: ignore[index]
    first, second = 64 * 4 + 64, 12 * 6 * 16 * (64 * 9 + 1) + 2 * 16
    third, fourth = 13 * 7 * 8 * (16 * 4 + 1) + 2 * 8, 14 * 4 * 8 * (8 * 4 + 1) + 2 * 8
    assert n_parameters([model.critic.images[1]]) == first + second + third + fourth  # type: ignore[index]


def test_the_generators_loss_by_hand(small_geometry: Geometry) -> None:
    """An undecided critic: log 2 + 0.05 |E_dep − E_inc| in GeV."""
    model = CaloGAN(13, 1, geometry=small_geometry, **SMALL)
    model.critic.forward = lambda x, c: torch.zeros(len(x))  # type: ignore[method-assign]
    voxels, c = torch.full((2, 13), 1000.0), torch.tensor([[13_000.0], [20_000.0]])
    loss = model.generator_loss(voxels, c)
    torch.testing.assert_close(loss, math.log(2) + torch.tensor([0.0, 0.05 * 7]))


def test_sparsity_is_nearly_the_fraction_of_hits(small_geometry: Geometry) -> None:
    model = CaloGAN(13, 1, geometry=small_geometry, sparsity_scale=1e-3, **SMALL)
    layer = torch.tensor([[0.0, 5e-3, 2.0, 0.0]])  # GeV; a scale of 10⁻⁶ GeV
    torch.testing.assert_close(model.critic.sparsity(layer), torch.tensor([[0.5]]), rtol=1e-3, atol=0)  # type: ignore[operator]


def test_voxels_are_not_negative_and_grow_with_the_energy(small_geometry: Geometry) -> None:
    torch.manual_seed(0)
    model = CaloGAN(13, 1, geometry=small_geometry, **SMALL).eval()
    z = torch.randn(500, 8)
    with torch.no_grad():
        low, high = (model.decode(z, torch.full((500, 1), energy)) for energy in (1000.0, 100_000.0))
    assert (low >= 0).all()
    assert (high == 0).any()
    assert high.sum() > low.sum()


def test_takes_voxels_only(small_geometry: Geometry) -> None:
    with pytest.raises(CaloforgeError, match="13 voxels"):
        CaloGAN(14, 1, geometry=small_geometry)
