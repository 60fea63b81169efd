"""Layers and centre of a shower as numbers of the whole: by hand, there and back, and imposed on other points."""

from __future__ import annotations

import math

import torch

from caloforge.geometry import PointGeometry
from caloforge.packed import Packed
from caloforge.transforms.point_calibration import PointCentre, PointLayers, whole_shares

GEOMETRY = PointGeometry(("x", "y", "layer", "energy"), 6)
C = torch.tensor([[1000.0], [2000.0], [500.0]])


def _clouds() -> Packed:
    points = torch.tensor(
        [
            [1.0, 0, 0, 1.5],
            [3.0, 2, 2, 2.5],
            [0.0, 1, 2, 3.5],
            [2.0, -2, 1, 1.25],
        ]
    )
    return Packed.of(points, torch.tensor([3, 0, 1]))


def test_layers_by_hand() -> None:
    """One hit of 1.5 in layer 0, none in 1, two of 2.5 and 3.5 in 2; threshold 1."""
    found = PointLayers(geometry=GEOMETRY, layers=3, least=1.0).towards_model(_clouds(), C).others
    roots = torch.tensor([1.375, 0.375, 2.375]).sqrt()
    logs = torch.tensor([math.log(0.5), math.log(4.5 / 3), math.log(2.0)])
    torch.testing.assert_close(found[0], torch.cat([roots, logs]))
    torch.testing.assert_close(found[2, 3:], torch.full((3,), math.log(0.25)))


def test_there_and_back() -> None:
    """In another order of points where layers fall: the same set."""
    clouds = _clouds()
    for transform in (PointLayers(geometry=GEOMETRY, layers=3, least=1.0), PointCentre(geometry=GEOMETRY)):
        back = transform.towards_physics(transform.towards_model(clouds, C), C)
        torch.testing.assert_close(back.points, clouds.points, rtol=1e-5, atol=1e-5)
        assert back.others.shape == (3, 0)
        x = clouds.rows(6)
        torch.testing.assert_close(transform.inverse(*transform.forward(x, C))[0], x, rtol=1e-5, atol=1e-5)


def test_generated_points_get_the_hits_and_energies_of_their_shower() -> None:
    """Points in other layers, which are no whole numbers, in the order of depth; every layer's energy as told."""
    transform = PointLayers(geometry=GEOMETRY, layers=3, least=1.0)
    told = transform.towards_model(_clouds(), C).others
    generated = torch.tensor([[0.0, 0, 2.6, 1.2], [0.0, 0, 0.4, 3.0], [0.0, 0, 1.4, 2.0], [0.0, 0, -0.3, 9.0]])
    found = transform.towards_physics(Packed.of(generated, torch.tensor([3, 0, 1]), told), C).points
    assert found[:, 2].tolist() == [2, 0, 2, 1]
    torch.testing.assert_close(found[1, 3], torch.tensor(1.5))
    torch.testing.assert_close(found[[0, 2], 3] - 1, 4 * torch.tensor([0.2, 1.0]) / 1.2)
    torch.testing.assert_close(found[3, 3], torch.tensor(1.25))


def test_the_centre_is_that_of_the_shower() -> None:
    transform = PointCentre(geometry=GEOMETRY)
    told = transform.towards_model(_clouds(), C).others
    torch.testing.assert_close(told[0], torch.tensor([(1.5 + 7.5) / 7.5, (5.0 + 3.5) / 7.5]))
    generated = torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).abs()
    moved = transform.towards_physics(Packed.of(generated, torch.tensor([3, 0, 1]), told), C)
    torch.testing.assert_close(transform.towards_model(moved, C).others, told, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved.points[:, 2:], generated[:, 2:])


def test_shares_are_whole_and_add_up() -> None:
    found = whole_shares(torch.tensor([[1.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]]), torch.tensor([6, 4, 0]))
    assert found.tolist() == [[2, 1, 3], [2, 1, 1], [0, 0, 0]]
    weights = torch.rand(50, 7, generator=torch.Generator().manual_seed(1))
    totals = torch.arange(50)
    shares = whole_shares(weights, totals)
    assert torch.equal(shares.sum(dim=1), totals)
    wanted = weights / weights.sum(dim=1, keepdim=True) * totals[:, None]
    assert (shares - wanted).abs().max() < 1
