"""A sample split into batches, each with its own random stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.inference import Batch
from caloforge.simulator.incoming import check_integer, checked_energies


def batches(
    energies: np.ndarray, seed: int, batch_size: int, shard: int | None = None, conditions: np.ndarray | None = None
) -> Iterator[Batch]:
    """Split `energies` into batches, each with its own seed (see `TrainedGenerator.stream`).

    Args:
        energies: (N,) incident energies in MeV.
        seed: at least 0.
        batch_size: at least 1.
        shard: number of the shard; its batches are seeded by (seed, shard, batch number).
        conditions: (N, K) further conditions.

    Raises:
        CaloforgeError: an argument is out of range.
    """
    energies = checked_energies(energies)
    check_integer("the batch size", batch_size, 1)
    check_integer("the seed", seed, 0)
    return _batches(energies, conditions, seed, batch_size, (1,) if shard is None else (2, shard, 1))


def _batches(
    energies: np.ndarray, conditions: np.ndarray | None, seed: int, batch_size: int, key: tuple[int, ...]
) -> Iterator[Batch]:
    for number, start in enumerate(range(0, len(energies), batch_size)):
        state = np.random.SeedSequence(seed, spawn_key=(*key, number)).generate_state(1, np.uint64)[0]
        rows = slice(start, start + batch_size)
        yield Batch(number, energies[rows], int(state) >> 1, None if conditions is None else conditions[rows])
