"""`caloforge data`: list and download public data sets of showers."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(
    name="data",
    help="List and download public data sets of simulated showers.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("list")
def list_data(
    names: list[str] = typer.Argument(None, metavar="NAME_OR_FILE", help="Data sets to list; by default all."),
) -> None:
    """List public data sets: particle, voxels, energies, files and publication page.

    Works offline. To add your own data set, describe it in a small YAML file and
    pass its path instead of a name. The keys are name, particle, geometry,
    energies, showers (per file), doi, train and reference (lists of file names).

    Example: caloforge data list

    Example: caloforge data list my-photons.yaml
    """
    from caloforge.cli.console import stdout
    from caloforge.sources.public import catalog

    for data_set in [catalog.find(name) for name in names or catalog.DATA_SETS]:
        geometry = data_set.load_geometry()
        rows = (
            ("particle", f"{data_set.particle}, {data_set.energies}"),
            ("geometry", f"{geometry.name}: {geometry.n_voxels} voxels in {geometry.n_layers} layers"),
            ("showers", f"{data_set.showers:,} per file"),
            ("train", ", ".join(data_set.train)),
            ("reference", ", ".join(data_set.reference)),
            ("published", data_set.page),
        )
        stdout.print(data_set.name, style="bold", markup=False)
        for name, value in rows:
            stdout.print(f"  {name:<10} {value}", markup=False)


@app.command("get")
def get_data(
    name: str = typer.Argument(..., help="Name from `caloforge data list`, or a .yaml file that describes a data set."),
    output: Path = typer.Option(Path("data"), "--out", "-o", metavar="DIR", help="Folder for the files."),
    files: str = typer.Option("all", "--files", "-f", help="train, reference, all, or a single file name."),
    records_url: str | None = typer.Option(
        None,
        "--records-url",
        envvar="CALOFORGE_RECORDS_URL",
        help="Base URL of the records, for a mirror; by default the data set's own, or Zenodo.",
    ),
) -> None:
    """Download a public data set and verify the checksums of its record.

    An interrupted download is kept as FILE.part and resumed by the same command;
    complete files are not downloaded again. Prints the file paths.

    Example: caloforge data get ds1-photons -o data --files train
    """
    from rich.progress import TaskID

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.sources.public.catalog import find
    from caloforge.sources.public.http import RemoteFile
    from caloforge.sources.public.record import get

    data_set = find(name)
    tasks: dict[str, TaskID] = {}
    bar = progress_bar()

    def show(file: RemoteFile, done: int) -> None:
        if not tasks:
            bar.start()
        if file.name not in tasks:
            remark = "already here" if done == file.size else "resumed" if done else ""
            tasks[file.name] = bar.add_task(file.name, total=file.size / 1e6, unit="MB", remark=remark)
        bar.update(tasks[file.name], completed=done / 1e6)

    try:
        paths = get(name, output, files, records_url, show)
    except KeyboardInterrupt:
        stderr.print("the partial download is kept; run the same command again to resume it")
        raise
    finally:
        if tasks:
            bar.stop()
    for path in paths:
        stdout.print(str(path), markup=False)
    stderr.print(f"published at {data_set.page}: please cite it", markup=False)
    _hint(paths, data_set.train, data_set.reference)


def _hint(paths: list[Path], train: tuple[str, ...], reference: tuple[str, ...]) -> None:
    import shlex

    from caloforge.cli.console import stderr

    to_train = next((path for path in paths if path.name in train), None)
    to_evaluate = next((path for path in paths if path.name in reference), None)
    showers = to_train or to_evaluate
    if showers is None:
        return
    stderr.print("next:", markup=False)
    stderr.print(f"  caloforge check {shlex.quote(str(showers))}", markup=False)
    if to_train:
        stderr.print(f"  caloforge train RECIPE --train {shlex.quote(str(to_train))} -o RUN", markup=False)
    if to_evaluate:
        stderr.print(
            f"  caloforge evaluate GENERATED --reference {shlex.quote(str(to_evaluate))} -o REPORT", markup=False
        )
