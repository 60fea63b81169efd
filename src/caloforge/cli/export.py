"""`caloforge export`: a trained run in a form that other programs use."""

from __future__ import annotations

from pathlib import Path

import typer

from caloforge.cli.choices import ExporterChoice, FormatChoice, GraphPrecisionChoice


def export(
    run: Path = typer.Argument(..., help="Folder that `caloforge train` wrote."),
    form: FormatChoice = typer.Option(
        FormatChoice.ONNX, "--format", "-f", help="A graph, or showers in a file (ddml-hdf5)."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="File to write; its card is FILE.json."),
    energies: str | None = typer.Option(
        None, "--energies", metavar="SPECTRUM", help="For ddml-hdf5: incident energies, as in `caloforge generate`."
    ),
    n: int | None = typer.Option(None, "-n", min=1, help="For ddml-hdf5: number of showers."),
    seed: int = typer.Option(1, "--seed", min=0, help="For ddml-hdf5: seed of the showers."),
    cell_size: float | None = typer.Option(
        None,
        "--cell-size",
        help="For ddml-hdf5: size of the Cartesian cells in mm; by default the narrowest radial bin.",
    ),
    exporter: ExporterChoice = typer.Option(
        ExporterChoice.LEGACY, "--exporter", help="PyTorch's exporter: legacy (TorchScript, seconds) or dynamo (newer)."
    ),
    precision: GraphPrecisionChoice = typer.Option(
        GraphPrecisionChoice.FLOAT32,
        "--precision",
        help="Of large matrix multiplications; int8 quantises as many as the check allows.",
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    trust: list[str] = typer.Option(
        [], "--trust", metavar="CLASS", help="Dotted path of your own class that the run may import. May be repeated."
    ),
) -> None:
    """Export a run as one checked file, with a JSON card that describes it.

    A graph maps noise and incident energy to voxel energies, with inverse preprocessing and readout threshold inside.
    It is written only if onnxruntime agrees with PyTorch; the largest difference is printed.

    With --precision int8, as many large matrix multiplications are int8-quantised as that agreement allows. This is
    faster where reading weights takes most of the time, as in a wide CaloMan; see `caloforge benchmark`.

    Example: caloforge export run --format onnx -o caloman.onnx

    Example: caloforge export run --format ddml-hdf5 --energies list:1GeV -n 1000 -o showers.h5
    """
    from caloforge.cli.console import progress_bar, stdout
    from caloforge.cli.stopping import sigterm_interrupts
    from caloforge.errors import CaloforgeError
    from caloforge.export.card import card_path
    from caloforge.export.ddml import export_ddml
    from caloforge.export.graph import export_graph
    from caloforge.files import prepare_parent, refuse_existing
    from caloforge.registry import importable
    from caloforge.simulator import Simulator

    playback = form is FormatChoice.DDML_HDF5
    if playback and precision is GraphPrecisionChoice.INT8:
        raise CaloforgeError("--precision int8 is for graphs, and ddml-hdf5 contains showers: leave it out")
    for option, given in (("--energies", energies), ("-n", n), ("--cell-size", cell_size)):
        if given is not None and not playback:
            raise CaloforgeError(f"{option} is for --format ddml-hdf5, not {form.value}")
    if playback and energies is None:
        raise CaloforgeError("ddml-hdf5 contains showers: give their energies, as in --energies list:1GeV -n 1000")
    for path in (out, card_path(out)):
        prepare_parent(path)
        refuse_existing(path, overwrite)
    with importable(Path.cwd()):
        simulator = Simulator.load(run, trust)
    if playback:
        from caloforge.cli.ranges import warn_outside
        from caloforge.energies import parse_spectrum
        from caloforge.simulator.shards import draw_energies

        assert energies is not None
        drawn = draw_energies(parse_spectrum(energies), n, seed)
        warn_outside(drawn, simulator.energy_range, "they are moved to its nearer end")
        with sigterm_interrupts(), progress_bar() as bar:
            task = bar.add_task("export", total=len(drawn), unit="showers", remark="")
            card = export_ddml(
                simulator,
                drawn,
                out,
                seed=seed,
                cell_size=cell_size,
                progress=lambda done: bar.advance(task, done),
            )
        shape = " x ".join(map(str, card["dataset"]["layers"]["shape"]))
        stdout.print(f"{shape} cells (shower, x, y, z), GeV", markup=False)
    else:
        with sigterm_interrupts():
            parity = export_graph(
                simulator,
                form.value,
                out,
                exporter="legacy" if exporter == "legacy" else "dynamo",
                precision="int8" if precision == "int8" else "float32",
            )
        stdout.print(str(parity), markup=False)
    stdout.print(f"wrote {out} and {card_path(out)}", markup=False)
