"""`caloforge dimension`: the intrinsic dimension of showers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import geometries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from caloforge.analysis.shower_dimension import ShowerDimension


def dimension(
    files: list[Path] = typer.Argument(
        ...,
        metavar="FILE",
        help="HDF5 file of showers (CaloChallenge or CaloGAN layout), or several files of one sample.",
    ),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if the file does not name one; if it does, one with the same voxels.",
    ),
    k: str = typer.Option("5,10,20,30,50", "--k", help="Numbers of neighbours, comma-separated, each at least 2."),
    points: int = typer.Option(
        8000, "--points", help="Number of showers to use, chosen at random (per energy with --per-energy)."
    ),
    per_energy: bool = typer.Option(
        False, "--per-energy", help="Also estimate at each incident energy (at most 20 distinct ones)."
    ),
    seed: int = typer.Option(
        0, "--seed", min=0, max=MOST_SEED, help="Random seed for the choice of showers and the bootstrap."
    ),
    output: Path | None = typer.Option(None, "--out", "-o", help="Folder for dimension.json, .csv, .png and .pdf."),
) -> None:
    """Estimate the intrinsic dimension of showers.

    Prints the Levina-Bickel estimate d_k (with the MacKay-Ghahramani correction)
    for several numbers of neighbours k, with bootstrap errors, for three
    representations: raw voxels in MeV; preprocessed as in CaloMan (voxels over
    r_max E_inc, where r_max is the largest E_dep/E_inc read, and E_dep/(r_max
    E_inc) appended); and the logit of that (alpha = 1e-6). TwoNN and local PCA
    are cross-checks; local PCA cannot exceed its number of neighbours.

    All incident energies are mixed unless --per-energy is given. The errors are
    statistical only. With a finite number of points the estimate is biased low,
    more strongly in higher dimensions (8000 points from a 20-dimensional Gaussian
    give about 17 at k = 10), so compare only estimates from the same number of
    points.

    For files with more than 500 million voxel values, only the parts that contain
    chosen showers are read.

    Example: caloforge dimension showers.h5 --k 5,10,20 -o dimension/
    """
    from caloforge.analysis.dimension_files import FIGURES, save_dimensions
    from caloforge.analysis.shower_dimension import choose_showers, shower_dimensions
    from caloforge.cli.console import progress_bar, stdout
    from caloforge.energies.agreement import check_parts
    from caloforge.errors import CaloforgeError
    from caloforge.files import printable
    from caloforge.showers import ShowerFiles, matching_files

    ks = _neighbours(k)
    if points <= ks[-1]:
        raise CaloforgeError(f"--points {points} must be larger than the largest k, {ks[-1]}")
    if output is not None and output.exists() and not output.is_dir():
        raise CaloforgeError(f"{output} is a file; give a folder instead")
    with ShowerFiles(matching_files(files), geometry) as opened:
        name = opened.path
        check_parts(opened.energies_by_file(), opened.paths)
        showers = choose_showers(opened, points, per_energy=per_energy, seed=seed)
    with progress_bar() as bar:
        task = bar.add_task("neighbours", total=showers.n_points, unit="points", remark="")

        def advance(n: int, what: str) -> None:
            bar.update(task, advance=n, remark=what)

        try:
            found = shower_dimensions(showers, ks, seed=seed, progress=advance)
        except CaloforgeError as error:
            raise CaloforgeError(f"{name}, {error}") from None
        bar.update(task, remark="")
    for energy, rows in showers.groups.items():
        stdout.print(_table(energy, showers.n_energies, len(rows), [each for each in found if each.energy == energy]))
    if output is not None:
        save_dimensions(output, showers, found, {"file": printable(name), "points": points, "seed": seed})
        stdout.print(f"wrote {output}/dimension.json, .csv, {', '.join(f'.{kind}' for kind in FIGURES)}", markup=False)


def _neighbours(text: str) -> list[int]:
    from caloforge.errors import CaloforgeError

    try:
        ks = sorted({int(word) for word in text.split(",")})
    except ValueError:
        raise CaloforgeError(f"--k '{text}' must list whole numbers, e.g. --k 5,10,20") from None
    if ks[0] < 2:
        raise CaloforgeError(f"--k: the number of neighbours must be at least 2, not {ks[0]}")
    return ks


def _table(energy: float | None, n_energies: int, n_showers: int, found: Sequence[ShowerDimension]) -> Table:
    from rich.table import Table

    from caloforge.units import count, format_energy

    mixed = f"{n_energies} incident energies mixed" if n_energies > 1 else "one incident energy"
    what = mixed if energy is None else f"E_inc = {format_energy(energy)}"
    table = Table(title=f"intrinsic dimension: {what}, {count(n_showers, 'shower')}", title_justify="left")
    table.add_column("estimator", no_wrap=True)
    for each in found:
        table.add_column(each.representation, justify="right", no_wrap=True)
    for row in zip(*(each.estimates for each in found), strict=True):
        table.add_row(f"d_k, k = {row[0].k}", *(f"{estimate.value:.2f} ± {estimate.error:.2f}" for estimate in row))
    table.add_section()
    table.add_row("TwoNN", *(f"{each.two_nn:.2f}" for each in found))
    n_around = min(each.n_pca_neighbours for each in found)
    table.add_row(f"local PCA, k = {n_around}", *(f"{each.local_pca:.2f}" for each in found))
    if any(each.estimates[0].n_duplicates for each in found):
        table.add_row("duplicates excluded", *(f"{each.estimates[0].n_duplicates}" for each in found))
    return table
