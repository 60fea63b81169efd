"""`ShowerStream`: generated showers as a PyTorch data set, to train a reconstruction on showers made on the fly.

    stream = ShowerStream(load("flagship-w-si"), "loguniform:1GeV:16GeV", seed=1)
    for batch in DataLoader(stream, batch_size=64, num_workers=4):
        batch["energies"], batch["voxels"]          # (64,) and (64, V), MeV

Showers are generated in blocks, each with its own random numbers, seeded by (seed, epoch, number of the block). Of W
workers, the k-th generates the blocks k, k + W, k + 2 W, …: no two have the same showers, and together they have those
that one process would have, in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from caloforge.energies import Incident
from caloforge.errors import CaloforgeError
from caloforge.inference import Batch, TorchEngine
from caloforge.showers import Showers
from caloforge.simulator.core import Simulator
from caloforge.simulator.incoming import GIVEN, Incoming, check_integer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

KEY = 5
"""Of the random streams; 0 … 4 are those of `caloforge.energies.incident` and `Simulator.stream`."""


class ShowerStream(IterableDataset[dict[str, Tensor]]):
    """Generated showers, one at a time, for `torch.utils.data.DataLoader`.

    An item has `energies` (), `voxels` (V,) and each condition of the run (), float32, in MeV, rad and mm; the data
    loader makes batches of them. Every pass gives the same showers; `set_epoch` gives others, as for PyTorch's
    `DistributedSampler`. Processes of a distributed training take different seeds.

    >>> from caloforge import load
    >>> from torch.utils.data import DataLoader
    >>> stream = ShowerStream(load("flagship-atlas-like"), "uniform:1GeV:16GeV", n=6, seed=1)
    >>> [tuple(batch["voxels"].shape) for batch in DataLoader(stream, batch_size=4)]
    [(4, 368), (2, 368)]

    Args:
        run: the generator; on the CPU if the data loader has workers.
        energies: a spectrum in words, or (N,) incident energies in MeV (see `Simulator.stream`).
        conditions, angles: further conditions, numbers or laws in words (see `Simulator.stream`).
        n: showers per pass, of a spectrum in words; None: no end.
        seed: at least 0.
        block: showers that are generated together, at least 1.

    Raises:
        CaloforgeError: an argument is invalid, or a condition is missing, unknown or outside the range of the training.
    """

    def __init__(
        self,
        run: Simulator,
        energies: ArrayLike,
        *,
        conditions: Mapping[str, ArrayLike] | None = None,
        angles: ArrayLike | None = None,
        n: int | None = None,
        seed: int = 1,
        block: int = 1000,
    ) -> None:
        if not isinstance(run, Simulator):
            raise CaloforgeError(f"run must be a Simulator, as from load('flagship-w-si'), not {type(run).__name__}")
        check_integer("block", block, 1)
        check_integer("the seed", seed, 0)
        self.run, self.n, self.seed, self.block = run, n, int(seed), int(block)
        self._asked = energies, conditions, angles
        # Shared, so that `set_epoch` reaches workers that live on.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._block(0)  # a mistake is found here and not in a worker

    def __repr__(self) -> str:
        n = "no end" if self._total is None else f"{self._total:,} showers a pass"
        return f"ShowerStream({self._incoming.law.spectrum.text}, {n}, seed {self.seed}, {self.run!r})"

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass have the showers of this epoch, counted from 0."""
        check_integer("the epoch", epoch, 0)
        self._epoch.fill_(epoch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for showers in self.blocks():
            columns = {name: showers.conditions[name] for name in showers.conditions}
            parts = {"energies": showers.energies, "voxels": showers.voxels, **columns}
            tensors = {name: torch.as_tensor(np.asarray(part, dtype=np.float32)) for name, part in parts.items()}
            for row in range(len(showers)):
                yield {name: part[row] for name, part in tensors.items()}

    def blocks(self) -> Iterator[Showers]:
        """The same showers by blocks, as `Showers`; in a worker those of this worker.

        Raises:
            CaloforgeError: the run is on a GPU, and this is a worker of a data loader.
        """
        worker = get_worker_info()
        start, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        engine = TorchEngine(self.run)
        if worker is not None and engine.device.type != "cpu":
            raise CaloforgeError(
                f"the run is on {engine.device}, which a data loader's workers cannot use: move it by run.to('cpu'), "
                "or give the data loader num_workers=0"
            )
        known = self.run.conditions
        for number in count(start, step):
            asked, noise = self._block(number)
            if len(asked) == 0:
                return
            batch = Batch(number, asked.energies, noise, known.values(asked.conditions))
            voxels = engine.generate(batch).rows
            yield Showers.unchecked(asked.energies, voxels, self.run.geometry, None, asked.conditions)

    def _block(self, number: int) -> tuple[Incident, int]:
        """Energies and conditions of a block, none beyond the last; and the seed of its noise."""
        key = (KEY, int(self._epoch), number)
        first, second = np.random.SeedSequence(self.seed, spawn_key=key).generate_state(2, np.uint64)
        start, noise = number * self.block, int(second) >> 1
        if self._given is not None:
            return self._given.take(slice(start, start + self.block)), noise
        size = self.block if self._total is None else min(self.block, self._total - start)
        # A block of at least one, so that what is beyond the end is an empty part of it.
        asked = self._incoming.draw(max(size, 1), int(first) >> 1)
        return asked.take(slice(0, max(size, 0))), noise

    @cached_property
    def _incoming(self) -> Incoming:
        energies, conditions, angles = self._asked
        return Incoming.of(self.run.conditions, energies, conditions, angles)

    @cached_property
    def _given(self) -> Incident | None:
        """Energies that are given as numbers, with their conditions."""
        is_given = self._incoming.law.spectrum.text == GIVEN
        return self._incoming.draw(self.n, self.seed) if is_given else None

    @property
    def _total(self) -> int | None:
        if self._given is not None:
            return len(self._given)
        if self.n is not None:
            check_integer("the number of showers n", self.n, 1)
        return self.n

    def __getstate__(self) -> dict[str, Any]:
        """Without what cannot be sent to a worker that does not share memory with this process."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_incoming", "_given")}
