"""`caloforge check`: validate a file of showers, as voxels or as points, and summarise it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.completion import geometries

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from caloforge.analysis.contents import Contents
    from caloforge.analysis.point_contents import PointContents
    from caloforge.points import PointFile
    from caloforge.showers import ShowerFile

MOST_ENERGIES, MOST_LAYERS = 16, 12
"""How many energies and layers are listed one by one."""


def check(
    file: Path = typer.Argument(
        ...,
        help="HDF5 file of showers: voxels (CaloChallenge, CaloGAN or LEMURS layout), or points in any format of "
        "`caloforge convert`.",
    ),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if the file does not name one; if it does, one with the same voxels.",
    ),
    unit: str | None = typer.Option(
        None,
        "--unit",
        metavar="UNIT",
        help="For points: unit of energies, where the file does not say: GeV, MeV, or two for points and incident "
        "energies, as in MeV,GeV.",
    ),
) -> None:
    """Check a shower file and print what is in it.

    Prints the geometry, incident and deposited energies, and the fraction of zero
    voxels; of points their number, and the range of each column. For an invalid
    value, prints one line that says which and where, and exits with status 2.
    Probable mistakes (incident energies that look like GeV, deposits far from the
    incident energy) are reported as notes on stderr.

    Example: caloforge check showers.h5 --geometry ds1-photons

    Example: caloforge check hits.h5 --unit GeV
    """
    from caloforge.analysis.contents import contents
    from caloforge.analysis.point_contents import point_contents
    from caloforge.cli.console import stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.points import PointFile, is_point_file
    from caloforge.showers import ShowerFile

    if is_point_file(file):
        if geometry is not None:
            raise CaloforgeError(f"{file} holds points, which have no geometry: leave out --geometry {geometry}")
        with PointFile(file, unit) as points:
            summary = point_contents(points)
            rows, doubts = [*_point_rows(points, summary)], summary.doubts
    else:
        if unit is not None:
            raise CaloforgeError(f"{file} holds voxels, whose unit is known: leave out --unit {unit}")
        with ShowerFile(file, geometry) as showers:
            found = contents(showers)
            rows, doubts = [*_rows(showers, found)], found.doubts
    for name, value in rows:
        stdout.print(f"{name:<20} {value}", markup=False)
    for doubt in doubts:
        stderr.print(f"note: {doubt}", markup=False, highlight=False)
    verdict = "readable, but see the notes" if doubts else "good"
    stdout.print(f"{verdict}: every value is finite and in range", markup=False)


def _point_rows(file: PointFile, found: PointContents) -> Iterator[tuple[str, str]]:
    """What to print of points: name and value."""
    from caloforge.points import UNITS
    from caloforge.units import format_energy

    yield "file", f"{file.path} ({file.layout} format)"
    yield f"{found.noun}s", f"{len(file)}"
    what = "transverse momentum" if found.noun == "jet" else "incident energy"
    yield what, _spectrum(found.energies)
    for kind in found.conditions.kinds:
        yield kind.name, kind.span(found.conditions[kind.name]) + (f"  ({kind.what})" if kind.what else "")
    counts, response = found.counts, found.response
    per = f"{counts.min():,} … {counts.max():,} per {found.noun}, mean {counts.mean():.4g}"
    yield "points", f"{counts.sum():,} of {', '.join(file.names)}; {per}"
    name = "sum of ptrel" if found.noun == "jet" else "E_dep / E_inc"
    yield name, f"mean {response.mean():.4f}, {response.min():.4f} … {response.max():.4f}"
    if found.layers is not None:
        yield "layers", f"{len(found.layers)} ({_short(tuple(found.layers.tolist()))})"
    for name, (low, high) in found.ranges.items():
        if name == "energy":
            yield "energy of points", f"{format_energy(low) if low else '0'} … {format_energy(high) if high else '0'}"
        elif name != "layer":
            yield f"{name} of points", f"{low:.4g} … {high:.4g} {UNITS.get(name, '')}".rstrip()
    if source := file.attributes.get("source") or file.attributes.get("recipe"):
        yield "source", str(source)


def _spectrum(energies: np.ndarray) -> str:
    """The range of incident energies, and their values if they are few."""
    import numpy as np

    from caloforge.units import format_energy

    distinct = np.unique(energies)
    several = f"{len(distinct)} distinct values"
    values = ", ".join(format_energy(e) for e in distinct) if len(distinct) <= MOST_ENERGIES else several
    return f"{format_energy(energies.min())} … {format_energy(energies.max())}  ({values})"


def _rows(file: ShowerFile, found: Contents) -> Iterator[tuple[str, str]]:
    """What to print: name and value."""
    from caloforge.energies.weighted import effective_size
    from caloforge.units import format_energy

    geometry, response = found.geometry, found.response
    layers = zip(geometry.layers[:MOST_LAYERS], found.layer_means, strict=False)
    means = ", ".join(f"{layer.id}: {format_energy(e) if e else '0'}" for layer, e in layers)
    yield "file", f"{file.path} ({file.layout} layout)"
    yield (
        "geometry",
        f"{geometry.name}: {geometry.n_voxels} voxels in {geometry.n_layers} layers ({_short(geometry.layer_ids)})",
    )
    yield "showers", f"{len(file)}"
    yield "incident energy", _spectrum(found.energies)
    columns = file.conditions()
    for kind in file.kinds:
        yield kind.name, columns.kind(kind.name).span(columns[kind.name]) + (f"  ({kind.what})" if kind.what else "")
    yield "E_dep / E_inc", f"mean {response.mean():.4f}, {response.min():.4f} … {response.max():.4f}"
    yield "mean layer energies", means + (" …" if geometry.n_layers > MOST_LAYERS else "")
    yield "largest voxel", format_energy(found.largest_voxel) if found.largest_voxel else "0"
    yield "zero voxels", f"{100 * found.zero_fraction:.2f} %"
    yield f"above {geometry.threshold:.4g} MeV", f"{100 * found.above_threshold:.2f} % (the readout threshold)"
    if (weights := file.weights()) is not None:
        size = effective_size(weights) / len(file)
        yield "weights", f"{weights.min():.4g} … {weights.max():.4g}, effective sample size {100 * size:.1f} %"
    source = file.attributes.get("source") or file.attributes.get("recipe")
    if source:
        yield "source", str(source)


def _short(layer_ids: tuple[int, ...]) -> str:
    """Layer numbers; as a range if there are many and they are consecutive."""
    if len(layer_ids) > 8 and layer_ids == tuple(range(layer_ids[0], layer_ids[0] + len(layer_ids))):
        return f"{layer_ids[0]} … {layer_ids[-1]}"
    return ", ".join(str(i) for i in layer_ids)
