"""`caloforge benchmark`: time per shower, with a lower bound, other engines and reference implementations."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from caloforge.cli.choices import MOST_SEED, ReferenceChoice
from caloforge.cli.runs import RUN, TRUST, folder_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from caloforge.simulator import Simulator
    from caloforge.timing.scan import Call, Scan


FIGURES = (".png", ".pdf", ".svg")


def benchmark(
    run: Path = RUN,
    batches: str = typer.Option("1,100,10000", "--batches", help="Showers per call of the generator, comma-separated."),
    threads: str = typer.Option("1", "--threads", help="Thread counts, comma-separated, e.g. 1,all."),
    engines: str = typer.Option(
        "", "--engines", help="Other engines to time, comma-separated: onnx, onnx-int8, compile."
    ),
    reference: ReferenceChoice | None = typer.Option(
        None, "--reference", help="Also time a reference implementation: CaloMan with its flow from nflows."
    ),
    reference_path: Path | None = typer.Option(
        None, "--reference-path", metavar="DIR", help="Folder of the reference implementation, if it is not installed."
    ),
    plot: Path | None = typer.Option(
        None, "--plot", metavar="FILE", help="Plot of time against batch size (png, pdf or svg)."
    ),
    energies: str | None = typer.Option(
        None,
        "--energies",
        "-e",
        metavar="LIST",
        help="Incident energies, e.g. list:256,...,16384; by default 7 across the training range.",
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed for the showers."),
    out: Path | None = typer.Option(None, "--out", "-o", metavar="FILE", help="JSON file with all results."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    trust: list[str] = TRUST,
) -> None:
    """Measure the time per shower of a trained run.

    The time of a generator is measured from incident energies to voxels in MeV,
    including the inverse preprocessing, as the median of repeated calls. The
    candidates take turns. One thread is timed in CPU time, several in wall-clock
    time.

    Columns: torch is `caloforge generate`; model is the same without the inverse
    preprocessing; lower bound is the matrix products of the network alone; onnx,
    onnx-int8 and compile are the other engines; graph and graph-int8 are the
    onnxruntime call alone, as a C++ program would see it; nflows is torch with
    the flow from that library.

    Example: caloforge benchmark run --engines onnx,onnx-int8 --plot times.png -o benchmark.json

    Example: caloforge benchmark run --reference nflows --reference-path nflows-folder

    See also: caloforge benchmark-geant4
    """
    from caloforge.cli.console import stdout
    from caloforge.errors import CaloforgeError
    from caloforge.timing import machine
    from caloforge.timing.candidates import candidates
    from caloforge.timing.defaults import energies_to_time
    from caloforge.timing.scan import peak_memory_mb

    sizes = whole_numbers(batches, "--batches", "1,1000")
    if plot is not None and plot.suffix.lower() not in FIGURES:
        raise CaloforgeError(f"--plot {plot}: the file name must end with {', '.join(FIGURES)}")
    check_outputs(overwrite, out, plot)
    run = folder_of(run)
    simulator = load(run, trust)
    _, values = energies_to_time(simulator, energies)
    facts = machine()
    cores = str(facts["cores"] or 1)
    counts = whole_numbers(
        ",".join(cores if w.strip() == "all" else w for w in threads.split(",")), "--threads", "1,all"
    )
    others = candidates(
        simulator,
        [w.strip() for w in engines.split(",") if w.strip()],
        _references(simulator, reference, reference_path),
    )
    rows = _timed(simulator, values, sizes, counts, others, seed)
    for n_threads in counts:
        stdout.print(_table([row for row in rows if row.threads == n_threads]))
    for row in rows:
        stdout.print(_in_words(row), markup=False)
    if plot is not None:
        _save_figure(rows, counts[0], plot)
    loaded, after_batch = peak_memory_mb(run, sizes[-1], trust)
    memory = {"loaded": loaded, "batch": sizes[-1], "after_a_batch": after_batch}
    stdout.print(f"peak memory with a batch of {sizes[-1]}: {after_batch:.0f} MB (run loaded: {loaded:.0f} MB)")
    result = {"energies_mev": values.tolist(), "generator": [asdict(row) for row in rows], "peak_memory_mb": memory}
    finish(simulator, facts, seed, result, out)


def load(run: Path, trust: list[str]) -> Simulator:
    """The simulator of a run; the user's own classes may be in the current folder."""
    from caloforge.registry import importable
    from caloforge.simulator import Simulator

    with importable(Path.cwd()):
        return Simulator.load(run, trust)


