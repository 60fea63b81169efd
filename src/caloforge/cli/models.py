"""`caloforge models`: list, describe, download and pack trained generators."""

from __future__ import annotations

from pathlib import Path

import typer

from caloforge.cli.runs import RUN, TRUST, folder_of

app = typer.Typer(
    name="models",
    help="Trained generators to use at once: list, describe, download and pack them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("list")
def list_models() -> None:
    """List the models on this machine: in the package, and downloaded.

    A model's name is accepted wherever a RUN is, as in
    caloforge generate NAME --energies uniform:1GeV:16GeV -n 1000 -o showers.h5

    Example: caloforge models list
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.zoo.model_card import Card
    from caloforge.zoo.shelf import SHIPPED, models

    found = models()
    for name, folder in found.items():
        card = Card.read(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        where = "in the package" if folder.parent == SHIPPED else str(folder)
        stdout.print(name, style="bold")
        if card.description:
            stdout.print(f"  {card.description}")
        stdout.print(f"  {card.headline}")
        stdout.print(f"  {size:.1f} MB, {where}")
    if not found:
        stdout.print("no models")
    stderr.print("next: caloforge models show NAME")


@app.command("show")
def show_model(
    run: Path = RUN,
    as_json: bool = typer.Option(False, "--json", help="Print the card as JSON instead."),
    trust: list[str] = TRUST,
) -> None:
    """Show the card of a model, or of a run that you trained.

    What it was trained on, the ranges it holds for, how far its showers are from
    Geant4 (with the baseline, Geant4 vs Geant4), licence, citation, hash of the
    weights, and the command that made it.

    Example: caloforge models show flagship-w-si
    """
    from rich.table import Table

    from caloforge.cli.console import stderr, stdout
    from caloforge.evaluation.metrics.weight_tails import WEIGHTS
    from caloforge.evaluation.report.terminal import empty_table
    from caloforge.registry import importable
    from caloforge.units import format_energy
    from caloforge.zoo.model_card import Card

    with importable(Path.cwd()):
        card = Card.read(folder_of(run), trust)
    if as_json:
        stdout.print(card.model_dump_json(indent=2))
        return
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for what, text in card.lines():
        rows.add_row(what, text)
    stdout.print(card.name, style="bold")
    stdout.print(rows, soft_wrap=False)
    if found := list(card.numbers()):
        table = empty_table("numbers at equal sample size; baseline: Geant4 vs Geant4")
        for title in ("", "value", "baseline", "pull"):
            table.add_column(title, justify="right" if title else "left", no_wrap=bool(title), overflow="fold")
        for row in found:
            table.add_row(*row)
        stdout.print(table, soft_wrap=False)
        if any(label.startswith(WEIGHTS.title) for label, *_ in found):
            stdout.print(
                "C: the classifier's probability that a shower is from Geant4; w: density ratio, Geant4 over generated"
            )
    if card.energy_range_mev is not None:
        low, high = (format_energy(energy).replace(" ", "") for energy in card.energy_range_mev)
        stderr.print(f"next: caloforge generate {run} --energies loguniform:{low}:{high} -n 1000 -o showers.h5")


@app.command("get")
def get_model(
    source: str = typer.Argument(..., help="DOI of a record, as 10.5281/zenodo.1234567, or an archive (.zip)."),
    folder: Path | None = typer.Option(
        None,
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for models; by default the one in which names are looked up (CALOFORGE_MODELS).",
    ),
    file: str | None = typer.Option(None, "--file", help="Archive to take, if the record has several."),
    records_url: str | None = typer.Option(
        None,
        "--records-url",
        envvar="CALOFORGE_RECORDS_URL",
        help="Base URL of the records, for a mirror; by default Zenodo.",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace a model of the same name."),
) -> None:
    """Download a model from a public record, or install an archive that you were given.

    Checksums are verified. An interrupted download is kept and resumed by the same
    command. A model contains data only: nothing in it is executed.

    Example: caloforge models get 10.5281/zenodo.1234567

    Example: caloforge models get my-model.zip
    """
    from rich.progress import TaskID

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.sources.public.http import RemoteFile
    from caloforge.zoo.remote import get

    bar, tasks = progress_bar(), dict[str, TaskID]()

    def show(remote: RemoteFile, done: int) -> None:
        if not tasks:
            bar.start()
        if remote.name not in tasks:
            tasks[remote.name] = bar.add_task(remote.name, total=remote.size / 1e6, unit="MB", remark="")
        bar.update(tasks[remote.name], completed=done / 1e6)

    try:
        path = get(source, folder, file=file, records_url=records_url, progress=show, overwrite=overwrite)
    except KeyboardInterrupt:
        stderr.print("the partial download is kept; run the same command again to resume it")
        raise
    finally:
        if tasks:
            bar.stop()
    stdout.print(str(path))
    stderr.print(f"next: caloforge models show {path.name if folder is None else path}")


@app.command("pack")
def pack_model(
    run: Path = RUN,
    out: Path = typer.Option(..., "--out", "-o", help="Archive to write (NAME.zip), or a folder."),
    name: str | None = typer.Option(None, "--name", help="Name of the model; by default that of the output."),
    description: str = typer.Option("", "--description", help="What it is, in one sentence."),
    licence: str = typer.Option("", "--licence", help="Licence of the weights, as CC-BY-4.0."),
    citation: str = typer.Option("", "--citation", help="What users should cite."),
    trained_with: str = typer.Option(
        "", "--trained-with", metavar="COMMAND", help="Command that made the run, where the run does not know it."
    ),
    report: Path | None = typer.Option(
        None, "--report", metavar="DIR", help="Report of `caloforge evaluate` on showers of this run, for its numbers."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing model."),
    trust: list[str] = TRUST,
) -> None:
    """Pack a run to share it: weights that generate showers and a card, in one archive.

    What only training uses (teacher, critic, encoder, optimiser, log) is left out.
    Weights and large tables are stored as float16 if showers with equal seeds change
    by less than 1 % of their energy (median); otherwise as float32. Upload the
    archive to a record (Zenodo); others get it with `caloforge models get DOI`.

    Example: caloforge models pack run -o my-photons.zip --licence CC-BY-4.0 --report report
    """
    from caloforge.cli.console import stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.evaluation.report.report import Report
    from caloforge.files import prepare_parent, refuse_existing
    from caloforge.registry import importable
    from caloforge.zoo import load
    from caloforge.zoo.archive import SUFFIX
    from caloforge.zoo.model_card import CARD
    from caloforge.zoo.model_packing import pack

    if out.is_dir():
        if out.suffix == SUFFIX or not (out / CARD).exists():
            raise CaloforgeError(f"{out} is a folder, and not a packed model: choose another -o")
        if not overwrite:
            raise CaloforgeError(f"{out} exists: give another output or --overwrite")
    else:
        prepare_parent(out)
        refuse_existing(out, overwrite)
    with importable(Path.cwd()):
        simulator = load(run, trust)
        card = pack(
            simulator,
            out,
            name=name or (out.stem if out.suffix == SUFFIX else out.name),
            description=description,
            licence=licence,
            citation=citation,
            trained_with=trained_with,
            report=None if report is None else Report.load(report),
            trusted=trust,
        )
    size = out.stat().st_size if out.is_file() else sum(path.stat().st_size for path in out.iterdir())
    stdout.print(f"{card.parameters:,} of {simulator.n_parameters:,} parameters, {size / 1e6:.1f} MB, {card.weights}")
    stdout.print(f"wrote {out}")
    for what, value in (("--licence", licence), ("--citation", citation), ("--report", report)):
        if not value:
            stderr.print(f"note: without {what} the card does not tell users about it")
