"""Output of a dimension estimate: JSON and CSV with all numbers, and a figure."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from caloforge import __version__
from caloforge.analysis.shower_dimension import PCA_NEIGHBOURS, ChosenShowers, ShowerDimension, energy_title
from caloforge.files import atomic_path, write_json
from caloforge.plots.dimension import dimension_grid
from caloforge.plots.style import figure_of

FIGURES = ("png", "pdf")


def save_dimensions(
    folder: Path, showers: ChosenShowers, found: Sequence[ShowerDimension], facts: Mapping[str, Any]
) -> None:
    """Write `dimension.json`, `.csv`, `.png` and `.pdf` into `folder`, each atomically.

    Args:
        folder: created if necessary.
        showers: the showers used for the estimates.
        found: the estimates.
        facts: further provenance: file, points, seed.

    Raises:
        CaloforgeError: a file cannot be written.
    """
    provenance = {
        "caloforge_version": __version__,
        **facts,
        "geometry": showers.geometry.name,
        "n_showers": showers.n_showers,
        "incident_energies": showers.n_energies,
        "r_max": showers.r_max,
        "local_pca_neighbours": PCA_NEIGHBOURS,
        "energy_unit": "MeV",
    }
    write_json(folder / "dimension.json", {**provenance, "results": [_plain(each) for each in found]})
    with atomic_path(folder / "dimension.csv") as partial, partial.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["energy_mev", "representation", "estimator", "k", "value", "error", "n_points"])
        for each in found:
            table.writerows(_rows(each))
    titles = {each.energy: energy_title(each.energy) for each in found}
    drawn = dimension_grid(
        {
            title: {each.representation: each.estimates for each in found if each.energy == energy}
            for energy, title in titles.items()
        }
    )
    figure = figure_of(drawn)
    for kind in FIGURES:
        with atomic_path(folder / f"dimension.{kind}") as partial:
            figure.savefig(partial, format=kind, dpi=150)


def _plain(each: ShowerDimension) -> dict[str, Any]:
    return {
        "energy": each.energy,
        "representation": each.representation,
        "n_points": each.estimates[0].n_points,
        "n_duplicates": each.estimates[0].n_duplicates,
        "estimates": [{"k": e.k, "value": e.value, "error": _finite(e.error)} for e in each.estimates],
        "two_nn": each.two_nn,
        "local_pca": each.local_pca,
    }


def _rows(each: ShowerDimension) -> list[list[Any]]:
    head = ["all" if each.energy is None else each.energy, each.representation]
    n = each.estimates[0].n_points
    estimates = [[*head, "levina_bickel", e.k, e.value, _finite(e.error), n] for e in each.estimates]
    return [*estimates, [*head, "two_nn", 2, each.two_nn, None, n], [*head, "local_pca", None, each.local_pca, None, n]]


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
