"""`--cluster`: what commands that generate in shards have in common when workers of a cluster do it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cluster.parts import Result, SamplePart, Watcher, Work

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from caloforge.cluster.where import Where

CLUSTER = typer.Option(
    None,
    "--cluster",
    metavar="WHERE",
    help="Generate the shards on a Dask cluster: local:N (processes on this machine), tcp://host:8786 (a running "
    "scheduler) or a .yaml file for Slurm, HTCondor, … (docs/cluster.md; extra caloforge\\[cluster]).",
)
ADAPT = typer.Option(
    None, "--adapt", metavar="MIN:MAX", help="With --cluster: scale the number of workers with the work left."
)
RETRIES = typer.Option(
    3, "--retries", min=0, max=1000, help="With --cluster: how many more times to try a shard that fails."
)
COLLECT = typer.Option(
    False,
    "--collect",
    help="With --cluster: workers send their files back, for clusters without a shared file system.",
)


@dataclass(frozen=True)
class ClusterOptions:
    """The options of a command."""

    where: Where
    retries: int
    collect: bool


def cluster_options(
    cluster: str | None,
    adapt: str | None,
    retries: int,
    collect: bool,
    shards: int | None,
    modules: Sequence[str] = (),
) -> ClusterOptions | None:
    """The options, checked; None without --cluster.

    Args:
        cluster, adapt, retries, collect, shards: as given.
        modules: names of modules that the work needs: workers on this machine begin to import them.

    Raises:
        CaloforgeError: they contradict each other, --shards is missing, or what --cluster names is not a cluster.
    """
    from caloforge.errors import CaloforgeError

    if cluster is None:
        for option, given in (("--adapt", adapt is not None), ("--collect", collect)):
            if given:
                raise CaloforgeError(f"{option} needs --cluster")
        return None
    from caloforge.cluster.where import Adapt, parse_where

    if shards is None:
        raise CaloforgeError("--cluster needs --shards N: into how many files, one task each, to split the sample")
    where = parse_where(cluster, None if adapt is None else Adapt.parse(adapt))
    where.prepare(modules)
    return ClusterOptions(where, retries, collect)


def run_on_cluster(options: ClusterOptions, work: Work, parts: Sequence[SamplePart], folder: Path, name: str) -> None:
    """Generate parts on a cluster, with a progress bar, and report.

    Args:
        options: from `cluster_options`.
        work: generates a part.
        parts: what to generate.
        folder: for the files.
        name: of the bar.

    Raises:
        CaloforgeError: from `make_parts`.
        typer.Exit: a part failed every time (status 1).
    """
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.cluster.tasks import make_parts
    from caloforge.files import real

    begun = time.perf_counter()
    with progress_bar() as bar:
        total = sum(part.showers for part in parts)
        task = bar.add_task(name, total=total, unit="showers", remark="starting")
        result = make_parts(
            options.where,
            work,
            parts,
            real(folder),
            retries=options.retries,
            collect=options.collect,
            watcher=BarWatcher(bar, task),
        )
    wall = time.perf_counter() - begun
    for remark in result.remarks:
        stderr.print(remark, markup=False)
    known = {part.number: part for part in parts}
    showers = sum(known[number].showers for number in result.made)
    stdout.print(
        f"{showers:,} showers in {len(result.made)} files in {wall:.1f} s: {showers / wall:,.4g} showers/s"
        + (f"; {result.retried} failed attempts repeated" if result.retried else "")
    )
    if result.starts:
        stdout.print(_starts(result))
    if result.failed:
        for number, error in sorted(result.failed.items()):
            stderr.print(f"failed: {known[number].file_name} (shard {number}): {error}", markup=False)
        stderr.print(
            f"{len(result.failed)} of {len(parts)} shards failed {options.retries + 1} times; the others are in "
            f"{folder}: repeat the command with --resume for those that are missing",
            markup=False,
        )
        raise typer.Exit(1)
    stdout.print(f"wrote {folder}", markup=False)


class BarWatcher(Watcher):
    """One progress bar over all workers."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._retried = 0

    def opened(self, dashboard: str) -> None:
        """See `Watcher.opened`."""
        from caloforge.cli.console import stderr

        stderr.print(f"Dask's dashboard: {dashboard}", markup=False)

    def progress(self, showers: int, workers: int) -> None:
        """See `Watcher.progress`."""
        text = "1 worker" if workers == 1 else f"{workers} workers" if workers else "waiting for workers"
        text += f", {self._retried} attempts repeated" if self._retried else ""
        self._bar.update(self._task, completed=showers, remark=text)

    def retried(self, part: SamplePart, error: str) -> None:
        """See `Watcher.retried`."""
        from caloforge.cli.console import stderr

        self._retried += 1
        stderr.print(f"note: {part.file_name} is tried again: {error}", markup=False)


def _starts(result: Result) -> str:
    """How long the workers took to load what they need."""
    seconds = list(result.starts.values())
    share = sum(seconds) / (sum(seconds) + result.seconds)
    workers = "1 worker" if len(seconds) == 1 else f"{len(seconds)} workers"
    return f"start-up of {workers}: {sum(seconds) / len(seconds):.2f} s each, once, {share:.1%} of their time"
