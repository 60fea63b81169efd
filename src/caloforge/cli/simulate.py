"""`caloforge simulate`: simulate showers with Geant4 or an analytic parametrisation."""

from __future__ import annotations

from pathlib import Path

import typer

from caloforge.cli import simulate_geant4
from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import geometries

app = typer.Typer(
    name="simulate",
    help="Simulate showers with Geant4, or analytic ones (fast, NOT Geant4) for tests, tutorials and load tests.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def _group() -> None:
    pass


@app.command("parametric")
def parametric(
    energies: str = typer.Option(
        ..., "--energies", "-e", metavar="SPECTRUM", help="Incident-energy spectrum, e.g. loguniform:1GeV:1TeV."
    ),
    output: Path = typer.Option(..., "--out", "-o", metavar="FILE", help="HDF5 file to write."),
    geometry: str = typer.Option(
        "ds2", "--geometry", "-g", autocompletion=geometries, help="Built-in geometry or geometry file."
    ),
    n: int | None = typer.Option(
        None, "-n", metavar="N", help="Number of showers; defaults to that of like:FILE or list:…."
    ),
    seed: int = typer.Option(
        0, "--seed", "-s", max=MOST_SEED, help="Random seed for energies and showers, at least 0."
    ),
    batch_size: int | None = typer.Option(
        None, "--batch-size", "-b", help="Showers held in memory at a time; by default about 4 million voxels."
    ),
    resolution: float | None = typer.Option(
        None,
        "--resolution",
        help="Stochastic term a of σ/E = a/sqrt(E/GeV) ⊕ c; by default 0.13 (W-Si), 0.10 (ds1-like), "
        "0.05 (calogan). With 0 every voxel gets its mean.",
    ),
    constant: float | None = typer.Option(
        None, "--constant", help="Constant term c of the energy resolution; by default 0.01."
    ),
    compression: int = typer.Option(1, "--compression", help="gzip level, 0 (none) to 9."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Simulate analytic electromagnetic showers. They are NOT Geant4 showers.

    The parametrisation follows Grindhammer and Peters (hep-ex/0001020): gamma
    profiles in depth that fluctuate from shower to shower, two radial components,
    energy resolution. Use it for tests, tutorials and load tests, not for
    conclusions about a detector; the attribute `source` of the file says so.

    Showers are written batch by batch, so memory use does not grow with their
    number. The same seed, energies and batch size give the same arrays.

    Energies (in MeV if no unit is given): like:FILE, list:512,1024,
    discrete:256,...,16384, uniform:1GeV:100GeV, loguniform:1GeV:1TeV.

    Example: caloforge simulate parametric -g ds3 -e loguniform:1GeV:1TeV -n 10000 --seed 1 -o ds3.h5
    """
    import numpy as np

    from caloforge.cli.console import progress_bar, stdout
    from caloforge.energies import parse_spectrum
    from caloforge.errors import CaloforgeError
    from caloforge.files import printable, real, refuse_existing
    from caloforge.geometry import load_geometry
    from caloforge.showers import ShowerWriter
    from caloforge.sources.parametric.electromagnetic import ParametricShowers, default_batch_size
    from caloforge.units import count

    if seed < 0:
        raise CaloforgeError(f"the seed must be at least 0, not {seed}")
    if output.exists() and energies.startswith("like:") and real(output) == real(Path(energies[5:])):
        raise CaloforgeError(f"{output} is the file that the energies come from; write the showers to another one")
    refuse_existing(output, overwrite)
    shape = load_geometry(geometry)
    given = {"resolution": resolution, "constant": constant}
    source = ParametricShowers.for_geometry(shape, **{k: v for k, v in given.items() if v is not None})
    # The showers of batch k use the spawn key (1, k), so that energies and showers are independent.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    incident = parse_spectrum(energies).draw(n, rng)
    size = default_batch_size(shape) if batch_size is None else batch_size
    batches = source.simulate(incident, shape, seed, size)
    attributes = {**source.attributes(shape, seed, size), "energies": printable(energies)}
    with ShowerWriter(output, shape, attributes, compression) as out, progress_bar() as bar:
        task = bar.add_task("analytic showers", total=len(incident), unit="showers", remark="")
        for batch in batches:
            out.append(batch.energies, batch.voxels)
            bar.advance(task, len(batch))
    stdout.print(f"{output}: {count(len(incident), 'analytic shower')} in {shape.name} (NOT Geant4)", markup=False)


app.command("geant4")(simulate_geant4.geant4)
