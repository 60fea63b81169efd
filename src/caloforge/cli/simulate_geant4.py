"""`caloforge simulate geant4`: simulate showers with Geant4 in a detector described by a small file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED, MOST_SHARDS, FrameChoice
from caloforge.cli.cluster import ADAPT, CLUSTER, COLLECT, RETRIES, ClusterOptions, cluster_options
from caloforge.cli.completion import detectors, runs
from caloforge.cli.conditions import ANGLES, CONDITIONS
from caloforge.cli.runs import TRUST

if TYPE_CHECKING:
    from caloforge.showers.shard import Shard
    from caloforge.sources.geant4.request import SimulationRequest
    from caloforge.sources.geant4.simulation import SimulationSummary


def geant4(
    detector: str = typer.Option(
        ...,
        "--detector",
        "-d",
        autocompletion=detectors,
        help="atlas-like, atlas-like-hadronic, w-si, calogan, or a .yaml file of slabs (docs/geant4.md).",
    ),
    particle: str = typer.Option(
        "", "--particle", "-p", help="e-, e+ or gamma; hadrons such as pi+ need additional data sets."
    ),
    energies: str = typer.Option(
        "", "--energies", "-e", metavar="SPECTRUM", help="Incident-energy spectrum, e.g. loguniform:1GeV:16GeV."
    ),
    gun: str = typer.Option(
        "",
        "--gun",
        metavar="PARTICLES",
        help="Events of several particles, in place of -p and -e, e.g. '2 gamma 1GeV:10GeV, 1 pi+ 5GeV'.",
    ),
    output: Path = typer.Option(..., "--out", "-o", metavar="FILE", help="HDF5 file to write; a folder with --shards."),
    n: int | None = typer.Option(
        None, "-n", metavar="N", help="Number of showers; defaults to that of like:FILE or list:…."
    ),
    seed: int = typer.Option(
        0, "--seed", "-s", max=MOST_SEED, help="Random seed for energies and showers, at least 0."
    ),
    workers: int = typer.Option(1, "--workers", "-w", help="Number of processes; the showers do not depend on it."),
    angle: str = typer.Option(
        "0",
        "--angle",
        help="One angle for all showers, from the shower axis towards +x, in rad or as in 15deg. To train on angles, "
        "give --angles instead.",
    ),
    angles: str | None = ANGLES,
    conditions: list[str] = CONDITIONS,
    frame: FrameChoice = typer.Option(
        FrameChoice.DETECTOR,
        "--frame",
        help="What the mesh is aligned with: the detector, or each particle's direction, as in Geant4's Par04.",
    ),
    points: str = typer.Option(
        "",
        "--points",
        metavar="cell:SIZE",
        help="Write hits of square cells of this size in every layer, as points, in place of voxels: cell:5mm.",
    ),
    threshold: str = typer.Option(
        "",
        "--threshold",
        metavar="E",
        help="With --points: least energy of a hit, in MeV or as in 20keV, 0.1MIP; by default hits of any energy.",
    ),
    position: str = typer.Option("0,0", "--position", metavar="X,Y", help="Impact point on the front face, mm."),
    cut: float = typer.Option(0.7, "--cut", help="Production cut in mm."),
    geant4_data: Path | None = typer.Option(
        None,
        "--geant4-data",
        metavar="DIR",
        help="Folder of the Geant4 data sets; by default from Geant4's environment variables or GEANT4_DATA_DIR.",
    ),
    download_geant4_data: bool = typer.Option(
        False, "--download-geant4-data", help="Download missing data sets (hundreds of MB), then run."
    ),
    fast: Path | None = typer.Option(
        None,
        "--fast",
        metavar="RUN",
        autocompletion=runs,
        help="Trained run or model that makes the showers of the particles that it was trained on; Geant4 tracks the "
        "others.",
    ),
    fast_above: str | None = typer.Option(
        None,
        "--fast-above",
        metavar="E",
        help="Least energy of particles whose showers RUN makes; by default the lowest of its training.",
    ),
    trust: list[str] = TRUST,
    shard: str | None = typer.Option(
        None, "--shard", metavar="i/N", help="Simulate only part i (0 … N-1) of N, for batch farms."
    ),
    shards: int | None = typer.Option(
        None,
        "--shards",
        min=1,
        max=MOST_SHARDS,
        metavar="N",
        help="Simulate all N parts, one file each, in the folder -o.",
    ),
    cluster: str | None = CLUSTER,
    adapt: str | None = ADAPT,
    retries: int = RETRIES,
    collect: bool = COLLECT,
    resume: bool = typer.Option(False, "--resume", help="Keep the files that this command has already finished."),
    append: bool = typer.Option(False, "--append", help="Add events to a FILE written by the same command."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file and start again."),
) -> None:
    """Simulate showers with Geant4.

    Finished events are written to FILE.partial as they complete. After an
    interruption, run the same command again: it continues from there and gives
    the same result. Each shower has its own seed, so the result does not depend
    on --workers either. The CPU time of each shower is recorded in the file
    (geant4_cpu_seconds).

    The shards of a sample contain the same showers as one file of it, wherever
    they are simulated; caloforge merge concatenates them.

    With --fast RUN, particles that the run was trained on are taken out of Geant4
    where they enter the detector, and the run makes their showers.

    Needs the extra caloforge\\[geant4] and Geant4's data sets; docs/geant4.md
    says where to get them.

    Example: caloforge simulate geant4 -d w-si -p e- -e loguniform:1GeV:16GeV -n 500 -w 2 -o showers.h5

    Example: caloforge simulate geant4 -d w-si -p e- -e loguniform:1GeV:16GeV --angles uniform:0:60deg --frame particle
    -n 4000 -o angles.h5

    Example: caloforge simulate geant4 -d atlas-like-hadronic --gun "2 gamma 1GeV:10GeV, 1 pi+ 5GeV"
    --condition x=uniform:-50:50mm -n 200 -o events.h5

    Example: caloforge simulate geant4 -d atlas-like --gun "3 gamma 1GeV:16GeV" --condition x=uniform:-50:50mm -n 200
    --fast flagship-atlas-like -o fast.h5

    Example: caloforge simulate geant4 -d w-si -p gamma -e uniform:1GeV:10GeV --points cell:5mm --threshold 0.1MIP
    -n 500 -o hits.h5

    Example: caloforge simulate geant4 -d w-si -p e- -e list:4GeV -n 100000 --shards 200 --cluster slurm.yaml -o shards
    """
    import shlex

    from caloforge.errors import CaloforgeError
    from caloforge.files import prepare_parent, printable, real, refuse_existing
    from caloforge.showers.shard import Shard
    from caloforge.sources.geant4.datasets import find_data, physics_list_for
    from caloforge.sources.geant4.detector import load_detector
    from caloforge.sources.geant4.gun import parse_gun, physics_list_of
    from caloforge.sources.geant4.request import SimulationRequest, binding_version

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite are mutually exclusive")
    options = cluster_options(cluster, adapt, retries, collect, shards)
    if shards is not None and shard is not None:
        raise CaloforgeError("--shard simulates one part and --shards all of them: give only one of the two")
    if append and (shards is not None or shard is not None):
        raise CaloforgeError("--append extends a file of a whole sample, not a shard of one: leave it out")
    if shards is not None and output.is_file():
        raise CaloforgeError(f"{output} is a file; --shards needs a folder")
    laws = [*conditions, *([] if angles is None else [f"theta={angles}"])]
    binding_version()
    loaded = load_detector(detector)
    if download_geant4_data:
        _download(physics_list_of(parse_gun(gun)) if gun else physics_list_for(particle), geant4_data)
    request = SimulationRequest(
        detector=loaded,
        particle=particle,
        energies=energies,
        n=n,
        seed=seed,
        data=find_data(geant4_data),
        cut=cut,
        angle=_angle(angle),
        position=_position(position),
        conditions=tuple(laws),
        frame="particle" if frame is FrameChoice.PARTICLE else "detector",
        gun=gun,
        points=points,
        threshold=threshold,
    )
    if fast is not None:
        request = _with_run(request, fast, fast_above, trust)
    elif fast_above is not None or trust:
        raise CaloforgeError("--fast-above and --trust are for a run: give it by --fast RUN")
    words = ["caloforge", "simulate", "geant4", "-d", detector]
    words += ["--gun", gun] if gun else ["-p", particle, "-e", energies]
    words += [] if n is None else ["-n", str(n)]
    words += [] if fast is None else ["--fast", fast.name]
    words += [] if fast_above is None else ["--fast-above", fast_above]
    words += [word for law in laws for word in ("--condition", law)]
    words += ["--points", points] if points else []
    words += ["--threshold", threshold] if threshold else []
    words += [] if frame is FrameChoice.DETECTOR else ["--frame", frame.value]
    words += ["--seed", str(seed), "--angle", angle, "--position", position, "--cut", f"{cut:g}", "-o", output.name]
    attributes = {"command": printable(shlex.join(words))}
    if shards is None:
        part = None if shard is None else Shard.parse(shard)
        _simulate(request, output, workers, resume, overwrite, append, attributes, part)
        return
    parts = {Shard(number, shards): output / Shard(number, shards).file_name() for number in range(shards)}
    total = len(request.draw())
    for part in parts:
        part.rows(total)  # raises if it is empty, before anything is written
    for path in parts.values():
        prepare_parent(path)
        if not resume:
            refuse_existing(path, overwrite)
    if options is None:
        for part, path in parts.items():
            _simulate(request, path, workers, resume, overwrite, False, attributes, part)
    else:
        data = None if geant4_data is None else real(geant4_data)
        _on_cluster(request, options, shards, output, data, resume, overwrite, attributes)


def _with_run(request: SimulationRequest, run: Path, above: str | None, trust: list[str]) -> SimulationRequest:
    """The same, with a run that makes showers; says on stderr what is approximated."""
    from dataclasses import replace

    from caloforge.cli.console import stderr
    from caloforge.cli.runs import folder_of
    from caloforge.simulator.within_geant4 import within_geant4
    from caloforge.units import format_energy, parse_energy

    found = within_geant4(folder_of(run).absolute(), request, None if above is None else parse_energy(above), trust)
    stderr.print(
        f"{found.folder.name} makes the showers of particles of {format_energy(found.above)} and more", markup=False
    )
    for note in found.approximations:
        stderr.print(f"approximated: {note}", markup=False)
    return replace(request, fast=found)


def _simulate(
    request: SimulationRequest,
    output: Path,
    workers: int,
    resume: bool,
    overwrite: bool,
    append: bool,
    attributes: dict[str, str],
    shard: Shard | None,
) -> None:
    """Simulate one file in this process."""
    from caloforge.cli.console import stderr, stdout
    from caloforge.sources.geant4.simulation import all_events, partial_path, simulate
    from caloforge.units import count

    if resume and output.exists() and all_events(request, shard).settle(output):
        stdout.print(f"kept {output}: already complete", markup=False)
        return
    try:
        summary = _with_bar(
            lambda progress: simulate(request, output, workers, overwrite, append, attributes, progress, shard),
            "Geant4" if shard is None else f"shard {shard}",
        )
    except KeyboardInterrupt:
        if partial_path(output).exists():
            stderr.print(f"finished events are in {partial_path(output)}; run the same command again to continue")
        raise
    rate, noun = summary.simulated / summary.wall_seconds, "event" if request.gun else "shower"
    stdout.print(
        f"{output}: {count(summary.n, noun)} of {request.particles} in {request.detector.name}; "
        f"{summary.cpu_ms_per_gev:.1f} ms of CPU per GeV, {1e3 * summary.cpu_seconds / summary.n:.1f} ms per {noun}; "
        f"{summary.simulated} simulated in this run at {rate:.3g} {noun}s/s with {count(workers, 'worker')}",
        markup=False,
    )


def _on_cluster(
    request: SimulationRequest,
    options: ClusterOptions,
    shards: int,
    output: Path,
    data: Path | None,
    resume: bool,
    overwrite: bool,
    attributes: dict[str, str],
) -> None:
    """Simulate the shards that are missing on a cluster."""
    from dataclasses import replace

    from caloforge.cli.cluster import run_on_cluster
    from caloforge.cli.console import stdout
    from caloforge.cluster.parts import SamplePart
    from caloforge.showers.shard import Shard
    from caloforge.sources.geant4.cluster_work import Geant4Work
    from caloforge.sources.geant4.simulation import all_events

    events, todo = all_events(request), []
    for number in range(shards):
        part = replace(events, shard=Shard(number, shards))
        name = Shard(number, shards).file_name()
        if not (resume and part.settle(output / name)):
            todo.append(SamplePart(number, name, len(part.energies)))
    if len(todo) < shards:
        stdout.print(f"kept {shards - len(todo)} of {shards} files in {output}: already complete", markup=False)
    if todo:
        run_on_cluster(options, Geant4Work(events, shards, data, overwrite, attributes), todo, output, "Geant4")


def _with_bar(run: Callable[[Callable[[int, int], None]], SimulationSummary], name: str) -> SimulationSummary:
    """Call `run` with a progress bar that starts from the events of an earlier run."""
    from caloforge.cli.console import progress_bar

    with progress_bar() as bar:
        task = bar.add_task(name, total=None, unit="showers", remark="starting")

        def advance(done: int, of: int) -> None:
            if bar.tasks[0].total is None:
                remark = f"({done} from an earlier run)" if done else ""
                bar.reset(task, total=of, completed=done, unit="showers", remark=remark)
            bar.update(task, completed=done)

        return run(advance)


def _download(physics_list: str, folder: Path | None) -> None:
    """Download the data sets that a physics list needs and that are missing from `folder` (or Geant4's search path)."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from caloforge.cli.console import stderr
    from caloforge.sources.geant4.datasets import USUAL_FOLDER, find_data
    from caloforge.sources.geant4.fetch_data import download

    target = USUAL_FOLDER.expanduser() if folder is None else folder
    found = find_data(folder if folder is None or folder.is_dir() else None)
    missing = found.missing(physics_list)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=stderr) as bar:
        tasks = {d.archive: bar.add_task(d.archive, total=None) for d in missing}
        download(missing, target, lambda name, got, size: bar.update(tasks[name], completed=got, total=size))


def _angle(text: str) -> float:
    """Radians from text such as `0.26`, `0.26rad` or `15deg`."""
    import math

    from caloforge.errors import CaloforgeError

    try:
        return math.radians(float(text[:-3])) if text.endswith("deg") else float(text.removesuffix("rad"))
    except ValueError:
        raise CaloforgeError(f"--angle '{text}' is not a valid angle; write 0.26 (rad) or 15deg") from None


def _position(text: str) -> tuple[float, float]:
    """(x, y) in mm from text such as `3,-1.5`."""
    from caloforge.errors import CaloforgeError

    try:
        x, y = (float(word) for word in text.split(","))
    except ValueError:
        raise CaloforgeError(f"--position '{text}' is not a valid point; write X,Y in mm, as in 3,-1.5") from None
    return x, y
