"""One training in several processes: PyTorch's process group, batches divided among processes, gradients averaged.

    torchrun --nproc-per-node 2 -m caloforge train RECIPE …        # or srun, one task per GPU

Processes join at the start (`processes`); a process without others is `Processes()`, for which everything below
changes nothing. All go through the same epochs in the same order. `batch_size` is that of a step: process r of k takes
the rows r, r + k, … of each batch (`pieces`), and before an optimiser steps, gradients are averaged over all rows
(`Gradients`), so that k processes take the steps of one. `training.accumulate` divides a process's rows once more, into
pieces that it takes one after another. The first process alone computes constants, evaluates metrics, and writes.
"""

from __future__ import annotations

import gc
import os
import re
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from caloforge.errors import CaloforgeError, CaloforgeWarning
from caloforge.inference.devices import choose_device
from caloforge.sharing import Part

JOINING, WAITING = timedelta(minutes=10), timedelta(hours=6)
"""Longest time for which processes wait for each other at the start, and later, while the first one computes."""

LEAST_ROWS = 4
"""A batch with fewer rows per process than this (the last one of an epoch) is taken by each process as a whole."""

T = TypeVar("T")


class ProcessLost(CaloforgeError):
    """Another process of the training ended."""


class Processes:
    """The processes of a training, as one of them sees it.

    Args:
        rank: of this one, from 0. size: number of processes.
        machines: of each process, the name of its machine.
        store: where processes leave notes for each other.

    Attributes:
        on_machine: number of processes on this machine. index: of this one among them.
    """

    def __init__(self, rank: int = 0, machines: Sequence[str] = ("",), store: Store | None = None) -> None:
        self.rank, self.size = rank, len(machines)
        self.on_machine = list(machines).count(machines[rank])
        self.index = list(machines[:rank]).count(machines[rank])
        self._store = store

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """This process's device of those called `name`; with several processes, `cuda` is a GPU for each.

        Raises:
            CaloforgeError: there is no such device here.
        """
        if self.size == 1 or name == "cpu":
            return choose_device(name)
        if name not in ("auto", "cuda"):
            raise CaloforgeError(f"device '{name}' is one for {self.size} processes: give cpu, cuda or auto")
        device = choose_device(name)
        if device.type != "cuda":
            return device
        # The remainder, because a batch system may show each task its own GPU alone.
        device = torch.device("cuda", self.index % torch.cuda.device_count())
        torch.cuda.set_device(device)
        own = f"{socket.gethostname()} {torch.cuda.get_device_properties(device).uuid}"
        if len(set(_gathered(own, self.size))) < self.size:
            raise CaloforgeError(
                f"{self.on_machine} processes share a GPU ({torch.cuda.device_count()} are visible): start one process "
                "per GPU, or set training.device=cpu"
            )
        return device

    def from_first(self, compute: Callable[[], T]) -> T:
        """What `compute` returns in the first process, which alone calls it; the others wait.

        Raises:
            CaloforgeError: `compute` raised it in the first process.
            ProcessLost: another process ended.
        """
        if self.size == 1:
            return compute()
        outcome: list[Any] = [None, None]
        if self.first:
            try:
                outcome[0] = compute()
            except CaloforgeError as error:
                outcome[1] = error
        with noticing_loss():
            dist.broadcast_object_list(outcome, device=torch.device("cpu"))
        if outcome[1] is not None:
            raise outcome[1]
        result: T = outcome[0]
        return result

    def same_state(self, module: nn.Module, change: Callable[[], object]) -> None:
        """Change a module's state in the first process, and give it to all."""

        def changed() -> dict[str, Tensor]:
            change()
            return {} if self.size == 1 else {name: value.cpu() for name, value in module.state_dict().items()}

        state = self.from_first(changed)
        if not self.first:
            module.load_state_dict(state)

    def total(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        with noticing_loss():
            dist.all_reduce(sums)
        return [float(number) for number in sums]

    def least(self, number: float) -> float:
        """The smallest of the processes' numbers."""
        return number if self.size == 1 else min(_gathered(number, self.size))

    def tells(self, error: CaloforgeError) -> bool:
        """Whether it is this process that shows the user an error: the same one of several processes is shown once."""
        if self._store is None:
            return True
        try:
            if isinstance(error, ProcessLost):
                # A process that ends with a message has left its note before the others miss it.
                return not self._store.check(["told"]) and bool(self._store.add("lost", 1) == 1)
            self._store.set("told", "")
            return bool(self._store.add(str(error), 1) == 1)
        except RuntimeError:  # the store ended with its process
            return True


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the other processes of this training, if it was started with torchrun, or by srun with several tasks.

    Raises:
        CaloforgeError: the others cannot be reached.
        ProcessLost: another process ended during the block.
    """
    if dist.is_available() and dist.is_initialized():
        yield _together(dist.get_rank(), dist.get_world_size(), None)
        return
    found = _environment()
    if found is None:
        yield Processes()
        return
    rank, size = found
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(iter(rendezvous("env://", rank, size, timeout=JOINING)))
        store = PrefixStore(f"attempt-{_attempt(store, size)}", store)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAITING)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CaloforgeError(
            f"process {rank} of {size} cannot join the others at {where} ({reason:.200}): check MASTER_ADDR, "
            "MASTER_PORT, and that all processes were started"
        ) from None
    if rank > 0:
        warnings.simplefilter("ignore", CaloforgeWarning)
    with noticing_loss():
        yield _together(rank, size, store)
    gc.collect()  # Gloo's threads may abort a process that ends while they still hold tensors
    dist.destroy_process_group()


def restarted() -> bool:
    """Whether torchrun has started this training again, after a process failed (`--max-restarts`)."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


@contextmanager
def noticing_loss() -> Iterator[None]:
    """Turn what PyTorch raises where another process has ended into one error.

    Raises:
        ProcessLost: that was the case.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise ProcessLost("another process of the training ended") from None


def _environment() -> tuple[int, int] | None:
    """Rank and number of processes as torchrun or srun tells them; None for a process alone."""
    given = os.environ
    if "RANK" in given and "WORLD_SIZE" in given and "MASTER_ADDR" in given:
        names = ("RANK", "WORLD_SIZE")
    elif "SLURM_PROCID" in given and "SLURM_STEP_NUM_TASKS" in given:  # not in a batch script itself
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    else:
        return None
    if not all(given[name].isdecimal() for name in names):
        raise CaloforgeError(" and ".join(f"{name}='{given[name]}'" for name in names) + " are not two numbers")
    rank, size = (int(given[name]) for name in names)
    if size == 1:
        return None
    if rank >= size:
        raise CaloforgeError(f"{names[0]}={rank} is not below {names[1]}={size}")
    nodes = given.get("SLURM_STEP_NODELIST", given.get("SLURM_NODELIST", "localhost"))
    given.setdefault("MASTER_ADDR", _first_node(nodes))
    given.setdefault("MASTER_PORT", str(20_000 + int(given.get("SLURM_JOB_ID", "0")) % 20_000))
    return rank, size


def _attempt(store: Store, size: int) -> int:
    """How often processes have joined before: a launcher that starts them again may keep the store, with old addresses.

    Launchers of several machines do not count alike, so the processes are counted there.
    """
    if os.environ.get("GROUP_WORLD_SIZE", "1") == "1":
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    return int(store.add("joined", 1) - 1) // size


def _first_node(nodes: str) -> str:
    """The first name of a Slurm node list such as `gpu[03-05,9],login1`."""
    match = re.match(r"([^,\[]+)(?:\[([^,\]-]+)[^\]]*\]([^,]*))?", nodes)
    return nodes if match is None else "".join(part or "" for part in match.groups())


def _together(rank: int, size: int, store: Store | None) -> Processes:
    return Processes(rank, _gathered(socket.gethostname(), size), store)


def _gathered(value: T, size: int) -> list[T]:
    found: list[Any] = [None] * size
    dist.all_gather_object(found, value)
    return found


# ---- the division of batches -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """What this process takes of a batch at a time.

    Args:
        rows: (B,) indices.
        part: which rows of the piece, of all processes together, they are.
        weight: of their mean in the mean over the batch.
        copies: number of processes that take the same rows.
        last: whether the batch ends with it.
    """

    rows: Tensor
    part: Part
    weight: float
    copies: int
    last: bool


def check_batch_size(team: Processes, size: int) -> None:
    """Check that a batch is worth dividing among so many processes.

    Raises:
        CaloforgeError: each would get fewer than `LEAST_ROWS` of its showers, and all would take all of them instead.
    """
    least = LEAST_ROWS * team.size
    if team.size > 1 and size < least:
        raise CaloforgeError(
            f"training.batch_size={size} leaves {team.size} processes fewer than {LEAST_ROWS} showers each: start at "
            f"most {max(1, size // LEAST_ROWS)}, or set it to {least} or more"
        )


def pieces(team: Processes, order: Tensor, size: int, accumulate: int = 1) -> Iterator[Piece]:
    """Divide the rows `order` (N,) into batches, and these among the processes.

    Args:
        team: the processes.
        order: of rows, the same in all of them.
        size: rows of a batch.
        accumulate: number of pieces in which a batch is taken one after another.
    """
    for batch in order.split(size):
        n_pieces = max(1, min(accumulate, len(batch) // (LEAST_ROWS * team.size)))
        divided = len(batch) >= LEAST_ROWS * team.size and team.size > 1
        for j in range(n_pieces):
            rows = batch[j::n_pieces]
            part, copies = Part(len(rows), slice(0, len(rows), 1)), team.size
            if divided:
                part, copies = Part(len(rows), slice(team.rank, len(rows), team.size), team.size), 1
            own = rows[part.rows]
            yield Piece(own, part, len(own) / (copies * len(batch)), copies, last=j == n_pieces - 1)


class Gradients:
    """Gradients of a batch that is taken in pieces: averaged over them before an optimiser steps.

    Until the last piece an optimiser finds no gradients, and does nothing.
    """

    def __init__(self, team: Processes) -> None:
        self.team = team
        self.piece: Piece | None = None
        self._sums: dict[torch.optim.Optimizer, Tensor] = {}

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Average the gradients of an optimiser before each of its steps."""
        optimizer.register_step_pre_hook(self._before_step)

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        piece = self.piece
        if piece is None or piece.weight == 1.0:
            return
        parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        has = parameters[0].new_tensor([float(p.grad is not None) for p in parameters])
        gradients = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters]
        total = torch.cat([*gradients, has]) * piece.weight
        if optimizer in self._sums:
            total += self._sums.pop(optimizer)
        for p in parameters:
            p.grad = None
        if not piece.last:
            self._sums[optimizer] = total
            return
        if self.team.size > 1:
            with noticing_loss():
                dist.all_reduce(total)
        *averages, has = total.split([*(p.numel() for p in parameters), len(parameters)])
        for p, average, known in zip(parameters, averages, has.tolist(), strict=True):
            if known > 0:
                p.grad = torch.empty_like(p).copy_(average.view_as(p))  # in the parameter's own memory format
