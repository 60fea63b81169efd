"""`caloforge check`: validate a shower file and summarise it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.completion import geometries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caloforge.analysis.contents import Contents
    from caloforge.showers import ShowerFile

MOST_ENERGIES, MOST_LAYERS = 16, 12
"""How many energies and layers are listed one by one."""


def check(
    file: Path = typer.Argument(..., help="HDF5 file of showers (CaloChallenge or CaloGAN layout)."),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if the file does not name one; if it does, one with the same voxels.",
    ),
) -> None:
    """Check a shower file and print what is in it.

    Prints the geometry, incident and deposited energies, and the fraction of zero
    voxels. For an invalid value, prints one line that says which and where, and
    exits with status 2. Probable mistakes (incident energies that look like GeV,
    deposits far from the incident energy) are reported as notes on stderr.

    Example: caloforge check showers.h5 --geometry ds1-photons
    """
    from caloforge.analysis.contents import contents
    from caloforge.cli.console import stderr, stdout
    from caloforge.showers import ShowerFile

    with ShowerFile(file, geometry) as showers:
        found = contents(showers)
        for name, value in _rows(showers, found):
            stdout.print(f"{name:<20} {value}", markup=False)
    for doubt in found.doubts:
        stderr.print(f"note: {doubt}", markup=False, highlight=False)
    verdict = "readable, but see the notes" if found.doubts else "good"
    stdout.print(f"{verdict}: every value is finite and in range", markup=False)


def _rows(file: ShowerFile, found: Contents) -> Iterator[tuple[str, str]]:
    """What to print: name and value."""
    import numpy as np

    from caloforge.units import format_energy

    geometry, energies, response = found.geometry, found.energies, found.response
    distinct = np.unique(energies)
    several = f"{len(distinct)} distinct values"
    spectrum = ", ".join(format_energy(e) for e in distinct) if len(distinct) <= MOST_ENERGIES else several
    layers = zip(geometry.layers[:MOST_LAYERS], found.layer_means, strict=False)
    means = ", ".join(f"{layer.id}: {format_energy(e) if e else '0'}" for layer, e in layers)
    yield "file", f"{file.path} ({file.layout} layout)"
    yield (
        "geometry",
        f"{geometry.name}: {geometry.n_voxels} voxels in {geometry.n_layers} layers ({_short(geometry.layer_ids)})",
    )
    yield "showers", f"{len(file)}"
    yield "incident energy", f"{format_energy(energies.min())} … {format_energy(energies.max())}  ({spectrum})"
    columns = file.conditions()
    for kind in file.kinds:
        yield kind.name, columns.kind(kind.name).span(columns[kind.name]) + (f"  ({kind.what})" if kind.what else "")
    yield "E_dep / E_inc", f"mean {response.mean():.4f}, {response.min():.4f} … {response.max():.4f}"
    yield "mean layer energies", means + (" …" if geometry.n_layers > MOST_LAYERS else "")
    yield "largest voxel", format_energy(found.largest_voxel) if found.largest_voxel else "0"
    yield "zero voxels", f"{100 * found.zero_fraction:.2f} %"
    yield f"above {geometry.threshold:.4g} MeV", f"{100 * found.above_threshold:.2f} % (the readout threshold)"
    source = file.attributes.get("source") or file.attributes.get("recipe")
    if source:
        yield "source", str(source)


def _short(layer_ids: tuple[int, ...]) -> str:
    """Layer numbers; as a range if there are many and they are consecutive."""
    if len(layer_ids) > 8 and layer_ids == tuple(range(layer_ids[0], layer_ids[0] + len(layer_ids))):
        return f"{layer_ids[0]} … {layer_ids[-1]}"
    return ", ".join(str(i) for i in layer_ids)
