"""`caloforge dimension`: how many numbers describe a shower?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor

    from caloforge.manifold import DimensionEstimate
    from caloforge.showers import ShowerFile

MAX_DISTINCT_ENERGIES = 20
PCA_NEIGHBOURS = 100
"""Neighbourhood of local PCA: it bounds that estimate, so it lies well above the dimension of showers."""


@dataclass(frozen=True)
class Row:
    """Every estimate for one representation of one group of showers; `energy` None stands for all mixed."""

    energy: float | None
    representation: str
    estimates: list[DimensionEstimate]
    two_nn: float
    local_pca: float


def dimension(
    file: Path = typer.Argument(..., help="HDF5 file of showers (the challenge's layout or CaloGAN's)."),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        help="Built-in geometry or geometry file, where the file does not name its own.",
    ),
    k: str = typer.Option("5,10,20,30,50", "--k", help="Numbers of neighbours, each at least 2."),
    points: int = typer.Option(8000, "--points", help="Showers taken at random (per energy with --per-energy)."),
    per_energy: bool = typer.Option(
        False, "--per-energy", help="Also each incident energy by itself (at most 20 distinct ones)."
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="Seed of the random choice and of the bootstrap, from 0."),
    output: Path | None = typer.Option(None, "--output", "-o", help="Folder for dimension.json, .csv, .png and .pdf."),
) -> None:
    """Estimate the intrinsic dimension of showers.

    Prints the Levina-Bickel estimate d_k (with the MacKay-Ghahramani correction) for several numbers of
    neighbours k, with bootstrap errors, for three representations: raw voxels in MeV; preprocessed as CaloMan
    does (voxels over r_max E_inc, with r_max the largest E_dep/E_inc of the file, and E_dep/(r_max E_inc)
    appended); and the logit of that (alpha = 1e-6). TwoNN and local PCA stand beside as cross-checks; local
    PCA cannot exceed its number of neighbours.

    All incident energies are mixed unless --per-energy asks for each. The errors are statistical: with a
    finite number of points the estimate itself runs low, the more so the higher the dimension (8000 points of
    a 20-dimensional Gaussian give about 17 at k = 10). Compare estimates from equal numbers of points only.

    Example: caloforge dimension showers.h5 --k 5,10,20 -o dimension/
    """
    import numpy as np

    from caloforge.cli.console import progress_bar, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.files import printable
    from caloforge.showers import ShowerFile
    from caloforge.units import format_energy

    ks = _parse_ks(k)
    if points <= ks[-1]:
        raise CaloforgeError(f"--points {points} must be larger than the largest k, {ks[-1]}")
    if output is not None and output.exists() and not output.is_dir():
        raise CaloforgeError(f"{output} is a file; give a folder to write into")
    with ShowerFile(file, geometry) as showers:
        energies = showers.energies()
        rng = np.random.default_rng(seed)
        groups: dict[float | None, np.ndarray] = {None: _choose(np.arange(len(showers)), points, rng)}
        distinct = np.unique(energies)
        if per_energy:
            if len(distinct) > MAX_DISTINCT_ENERGIES:
                raise CaloforgeError(
                    f"{file} has {len(distinct)} distinct incident energies; --per-energy takes at most "
                    f"{MAX_DISTINCT_ENERGIES}, so leave it out"
                )
            groups |= {float(e): _choose(np.flatnonzero(energies == e), points, rng) for e in distinct}
        chosen = np.unique(np.concatenate(list(groups.values())))
        voxels, r_max = _read(showers, chosen)
        provenance = {
            "file": printable(file),
            "geometry": showers.geometry.name,
            "n_showers": len(showers),
            "incident_energies": len(distinct),
            "r_max": r_max,
            "points": points,
            "seed": seed,
            "local_pca_neighbours": PCA_NEIGHBOURS,
        }

    rows: list[Row] = []
    with progress_bar() as bar:
        total = 3 * sum(len(group) for group in groups.values())
        task = bar.add_task("neighbours", total=total, unit="points", remark="")
        for energy, group in groups.items():
            label = "all energies" if energy is None else format_energy(energy)
            for name, x in _representations(voxels[np.searchsorted(chosen, group)], energies[group], r_max).items():
                bar.update(task, remark=f"{label}, {name}")
                before = bar.tasks[0].completed
                try:
                    rows.append(_estimate(energy, name, x, ks, seed, lambda n: bar.advance(task, n)))
                except CaloforgeError as error:
                    raise CaloforgeError(f"{file}, {label}, {name}: {error}") from None
                bar.update(task, completed=before + len(group))  # repeated points were not searched
        bar.update(task, remark="")
    for energy in groups:
        mixed = f"{len(distinct)} incident energies mixed" if len(distinct) > 1 else "one incident energy"
        title = mixed if energy is None else f"E_inc = {format_energy(energy)}"
        stdout.print(_table(title, len(groups[energy]), [row for row in rows if row.energy == energy]))
    if output is not None:
        _write(output, provenance, rows)
        stdout.print(f"written: {output}/dimension.json, .csv, .png, .pdf", markup=False)


def _parse_ks(text: str) -> list[int]:
    from caloforge.errors import CaloforgeError

    try:
        ks = sorted({int(word) for word in text.split(",")})
    except ValueError:
        raise CaloforgeError(f"--k '{text}' is no list of whole numbers; write --k 5,10,20") from None
    if ks[0] < 2:
        raise CaloforgeError(f"--k needs numbers of neighbours of at least 2, not {ks[0]}")
    return ks


def _choose(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    import numpy as np

    return rows if len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))


def _read(showers: ShowerFile, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """The voxels of the chosen rows (rising), and the largest E_dep/E_inc of the whole file; by chunks."""
    import numpy as np

    from caloforge.errors import CaloforgeError

    kept, r_max, start = [], 0.0, 0
    for chunk in showers.chunks():
        low, high = np.searchsorted(chosen, [start, start + len(chunk)])
        kept.append(chunk.voxels[chosen[low:high] - start])
        r_max = max(r_max, float((chunk.deposited / chunk.energies).max()))
        start += len(chunk)
    if r_max == 0:
        raise CaloforgeError(f"{showers.path}: no shower deposits any energy")
    return np.concatenate(kept), r_max


def _representations(voxels: np.ndarray, energies: np.ndarray, r_max: float) -> dict[str, Tensor]:
    """The same showers in three spaces: (n, V), (n, V + 1), (n, V + 1)."""
    import torch

    from caloforge.transforms import AppendDepositedEnergy, Compose, IncidentEnergyFraction, Logit

    # float64 throughout: in float32 the logit of values near 1 would come in coarse steps.
    raw = torch.as_tensor(voxels, dtype=torch.float64)
    condition = torch.as_tensor(energies, dtype=torch.float64)[:, None]
    preprocessing = Compose([IncidentEnergyFraction(maximum=r_max), AppendDepositedEnergy()]).double()
    preprocessed, _ = preprocessing(raw, condition)
    logit, _ = Logit(alpha=1e-6)(preprocessed, condition)
    return {"raw": raw, "preprocessed": preprocessed, "logit": logit}


def _estimate(energy: float | None, name: str, x: Tensor, ks: list[int], seed: int, progress: Any) -> Row:
    from caloforge.manifold import (
        dimension_from_distances,
        distinct_points,
        local_pca_dimension,
        nearest_neighbours,
        two_nn,
    )

    x, n_duplicates = distinct_points(x)
    n_neighbours = max(ks[-1], min(PCA_NEIGHBOURS, len(x) - 1))
    distances, indices = nearest_neighbours(x, n_neighbours, progress)
    return Row(
        energy,
        name,
        dimension_from_distances(distances, ks, seed=seed, n_duplicates=n_duplicates),
        two_nn(distances),
        local_pca_dimension(x, indices[:, :PCA_NEIGHBOURS], seed=seed),
    )


def _table(title: str, n_showers: int, rows: list[Row]) -> Any:
    from rich.table import Table

    from caloforge.units import count

    table = Table(title=f"intrinsic dimension: {title}, {count(n_showers, 'shower')}", title_justify="left")
    table.add_column("estimator", no_wrap=True)
    for row in rows:
        table.add_column(row.representation, justify="right", no_wrap=True)
    for column in zip(*(row.estimates for row in rows), strict=True):
        cells = [f"{each.value:.2f} ± {each.error:.2f}" for each in column]
        table.add_row(f"d_k, k = {column[0].k}", *cells)
    table.add_section()
    table.add_row("TwoNN", *(f"{row.two_nn:.2f}" for row in rows))
    n_around = min(PCA_NEIGHBOURS, min(row.estimates[0].n_points for row in rows) - 1)
    table.add_row(f"local PCA, k = {n_around}", *(f"{row.local_pca:.2f}" for row in rows))
    if any(row.estimates[0].n_duplicates for row in rows):
        table.add_row("duplicates left out", *(f"{row.estimates[0].n_duplicates}" for row in rows))
    return table


def _write(folder: Path, provenance: dict[str, Any], rows: list[Row]) -> None:
    import csv
    import math

    from caloforge import __version__
    from caloforge.files import atomic_path, write_json

    def plain(error: float) -> float | None:
        return error if math.isfinite(error) else None

    results = [
        {
            "energy": row.energy,
            "representation": row.representation,
            "n_points": row.estimates[0].n_points,
            "n_duplicates": row.estimates[0].n_duplicates,
            "estimates": [{"k": e.k, "value": e.value, "error": plain(e.error)} for e in row.estimates],
            "two_nn": row.two_nn,
            "local_pca": row.local_pca,
        }
        for row in rows
    ]
    write_json(
        folder / "dimension.json",
        {"caloforge_version": __version__, **provenance, "energy_unit": "MeV", "results": results},
    )
    with atomic_path(folder / "dimension.csv") as partial, partial.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["energy_mev", "representation", "estimator", "k", "value", "error", "n_points"])
        for row in rows:
            energy = "all" if row.energy is None else row.energy
            n = row.estimates[0].n_points
            for e in row.estimates:
                table.writerow([energy, row.representation, "levina_bickel", e.k, e.value, plain(e.error), n])
            table.writerow([energy, row.representation, "two_nn", 2, row.two_nn, None, n])
            table.writerow([energy, row.representation, "local_pca", None, row.local_pca, None, n])
    figure = _figure(rows)
    for kind in ("png", "pdf"):
        with atomic_path(folder / f"dimension.{kind}") as partial:
            figure.savefig(partial, format=kind, dpi=150)


def _figure(rows: list[Row]) -> Figure:
    """One panel for all energies mixed, and one for each energy that was asked for."""
    from caloforge.plots.dimension import dimension_grid
    from caloforge.units import format_energy

    energies = {row.energy: "all energies" if row.energy is None else format_energy(row.energy) for row in rows}
    return dimension_grid(
        {
            title: {row.representation: row.estimates for row in rows if row.energy == energy}
            for energy, title in energies.items()
        }
    )
