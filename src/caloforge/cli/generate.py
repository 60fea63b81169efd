"""`caloforge generate`: generate showers with a trained run."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED, MOST_SHARDS, EngineChoice, PrecisionChoice
from caloforge.cli.cluster import ADAPT, CLUSTER, COLLECT, RETRIES, ClusterOptions, cluster_options
from caloforge.cli.conditions import ANGLES, CONDITIONS
from caloforge.cli.runs import RUN, TRUST, folder_of, remark_on

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from caloforge.cli.generation_job import GenerationJob, LoadedJob
    from caloforge.showers.shard import Shard
    from caloforge.simulator import AnySimulator, Generation

MODULES = ("caloforge.cli.generation_job", "caloforge.inference.model_rewrites")
"""What a worker of a cluster imports."""

EXTRAPOLATED = "showers there are extrapolated"


def generate(
    run: Path = RUN,
    energies: str = typer.Option(
        ...,
        "--energies",
        metavar="SPECTRUM",
        help="like:FILE, list:512,1024, discrete:256,...,16384, uniform:1GeV:100GeV or loguniform:1GeV:1TeV.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write; a folder with --shards."),
    angles: str | None = ANGLES,
    conditions: list[str] = CONDITIONS,
    n: int | None = typer.Option(None, "-n", min=1, help="Number of showers; defaults to that of like:FILE or list:…."),
    seed: int = typer.Option(
        1,
        "--seed",
        min=0,
        max=MOST_SEED,
        help="Random seed; the same seed, batch size and machine give the same showers.",
    ),
    batch_size: int = typer.Option(10_000, "--batch-size", min=1, help="Showers per pass through the model."),
    device: str = typer.Option("auto", "--device", help="auto, cpu, cuda or cuda:N."),
    overrides: list[str] = typer.Option(
        [],
        "--set",
        metavar="model.KEY=VALUE",
        help="Override a model setting, e.g. model.sampler=multistep or model.steps=25. May be repeated.",
    ),
    precision: PrecisionChoice = typer.Option(PrecisionChoice.FLOAT32, "--precision", help="float64 is slower."),
    engine: EngineChoice = typer.Option(
        EngineChoice.TORCH,
        "--engine",
        help="torch is usually the fastest for batches; compile (torch.compile) is slow to start; onnx (onnxruntime, "
        "extra caloforge\\[onnx]) is the fastest for single showers, within the training energy range; onnx-int8 "
        "quantises some matrix multiplications to int8.",
    ),
    workers: int = typer.Option(
        1, "--workers", min=1, help="Number of threads, each with its own batch; the showers do not depend on it."
    ),
    shard: str | None = typer.Option(
        None, "--shard", metavar="i/N", help="Generate only part i (0 … N-1) of N, for batch farms."
    ),
    shards: int | None = typer.Option(
        None,
        "--shards",
        min=1,
        max=MOST_SHARDS,
        metavar="N",
        help="Generate all N parts, one file each, in the folder -o; see caloforge merge.",
    ),
    compression: int = typer.Option(1, "--compression", min=0, max=9, help="gzip level; 0 is the fastest to write."),
    cluster: str | None = CLUSTER,
    adapt: str | None = ADAPT,
    retries: int = RETRIES,
    collect: bool = COLLECT,
    resume: bool = typer.Option(False, "--resume", help="Keep the files that this command has already finished."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    trust: list[str] = TRUST,
) -> None:
    """Generate showers and write them to HDF5 files: voxels in the CaloChallenge
    layout, point clouds in caloforge's own (`caloforge convert` writes others).

    Showers are written batch by batch, so memory use does not grow with their
    number. Energies without a unit are in MeV. A shard contains the same showers
    wherever it is generated; caloforge merge concatenates shards.

    Example: caloforge generate run --energies loguniform:1GeV:16GeV -n 100000 -o generated.h5

    Example: caloforge generate run --energies uniform:1GeV:16GeV -n 10000000 --shards 100 --resume -o shards

    Example: caloforge generate run --energies uniform:1GeV:16GeV -n 10000000 --shards 100 --cluster local:4 -o shards

    Example: caloforge generate run --energies uniform:1GeV:16GeV --angles uniform:0:60deg -n 1000 -o angles.h5

    Example: caloforge generate run --energies list:4GeV -n 100 --set model.sampler=multistep -o multistep.h5
    """
    from caloforge.errors import CaloforgeError

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite are mutually exclusive")
    options = cluster_options(cluster, adapt, retries, collect, shards, MODULES)

    from caloforge.cli.generation_job import GenerationJob
    from caloforge.cli.stopping import signals_interrupt
    from caloforge.energies import IncidentLaw
    from caloforge.files import prepare_parent, real, refuse_existing
    from caloforge.showers.shard import Shard

    parts: list[tuple[Path, Shard | None]]
    if shards is None:
        parts = [(out, None if shard is None else Shard.parse(shard))]
    else:
        if shard is not None:
            raise CaloforgeError("--shard generates one part and --shards all of them: give only one of the two")
        if out.is_file():
            raise CaloforgeError(f"{out} is a file; --shards needs a folder")
        parts = [(out / Shard(k, shards).file_name(), Shard(k, shards)) for k in range(shards)]
    law = IncidentLaw.parse(energies, conditions, angles)
    total = law.total(n)
    for _, part in parts:
        if part is not None and total is not None:
            part.rows(total)  # raises if it is empty, before anything is written
    for path, _ in parts:
        prepare_parent(path)
        if path.exists() and energies.startswith("like:") and real(path) == real(Path(energies[5:])):
            raise CaloforgeError(f"{path} is the file that the energies come from; write the showers to another one")
        if not resume:
            refuse_existing(path, overwrite)
    with signals_interrupt() as check_stopped:
        job = GenerationJob(
            run=folder_of(run),
            law=law,
            n=n,
            seed=seed,
            batch_size=batch_size,
            workers=workers,
            compression=compression,
            engine=engine.value,
            precision=precision.value,
            device=device,
            trust=tuple(trust),
            overrides=tuple(overrides),
            home=Path.cwd(),
            command=shlex.join(["caloforge", *sys.argv[1:]]),
        )
        if options is not None and shards is not None:
            _on_cluster(job, options, shards, out, resume)
        else:
            _here(job.load(), parts, resume, check_stopped)


def _here(
    loaded: LoadedJob, parts: list[tuple[Path, Shard | None]], resume: bool, check_stopped: Callable[[], None]
) -> None:
    """Generate files one after the other in this process."""
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.cli.generation_job import doubt
    from caloforge.cli.ranges import warn_outside

    warned = False
    for path, shard in parts:
        drawn = loaded.job.incident(loaded.simulator, shard)
        if resume and loaded.job.is_complete(loaded.simulator, path, shard, len(drawn)):
            stdout.print(f"kept {path}: already complete", markup=False)
            continue
        if not warned and loaded.engine.energy_range is None:
            warn_outside(drawn.energies, loaded.simulator.energy_range, EXTRAPOLATED)
        if not warned:
            _note_unknown(loaded.job, loaded.simulator)
            remark_on(loaded.simulator, loaded.job.law.spectrum)
        warned = True
        with progress_bar() as bar:
            task = bar.add_task(
                "generate" if shard is None else f"shard {shard}", total=len(drawn), unit="showers", remark=""
            )

            def done(showers: int, bar: Progress = bar, task: TaskID = task) -> None:
                check_stopped()
                bar.advance(task, showers)

            generation = loaded.write(path, shard, drawn, done)
        if remark := doubt(generation):
            stderr.print(remark)
        stdout.print("\n".join(_times(generation)))
        stdout.print(f"wrote {path}", markup=False)


def _on_cluster(job: GenerationJob, options: ClusterOptions, shards: int, out: Path, resume: bool) -> None:
    """Generate the shards that are missing on a cluster."""
    from caloforge.cli.cluster import run_on_cluster
    from caloforge.cli.console import stdout
    from caloforge.cli.generation_job import GenerationWork
    from caloforge.cli.ranges import warn_outside
    from caloforge.cluster.parts import SamplePart
    from caloforge.showers.shard import Shard

    simulator = job.simulator()  # whatever is wrong with it is found before a worker starts
    first = job.incident(simulator, Shard(0, shards))
    warn_outside(first.energies, simulator.energy_range, EXTRAPOLATED)
    _note_unknown(job, simulator)
    remark_on(simulator, job.law.spectrum)
    total = job.law.total(job.n)
    todo, kept = [], 0
    for number in range(shards):
        shard = Shard(number, shards)
        start, stop = shard.rows(total or 0)
        name = shard.file_name()
        if resume and job.is_complete(simulator, out / name, shard, stop - start):
            kept += 1
        else:
            todo.append(SamplePart(number, name, stop - start))
    if kept:
        stdout.print(f"kept {kept} of {shards} files in {out}: already complete", markup=False)
    if todo:
        run_on_cluster(options, GenerationWork.of(job, shards, options.collect), todo, out, "generate")


def _note_unknown(job: GenerationJob, simulator: AnySimulator) -> None:
    """Name the conditions of the file of `like:` that the run was not trained with."""
    from caloforge.cli.console import stderr

    columns = job.law.spectrum.conditions
    for name in job.unknown_of_file(simulator):
        assert columns is not None
        span = columns.kind(name).span(columns[name])
        stderr.print(
            f"note: the run was not trained with {name} ({span}); its showers do not depend on it", markup=False
        )


def _times(generation: Generation) -> Iterator[str]:
    def spent(seconds: float) -> str:
        return f"{seconds:.2f} s ({1e3 * seconds / generation.n:.4f} ms per shower)"

    parts = [f"model {spent(generation.model)}"]
    if generation.postprocessing:
        parts.append(f"postprocessing {spent(generation.postprocessing)}")
    parts.append(f"writing {spent(generation.writing)}")
    yield f"{generation.n:,} showers in {generation.wall:.2f} s: " + ", ".join(parts)
    if generation.writing > 0.5 * generation.wall and generation.wall > 1:
        remedy = "--compression 0 or several processes with --shard are faster"
        yield f"note: writing took {100 * generation.writing / generation.wall:.0f} % of the time: {remedy}"
