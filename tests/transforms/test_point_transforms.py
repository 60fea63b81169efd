"""Transforms of point clouds: round trips, sums and thresholds."""

from __future__ import annotations

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry, load_geometry
from caloforge.packed import Packed
from caloforge.transforms import build_transforms
from caloforge.transforms.distinct_cells import distinct_cells

GEOMETRY = PointGeometry(("x", "y", "layer", "energy"), 4)
LEAST = 0.02


def _clouds() -> Packed:
    points = torch.tensor(
        [[0.0, 5, 0, 0.5], [-5, 5, 1, LEAST], [10, -15, 44, 3], [0, 0, 3, 0.1], [0, 0, 4, 0.1], [5, 0, 3, 1]]
    )
    return Packed.of(points, torch.tensor([3, 0, 2, 1]))


ENERGIES = torch.tensor([[100.0], [200], [300], [400]])


def test_all_together_invert_each_other() -> None:
    chain = [
        {"kind": "point_deposit", "least": LEAST},
        {"kind": "point_cells", "pitch": 5.0, "layers": 45},
        {"kind": "point_log", "column": "energy", "least": LEAST},
    ]
    transforms = build_transforms(chain, GEOMETRY)
    rows = _clouds().rows(4)
    x, c = transforms(rows, ENERGIES)
    assert x.shape == (4, 1 + 1 + 16)
    assert torch.isfinite(x).all()
    back, _ = transforms.inverse(x, c)
    found, wanted = (Packed.of_rows(r, 4, 4) for r in (back, rows))
    assert found.counts.tolist() == wanted.counts.tolist()
    for k in range(4):  # the order of the points is free
        a, b = (p.points[p.cloud == k] for p in (found, wanted))
        torch.testing.assert_close(a[a[:, 2].argsort()], b[b[:, 2].argsort()], rtol=1e-4, atol=1e-5)


CELLS = [{"kind": "point_cells", "pitch": 5.0, "layers": 45}]


def test_points_in_one_cell_get_cells_of_their_own() -> None:
    """The most energy keeps it, the others go where they are nearest to; layers end at the first and the last."""
    (cells,) = build_transforms(CELLS, GEOMETRY)
    points = torch.tensor([[0.3, 1.2, 2.4, 1.0], [-0.3, 0.9, 1.9, 2.0], [0.3, 1.2, 2.4, 4.0], [0, 0, -1, 8.0]])
    rows = Packed.of(points, torch.tensor([2, 2])).rows(4)
    found = Packed.of_rows(cells.inverse(rows, ENERGIES[:2])[0], 4, 4)
    assert found.counts.tolist() == [2, 2]
    assert sorted(found.points[:2].tolist()) == [[0, 5, 2, 2], [0, 5, 3, 1]]
    assert sorted(found.points[2:].tolist()) == [[0, 0, 0, 8], [0, 5, 2, 4]]


def test_a_full_neighbourhood_keeps_the_energy() -> None:
    """27 cells and 30 points at one place: three are added to the cell that they came to."""
    geometry = PointGeometry(("x", "y", "layer", "energy"), 30)
    (cells,) = build_transforms(CELLS, geometry)
    points = torch.tensor([[0.1, 0.2, 7.3, 1.0]]).repeat(30, 1)
    found = Packed.of_rows(cells.inverse(Packed.of(points, torch.tensor([30])).rows(30), ENERGIES[:1])[0], 4, 30)
    assert found.counts.tolist() == [27]
    assert len(found.points[:, :3].unique(dim=0)) == 27
    assert found.points[:, 3].sum() == 30
    assert found.points[:, 3].max() == 4


def test_cells_of_random_clouds() -> None:
    """No two points share a cell; points alone in their cell stay; the others are in one around."""
    torch.manual_seed(1)
    positions = 1.5 * torch.randn(400, 3) + torch.tensor([5.0, 0, 0])
    cloud = torch.arange(8).repeat_interleave(50)
    found = distinct_cells(positions, torch.rand(400), cloud, 11)
    keys = torch.cat([cloud[:, None].double(), found], dim=1)
    assert len(keys.unique(dim=0)) == 400
    at = positions.double()
    at[:, 0] = at[:, 0].clamp(0, 10)
    assert (at - found).abs().max() <= 1.5
    own = torch.cat([cloud[:, None].double(), at.round()], dim=1)
    _, inverse, counts = own.unique(dim=0, return_inverse=True, return_counts=True)
    kept = (found == at.round()).all(dim=1)
    assert (counts > 1).any()
    assert kept.sum() == len(counts)
    assert len(inverse[kept].unique()) == len(counts)


def test_the_deposited_energy_is_exact_and_points_stay_above_the_threshold() -> None:
    (deposit,) = build_transforms([{"kind": "point_deposit", "least": LEAST}], GEOMETRY)
    clouds = _clouds()
    x, _ = deposit(clouds.rows(4), ENERGIES)
    x[:, 1] += torch.tensor([0.3, 0.0, -0.2, 0.1])
    found = Packed.of_rows(deposit.inverse(x, ENERGIES)[0], 4, 4)
    wanted = clouds.sums(clouds.points[:, 3:])[:, 0] * torch.exp(torch.tensor([0.3, 0.0, -0.2, 0.1]))
    torch.testing.assert_close(found.sums(found.points[:, 3:])[:, 0], wanted)
    assert found.points[:, 3].min().item() == pytest.approx(LEAST)


def test_voxels_are_refused() -> None:
    with pytest.raises(CaloforgeError, match="PointLog is for point clouds"):
        build_transforms([{"kind": "point_log", "column": "energy"}], load_geometry("ds1-photons"))
