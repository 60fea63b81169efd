"""Shares of the deposited energy, and standardising: worked out by hand, and back again."""

from __future__ import annotations

import pytest
import torch

from caloforge.networks.standardise import By, Standardise
from caloforge.transforms import DepositedEnergyShares

C = torch.ones(3, 1)


def test_shares_and_sum_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0], [0.0, 0.5], [0.0, 0.0]])
    u, c = DepositedEnergyShares()(x, C)
    torch.testing.assert_close(u, torch.tensor([[0.25, 0.75, 4.0], [0, 1, 0.5], [0, 0, 0]]))
    assert c is C
    torch.testing.assert_close(DepositedEnergyShares().inverse(u, C)[0], x)


def test_generated_shares_are_made_to_sum_to_one() -> None:
    """Whatever a model makes of the shares, E_dep is the last feature; negative numbers count as none."""
    u = torch.tensor([[0.2, 0.2, 3.0], [-0.5, 0.1, 2.0], [0.5, 0.5, -1.0]])
    voxels, _ = DepositedEnergyShares().inverse(u, C)
    torch.testing.assert_close(voxels, torch.tensor([[1.5, 1.5], [0, 2], [0, 0]]))


@pytest.mark.parametrize(("by", "mean", "width"), [("none", 2.0, 5.0), ("all", 0.0, 1.0), ("each", 0.0, 1.0)])
def test_standardising(by: By, mean: float, width: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.tensor([2.0, 2.0, 2.0]) + 5 * torch.randn(4000, 3, generator=generator)
    standardise = Standardise(3, by)
    standardise.fit(x)
    u = standardise(x)
    torch.testing.assert_close(u.mean(dim=0), torch.full((3,), mean), atol=0.3, rtol=0)
    torch.testing.assert_close(u.std(dim=0), torch.full((3,), width), rtol=0.05, atol=0)
    torch.testing.assert_close(standardise.inverse(u), x)
    slope = torch.func.jacfwd(standardise)(x[:1])[0, :, 0].diagonal()
    torch.testing.assert_close(standardise.log_slope(), slope.log().sum())


def test_a_constant_feature_stays_finite() -> None:
    x = torch.tensor([[3.0, 1.0], [3.0, 2.0]])
    standardise = Standardise(2, "each")
    standardise.fit(x)
    torch.testing.assert_close(standardise(x)[:, 0], torch.zeros(2))
