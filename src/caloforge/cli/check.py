"""`caloforge check`: is this a shower file, and what is in it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np


def check(
    file: Path = typer.Argument(..., help="HDF5 file of showers (the challenge's layout or CaloGAN's)."),
    geometry: str | None = typer.Option(
        None, "--geometry", "-g", help="Built-in geometry or geometry file, where the file does not name its own."
    ),
) -> None:
    """Check a shower file and print what is in it.

    Prints shape, incident energies, deposited energy and the share of zero voxels; or says in one line what is
    wrong with the file, and where, and exits with status 2. What can be read but looks odd (energies that seem to
    be GeV, deposits far from the incident energy) is a note on stderr.

    Example: caloforge check showers.h5 --geometry ds1-photons
    """
    import numpy as np

    from caloforge.cli.console import stderr, stdout
    from caloforge.geometry import load_geometry
    from caloforge.showers import ShowerFile
    from caloforge.units import format_energy

    with ShowerFile(file, geometry) as showers:
        shape = showers.geometry
        if geometry is not None and geometry != shape.name and "geometry" in showers.attributes:
            load_geometry(geometry)  # not used, but a mistake in it is worth knowing
            stderr.print(f"note: the file names its own geometry, '{shape.name}'; --geometry {geometry} is not used")
        energies = showers.energies()
        deposited = np.empty(len(showers))
        layer_sums = np.zeros(shape.n_layers)
        zeros, largest, above, start = 0, 0.0, 0, 0
        for chunk in showers.chunks():
            stop = start + len(chunk)
            deposited[start:stop] = chunk.deposited
            layer_sums += shape.layer_sums(chunk.voxels).sum(axis=0)
            zeros += int(np.count_nonzero(chunk.voxels == 0))
            above += int(np.count_nonzero(chunk.voxels > shape.threshold))
            largest = max(largest, float(chunk.voxels.max()))
            start = stop
        n_values = len(showers) * shape.n_voxels
        distinct = np.unique(energies)
        spectrum = (
            ", ".join(format_energy(e) for e in distinct) if len(distinct) <= 16 else f"{len(distinct)} distinct values"
        )
        ratio = deposited / energies
        rows = [
            ("file", f"{file} ({showers.layout} layout)"),
            (
                "geometry",
                f"{shape.name}: {shape.n_voxels} voxels in {shape.n_layers} layers ({_short(shape.layer_ids)})",
            ),
            ("showers", f"{len(showers)}"),
            ("incident energy", f"{format_energy(energies.min())} … {format_energy(energies.max())}  ({spectrum})"),
            ("E_dep / E_inc", f"mean {ratio.mean():.4f}, {ratio.min():.4f} … {ratio.max():.4f}"),
            (
                "mean layer energies",
                ", ".join(
                    f"{layer.id}: {format_energy(e / len(showers)) if e else '0'}"
                    for layer, e in zip(shape.layers[:12], layer_sums, strict=False)
                )
                + (" …" if shape.n_layers > 12 else ""),
            ),
            ("largest voxel", format_energy(largest) if largest else "0"),
            ("zero voxels", f"{100 * zeros / n_values:.2f} %"),
            (f"above {shape.threshold:.4g} MeV", f"{100 * above / n_values:.2f} % (the readout threshold)"),
        ]
        made_by = showers.attributes.get("source") or showers.attributes.get("recipe")
        if made_by:
            rows.append(("made by", str(made_by)))
        for name, value in rows:
            stdout.print(f"{name:<20} {value}", markup=False)
        doubts = _doubts(energies, ratio)
        for doubt in doubts:
            stderr.print(f"note: {doubt}", markup=False, highlight=False)
        verdict = "readable, but see the notes" if doubts else "good"
        stdout.print(f"{verdict}: every value is finite and in range", markup=False)


def _short(layer_ids: tuple[int, ...]) -> str:
    """The layers' numbers, as a range where they are consecutive and many."""
    if len(layer_ids) > 8 and layer_ids == tuple(range(layer_ids[0], layer_ids[0] + len(layer_ids))):
        return f"{layer_ids[0]} … {layer_ids[-1]}"
    return ", ".join(str(i) for i in layer_ids)


def _doubts(energies: np.ndarray, ratio: np.ndarray) -> list[str]:
    """What can be read but is hardly meant: a sentence each. Arguments: E_inc in MeV, E_dep / E_inc, both (N,)."""
    import numpy as np

    from caloforge.units import count

    empty = int(np.count_nonzero(ratio == 0))
    if empty == len(ratio):
        return ["no shower deposits any energy"]
    doubts = []
    if empty:
        doubts.append(f"of {count(len(ratio), 'shower')}, {empty} deposit no energy at all")
    typical = float(np.median(energies))
    if typical < 50:
        doubts.append(f"half of the incident energies are below {typical:.3g} MeV: are they GeV? They must be MeV")
    mean = float(ratio.mean())
    if not 0.02 <= mean <= 3:
        doubts.append(
            f"the mean of E_dep / E_inc is {mean:.3g}: are showers and incident energies in the same unit, and the "
            "voxels divided by the sampling fraction?"
        )
    return doubts
