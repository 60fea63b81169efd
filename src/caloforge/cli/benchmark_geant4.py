"""`caloforge benchmark-geant4`: speed-up over Geant4."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import detectors
from caloforge.cli.runs import RUN, TRUST, folder_of

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.timing import Geant4Comparison


def benchmark_geant4(
    run: Path = RUN,
    n: int = typer.Option(20, "-n", min=2, help="Geant4 showers per energy."),
    batches: str = typer.Option("1,1000", "--batches", help="Showers per call of the generator, comma-separated."),
    energies: str | None = typer.Option(
        None,
        "--energies",
        "-e",
        metavar="LIST",
        help="Incident energies, e.g. list:256,...,16384; by default 7 across the training range.",
    ),
    detector: str | None = typer.Option(
        None,
        "--detector",
        "-d",
        autocompletion=detectors,
        help="As in `caloforge simulate geant4`; by default that of the run's training showers, if shipped.",
    ),
    particle: str | None = typer.Option(
        None, "--particle", "-p", help="Incident particle; by default as in the training showers."
    ),
    geant4_data: Path | None = typer.Option(
        None,
        "--geant4-data",
        metavar="DIR",
        help="Folder of the Geant4 data sets; by default from Geant4's environment variables.",
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed, for Geant4 and the generator."),
    out: Path | None = typer.Option(None, "--out", "-o", metavar="FILE", help="JSON file with all results."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
    trust: list[str] = TRUST,
) -> None:
    """Compare the time per shower of a trained run with that of Geant4.

    Both run in turn on the same core, with one thread, at the same energies. The
    Geant4 time is the mean CPU time per event, without initialisation; the
    generator time is the median CPU time of repeated calls, from incident
    energies to voxels in MeV. The ratio is Geant4 time over generator time. Angles
    and positions that the run knows are drawn evenly from their trained ranges.

    Needs the extra caloforge\\[geant4] and Geant4's data sets; docs/geant4.md
    says where to get them.

    Example: caloforge benchmark-geant4 run --batches 1,1000 -n 20 -o benchmark.json
    """
    from caloforge.cli.benchmark import check_outputs, finish, load, whole_numbers
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.timing import against_geant4, machine
    from caloforge.timing.defaults import energies_to_time, geant4_request

    sizes = whole_numbers(batches, "--batches", "1,1000")
    check_outputs(overwrite, out)
    simulator = load(folder_of(run), trust)
    spectrum, values = energies_to_time(simulator, energies)
    request = geant4_request(simulator, spectrum, detector=detector, particle=particle, data=geant4_data, seed=seed)
    facts = machine()
    with progress_bar() as bar:
        task = bar.add_task("Geant4", total=n * len(values), unit="showers", remark="")
        compared = against_geant4(simulator, request, n, sizes, progress=lambda done: bar.advance(task, done))
    stdout.print(_table(compared))
    version, name, what = (compared.geant4[key] for key in ("version", "detector", "particle"))
    stdout.print(f"Geant4 {version}: {what} in {name}, {n} showers per energy", markup=False)
    if drawn := compared.geant4.get("conditions"):
        stdout.print(f"at {', '.join(f'{name} {span}' for name, span in drawn.items())}", markup=False)
    if not compared.pinned:
        stderr.print("note: processes cannot be bound to a core on this system; both ran in turn with one thread")
    for size in sizes:
        fraction = compared.model_fraction(size)
        stdout.print(f"batch {size}: the model takes {100 * fraction:.0f} % of the generator's time", markup=False)
    rows = [{**asdict(row), "speed_up": row.speed_up} for row in compared.rows]
    result = {"geant4": compared.geant4, "one_core": compared.pinned, "per_energy": rows}
    finish(simulator, facts, seed, result, out)


def _table(compared: Geant4Comparison) -> Table:
    from caloforge.cli.benchmark import simple_table
    from caloforge.formatting import number, with_error
    from caloforge.units import format_energy

    sizes = [timing.batch for timing in compared.rows[0].generator]
    table = simple_table("E_inc", "Geant4, ms", *(title for b in sizes for title in (f"batch {b}\nms", "ratio")))
    for row in compared.rows:
        cells = []
        for timing in row.generator:
            cells += [number(timing.cpu.median, 3), number(row.speed_up[timing.batch], 3)]
        table.add_row(format_energy(row.energy), with_error(row.geant4.cpu, row.geant4.error), *cells)
    return table
