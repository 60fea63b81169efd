"""Packed points: rows and back, sums over clouds, clouds that are empty or too large."""

from __future__ import annotations

import torch

from caloforge.packed import Packed

COUNTS = torch.tensor([2, 0, 4, 1])


def _rows(most: int = 4, columns: int = 3, others: int = 2) -> torch.Tensor:
    rows = torch.randn(len(COUNTS), 1 + others + most * columns, generator=torch.Generator().manual_seed(1))
    rows[:, 0] = COUNTS
    there = torch.arange(most) < COUNTS[:, None]
    rows[:, 1 + others :] *= there.repeat_interleave(columns, dim=1)
    return rows


def test_rows_come_back() -> None:
    rows = _rows()
    clouds = Packed.of_rows(rows, columns=3, most=4)
    assert clouds.points.shape == (7, 3)
    assert clouds.counts.tolist() == COUNTS.tolist()
    assert torch.equal(clouds.rows(4), rows)


def test_sums_and_means_are_those_of_each_cloud() -> None:
    rows = _rows()
    clouds = Packed.of_rows(rows, columns=3, most=4)
    table = rows[:, 3:].view(4, 4, 3)
    torch.testing.assert_close(clouds.sums(clouds.points), table.sum(dim=1))
    torch.testing.assert_close(clouds.means(clouds.points)[2], table[2].mean(dim=0))
    assert clouds.means(clouds.points)[1].tolist() == [0, 0, 0]
    assert clouds.spread(COUNTS).tolist() == [2, 2, 4, 4, 4, 4, 1]
    assert clouds.rank.tolist() == [0, 1, 0, 1, 2, 3, 0]


def test_a_cloud_with_too_many_points_keeps_the_first() -> None:
    rows = _rows()
    short = Packed.of_rows(rows, columns=3, most=4).rows(2)
    assert short[:, 0].tolist() == [2, 0, 2, 1]
    assert torch.equal(short[2, 3:], rows[2, 3:9])


def test_selected_points_keep_their_clouds() -> None:
    clouds = Packed.of_rows(_rows(), columns=3, most=4)
    kept = clouds.selected(clouds.rank == 0)
    assert kept.counts.tolist() == [1, 0, 1, 1]
    assert kept.cloud.tolist() == [0, 2, 3]


def test_clouds_may_all_be_empty() -> None:
    clouds = Packed.of_rows(torch.zeros(3, 13), columns=3, most=4)
    assert clouds.sums(clouds.points).tolist() == [[0.0] * 3] * 3
    assert torch.equal(clouds.rows(4), torch.zeros(3, 13))


def test_sums_of_bfloat16_and_their_gradients_are_those_of_float32() -> None:
    """1 + 2⁻⁷ is a number of bfloat16; a sum of 300 of them in bfloat16 would stop at 256."""
    points = torch.full((300, 1), 1 + 2**-7, dtype=torch.bfloat16)
    clouds = Packed.of(points, torch.tensor([300]))
    assert clouds.sums(points).item() == 300 * (1 + 2**-7)
    one = torch.ones(1, 1, dtype=torch.bfloat16, requires_grad=True)
    spread = clouds.spread(one)
    assert spread.dtype == torch.bfloat16
    (spread.float() * points.float()).sum().backward()
    assert one.grad is not None
    assert one.grad.item() == torch.tensor(300 * (1 + 2**-7)).bfloat16().item()


def test_parts_have_at_most_so_many_points_and_together_are_the_whole() -> None:
    counts = torch.tensor([0, 3, 2, 0, 9, 1, 0, 0])
    whole = Packed.of(torch.arange(15.0)[:, None], counts, torch.arange(8.0)[:, None])
    found = list(whole.parts(5))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 4), (4, 5), (5, 8)]
    assert torch.cat([part.points for _, part in found]).equal(whole.points)
    assert torch.cat([part.others for _, part in found]).equal(whole.others)
    assert torch.cat([part.sums(part.points) for _, part in found]).equal(whole.sums(whole.points))
    assert list(Packed.of(torch.empty(0, 2), torch.empty(0, dtype=torch.long)).parts(5)) == []
