"""`caloforge export`: export a trained run for use in other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from caloforge.cli.choices import MOST_SEED, ExporterChoice, FormatChoice, GraphPrecisionChoice
from caloforge.cli.conditions import fixed_values
from caloforge.cli.runs import RUN, TRUST, folder_of, remark_on


def export(
    run: Path = RUN,
    form: FormatChoice = typer.Option(FormatChoice.ONNX, "--format", "-f", help="What to write, see above."),
    out: Path = typer.Option(..., "--out", "-o", help="File to write; the card is FILE.json."),
    energies: str | None = typer.Option(
        None, "--energies", metavar="SPECTRUM", help="For ddml-hdf5: incident energies, as in `caloforge generate`."
    ),
    conditions: list[str] = typer.Option(
        [],
        "--condition",
        metavar="NAME=VALUE",
        help="Fix a condition, e.g. theta=30deg, so that a graph does not ask for it; for ddml-hdf5 also a law. May be "
        "repeated.",
    ),
    n: int | None = typer.Option(None, "-n", min=1, help="For ddml-hdf5: number of showers."),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="For ddml-hdf5: random seed for the showers."),
    cell_size: float | None = typer.Option(
        None,
        "--cell-size",
        help="For ddml-hdf5: cell size in mm; by default 5.088333, with --set grid=own the narrowest radial bin.",
    ),
    exporter: ExporterChoice = typer.Option(
        ExporterChoice.LEGACY, "--exporter", help="PyTorch's exporter: legacy (TorchScript, seconds) or dynamo (newer)."
    ),
    precision: GraphPrecisionChoice = typer.Option(
        GraphPrecisionChoice.FLOAT32,
        "--precision",
        help="Precision of large matrix multiplications; int8 quantises as many as the check allows.",
    ),
    settings: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Setting of the format (docs/export.md). May be repeated."
    ),
    scale: float = typer.Option(
        1.0, "--scale", help="Factor on the output, e.g. for a consumer that sums raw active energy."
    ),
    opset: int | None = typer.Option(
        None, "--opset", help="ONNX operator set; by default 16 (onnxruntime 1.11), with the dynamo exporter 20 (1.18)."
    ),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace existing files."),
    trust: list[str] = TRUST,
) -> None:
    """Export a run as one verified file, with a JSON card that describes it.

    A graph is the whole generator in one ONNX file: random numbers and incident
    energy in, voxel energies out; inverse preprocessing and readout threshold are
    inside. It is written only if onnxruntime and PyTorch agree; the largest
    difference is printed. Formats (docs/export.md):

      onnx          graph for programs of your own: noise, MeV to voxels in MeV
      par04         graph for the VAE slot of the Geant4 example Par04
      calodit2      graph for the newer model slot of Par04 (Geant4 11.4)
      atlas         graph for FastCaloSim (ATLAS), slot of its GANs
      atlas-binned  graph for FastCaloSim's newer slot, TFCSBinnedShowerONNX
      ddml-hdf5     showers, no graph: played back by DDFastShowerML (DD4hep)

    With --precision int8, as many large matrix multiplications are int8-quantised
    as this agreement allows. This is faster when reading weights dominates, as in
    a wide CaloMan; see `caloforge benchmark`.

    Example: caloforge export run --format onnx -o caloman.onnx

    Example: caloforge export run --format ddml-hdf5 --energies list:1GeV -n 1000 -o showers.h5
    """
    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.export import GRAPHS
    from caloforge.export.card import card_path
    from caloforge.export.ddml import export_ddml, playback_settings
    from caloforge.export.graph import export_graph
    from caloforge.export.macros import steering_path
    from caloforge.files import prepare_parent, refuse_existing
    from caloforge.overrides import overridden
    from caloforge.registry import importable
    from caloforge.simulator import Simulator

    playback = form is FormatChoice.DDML_HDF5
    if playback and precision is GraphPrecisionChoice.INT8:
        raise CaloforgeError("--precision int8 applies to graphs, and ddml-hdf5 contains showers: omit it")
    for option, given in (("--energies", energies), ("-n", n), ("--cell-size", cell_size)):
        if given is not None and not playback:
            raise CaloforgeError(f"{option} is for --format ddml-hdf5, not {form.value}")
    if playback and energies is None:
        raise CaloforgeError("ddml-hdf5 contains showers: give their energies, e.g. --energies list:1GeV -n 1000")
    if not 0 < scale < float("inf"):
        raise CaloforgeError(f"--scale {scale:g}: give a number above 0")
    chosen = overridden({}, settings)
    prepare_parent(out)  # first: a folder has no name to derive the others from
    written = [out, card_path(out)]
    if not playback:
        written += [out.with_suffix(suffix) for suffix in GRAPHS.resolve(form.value).beside]
    elif opset is not None:
        raise CaloforgeError("--opset applies to graphs, and ddml-hdf5 contains showers: omit it")
    elif chosen.get("grid", "bibae") == "bibae":
        written.append(steering_path(out))
    for path in written:
        prepare_parent(path)
        refuse_existing(path, overwrite)
    with importable(Path.cwd()):
        simulator = Simulator.load(folder_of(run), trust)
    if playback:
        from caloforge.cli.ranges import warn_outside
        from caloforge.energies import IncidentLaw

        assert energies is not None
        law = IncidentLaw.parse(energies, conditions)
        incident = law.draw(n, seed)
        drawn, columns = incident.energies, incident.conditions
        accepted = (*simulator.conditions.names, *(text.partition("=")[0].strip() for text in conditions))
        warn_outside(drawn, simulator.energy_range, "they are clipped to it")
        remark_on(simulator, law.spectrum)
        with progress_bar() as bar:
            task = bar.add_task("export", total=len(drawn), unit="showers", remark="")
            card = export_ddml(
                simulator,
                drawn,
                out,
                seed=seed,
                cell_size=cell_size,
                scale=scale,
                conditions=columns.only([name for name in columns if name in accepted]),
                **playback_settings(chosen),
                progress=lambda done: bar.advance(task, done),
            )
        for name in card["other_files"]:
            stdout.print(f"wrote {out.with_name(name)}", markup=False)
        stored = card["dataset"]["layers"]
        shape = " x ".join(map(str, stored["shape"]))
        stdout.print(f"{shape} cells ({card['axis_order'].split(';')[0]}), {stored['unit']}", markup=False)
    else:
        remark_on(simulator)
        graph = export_graph(
            simulator,
            form.value,
            out,
            exporter="legacy" if exporter == "legacy" else "dynamo",
            precision="int8" if precision == "int8" else "float32",
            opset=opset,
            scale=scale,
            settings=chosen,
            fixed=fixed_values(conditions, "a graph"),
        )
        stdout.print(str(graph.parity), markup=False)
        if ignored := graph.form.ignored():
            trained = graph.card["incidence"]
            stderr.print(f"note: the graph ignores {ignored}; incidence in training: {trained}", markup=False)
        for beside in graph.form.companions(out):
            stdout.print(f"wrote {beside}", markup=False)
    stdout.print(f"wrote {out} and {card_path(out)}", markup=False)
