"""`caloforge multiclass`: which of several generators is closest to Geant4?"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import geometries

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.classifiers import MulticlassResult


def multiclass(
    generators: list[str] = typer.Argument(
        ..., metavar="NAME=FILE", help="Two or more HDF5 files of generated showers, each with a name."
    ),
    reference: Path = typer.Option(..., "--reference", "-r", help="HDF5 file of reference showers (Geant4)."),
    classifier: str = typer.Option(
        "caloman",
        "--classifier",
        "-c",
        metavar="TEST",
        help="Classifier test whose input, network and training are used.",
    ),
    out: Path | None = typer.Option(None, "--out", "-o", help="JSON file with all results."),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if a file does not name one; if it does, one with the same voxels.",
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed."),
) -> None:
    """Train one classifier to distinguish generators, and apply it to Geant4 showers.

    The classifier is not trained on Geant4. The higher the mean log posterior of
    a generator for Geant4 showers, the more likely they are under it than under
    the others; K identical generators each get -ln K. The confusion matrix, on
    held-out showers, shows how well the generators can be distinguished at all.

    All files must have the same incident-energy spectrum. The tests are those
    listed by caloforge evaluate --help.

    Example: caloforge multiclass caloman=a.h5 flow=b.h5 --reference geant4.h5
    -o multiclass.json
    """
    from itertools import combinations

    from caloforge.classifiers import expected_seconds, get_test, run_multiclass
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.cli.evaluate import Lines, Sections, duration
    from caloforge.energies.agreement import check_same
    from caloforge.errors import CaloforgeError
    from caloforge.evaluation.output import check_writable
    from caloforge.evaluation.report.saving import plain
    from caloforge.evaluation.samples.shared import shared
    from caloforge.evaluation.samples.summary import fingerprint
    from caloforge.files import prepare_parent, real, write_json
    from caloforge.showers import Showers
    from caloforge.showers.checks import warn_of_doubts
    from caloforge.showers.inputs import read as read_showers
    from caloforge.units import count

    files = parse_generators(generators)
    test = get_test(classifier)
    if out is not None:
        if real(out) in {real(path) for path in (*files.values(), reference)}:
            raise CaloforgeError(f"{out} is an input file: give another file with -o")
        prepare_parent(out)
        check_writable(out)
    truth = read_showers(reference, geometry)
    warn_of_doubts(reference, truth.energies, truth.deposited)
    samples = {}
    for name, path in files.items():
        read = read_showers(path, geometry)
        if not read.geometry.has_voxels_of(truth.geometry):
            raise CaloforgeError(
                f"{path} has geometry '{read.geometry.name}', {reference} has '{truth.geometry.name}'; "
                "give files of one geometry"
            )
        warn_of_doubts(path, read.energies, read.deposited)
        check_same(read.energies, truth.energies, str(path), str(reference))
        samples[name] = Showers(read.energies, read.voxels, truth.geometry)
    prints = {name: fingerprint(showers.voxels) for name, showers in {**samples, str(reference): truth}.items()}
    for first, second in combinations(prints, 2):
        if same := shared(prints[first], prints[second]):
            stderr.print(f"note: {first} and {second} share {count(same, 'shower')}")
    n = min(map(len, samples.values()))
    # A binary test trains on two samples, this one on all of them.
    seconds = expected_seconds(test, n, truth.geometry) * len(samples) / 2
    stderr.print(f"classifier {classifier}, {len(samples)} generators: at most about {duration(seconds)}", markup=False)
    section = f"classifier {classifier}"
    with progress_bar() if stderr.is_terminal else nullcontext() as bar:
        tell = Sections(bar) if bar is not None else Lines()
        tell(section, 0, test.epochs)
        found = run_multiclass(
            test, samples, truth, seed=seed, progress=lambda epoch: tell(section, epoch.epoch, epoch.epochs)
        )
        if isinstance(tell, Sections):
            tell.finish()
    for table in tables(found):
        stdout.print(table)
    if out is not None:
        paths = {"files": {name: str(path) for name, path in files.items()}, "reference": str(reference)}
        write_json(out, plain({**asdict(found), **paths, "seed": seed}))
        stdout.print(f"wrote {out}", markup=False)


def parse_generators(words: list[str]) -> dict[str, Path]:
    """Name → file from words such as `caloman=a.h5`.

    Raises:
        CaloforgeError: a name or file is missing, a name is repeated, or there are fewer than two generators.
    """
    from caloforge.errors import CaloforgeError

    files: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path):
            raise CaloforgeError(f"'{word}': give each generator as NAME=FILE")
        if name in files:
            raise CaloforgeError(f"two generators are called '{name}'; give each its own name")
        files[name] = Path(path)
    if len(files) < 2:
        raise CaloforgeError(f"the multi-class test needs at least two generators, not {len(files)}")
    return files


def tables(found: MulticlassResult) -> list[Table]:
    """Terminal tables: the ranking of the generators, best first, and their confusion matrix."""
    from rich.text import Text

    from caloforge.evaluation.report.terminal import empty_table
    from caloforge.formatting import share, with_error

    best_first = sorted(found.generators.items(), key=lambda item: -item[1].value)
    ranking = empty_table(f"{found.n_reference} Geant4 showers; log posterior of a random guess: {found.guess:.4f}")
    confusion = empty_table(
        f"confusion matrix, {found.n} showers per generator, a fifth held out; accuracy {found.accuracy:.3f}"
    )
    titles = {
        ranking: ("generator", "mean log posterior", "Geant4 showers assigned to it"),
        confusion: ("generated by", *(f"assigned to {name}" for name in found.generators)),
    }
    for table, columns in titles.items():
        for title in columns:
            table.add_column(Text(title), justify="left" if title == columns[0] else "right", no_wrap=True)
    for name, entry in best_first:
        ranking.add_row(Text(name), with_error(entry.value, entry.error), share(entry.assigned))
    for name, row in zip(found.generators, found.confusion.tolist(), strict=True):
        confusion.add_row(Text(name), *map(share, row))
    return [ranking, confusion]
