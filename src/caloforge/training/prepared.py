"""What a stage is trained on, evaluated once and kept."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from caloforge.models.dataset import MemoryRows, ShowerDataset

CHUNK = 8192
"""Rows that maps are evaluated on at a time."""


def kept(data: ShowerDataset) -> ShowerDataset:
    """The same data with the results of their maps in memory, except those of maps for each batch at the end."""
    last = max((k for k, (_, when) in enumerate(data.maps) if when != "each batch"), default=-1)
    if last < 0:
        return data
    head, tail = replace(data, maps=data.maps[: last + 1]), data.maps[last + 1 :]
    results: list[Tensor] = []
    for start in range(0, len(data), CHUNK):
        parts = head.take(slice(start, start + CHUNK))
        if not results:
            results = [torch.empty((len(data), *p.shape[1:]), dtype=p.dtype, device=p.device) for p in parts]
        for result, part in zip(results, parts, strict=True):
            result[start : start + len(part)] = part
    return ShowerDataset(MemoryRows(*results), data.device, tail)
