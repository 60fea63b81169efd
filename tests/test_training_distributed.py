"""Several processes take the steps of one: every registered model, a kill and a resumption, signals, bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.models import MODELS
from caloforge.sharing import Part
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.training import load_recipe
from caloforge.training.distributed import LEAST_ROWS, Processes, _environment, _first_node, check_batch_size, pieces
from training_together import MORE, geometry, train_all, train_from_file

HERE = Path(__file__).parent
RECIPE = {
    "name": "small",
    "transforms": [
        {"kind": "incident_energy_fraction", "maximum": "auto"},
        {"kind": "append_deposited_energy"},
        {"kind": "linear_condition"},
    ],
    "model": {"kind": "caloman", "latent_dim": 3, "hidden": [16], "flow_layers": 2, "flow_width": 8, "flow_blocks": 1},
    "training": {
        "epochs": 4,
        "batch_size": 100,
        "learning_rate": 1e-2,
        "device": "cpu",
        "ema": 0.9,
        "select": "validation_loss",
        "stages": {"density": {"select": "separation_power", "select_showers": 200}},
    },
}


def torchrun(n: int, *command: str, options: tuple[str, ...] = (), **run: Any) -> subprocess.CompletedProcess[str]:
    """Run a script, or `-m` and a module, in n processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n), *options]
    return subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=230, **run)


def write_inputs(folder: Path) -> None:
    """`recipe.yaml` and `train.h5`."""
    shape, rng = geometry(), np.random.default_rng(5)
    energies = np.resize([100.0, 200.0, 400.0], 600)
    shares = rng.dirichlet(np.full(shape.n_voxels, 2.0), 600)
    Showers(energies, (rng.uniform(0.8, 1, (600, 1)) * shares * energies[:, None]).astype(np.float32), shape).write(
        folder / "train.h5"
    )
    (folder / "recipe.yaml").write_text(load_recipe({**RECIPE, "geometry": shape.to_dict()}).to_yaml())


def losses(run: Path) -> list[dict[str, Any]]:
    """The lines of `log.jsonl`, without times."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if not key.endswith("seconds")} for line in lines]


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """History and state of each model, trained by one process and by two; and a folder with the runs `one`, `two`."""
    folder = tmp_path_factory.mktemp("together")
    write_inputs(folder)
    done = torchrun(2, str(HERE / "training_together.py"), str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    train_from_file(folder, "one")
    return train_all(), torch.load(folder / "two.pt"), folder


@pytest.mark.parametrize("name", [*(kind for kind in MODELS if not MODELS.resolve(kind).takes_clouds), *MORE])
def test_two_processes_train_like_one(name: str, together: tuple[dict[str, Any], dict[str, Any], Path]) -> None:
    """In double precision, where only the order of sums differs: losses, selection, constants and weights."""
    (history, state), (halved, other) = (found[name] for found in together[:2])
    assert [(r["stage"], r["epoch"]) for r in halved] == [(r["stage"], r["epoch"]) for r in history]
    for alone, shared in zip(history, halved, strict=True):
        # The parts of the student's loss are means over other rows than those of a process's part.
        names = {key for key, value in alone.items() if isinstance(value, float)} - {"x_loss", "z_loss"}
        for key in names - {"seconds", "data_seconds"}:
            assert shared[key] == pytest.approx(alone[key], rel=1e-9, abs=1e-9), key
    for key, value in state.items():
        torch.testing.assert_close(other[key], value, rtol=1e-6, atol=1e-7, msg=key)


def test_a_run_of_two_processes_is_that_of_one(together: tuple[dict[str, Any], dict[str, Any], Path]) -> None:
    """From files, by scratch files: losses of the first epochs, the metric, constants, and nothing left behind."""
    folder = together[2]
    for alone, shared in zip(losses(folder / "one"), losses(folder / "two"), strict=True):
        for key, value in alone.items():
            assert shared[key] == (pytest.approx(value, rel=1e-5, abs=1e-5) if isinstance(value, float) else value)
    one, two = (Simulator.load(folder / run) for run in ("one", "two"))
    for name, value in one.transforms.state_dict().items():
        assert torch.equal(two.transforms.state_dict()[name], value), name
    assert sorted(path.name for path in (folder / "two").iterdir()) == sorted(
        p.name for p in (folder / "one").iterdir()
    )
    assert not list(folder.glob("*.scratch"))


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


def test_a_batch_too_small_for_the_processes_is_refused() -> None:
    check_batch_size(Processes(0, ["m"] * 3), 12)
    check_batch_size(Processes(), 1)
    with pytest.raises(CaloforgeError, match=r"training.batch_size=11 .* 3 processes .* at most 2, or set it to 12"):
        check_batch_size(Processes(1, ["m"] * 3), 11)


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


KILLED = """
import os, signal, sys
from caloforge.cli import main
from caloforge.training import stage_run

