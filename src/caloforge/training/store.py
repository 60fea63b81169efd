"""Where a training keeps showers and what its stages make of them: in memory while they fit, else in scratch files.

Both give the same weights: rows are the same, and so is their order, a function of (seed, stage, epoch).

Scratch files are uncompressed float32 (`caloforge.training.scratch`), in the folder RUN.scratch next to the run, which
is removed when the training ends and stays where it can be resumed. Showers are written there once, because random
rows of a gzip-compressed HDF5 file cost the decompression of a chunk each. Features and what a stage is trained on
(intervals of the flagship, codes of CaloMan, trajectories for a student) are kept too, because computing them for each
batch takes longer than reading them: for 128 showers of ds2, 250 ms instead of 4 ms for the intervals of the voxels,
and 5 ms instead of 2 ms for CaloMan's features. Only where the disk is too small is a deterministic map evaluated for
each batch instead.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from caloforge.allocation import return_large_blocks
from caloforge.errors import CaloforgeError
from caloforge.files import real
from caloforge.models.dataset import MemoryRows, Pair, Rows, ShowerDataset
from caloforge.training.distributed import Processes
from caloforge.training.machine import generator_states, restore_generators
from caloforge.training.scratch import ScratchRows

FILES = ("*.rows", "*showers.npy", "*showers.json")
"""What a training writes into its scratch folder."""

SPARE_BYTES = 500_000_000
"""Left free on a disk, for checkpoints and whatever else is written meanwhile."""


def scratch_folder(run: Path) -> Path:
    """The folder of the scratch files of a run: RUN.scratch, next to it."""
    run = real(run)
    return run.with_name(f"{run.name}.scratch")


class Store:
    """Memory up to a limit, then scratch files.

    Args:
        limit: bytes that may be kept in memory; None: no limit.
        folder: of the scratch files, created when the first one is needed; None: one among temporary files.
        team: the processes that keep the same; scratch files are written by the first and read by all.
    """

    def __init__(self, limit: float | None = None, folder: Path | None = None, team: Processes | None = None) -> None:
        self.limit, self._wanted, self._folder, self.team = limit, folder, folder, team or Processes()
        self.in_memory = self.in_scratch = 0
        self._numbers = itertools.count()
        self._kept: list[Rows] = []
        self._stage: list[Rows] = []

    def fits(self, nbytes: int) -> bool:
        """Whether so many bytes more may be kept in memory."""
        return self.limit is None or self.in_memory + nbytes <= self.limit

    def kept(
        self,
        data: ShowerDataset,
        what: str,
        *,
        for_stage: bool = False,
        check: Callable[[Tensor], None] | None = None,
    ) -> ShowerDataset:
        """The same data with the results of their maps kept, except those of maps for each batch at the end.

        Args:
            data: what to evaluate.
            what: this is, for an error.
            for_stage: whether it is given up with `forget_stage`.
            check: what to do with each part of the features.

        Raises:
            CaloforgeError: neither memory nor disk suffices; or what `check` raises.
        """
        last = max((k for k, (_, when) in enumerate(data.maps) if when != "each batch"), default=-1)
        if last < 0:
            return data
        head, tail = replace(data, maps=data.maps[: last + 1]), data.maps[last + 1 :]
        pieces = head.pieces()
        first = next(pieces)
        need = sum(part[:1].nbytes for part in first) * len(data)
        pieces = itertools.chain([first], pieces)
        too_large = not self.fits(need) and self.team.from_first(lambda: need > self.free_disk())
        if too_large and all(when == "any time" for _, when in head.maps):
            if check is not None:
                for x, _ in pieces:
                    check(x)
            return data
        rows = self.filled(len(data), pieces, what, check=check)
        if for_stage:
            self._stage.append(rows)
        return ShowerDataset(rows, data.device, tail)

    def filled(
        self,
        n: int,
        pieces: Iterator[Pair],
        what: str,
        *,
        name: str | None = None,
        check: Callable[[Tensor], None] | None = None,
    ) -> Rows:
        """Rows written piece by piece.

        Args:
            n: number of all rows. pieces: of them, in order.
            what: they are, for an error.
            name: of their scratch file, if it is to be found again.
            check: what to do with each part of the features.

        Raises:
            CaloforgeError: neither memory nor disk suffices; or what `check` raises.
        """
        first = next(pieces)
        need = n * sum(part[:1].nbytes for part in first)
        pieces = itertools.chain([first], pieces)
        rows: Rows
        if self.fits(need):
            rows = MemoryRows(
                *(torch.empty((n, *part.shape[1:]), dtype=part.dtype, device=part.device) for part in first)
            )
            _fill(rows, pieces, check)
            self.in_memory += need
        else:
            rows = self._scratch(n, first, pieces, what, need, name, check)
        self._kept.append(rows)
        return rows

    def reopened(self, n: int, x: Tensor, c: Tensor, name: str) -> Rows | None:
        """Rows of a scratch file that an earlier process wrote; None where it does not have them."""
        path = self.folder / name
        if not path.exists():
            return None
        rows = ScratchRows(path, n, x, c, written=True)
        if path.stat().st_size != rows.nbytes:
            return None
        self.in_scratch += rows.nbytes
        self._kept.append(rows)
        return rows

    def free_disk(self) -> int:
        """Bytes that scratch files may take."""
        folder = Path(tempfile.gettempdir()) if self._wanted is None else self._wanted
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free - SPARE_BYTES

    def room(self) -> int:
        """Bytes that scratch files may take besides those in use; an interrupted stage's are written over."""
        files = [] if self._folder is None or not self._folder.is_dir() else self._folder.glob("*.rows")
        return self.free_disk() + sum(path.stat().st_size for path in files) - self.in_scratch

    def forget_stage(self) -> None:
        """Give up what was kept for a stage."""
        for rows in self._stage:
            self.forget(rows)
        self._stage.clear()

    def forget(self, rows: Rows) -> None:
        """Give up rows, if it is this store that keeps them."""
        if not any(rows is each for each in self._kept):
            return
        self._kept = [each for each in self._kept if each is not rows]
        if isinstance(rows, ScratchRows):
            self.in_scratch -= rows.nbytes
            rows.path.unlink(missing_ok=True)
            rows.close()
        elif isinstance(rows, MemoryRows):
            self.in_memory -= rows.x.nbytes + rows.c.nbytes

    def remove(self) -> None:
        """Remove the scratch files, and their folder unless something else is in it."""
        if self._folder is None or not self._folder.is_dir() or not self.team.first:
            return
        for pattern in FILES:
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    @property
    def folder(self) -> Path:
        """The scratch folder, which is created."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="caloforge-"))
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def _scratch(
        self,
        n: int,
        first: Pair,
        pieces: Iterator[Pair],
        what: str,
        need: int,
        name: str | None,
        check: Callable[[Tensor], None] | None,
    ) -> ScratchRows:
        """A scratch file, written by the first process, with rows like `first`."""
        return_large_blocks()
        path = self.team.from_first(lambda: self.folder) / (name or f"{next(self._numbers)}.rows")

        device = first[0].device

        def written() -> list[Tensor]:
            self._check_disk(what, need)
            _fill(ScratchRows(path, n, *first), pieces, check)
            return generator_states(device)

        restore_generators(self.team.from_first(written), device)  # maps may have drawn random numbers
        self.in_scratch += need
        return ScratchRows(path, n, *first, written=True)

    def _check_disk(self, what: str, need: int) -> None:
        free = self.free_disk()
        if need > free:
            raise CaloforgeError(
                f"{what} take {need / 1e9:.1f} GB, more than training.memory_gb leaves, and "
                f"{max(free, 0) / 1e9:.1f} GB are free for scratch files in {self.folder}: write the run to a larger "
                "disk, or set training.memory_gb higher"
            )


def _fill(rows: MemoryRows | ScratchRows, pieces: Iterator[Pair], check: Callable[[Tensor], None] | None) -> None:
    """Write rows piece by piece."""
    start = 0
    for x, c in pieces:
        if check is not None:
            check(x)
        rows.write(start, x, c)
        start += len(x)
