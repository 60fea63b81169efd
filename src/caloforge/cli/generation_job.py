"""What one `caloforge generate` generates: its settings, and the loaded generator that writes its files.

Both the command and the workers of a cluster use these, so that a file does not depend on who writes it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from caloforge.cluster.parts import Maker, Told, Work
from caloforge.energies import Incident, IncidentLaw
from caloforge.errors import CaloforgeError
from caloforge.export.engines import make_engine
from caloforge.files import real
from caloforge.inference import Engine
from caloforge.locations import DESCRIPTION
from caloforge.registry import IDENTITY, importable
from caloforge.representation import is_made
from caloforge.showers.shard import Shard
from caloforge.simulator import AnySimulator, Generation, generate, load_simulator
from caloforge.simulator.stored import PACKED_WEIGHTS, WEIGHTS
from caloforge.simulator.trained import CHANGED

SANE = (0.01, 3.0)
"""A mean E_dep / E_inc outside this range indicates an error."""


@dataclass(frozen=True)
class GenerationJob:
    """The settings of a sample, without anything that must be loaded (see the options of `caloforge generate`).

    Args:
        home: folder in which the command was called, from which classes may be imported.
        command: as typed, for the files.
    """

    run: Path
    law: IncidentLaw
    n: int | None
    seed: int
    batch_size: int
    workers: int
    compression: int
    engine: str
    precision: str
    device: str
    trust: tuple[str, ...]
    overrides: tuple[str, ...]
    home: Path
    command: str

    def simulator(self) -> AnySimulator:
        """The run, with its settings, precision and device.

        Raises:
            CaloforgeError: it cannot be loaded.
        """
        import torch

        from caloforge.inference.devices import choose_device
        from caloforge.overrides import model_settings

        with importable(self.home):
            loaded = load_simulator(self.run, self.trust, model_settings(list(self.overrides)))
        loaded = loaded.to(choose_device(self.device))
        return loaded.to(torch.float64) if self.precision == "float64" else loaded

    def load(self) -> LoadedJob:
        """The run and its engine.

        Raises:
            CaloforgeError: it cannot be loaded, or does not suit the engine.
        """
        simulator = self.simulator()
        return LoadedJob(self, simulator, make_engine(self.engine, simulator))

    def incident(self, simulator: AnySimulator, shard: Shard | None) -> Incident:
        """Energies and conditions of a file's showers; the run knows all of them.

        Raises:
            CaloforgeError: a condition that the run needs is missing, or a law is for one that it does not know.
        """
        drawn = self.law.draw(self.n, self.seed, shard)
        known = simulator.conditions
        if missing := known.missing(drawn.conditions):
            name, span = missing[0].kind.name, missing[0].span
            raise CaloforgeError(
                f"{self.run} was trained with {name} ({span}): give --condition {name}=LAW, or --energies like:FILE "
                f"with a file that has it"
            )
        unknown = self.unknown_of_file(simulator)
        return replace(drawn, conditions=drawn.conditions.only([n for n in drawn.conditions if n not in unknown]))

    def unknown_of_file(self, simulator: AnySimulator) -> list[str]:
        """Conditions of the file that the energies come from that the run does not know, and that have no law."""
        accepted = {*simulator.conditions.names, *simulator.conditions.superfluous}
        accepted |= {law.kind.name for law in self.law.laws}
        return [name for name in self.law.spectrum.conditions or () if name not in accepted]

    def facts(self, shard: Shard | None) -> dict[str, Any]:
        """Attributes that say which part of which sample a file is."""
        facts: dict[str, Any] = {"energies": self.law.spectrum.text}
        if self.law.laws:
            facts["condition_laws"] = self.law.text
        return facts if shard is None else {**facts, "shard": shard.number, "shards": shard.of}

    def is_complete(self, simulator: AnySimulator, path: Path, shard: Shard | None, n: int) -> bool:
        """Whether `path` is the finished file.

        Args:
            simulator: of this job.
            path: the file.
            shard: which one it should be.
            n: number of its showers.

        Raises:
            CaloforgeError: it is another one.
        """
        wanted = {"weights_sha256": simulator.provenance["weights_sha256"], "seed": self.seed}
        wanted |= {"batch_size": self.batch_size, "engine": self.engine}
        wanted |= {CHANGED: simulator.provenance.get(CHANGED)}
        return is_made(path, wanted | self.facts(shard), n)


@dataclass(frozen=True)
class LoadedJob:
    """A job whose run is loaded."""

    job: GenerationJob
    simulator: AnySimulator
    engine: Engine

    def write(
        self, path: Path, shard: Shard | None, drawn: Incident, progress: Callable[[int], None] | None = None
    ) -> Generation:
        """Generate one file.

        Args:
            path: the file.
            shard: which one it is.
            drawn: energies and conditions of its showers, from `GenerationJob.incident`.
            progress: called with the number of showers of each batch.
        """
        return generate(
            self.simulator,
            drawn.energies,
            path,
            seed=self.job.seed,
            batch_size=self.job.batch_size,
            compression=self.job.compression,
            attributes={**self.job.facts(shard), "command": self.job.command},
            progress=progress,
            engine=self.engine,
            workers=self.job.workers,
            shard=None if shard is None else shard.number,
            conditions=drawn.conditions,
        )


def doubt(generation: Generation) -> str:
    """A warning about showers that are probably wrong, or nothing."""
    if SANE[0] <= generation.response <= SANE[1]:
        return ""
    return (
        f"warning: the mean E_dep / E_inc is {generation.response:.3g}: the model is untrained, its sampler "
        "settings are unsuitable, or the energies are not in MeV"
    )


@dataclass(frozen=True)
class GenerationWork(Work):
    """The shards of a job, for a cluster.

    Args:
        job: with absolute paths.
        shards: number of shards.
        files: the run's files, for workers that do not see its folder.
    """

    job: GenerationJob
    shards: int
    files: dict[str, bytes] | None = None

    @classmethod
    def of(cls, job: GenerationJob, shards: int, collect: bool) -> GenerationWork:
        """The work; with `collect` it contains the run."""
        job = replace(job, run=real(job.run))
        if not collect:
            return cls(job, shards)
        names = (DESCRIPTION, WEIGHTS, PACKED_WEIGHTS, IDENTITY)
        return cls(job, shards, {name: (job.run / name).read_bytes() for name in names if (job.run / name).exists()})

    def packages(self) -> dict[str, str]:
        """See `Work.packages`."""
        return {}

    def start(self) -> Maker:
        """See `Work.start`."""
        if self.files is None:
            return ShardMaker(self.job.load(), self.shards)
        with tempfile.TemporaryDirectory(prefix="caloforge-run-") as scratch:
            for name, content in self.files.items():
                (Path(scratch) / name).write_bytes(content)
            return ShardMaker(replace(self.job, run=Path(scratch)).load(), self.shards)


@dataclass(frozen=True)
class ShardMaker(Maker):
    """Writes shards in a worker."""

    loaded: LoadedJob
    shards: int

    def make(self, number: int, path: Path, keep: bool, told: Told) -> str:
        """See `Maker.make`."""
        shard, job, done = Shard(number, self.shards), self.loaded.job, 0
        drawn = job.incident(self.loaded.simulator, shard)
        if keep and job.is_complete(self.loaded.simulator, path, shard, len(drawn)):
            return ""

        def advanced(showers: int) -> None:
            nonlocal done
            done += showers
            told(done)

        return doubt(self.loaded.write(path, shard, drawn, advanced))

    def close(self) -> None:
        """See `Maker.close`: the memory is freed with the object."""
