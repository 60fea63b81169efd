"""The scripts in examples/cluster: checked by shellcheck where it is installed, and run with stand-ins for Slurm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from caloforge.simulator import Simulator
from test_training_distributed import losses, write_inputs

SCRIPTS = Path(__file__).parents[1] / "examples" / "cluster"
SHELL = [SCRIPTS / name for name in ("train.slurm", "train.sh", "two-nodes.sh")]

SRUN = f"""#!{sys.executable}
import os, subprocess, sys

command = [sys.executable, "-m", *(word for word in sys.argv[1:] if not word.startswith("--kill"))]
tasks = []
for rank in range(2):
    own = {{"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost"}}
    tasks.append(subprocess.Popen(command, env=os.environ | own))
sys.exit(max(task.wait() for task in tasks))
"""
"""Two tasks on this machine, as srun starts them."""

SCONTROL = """#!/bin/sh
case $1 in
show) echo localhost ;;
requeue) echo "$2" > requeued ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With `srun`, `scontrol`, `caloforge` and `torchrun` of this Python."""
    write_inputs(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    torchrun = f'#!/bin/sh\nexec {sys.executable} -m torch.distributed.run "$@"\n'
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, "torchrun": torchrun}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_CPUS_PER_TASK": "1",
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are run by bash, which is not installed")
@pytest.mark.parametrize("script", SHELL, ids=lambda path: path.name)
def test_scripts_are_valid(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    checker = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if checker is not None:
        assert subprocess.run([checker, script], capture_output=True, text=True).stdout == ""


def test_the_submit_file_names_the_script_and_its_arguments() -> None:
    lines = (SCRIPTS / "train.sub").read_text().splitlines()
    settings = dict(part for line in lines if len(part := [word.strip() for word in line.split("=", 1)]) == 2)
    assert (SCRIPTS / settings["executable"]).is_file()
    assert settings["arguments"] == '"$(recipe) $(run) $(gpus) $(train)"'
    assert settings["kill_sig"] == "SIGTERM"
    assert lines[-1] == "queue"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are run by bash, which is not installed")
def test_the_slurm_script_trains_and_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    command = ["bash", SCRIPTS / "train.slurm", "recipe.yaml", "run", "train.h5"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    before = losses(tmp_path / "run")
    again = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "trained" in again.stdout  # with --resume, so that nothing is left to be trained
    assert losses(tmp_path / "run") == before
    assert Simulator.load(tmp_path / "run").provenance["n_epochs"] == len(before)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are run by bash, which is not installed")
def test_two_nodes_and_one_train_alike(environment: dict[str, str], tmp_path: Path) -> None:
    """Two torchruns on this machine, which meet as on two; and the script of HTCondor's job."""
    command = ["bash", SCRIPTS / "two-nodes.sh", "localhost", "1", "recipe.yaml", "two", "train.h5"]
    environment["PORT"] = str(20_000 + os.getpid() % 20_000)
    nodes = [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(2)]
    assert [node.wait(timeout=200) for node in nodes] == [0, 0]
    command = ["bash", SCRIPTS / "train.sh", "recipe.yaml", "one", "2", "train.h5"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
