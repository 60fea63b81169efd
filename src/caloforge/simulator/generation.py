"""Showers to a file: batches made by one or several threads, checked, written in order, timed.

The arrays depend on seed, shard and batch size, not on the number of workers: every batch has a random stream of its
own. The file appears when it is whole.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from caloforge.energies import outside_range
from caloforge.errors import CaloforgeError
from caloforge.models import MODELS
from caloforge.showers import ShowerWriter
from caloforge.simulator.core import CHANGED, Simulator, batches
from caloforge.simulator.engines import Batch, Engine, Made, TorchEngine
from caloforge.units import format_energy


@dataclass(frozen=True)
class Generation:
    """What a generation made, and where its time went.

    Args:
        n: showers.
        wall: seconds from the first batch to the last.
        model: seconds in the model, summed over workers.
        postprocessing: seconds of undoing the preprocessing, threshold included, summed over workers.
        writing: seconds of checking, compressing and writing.
        deposited_fraction: mean E_dep / E_inc.
    """

    n: int
    wall: float
    model: float
    postprocessing: float
    writing: float
    deposited_fraction: float


def generate(
    simulator: Simulator,
    energies: np.ndarray,
    path: str | os.PathLike[str],
    *,
    seed: int,
    batch_size: int = 10_000,
    compression: int = 1,
    attributes: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    engine: Engine | None = None,
    workers: int = 1,
    shard: int | None = None,
) -> Generation:
    """Make showers and stream them to a challenge HDF5 file; memory does not grow with their number.

    Args:
        simulator: the generator.
        energies: (N,) incident energies in MeV, finite and above 0.
        path: file to write, whole or not at all; an existing one is replaced.
        seed: of the generation; with `batch_size` and `shard` it decides the showers.
        batch_size: showers per pass through the model.
        compression: gzip level, 0 (none) … 9.
        attributes: more provenance for the file.
        progress: called with the number of showers of each batch written.
        engine: what runs the model; by default PyTorch.
        workers: batches made at a time, each by a thread of its own while this one writes; 1 does one thing at a time.
        shard: number of this part of a larger sample (see `caloforge.simulator.shards`).

    Raises:
        CaloforgeError: an argument is out of its range, an energy out of the engine's, or the model made a voxel that
            is negative or not finite.
    """
    if workers < 1:
        raise CaloforgeError(f"the number of workers must be at least 1, not {workers}")
    engine = TorchEngine(simulator) if engine is None else engine
    facts = {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in simulator.provenance.items()}
    facts |= {"source": "caloforge", "seed": seed, "batch_size": batch_size, "engine": engine.name}
    todo = batches(energies, seed, batch_size, shard)
    _check_range(np.asarray(energies), engine)
    model = postprocessing = writing = deposited = 0.0
    begun = time.perf_counter()
    with ShowerWriter(path, simulator.geometry, {**facts, **(attributes or {})}, compression) as out:
        for batch, made in _in_order(engine.make, todo, workers):
            mark = time.perf_counter()
            check_voxels(made.voxels, batch.number * batch_size, simulator)
            deposited += float((made.voxels.sum(axis=1, dtype=np.float64) / batch.energies).sum())
            out.append(batch.energies, made.voxels)
            model, postprocessing = model + made.model, postprocessing + made.postprocessing
            writing += time.perf_counter() - mark
            if progress is not None:
                progress(len(made.voxels))
        n = len(out)
    return Generation(n, time.perf_counter() - begun, model, postprocessing, writing, deposited / n)


def _check_range(energies: np.ndarray, engine: Engine) -> None:
    if engine.energy_range is None:
        return
    outside = energies[outside_range(energies, *engine.energy_range)]
    if len(outside):
        low, high, first = (format_energy(float(energy)) for energy in (*engine.energy_range, outside[0]))
        raise CaloforgeError(
            f"the engine {engine.name} makes showers of {low} … {high} only, not of {first}: "
            "--engine torch goes beyond the training range"
        )


def check_voxels(voxels: np.ndarray, first: int, simulator: Simulator) -> None:
    """Let nothing through that is no energy.

    Args:
        voxels: (B, V) in MeV.
        first: number of the first shower.
        simulator: whose they are.

    Raises:
        CaloforgeError: a voxel is NaN, infinite or negative; names shower, voxel and model.
    """
    # The minimum is NaN if any value is, and the maximum catches infinity.
    if voxels.min() >= 0 and np.isfinite(voxels.max()):
        return
    bad = ~(np.isfinite(voxels) & (voxels >= 0))
    row, voxel = (int(k) for k in np.unravel_index(np.argmax(bad), bad.shape))
    value = voxels[row, voxel]
    remedy = "add the transform readout_threshold to its recipe"
    if not np.isfinite(value):
        changed = simulator.provenance.get(CHANGED)
        remedy = f"sample without {changed}" if changed else "keep to the energies of its training, or train it again"
    raise CaloforgeError(
        f"the model '{MODELS.name_of(type(simulator.model))}' gave shower {first + row} a voxel (number {voxel}) of "
        f"{value:g} MeV; nothing was written: {remedy}"
    )


def _in_order(make: Callable[[Batch], Made], todo: Iterable[Batch], workers: int) -> Iterator[tuple[Batch, Made]]:
    """Each batch with what was made of it, in order; with several workers at most `workers` + 1 of them in memory."""
    if workers == 1:
        for batch in todo:
            yield batch, make(batch)
        return
    todo = iter(todo)
    with _threads_each(workers), ThreadPoolExecutor(workers, thread_name_prefix="generate") as pool:
        waiting: deque[tuple[Batch, Future[Made]]] = deque()
        try:
            waiting.extend((batch, pool.submit(make, batch)) for batch in islice(todo, workers + 1))
            while waiting:
                batch, future = waiting.popleft()
                made = future.result()
                waiting.extend((b, pool.submit(make, b)) for b in islice(todo, 1))
                yield batch, made
        finally:
            for _, future in waiting:
                future.cancel()


@contextmanager
def _threads_each(workers: int) -> Iterator[None]:
    """Share torch's threads between the workers, so that they do not get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
