"""Parts on the workers of a cluster: done once, retried, named if they fail, whatever happens to workers."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="--cluster needs the extra cluster")
pytest.importorskip("dask_jobqueue", reason="--cluster needs the extra cluster")

from caloforge.cluster.parts import Maker, Result, SamplePart, Told, Watcher, Work
from caloforge.cluster.tasks import make_parts
from caloforge.cluster.where import Where
from caloforge.cluster.worker import check_folder
from caloforge.errors import CaloforgeError


@dataclass
class Numbers(Work):
    """Files with their number in it; some parts fail, or kill their worker, in their first `times` attempts."""

    log: Path
    fails: tuple[int, ...] = ()
    kills: tuple[int, ...] = ()
    times: int = 1
    unusable: bool = False
    needs: str = ""

    def packages(self) -> dict[str, str]:
        return {self.needs: "0.0.1"} if self.needs else {}

    def start(self) -> Maker:
        (self.log / f"start-{os.getpid()}").touch(exist_ok=False)  # a second start in one process fails
        if self.unusable:
            raise CaloforgeError("no detector here")
        return NumberMaker(self)


@dataclass
class NumberMaker(Maker):
    work: Numbers

    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        told(1)
        tries = len(list(self.work.log.glob(f"try-{number}-*")))
        (self.work.log / f"try-{number}-{tries}").touch()
        if tries < self.work.times and number in self.work.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if tries < self.work.times and number in self.work.fails:
            raise OSError("the disk is on\nfire")
        path.write_text(str(number))
        return "an odd one" if number % 2 else ""

    def close(self) -> None:
        (self.work.log / f"closed-{os.getpid()}").touch()


class Heard(Watcher):
    def __init__(self) -> None:
        self.showers: list[int] = []
        self.dashboard = ""

    def opened(self, dashboard: str) -> None:
        self.dashboard = dashboard

    def progress(self, showers: int, workers: int) -> None:
        self.showers.append(showers)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def parts(n: int) -> list[SamplePart]:
    return [SamplePart(number, f"part-{number}", 10) for number in range(n)]


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


EXPECTED = {f"part-{number}": str(number) for number in range(8)}


@pytest.mark.parametrize("collect", [False, True])
def test_parts_arrive_and_workers_start_once(cluster: Where, log: Path, out: Path, collect: bool) -> None:
    heard = Heard()
    result = make_parts(cluster, Numbers(log), parts(8), out, collect=collect, watcher=heard)
    assert contents(out) == EXPECTED  # and no token is left
    assert sorted(result.made) == list(range(8))
    assert result.failed == {}
    assert result.remarks == ["an odd one"]
    started = list(log.glob("start-*"))
    assert 1 <= len(started) == len(result.starts) <= 2
    assert len(list(log.glob("closed-*"))) == len(started)
    assert heard.showers == sorted(heard.showers)
    assert heard.showers[-1] == 80
    assert heard.dashboard.startswith("http://127.0.0.1:")


def test_a_part_that_fails_once_is_tried_again(cluster: Where, log: Path, out: Path) -> None:
    result = make_parts(cluster, Numbers(log, fails=(2, 5)), parts(8), out, retries=1)
    assert contents(out) == EXPECTED
    assert (result.failed, result.retried) == ({}, 2)


def test_a_part_that_always_fails_is_named_and_all_others_are_kept(cluster: Where, log: Path, out: Path) -> None:
    result = make_parts(cluster, Numbers(log, fails=(3,), times=9), parts(8), out, retries=2)
    assert contents(out) == {name: text for name, text in EXPECTED.items() if name != "part-3"}
    assert len(list(log.glob("try-3-*"))) == 3
    assert result.failed.keys() == {3}
    assert "OSError" in result.failed[3]
    assert "\n" not in result.failed[3]


def test_a_worker_that_dies_takes_nothing_along(cluster: Where, log: Path, out: Path) -> None:
    result = make_parts(cluster, Numbers(log, kills=(1, 6)), parts(8), out, retries=1)
    assert contents(out) == EXPECTED
    assert result.failed == {}
    assert result.retried >= 2  # also parts that waited for the same worker


def test_a_part_that_kills_every_worker_is_named(cluster: Where, log: Path, out: Path) -> None:
    result = make_parts(cluster, Numbers(log, kills=(4,), times=9), parts(6), out, retries=1)
    assert sorted(result.made) == [0, 1, 2, 3, 5]
    assert "died" in result.failed[4]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"unusable": True}, ["127.0.0.1", "no detector here"]),
        ({"needs": "numpy"}, ["127.0.0.1", "numpy", "0.0.1"]),
        ({"needs": "not-a-package"}, ["127.0.0.1", "has no not-a-package"]),
    ],
)
def test_a_worker_that_cannot_do_it_ends_the_run(
    changes: dict, facts: list[str], cluster: Where, log: Path, out: Path
) -> None:
    with pytest.raises(CaloforgeError) as caught:
        make_parts(cluster, Numbers(log, **changes), parts(2), out)
    assert all(fact in str(caught.value) for fact in facts)
    assert contents(out) == {}


def test_another_caloforge_on_a_worker(cluster: Where, log: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caloforge.cluster.tasks._installed_version", lambda: "99.0")
    with pytest.raises(CaloforgeError, match=r"has caloforge .* runs with 99\.0"):
        make_parts(cluster, Numbers(log), parts(2), out)


def test_an_interruption_leaves_the_cluster_usable(cluster: Where, log: Path, out: Path) -> None:
    class Stopped(Watcher):
        def progress(self, showers: int, workers: int) -> None:
            if showers >= 20:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_parts(cluster, Numbers(log), parts(8), out, watcher=Stopped())
    again: Result = make_parts(cluster, Numbers(out.parent / "log"), [], out)
    assert again.made == []
    assert not list(out.glob(".*"))


def test_a_folder_that_is_not_shared_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caloforge.cluster.worker.SEEN_WITHIN", 0.0)
    with pytest.raises(CaloforgeError, match="is another folder on this worker"):
        check_folder(tmp_path, ".token")
    (tmp_path / ".token").touch()
    check_folder(tmp_path, ".token")
    assert [path.name for path in tmp_path.iterdir()] == [".token"]
    with pytest.raises(CaloforgeError, match=r"cannot write to .*nowhere.*collect=True"):
        check_folder(tmp_path / "nowhere", ".token")


def test_a_result_that_dies_before_it_is_fetched_is_that_of_a_dead_attempt() -> None:
    """Two workers die in turn: the first with a result, the second as it computes this again."""
    from typing import cast

    from distributed import Client, Future
    from distributed.scheduler import KilledWorker

    from caloforge.cluster.tasks import _fetched
    from caloforge.cluster.worker import Attempt

    @dataclass(eq=False)
    class Ended:
        value: str

        def result(self) -> str:
            if self.value == "dead":
                raise KilledWorker("task", None, 0)
            return self.value

    class Fetching:
        def gather(self, futures: list[Ended]) -> list[str]:
            return [future.result() for future in futures]

    first, second, third = futures = [Ended("first"), Ended("dead"), Ended("third")]
    client, ended = cast(Client, Fetching()), cast("list[Future[Attempt]]", futures)
    assert _fetched(client, ended) == {first: "first", third: "third"}
    assert _fetched(client, [ended[0]]) == {first: "first"}
    assert second not in _fetched(client, ended)
