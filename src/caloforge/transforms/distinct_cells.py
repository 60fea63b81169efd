"""Points in cells of their own: real positions rounded to whole numbers, such that no two points share a cell.

A hit is all the energy in a cell, so the hits of a shower are in different cells. Generated positions are real numbers,
and several may round to the same cell, most often in the dense core. The one with the most energy keeps it; each of
the others moves to the free cell around it (26 of them, in x, y and layer) that is nearest to its own position.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

SPAN = 1 << 15
"""Transverse cells are numbered from −SPAN to SPAN − 1; those beyond count as the last."""

AROUND = torch.tensor([step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)], dtype=torch.float64)
"""(26, 3) steps to the cells around a cell."""


def distinct_cells(positions: Tensor, energy: Tensor, cloud: Tensor, layers: int) -> Tensor:
    """Whole numbers (P, 3) near positions (P, 3): layer, and two transverse coordinates in units of cells.

    >>> positions = torch.tensor([[1, 0.1, 0], [1, 0.4, 0], [1, 0, -0.2]])
    >>> found = distinct_cells(positions, torch.tensor([5.0, 2, 1]), torch.zeros(3).long(), 5)
    >>> [[int(v) for v in row] for row in found]
    [[1, 0, 0], [1, 1, 0], [1, 0, -1]]

    Args:
        positions: real numbers. energy: (P,) of the points.
        cloud: (P,) which cloud each point belongs to; clouds do not disturb each other.
        layers: number of layers; points in front of the first or behind the last are put into those.

    Returns:
        The cells, as float64. Points with no free cell around them stay where they are, together.
    """
    at = positions.double().clone()
    at[:, 0] = at[:, 0].clamp(0, layers - 1)
    cells = at.round()
    around = AROUND.to(at.device)
    owner = _first_of_each(_number(cloud, cells, layers), -energy)
    taken = _number(cloud, cells, layers)[owner].sort().values
    waiting = torch.ones(len(at), dtype=torch.bool, device=at.device)
    waiting[owner] = False
    left = waiting.nonzero()[:, 0]
    near = cells[left, None] + around
    far = (near - at[left, None]).square().sum(dim=2)
    far[(near[..., 0] < 0) | (near[..., 0] > layers - 1)] = torch.inf
    order = far.argsort(dim=1)
    for k in range(len(AROUND)):
        if len(left) == 0:
            break
        rows = torch.arange(len(left), device=at.device)
        tried, distance = near[rows, order[:, k]], far[rows, order[:, k]]
        number = _number(cloud[left], tried, layers)
        place = torch.searchsorted(taken, number).clamp_max(len(taken) - 1)
        free = ((taken[place] != number) & distance.isfinite()).nonzero()[:, 0]
        moved = free[_first_of_each(number[free], -energy[left[free]])]
        cells[left[moved]] = tried[moved]
        taken = torch.cat([taken, number[moved]]).sort().values
        stay = torch.ones(len(left), dtype=torch.bool, device=at.device)
        stay[moved] = False
        left, near, far, order = left[stay], near[stay], far[stay], order[stay]
    return cells


def _number(cloud: Tensor, cells: Tensor, layers: int) -> Tensor:
    """(P,) a number that no other cell of any cloud has."""
    x, y = (cells[:, k].clamp(-SPAN, SPAN - 1).long() + SPAN for k in (1, 2))
    return ((cloud * layers + cells[:, 0].clamp(0, layers - 1).long()) * 2 * SPAN + x) * 2 * SPAN + y


def _first_of_each(number: Tensor, value: Tensor) -> Tensor:
    """Which points have the smallest value among those of the same number."""
    order = value.argsort(stable=True)
    order = order[number[order].argsort(stable=True)]
    ranked = number[order]
    first = torch.ones(len(order), dtype=torch.bool, device=order.device)
    first[1:] = ranked[1:] != ranked[:-1]
    return order[first]
