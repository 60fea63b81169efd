"""Shards of a Geant4 simulation for the workers of a cluster: each keeps its Geant4 process from shard to shard."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from caloforge.cluster.parts import Maker, Told, Work
from caloforge.errors import CaloforgeError
from caloforge.showers.shard import Shard
from caloforge.sources.geant4.datasets import find_data
from caloforge.sources.geant4.request import binding_version
from caloforge.sources.geant4.simulation import Events, worker_setup, write_events
from caloforge.sources.geant4.workers import Geant4Process, Setup


@dataclass(frozen=True)
class Geant4Work(Work):
    """The shards of a simulation.

    Args:
        events: all of them.
        shards: number of shards.
        data: folder of the Geant4 data sets, as given; None for those that each worker finds by itself.
        overwrite: start again where there are events of an interrupted run.
        attributes: additional ones, for the files.
    """

    events: Events
    shards: int
    data: Path | None
    overwrite: bool
    attributes: Mapping[str, Any]

    def packages(self) -> dict[str, str]:
        """See `Work.packages`."""
        return {"geant4-pybind": binding_version()}

    def start(self) -> Maker:
        """See `Work.start`.

        Raises:
            CaloforgeError: the data sets are missing here, or are other ones.
        """
        found = find_data(self.data)
        request = replace(self.events.request, data=found)
        here, there = found.describe(), self.events.config["data_sets"]
        if here != there:
            raise CaloforgeError(f"this worker has other Geant4 data sets ({here}) than the command ({there})")
        return ShardSimulator(self, replace(self.events, request=request))


class ShardSimulator(Maker):
    """Simulates shards in a worker, with one Geant4 process per thread.

    Args:
        work: what to simulate.
        events: all events, with the data sets of this worker.

    Raises:
        CaloforgeError: an error of the set-up, such as an unknown material.
    """

    def __init__(self, work: Geant4Work, events: Events) -> None:
        self._work, self._events = work, events
        self._scratch = tempfile.TemporaryDirectory(prefix="caloforge-geant4-")
        self._numbers = itertools.count()
        self._idle: SimpleQueue[Geant4Process] = SimpleQueue()
        self._setup: Setup = worker_setup(events.request, Path(self._scratch.name))
        self._idle.put(self._process())

    def _process(self) -> Geant4Process:
        return Geant4Process(self._setup, Path(self._scratch.name) / f"worker-{next(self._numbers)}.log")

    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        """See `Maker.make`."""
        events = replace(self._events, shard=Shard(number, self._work.shards))
        if keep and events.settle(path):
            return ""
        try:
            process = self._idle.get_nowait()
        except Empty:
            process = self._process()
        try:
            write_events(
                process.run,
                events,
                path,
                overwrite=self._work.overwrite and not keep,
                attributes=self._work.attributes,
                progress=lambda done, of: told(done),
            )
        except BaseException:
            process.close()
            raise
        self._idle.put(process)
        return ""

    def close(self) -> None:
        """See `Maker.close`."""
        while not self._idle.empty():
            self._idle.get().close()
        self._scratch.cleanup()