def whole_numbers(text: str, option: str, example: str) -> list[int]:
    """Sorted distinct positive integers from a comma-separated list."""
    from caloforge.errors import CaloforgeError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise CaloforgeError(f"{option} '{text}' must list positive whole numbers, e.g. {example}")
    return sorted({int(word) for word in words})


def check_outputs(overwrite: bool, *paths: Path | None) -> None:
    """Raise for output files that exist or cannot be written, before anything is timed."""
    from caloforge.files import prepare_parent, refuse_existing

    for path in paths:
        if path is not None:
            prepare_parent(path)
            refuse_existing(path, overwrite)


def finish(simulator: Simulator, facts: dict[str, Any], seed: int, result: dict[str, Any], out: Path | None) -> None:
    """Print the conditions of the measurement and write the JSON file.

    Args:
        simulator: the one that was timed.
        facts: from `machine`, called before the timing.
        seed: of the showers.
        result: the measurements.
        out: the JSON file, or None for no file.
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.files import write_json
    from caloforge.timing.defaults import description

    stdout.print(f"{simulator.n_parameters:,} parameters; {facts['processor']}, torch {facts['torch']}", markup=False)
    if (facts["load_average"] or 0.0) > (facts["cores"] or 1):
        busy = f"load {facts['load_average']:.1f} on {facts['cores']} cores"
        stderr.print(f"note: the machine is busy ({busy}), which increases CPU times too; ratios are affected less")
    if out is not None:
        head = {"command": shlex.join(["caloforge", *sys.argv[1:]]), "simulator": description(simulator)}
        write_json(out, {**head, "machine": facts, "seed": seed, "unit": "ms per shower", **result})
        stdout.print(f"wrote {out}", markup=False)


def simple_table(*titles: str) -> Table:
    """A table of numbers with these columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
    for title in titles:
        table.add_column(title, justify="right", overflow="fold")  # digits are never cut off
    return table


def _references(simulator: Simulator, reference: ReferenceChoice | None, path: Path | None) -> list[tuple[str, Call]]:
    from caloforge.errors import CaloforgeError
    from caloforge.timing.reference_implementations import nflows_caloman

    if reference is not None:
        return [(reference.value, nflows_caloman(simulator, path))]
    if path is not None:
        raise CaloforgeError(f"--reference-path {path} needs --reference nflows")
    return []


def _timed(
    simulator: Simulator, values: Any, sizes: list[int], threads: list[int], others: Any, seed: int
) -> list[Scan]:
    from caloforge.cli.console import progress_bar
    from caloforge.timing.scan import scan

    with progress_bar() as bar:
        task = bar.add_task("benchmark", total=len(sizes) * len(threads), unit="", remark="")
        return list(scan(simulator, values, sizes, threads, others, seed=seed, progress=lambda k: bar.advance(task, k)))


def _table(rows: Sequence[Scan]) -> Table:
    from caloforge.formatting import number

    names = list(rows[0].ms)
    table = simple_table("batch", *(f"{name.replace('_', ' ')}, ms" for name in names))
    for row in rows:
        table.add_row(str(row.batch), *(number(row.ms[name].median, 3) for name in names))
    clock = {"cpu": "CPU", "wall": "wall-clock"}[rows[0].clock]
    table.title = f"{_threads(rows[0].threads)}: {clock} time per shower"
    return table


def _threads(n: int) -> str:
    return "one thread" if n == 1 else f"{n} threads"


def _in_words(row: Scan) -> str:
    """The ratios of one scan, on one line."""
    parts = [
        f"{_threads(row.threads)}, batch {row.batch}: torch takes {row.ratio('torch', 'lower_bound'):.2f} x the "
        "lower bound",
        f"postprocessing {100 * row.postprocessing:.0f} %",
    ]
    for name in ("torch", "onnx", "graph", "onnx-int8", "graph-int8"):
        ratio = row.ratio("nflows", name)
        parts += [] if ratio is None else [f"{name} is {ratio:.1f} x as fast as nflows"]
    return "; ".join(parts)


def _save_figure(rows: Sequence[Scan], threads: int, path: Path) -> None:
    from caloforge.cli.console import stdout
    from caloforge.files import atomic_path
    from caloforge.plots.style import figure_of
    from caloforge.timing.figure import time_against_batch

    with atomic_path(path) as partial:
        figure_of(time_against_batch(rows, threads)).savefig(partial, format=path.suffix[1:].lower(), dpi=150)
    stdout.print(f"wrote {path}", markup=False)
