"""Memory: what is free, what a training may keep in it, and an estimate of what it will need.

The estimate is coarse, and high for models that need no statistic of many showers at once (docs/scale.md compares it
with what trainings took). It counts the program, what `Store` keeps, weights with gradients, optimisers and copies, and
the largest of: the activations of a batch, measured on two showers; a statistic of `STATISTIC_VALUES` values; the
intermediate results of a map.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import PIECE_VALUES, STATISTIC_VALUES, ShowerDataset
from caloforge.models.stages import Stage, StageSettings
from caloforge.training.store import Store

PROGRAM_BYTES = 0.45e9
"""Python, PyTorch and the package."""

COPIES_OF_WEIGHTS = 7
"""Weights, gradients, two moments of Adam, moving average, best epoch, checkpoint."""

COPIES_IN_STATISTICS = 6
"""Copies of its values that a statistic works with."""

COPIES_IN_MAPS = 30
"""The same for the evaluation of maps."""

ROWS_TRIED = 2
"""Showers that sizes are measured on."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a process of a training will need, by what they are for.

    Args:
        kept: showers, and what stages keep of them, in memory. scratch: the same in scratch files. needed_on_disk: of
            what stages keep, the largest part that cannot be computed again for each batch, and does not fit in
            memory; stage_on_disk: which stage's.
        model: weights and their copies. working: of a step, a statistic or a map, whichever is largest.
        batch: of `working`, what a step takes. stage: the stage whose step that is.
        free: bytes of memory that are free. disk: bytes that such scratch files may take.
    """

    kept: float
    scratch: float
    needed_on_disk: float
    stage_on_disk: str
    model: float
    working: float
    batch: float
    stage: str
    free: float
    disk: float

    @property
    def total(self) -> float:
        return PROGRAM_BYTES + self.kept + self.model + self.working

    def __str__(self) -> str:
        scratch = f", {self.scratch / 1e9:.1f} GB in scratch files" if self.scratch else ""
        return f"needs about {self.total / 1e9:.1f} GB of memory ({self.kept / 1e9:.1f} GB of showers){scratch}"

    def check(self) -> None:
        """Check that the machine has so much memory, and so much room for scratch files.

        Raises:
            CaloforgeError: it has not; names the setting to change.
        """
        if self.needed_on_disk > self.disk:
            raise CaloforgeError(
                f"the data of stage '{self.stage_on_disk}' will take {self.needed_on_disk / 1e9:.1f} GB, more than "
                f"training.memory_gb leaves, and {max(self.disk, 0) / 1e9:.1f} GB are free for scratch files beside "
                "the run: write the run to a larger disk, or set training.memory_gb higher"
            )
        if self.total <= self.free:
            return
        if self.batch > 0.5 * self.total:
            remedy = f"set training.stages.{self.stage}.batch_size lower"
        elif self.kept > 0.5 * self.total:
            remedy = "set training.memory_gb lower"
        else:
            remedy = "choose a smaller model"
        raise CaloforgeError(
            f"the training needs about {self.total / 1e9:.1f} GB of memory, and {self.free / 1e9:.1f} GB are free: "
            f"{remedy}"
        )


def free_memory() -> float:
    """Bytes of memory that this process may still take; infinity where the system does not tell."""
    found = [float("inf")]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024.0 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with suppress(OSError, ValueError):  # a container's or a batch job's limit
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
        stat = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii")
        cache = sum(int(line.split()[1]) for line in stat.splitlines() if line.startswith("inactive_file "))
        found.append(float(limit - used + cache))
    if len(found) == 1:
        with suppress(OSError, ValueError, AttributeError):
            found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return min(found)


def memory_limit(memory_gb: float | None, device: torch.device) -> float:
    """Bytes of showers that a training may keep in memory: the setting, or half of what is free."""
    limit = free_memory() / 2 if memory_gb is None else 1e9 * memory_gb
    if device.type == "cuda":  # what stages keep is there
        limit = min(limit, torch.cuda.mem_get_info(device)[0] / 2)
    return limit


@torch.no_grad()
def estimate(
    model: ShowerModel,
    stages: Sequence[tuple[Stage, StageSettings]],
    training: ShowerDataset,
    validation: ShowerDataset,
    store: Store,
) -> MemoryEstimate:
    """Estimate what a training will need, before it starts; the model is not changed.

    Args:
        model: with its weights, on the CPU.
        stages: with the settings of each.
        training, validation: features and conditions.
        store: what keeps them.
    """
    n = len(training) + len(validation)
    kept = scratch = batch = needed = 0.0
    stage_name = stage_on_disk = stages[0][0].name
    model.eval()
    for stage, settings in stages:
        with torch.random.fork_rng():
            data = stage.prepare(training)
            x, c = data.take(slice(0, ROWS_TRIED))
            view = sum(part.nbytes for part in _before_draws(data)) / min(ROWS_TRIED, len(data)) * n
            step = 0.0
            with suppress(Exception):  # a loss that fails is reported when it is trained
                rows = math.ceil(settings.batch_size / settings.accumulate / store.team.size)
                step = _step_bytes(stage, x, c) / len(x) * model.rows_at_once(rows)
        if store.fits(int(view)):
            kept = max(kept, view)
        else:
            scratch = max(scratch, view)
            if view > needed and any(when == "once" for _, when in data.maps):
                needed, stage_on_disk = view, stage.name
        if step > batch:
            batch, stage_name = step, stage.name
    weights = 4.0 * sum(p.numel() for p in model.parameters())
    statistic = 4.0 * min(STATISTIC_VALUES, len(training) * training.rows.values)
    piece = 4.0 * min(PIECE_VALUES, len(training) * training.rows.values)
    working = max(batch, COPIES_IN_STATISTICS * statistic, COPIES_IN_MAPS * piece)
    return MemoryEstimate(
        kept=store.in_memory + kept,
        scratch=store.in_scratch + scratch,
        needed_on_disk=needed,
        stage_on_disk=stage_on_disk,
        model=COPIES_OF_WEIGHTS * weights,
        working=working,
        batch=batch,
        stage=stage_name,
        free=free_memory() / store.team.on_machine + store.in_memory + PROGRAM_BYTES,
        disk=store.team.from_first(store.room),
    )


def _before_draws(data: ShowerDataset) -> tuple[Tensor, Tensor]:
    """Two rows of what is kept of a stage's data; nothing where it has no maps."""
    last = max((k for k, (_, when) in enumerate(data.maps) if when != "each batch"), default=-1)
    if last < 0:
        return torch.empty(0), torch.empty(0)
    return ShowerDataset(data.rows, data.device, data.maps[: last + 1], data.selection).take(slice(0, ROWS_TRIED))


def _step_bytes(stage: Stage, x: Tensor, c: Tensor) -> float:
    """Bytes that the gradient of the loss needs of the forward pass, and as many again for the way back."""
    seen: dict[int, int] = {}

    def keep(part: Tensor) -> Tensor:
        storage = part.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return part

    weights = {parameter.untyped_storage().data_ptr() for parameter in stage.parameters}
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
        stage.loss(x, c)
    return 2.0 * sum(size for pointer, size in seen.items() if pointer not in weights)
