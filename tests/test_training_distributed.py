"""Several processes take the steps of one: every registered model, a kill and a resumption, signals, bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.models import MODELS
from caloforge.sharing import Part
from caloforge.training.distributed import LEAST_ROWS, Processes, pieces
from training_together import MORE, train_all

HERE = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]


def torchrun(n: int, *command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script, or `-m` and a module, in n processes."""
    return subprocess.run(
        [*TORCHRUN, "--nproc-per-node", str(n), *command], capture_output=True, text=True, timeout=200, **options
    )


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """History and state of each model: trained by one process, and by two."""
    folder = tmp_path_factory.mktemp("together")
    done = torchrun(2, str(HERE / "training_together.py"), str(folder / "two.pt"))
    assert done.returncode == 0, done.stderr[-3000:]
    return train_all(), torch.load(folder / "two.pt")


@pytest.mark.parametrize("name", [*MODELS, *MORE])
def test_two_processes_train_like_one(name: str, together: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """In double precision, where only the order of sums differs: losses, selection, constants and weights."""
    (history, state), (halved, other) = (found[name] for found in together)
    assert [(r["stage"], r["epoch"]) for r in halved] == [(r["stage"], r["epoch"]) for r in history]
    for alone, shared in zip(history, halved, strict=True):
        # The parts of the student's loss are means over other rows than those of a process's part.
        names = {key for key, value in alone.items() if isinstance(value, float)} - {"x_loss", "z_loss"}
        for key in names - {"seconds", "data_seconds"}:
            assert shared[key] == pytest.approx(alone[key], rel=1e-9, abs=1e-9), key
    for key, value in state.items():
        torch.testing.assert_close(other[key], value, rtol=1e-6, atol=1e-7, msg=key)


@pytest.mark.parametrize(("n", "size", "team_size", "accumulate"), [(77, 32, 2, 1), (77, 32, 3, 2), (50, 16, 1, 4)])
def test_batches_are_divided_without_rest(n: int, size: int, team_size: int, accumulate: int) -> None:
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    found = [list(pieces(Processes(r, ["m"] * team_size), order, size, accumulate)) for r in range(team_size)]
    assert len({len(each) for each in found}) == 1
    batches: list[list[int]] = [[]]
    weights = [0.0]
    for each in zip(*found, strict=True):
        for piece in each[:1] if each[0].copies > 1 else each:
            assert len(piece.rows) >= LEAST_ROWS or piece.copies == team_size
            batches[-1] += piece.rows.tolist()
        weights[-1] += sum(piece.weight for piece in each)
        if each[0].last:
            batches.append([])
            weights.append(0.0)
    assert [sorted(batch) for batch in batches[:-1]] == [sorted(batch.tolist()) for batch in order.split(size)]
    assert weights[:-1] == pytest.approx([1.0] * (len(batches) - 1))


@pytest.mark.parametrize("total", [16, 17, 18, 19])
@pytest.mark.parametrize("row", [0, 1, 8, 9, 16])
def test_a_part_is_split_where_the_batch_is(total: int, row: int) -> None:
    rows = torch.arange(total)
    for size in (1, 2, 3):
        for rank in range(size):
            part = Part(total, slice(rank, total, size), size)
            first, second = part.split(row)
            assert torch.equal(torch.cat([rows[:row][first.rows], rows[row:][second.rows]]), rows[part.rows])
            assert len(first) + len(second) == len(part)
