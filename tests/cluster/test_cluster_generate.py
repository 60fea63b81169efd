"""`caloforge generate --cluster`: the shards of `--shard`, whatever happens to a worker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
pytest.importorskip("dask_jobqueue", reason="--cluster needs the extra cluster")

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.caloman import CaloMan
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

WORDS = ("--energies", "uniform:100:400", "-n", 2000, "--batch-size", 50)


Killing = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def run(tmp_path: Path, small_geometry: Geometry, small_showers: Showers) -> Path:
    torch.manual_seed(0)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    transforms = build_transforms(chain, small_geometry).fit(x, c)
    Simulator(small_geometry, transforms, CaloMan(13, 1, latent_dim=3, hidden=[8], flow_layers=2)).save(
        tmp_path / "run"
    )
    return tmp_path / "run"


def invoke(*words: object, status: int = 0) -> str:
    result: Any = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])
    assert result.exit_code == status, result.output
    return str(result.output)


def fails(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(result.exception, CaloforgeError), result.output
    return str(result.exception)


def same(first: Path, second: Path) -> bool:
    """Whether two files have equal bytes in their arrays, and the same attributes but for the command."""
    with ShowerFile(first) as a, ShowerFile(second) as b:
        facts = [{k: v for k, v in file.attributes.items() if k != "command"} for file in (a, b)]
        x, y = a.read(), b.read()
    arrays = x.energies.tobytes() == y.energies.tobytes() and x.voxels.tobytes() == y.voxels.tobytes()
    return arrays and facts[0] == facts[1]


@pytest.mark.usefixtures("cli_cluster")
def test_a_killed_worker_changes_nothing(run: Path, tmp_path: Path, killing: Killing) -> None:
    out = tmp_path / "out"
    with killing(out):
        text = invoke("generate", run, *WORDS, "--shards", 10, "--cluster", "local:2", "-o", out)
    assert "2,000 showers in 10 files" in text
    assert "Dask's dashboard: http://127.0.0.1:" in text
    assert "start-up of" in text
    assert sorted(path.name for path in out.iterdir()) == [f"shard-{k}-of-10.h5" for k in range(10)]
    invoke("generate", run, *WORDS, "--shards", 10, "-o", tmp_path / "alone")
    for path in out.iterdir():
        assert same(path, tmp_path / "alone" / path.name)
    # The folder is one sample, and nothing is left to do.
    kept = invoke("generate", run, *WORDS, "--shards", 10, "--resume", "--cluster", "local:2", "-o", out)
    assert "kept 10 of 10 files" in kept
    assert "dashboard" not in kept


def test_collected_files_and_those_that_were_missing(run: Path, tmp_path: Path) -> None:
    words = ["generate", run, *WORDS, "--shards", 4]
    invoke(*words, "-o", tmp_path / "alone")
    text = invoke(*words, "--cluster", "local:1", "--adapt", "1:1", "--collect", "-o", tmp_path / "out")
    assert "2,000 showers in 4 files" in text
    names = [f"shard-{k}-of-4.h5" for k in range(4)]
    assert all(same(tmp_path / "out" / name, tmp_path / "alone" / name) for name in names)


@pytest.mark.usefixtures("cli_cluster")
def test_a_worker_without_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from caloforge.cli.generation_job import GenerationWork

    moved = GenerationWork.of

    def elsewhere(job: Any, shards: int, collect: bool) -> Any:
        work = moved(job, shards, collect)
        run.rename(tmp_path / "moved")
        return work

    monkeypatch.setattr(GenerationWork, "of", elsewhere)
    message = fails("generate", run, *WORDS, "--shards", 4, "--cluster", "local:1", "-o", tmp_path / "out")
    assert "tls://127.0.0.1:" in message
    assert str(run) in message
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--cluster", "local:2"], ["--cluster needs --shards"]),
        (["--shards", "2", "--adapt", "1:2"], ["--adapt needs --cluster"]),
        (["--shards", "2", "--collect"], ["--collect needs --cluster"]),
        (["--shards", "2", "--cluster", "local"], ["'local'"]),
        (["--shards", "2", "--cluster", "local:2", "--adapt", "x"], ["--adapt x"]),
    ],
)
def test_mistakes(words: list[str], facts: list[str], run: Path, tmp_path: Path) -> None:
    message = fails("generate", run, *WORDS, *words, "-o", tmp_path / "out")
    assert all(fact in message for fact in facts)
    assert not (tmp_path / "out").exists()


def test_arrays_of_another_size_are_not_resumed(run: Path, tmp_path: Path) -> None:
    invoke("generate", run, *WORDS, "--shards", 4, "-o", tmp_path / "out")
    message = fails(
        "generate", run, *WORDS, "--seed", 7, "--shards", 4, "--resume", "--cluster", "local:2", "-o", tmp_path / "out"
    )
    assert "seed" in message
    assert np.all([path.suffix == ".h5" for path in (tmp_path / "out").iterdir()])