rank, call, name, *command = sys.argv[1:]
stage_run.CHECKPOINT_SECONDS, before, calls = 0.0, stage_run.named, []


def named(*arguments):  # once per step
    calls.append(None)
    if os.environ["RANK"] == rank and len(calls) == int(call) and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), getattr(signal, name))
    return before(*arguments)


stage_run.named = named
sys.argv = ["caloforge", *command]
main()
"""
"""Sends one process a signal, in the middle of a step."""


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    """Of a training in two processes, of which one may get a signal."""
    write_inputs(tmp_path)
    (tmp_path / "killed.py").write_text(KILLED)
    return ("train", "recipe.yaml", "--train", "train.h5", "-o")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="this system cannot kill a process with SIGKILL")
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_killed_process_ends_the_training_which_goes_on_from_its_checkpoint(
    restarts: int, command: tuple[str, ...], tmp_path: Path
) -> None:
    assert torchrun(2, "killed.py", "9", "0", "", *command, "whole", cwd=tmp_path).returncode == 0
    options = ("--max-restarts", str(restarts))
    killed = torchrun(2, "killed.py", "1", "12", "SIGKILL", *command, "run", options=options, cwd=tmp_path)
    lines = [line for line in killed.stderr.splitlines() if line.startswith("caloforge:")]
    assert len(lines) == 1
    assert "another process" in lines[0]
    if restarts == 0:
        assert killed.returncode == 1
        assert "--resume" in lines[0]
        assert torchrun(2, "killed.py", "9", "0", "", *command, "run", "--resume", cwd=tmp_path).returncode == 0
    else:
        assert killed.returncode == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    weights = [(tmp_path / run / "weights.safetensors").read_bytes() for run in ("run", "whole")]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="this system has no SIGTERM and SIGUSR1 of batch systems")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_one_process_is_a_checkpoint_of_the_last_step(
    name: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    """... from which another number of processes goes on."""
    stopped = torchrun(2, "killed.py", "1", "8", name, *command, "run", cwd=tmp_path)
    assert stopped.returncode == 1
    assert stopped.stderr.count("to continue, repeat the command with --resume") == 1
    state = torch.load(tmp_path / "run" / "checkpoint.pt")
    assert (state["stage"], state["epoch"], state["progress"]["batches"]) == (0, 0, 3)
    assert torchrun(3, "killed.py", "9", "0", "", *command, "run", "--resume", cwd=tmp_path).returncode == 0
    assert torchrun(1, "killed.py", "9", "0", "", *command, "whole", cwd=tmp_path).returncode == 0
    for alone, shared in zip(losses(tmp_path / "whole"), losses(tmp_path / "run"), strict=True):
        for key, value in alone.items():
            assert shared[key] == (pytest.approx(value, rel=1e-4, abs=1e-4) if isinstance(value, float) else value)


@pytest.mark.slow
def test_a_mistake_is_told_once(command: tuple[str, ...], tmp_path: Path) -> None:
    done = torchrun(2, "killed.py", "9", "0", "", *command, "run", "--set", "training.epochs=-1", cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("caloforge:")]
    assert len(lines) == 1
    assert "epochs" in lines[0]


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu7", "gpu7"), ("gpu[03-05,9],login1", "gpu03"), ("a-b[12,14]", "a-b12"), ("n1,n2", "n1"), ("r[1-2]x", "r1x")],
)
def test_the_first_node_of_a_job(nodes: str, first: str) -> None:
    assert _first_node(nodes) == first


def test_where_processes_find_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert _environment() is None
    # Inside a batch script, which is no task of srun's.
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert _environment() is None
    slurm = {
        "SLURM_PROCID": "3",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "g[1-2]",
        "SLURM_JOB_ID": "123456",
    }
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(slurm))
        assert _environment() == (3, 4)
        assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("g1", str(20_000 + 123456 % 20_000))
        patch.setattr(os, "environ", slurm | {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "x"})
        assert _environment() is None
        patch.setattr(os, "environ", {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "x"})
        with pytest.raises(CaloforgeError, match="RANK=2"):
            _environment()
