"""Which cluster `--cluster` names: local workers, a scheduler, or a batch system's YAML with its job script."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
pytest.importorskip("dask_jobqueue", reason="--cluster needs the extra cluster")

from caloforge.cluster import where
from caloforge.cluster.where import Adapt, BatchSystem, LocalWorkers, RunningScheduler, parse_where
from caloforge.errors import CaloforgeError

DOCS = Path(__file__).parents[2] / "docs" / "cluster.md"


def test_forms(tmp_path: Path) -> None:
    assert parse_where("local:3") == LocalWorkers(3)
    assert parse_where("local:3", Adapt.parse("1:8")) == LocalWorkers(3, Adapt(1, 8))
    assert parse_where("tcp://head:8786") == RunningScheduler("tcp://head:8786")
    file = tmp_path / "farm.yaml"
    file.write_text("cluster: slurm\nworkers: 20\ncores: 1\nmemory: 2GB\n")
    assert parse_where(str(file)) == BatchSystem(file, "slurm", 20, {"cores": 1, "memory": "2GB"})


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("local:0", ["local:0", "at least one"]),
        ("local", ["'local'", "local:N"]),
        ("slurm", ["'slurm'", ".yaml"]),
        ("nowhere.yaml", ["nowhere.yaml"]),
        ("{cluster: slrum, workers: 2}", ["slrum", "did you mean slurm", "htcondor"]),
        ("{workers: 2}", ["'cluster'", "slurm"]),
        ("{cluster: slurm, cores: 1}", ["'workers'", "adapt='MIN:MAX'"]),
        ("{cluster: slurm, workers: 0}", ["workers: 0"]),
        ("[slurm]", ["cluster: slurm"]),
    ],
)
def test_mistakes_are_one_line(text: str, facts: list[str], tmp_path: Path) -> None:
    if text[0] in "{[":
        (tmp_path / "farm.yaml").write_text(text)
        text = str(tmp_path / "farm.yaml")
        facts = [*facts, text]
    with pytest.raises(CaloforgeError) as caught:
        parse_where(text)
    assert "\n" not in str(caught.value)
    assert all(fact in str(caught.value) for fact in facts)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("{cluster: slurm, workers: 2, cores: 1, memory: 1GB, quue: long}", ["quue", "SLURMCluster"]),
        ("{cluster: pbs, workers: 2, cores: 1}", ["memory", "PBSCluster"]),
        ("{cluster: htcondor, workers: 2, cores: 1, memory: 1GB}", ["disk"]),
    ],
)
def test_keywords_that_do_not_suit_the_class(text: str, facts: list[str], tmp_path: Path) -> None:
    (tmp_path / "farm.yaml").write_text(text)
    with pytest.raises(CaloforgeError) as caught:
        BatchSystem.read(tmp_path / "farm.yaml").cluster()
    assert "\n" not in str(caught.value)
    assert all(fact in str(caught.value) for fact in [*facts, "farm.yaml"])


@pytest.mark.parametrize("text", ["1", "2:1", "a:b", "-1:3", "0:0", "1:2:3"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(CaloforgeError, match="adapt="):
        Adapt.parse(text)


def test_workers_of_a_scheduler_are_not_scaled() -> None:
    with pytest.raises(CaloforgeError, match=r"adapt=.*.*tcp://head:8786"):
        parse_where("tcp://head:8786", Adapt(1, 2))


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "ANSWERS_WITHIN", 0.2)
    with (
        pytest.raises(CaloforgeError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9"),
        RunningScheduler("tcp://127.0.0.1:9").open(),
    ):
        pass


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CaloforgeError, match=r"caloforge\[cluster\]"):
        parse_where("local:2")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("slurm", ["#SBATCH -p long", "#SBATCH -t 04:00:00", "#SBATCH --mem=2G", "#SBATCH -n 1"]),
        ("htcondor", ["RequestCpus = ", "RequestMemory = ", '+JobFlavour = "longlunch"']),
    ],
)
def test_the_documented_files_give_job_scripts(name: str, lines: list[str], tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (text,) = (block for block in blocks if f"cluster: {name}" in block)
    (tmp_path / "farm.yaml").write_text(text)
    system = BatchSystem.read(tmp_path / "farm.yaml")
    here = {**system.keywords, "scheduler_options": {"host": "127.0.0.1"}}
    with replace(system, keywords=here).cluster() as cluster:
        script = cluster.job_script()
    assert all(line in script for line in lines), script
    assert "distributed.cli.dask_worker tcp://127.0.0.1:" in script
    assert re.search(r"--nthreads 1\b", script)
