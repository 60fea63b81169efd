"""`caloforge convert`: a file of points or voxels into another format."""

from __future__ import annotations

from pathlib import Path

import typer

from caloforge.cli.choices import MOST_SEED, PointFormatChoice
from caloforge.cli.completion import geometries


def convert(
    source: Path = typer.Argument(..., metavar="IN", help="File of points in any format below, or of voxels."),
    out: Path = typer.Argument(..., metavar="OUT", help="File to write."),
    to: PointFormatChoice = typer.Option(..., "--to", "-t", help="Format of OUT."),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Voxels to fill with points (built-in geometry or geometry file); or the voxels of IN, where it does not "
        "say; or, with z_edges, where layers lie (with --to points, a layer is added to a z, or a z to a layer).",
    ),
    unit: str | None = typer.Option(
        None,
        "--unit",
        metavar="UNIT",
        help="Unit of energies in IN, where it does not say: GeV, MeV, or two for points and incident energies, as in "
        "MeV,GeV.",
    ),
    to_unit: str = typer.Option(
        "MeV", "--to-unit", metavar="UNIT", help="Unit of energies in OUT, for showerdata, which leaves it open."
    ),
    sampling_fraction: float = typer.Option(
        1.0,
        "--sampling-fraction",
        metavar="F",
        help="Divide energies of points by this on the way to voxels, e.g. 0.033 for hits in the silicon of ds2.",
    ),
    layer_pitch: float | None = typer.Option(
        None,
        "--layer-pitch",
        metavar="MM",
        help="Depth of a layer, for a z from a layer or a layer from a z, where neither IN nor --geometry say.",
    ),
    centre: bool = typer.Option(
        False, "--centre", help="Put points at the centres of voxels; by default anywhere in them, at random."
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed of positions in voxels."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Convert a file of points or voxels into another format.

    The format of IN is recognised from its content. What OUT cannot hold is lost,
    and a note says so. Files are read and written in chunks, so they may be
    larger than memory.

      points      caloforge's own: any columns, flat and ragged
      showerdata  of the package showerdata 0.7
      caloclouds  events of CaloClouds, padded
      step2point  steps with depths z
      jetnet      jets of JetNet, padded
      voxels      CaloChallenge layout; points outside the voxels are counted

    EDM4hep files (ROOT) are read, too: pip install 'caloforge\\[root]'.

    Example: caloforge convert hits.h5 voxels.h5 --to voxels --geometry ds2
    --sampling-fraction 0.033

    Example: caloforge convert ild.h5 hits.h5 --to points --unit GeV
    """
    import sys

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.files import prepare_parent, printable, real, refuse_existing
    from caloforge.points.conversion import Wanted
    from caloforge.points.conversion import convert as run_conversion

    prepare_parent(out)
    if real(source) == real(out):
        raise CaloforgeError(f"{out} is the file to convert; write to another file")
    refuse_existing(out, overwrite)
    wanted = Wanted(to.value, geometry, unit, to_unit, sampling_fraction, layer_pitch, centre, seed)
    command = printable(" ".join(["caloforge", *sys.argv[1:]]))
    with progress_bar() as bar:
        task = bar.add_task("convert", total=None, unit="showers", remark="")
        found = run_conversion(
            source,
            out,
            wanted,
            attributes={"command": command},
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for loss in found.losses:
        stderr.print(f"note: {loss}", markup=False)
    stdout.print(f"wrote {out}: {found.n:,} showers in the format {to.value}", markup=False)
