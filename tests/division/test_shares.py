"""Fractions and shares: worked by hand, round trips, Jacobians against autograd, exact layer energies."""

from __future__ import annotations

import pytest
import torch

from caloforge.division.shares import LayerSums, energies_to_fractions, fractions_to_energies

LAYERS = LayerSums(torch.tensor([0, 0, 0, 1, 2, 2]))


def test_fractions_by_hand() -> None:
    energies = torch.tensor([[10.0, 60.0, 30.0], [0.0, 50.0, 0.0], [50.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    expected = [[0.5, 0.1, 60 / 90], [0.25, 0.0, 1.0], [0.25, 1.0, 0.0], [0.0, 0.0, 0.0]]
    fractions = energies_to_fractions(energies, torch.full((4, 1), 200.0))
    torch.testing.assert_close(fractions, torch.tensor(expected))
    torch.testing.assert_close(fractions_to_energies(fractions, torch.full((4, 1), 200.0))[0], energies)


def test_one_layer_is_its_deposited_energy() -> None:
    energies, log_volume = fractions_to_energies(torch.tensor([[0.25]]), torch.tensor([[80.0]]))
    assert energies.item() == 20
    assert log_volume.item() == pytest.approx(torch.tensor(80.0).log().item())


def test_energies_volume_is_that_of_autograd() -> None:
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    scale = torch.full((5, 1), 300.0, dtype=torch.float64)
    _, log_volume = fractions_to_energies(u, scale)
    for k in range(5):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, k=k: fractions_to_energies(v[None], scale[k : k + 1])[0][0], u[k]
        )
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_volume[k])


def test_sums_shares_and_spreading_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 1.0, 5.0, 0.0, 0.0]])
    assert LAYERS.sums(x).tolist() == [[4, 5, 0]]
    assert LAYERS.shares(x).tolist() == [[0.25, 0.5, 0.25, 1, 0, 0]]
    assert LAYERS.spread(torch.tensor([[7.0, 8.0, 9.0]])).tolist() == [[7, 7, 7, 8, 9, 9]]


def test_energy_shared_out_by_hand() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.2, 0.7, 0.4, 0.6]])
    energies = torch.tensor([[10.0, 3.0, 0.0]])
    expected = torch.tensor([[5.0, 3.0, 2.0, 3.0, 0.0, 0.0]])
    torch.testing.assert_close(LAYERS.share_out(weights, energies, 0.0), expected)
    # At least 2.5 each: the faintest of layer 0 would get 2 and goes, 10 MeV are shared 5 : 3.
    expected = torch.tensor([[6.25, 3.75, 0.0, 3.0, 0.0, 0.0]])
    torch.testing.assert_close(LAYERS.share_out(weights, energies, 2.5), expected)
    # At least 4: after the faintest has gone, the second gets 3.75 and goes too; layer 1 has but one voxel.
    expected = torch.tensor([[10.0, 0.0, 0.0, 3.0, 0.0, 0.0]])
    torch.testing.assert_close(LAYERS.share_out(weights, energies, 4.0), expected)


@pytest.mark.parametrize("least", [0.0, 1.0, 30.0])
def test_layer_energies_are_exact_and_nobody_gets_too_little(least: float) -> None:
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(2000, 6, generator=generator) ** 8
    weights[0] = 0
    energies = 100 * torch.rand(2000, 3, generator=generator)
    voxels = LAYERS.share_out(weights, energies, least)
    torch.testing.assert_close(LAYERS.sums(voxels), energies, rtol=1e-5, atol=1e-5)
    enough = LAYERS.spread(energies) >= least
    assert ((voxels == 0) | (voxels >= least * (1 - 1e-5)) | ~enough).all()
    assert torch.isfinite(voxels).all()
