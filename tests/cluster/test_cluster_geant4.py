"""`caloforge simulate geant4` in shards, here and on a cluster: the events of the whole sample."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
pytest.importorskip("dask_jobqueue", reason="--cluster needs the extra cluster")

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.showers import ShowerFiles, Showers

BEAM = ("simulate", "geant4", "-d", "atlas-like", "-p", "gamma", "-e", "uniform:40:120", "-n", "22", "--seed", "3")


Killing = Callable[[Path], AbstractContextManager[None]]


def invoke(*words: object) -> str:
    result: Any = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])
    assert result.exit_code == 0, result.output
    return str(result.output)


def fails(*words: object) -> str:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert isinstance(result.exception, CaloforgeError), result.output
    return str(result.exception)


@pytest.mark.usefixtures("cli_cluster")
def test_shards_are_the_sample_even_if_a_worker_dies(geant4_tables: Path, tmp_path: Path, killing: Killing) -> None:
    beam = [*BEAM, "--geant4-data", geant4_tables]
    invoke(*beam, "-o", tmp_path / "whole.h5")
    whole = Showers.read(tmp_path / "whole.h5")
    invoke(*beam, "--shard", "1/5", "-o", tmp_path / "one.h5")
    one = Showers.read(tmp_path / "one.h5")
    assert one.voxels.tobytes() == whole.voxels[4:8].tobytes()  # shards 0 … 4 of 22 events: 4, 4, 5, 4, 5

    out = tmp_path / "out"
    with killing(out):
        text = invoke(*beam, "--shards", 5, "--cluster", "local:2", "-o", out)
    assert "22 showers in 5 files" in text
    assert sorted(path.name for path in out.iterdir()) == [f"shard-{k}-of-5.h5" for k in range(5)]
    with ShowerFiles(sorted(out.iterdir())) as files:
        found = files.read()
        assert files.files[2].attributes["shard"] == 2
        assert files.files[2].column("geant4_cpu_seconds") is not None
    assert found.energies.tobytes() == whole.energies.tobytes()
    assert found.voxels.tobytes() == whole.voxels.tobytes()

    (out / "shard-3-of-5.h5").unlink()
    journal = out / "shard-2-of-5.h5.partial"  # a worker was killed after it had written the file
    journal.write_bytes(b"events")
    again = invoke(*beam, "--shards", 5, "--resume", "--cluster", "local:2", "--collect", "-o", out)
    assert "kept 4 of 5" in again
    assert not journal.exists()
    assert Showers.read(out / "shard-3-of-5.h5").voxels.tobytes() == whole.voxels[13:17].tobytes()
    message = fails(*beam, "--cut", "1", "--shards", 5, "--resume", "--cluster", "local:2", "-o", out)
    assert "geant4_config" in message
    invoke("merge", out, "-o", tmp_path / "merged.h5")
    assert np.array_equal(Showers.read(tmp_path / "merged.h5").voxels, whole.voxels)


@pytest.mark.usefixtures("cli_cluster")
def test_a_mistake_in_the_setup_is_found_by_the_first_worker(geant4_tables: Path, tmp_path: Path) -> None:
    detector = tmp_path / "mine.yaml"
    detector.write_text(
        "name: mine\nsampling_fraction: 1\n"
        "geometry: {name: mine, layers: [{id: 0, r_edges: [0, 10], n_alpha: 1}]}\n"
        "slabs: [{material: G4_Unobtainium, thickness: 3, layer: 0}]\n"
    )
    beam = [
        "simulate",
        "geant4",
        "-d",
        detector,
        "-p",
        "gamma",
        "-e",
        "list:50",
        "-n",
        4,
        "--geant4-data",
        geant4_tables,
    ]
    message = fails(*beam, "--shards", 2, "--cluster", "local:2", "-o", tmp_path / "out")
    assert "127.0.0.1" in message
    assert "G4_Unobtainium" in message


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["--shards", "2", "--shard", "0/2"], "only one"),
        (["--shards", "2", "--append"], "--append"),
        (["--shard", "2/2"], "2/2"),
        (["--cluster", "local:2"], "--shards"),
        (["--shards", "30"], "empty"),
    ],
)
def test_mistakes(words: list[str], fact: str, geant4_tables: Path, tmp_path: Path) -> None:
    assert fact in fails(*BEAM, "--geant4-data", geant4_tables, *words, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()
