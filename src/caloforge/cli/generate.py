"""`caloforge generate`: showers from a trained run."""

from __future__ import annotations

from pathlib import Path

import typer


def generate(
    run: Path = typer.Argument(..., help="Folder that `caloforge train` wrote."),
    energies: str = typer.Option(
        ...,
        "--energies",
        metavar="LAW",
        help="like:FILE, list:512,1024, discrete:256,...,16384, uniform:1GeV:100GeV or loguniform:1GeV:1TeV.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write."),
    n: int | None = typer.Option(None, "-n", min=1, help="Number of showers; like: and list: have one of their own."),
    seed: int = typer.Option(1, "--seed", min=0, help="The same seed, batch size and machine give the same showers."),
    batch_size: int = typer.Option(10_000, "--batch-size", min=1, help="Showers per pass through the model."),
    device: str = typer.Option("auto", "--device", help="auto, cpu or cuda."),
    precision: str = typer.Option("float32", "--precision", help="float32, or float64 (slower)."),
    compression: int = typer.Option(1, "--compression", min=0, max=9, help="gzip level; 0 writes fastest."),
    trust: list[str] = typer.Option(
        [], "--trust", metavar="CLASS", help="Dotted path of a class of your own that the run may import. Repeatable."
    ),
) -> None:
    """Generate showers and stream them to a challenge HDF5 file.

    Memory does not grow with the number of showers. Incident energies are MeV where no unit is given.

    Example: caloforge generate run --energies loguniform:1GeV:16GeV -n 100000 -o generated.h5
    """
    import sys

    import numpy as np
    import torch

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.energies import parse_law
    from caloforge.errors import CaloforgeError
    from caloforge.files import prepare_parent
    from caloforge.registry import importable
    from caloforge.simulator import Simulator
    from caloforge.simulator import generate as run_generation
    from caloforge.training import choose_device
    from caloforge.units import format_energy

    if precision not in ("float32", "float64"):
        raise CaloforgeError(f"--precision is float32 or float64, not '{precision}'")
    prepare_parent(out)
    if out.exists() and energies.startswith("like:") and out.resolve() == Path(energies[5:]).resolve():
        raise CaloforgeError(f"{out} is the file that the energies come from; write the showers to another one")
    with importable(Path.cwd()):
        simulator = Simulator.load(run, trust).to(choose_device(device))
    if precision == "float64":
        simulator.to(torch.float64)
    law = parse_law(energies)
    drawn = law.draw(n, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,))))
    low, high = simulator.provenance.get("energy_range_mev", (0.0, float("inf")))
    outside = float(np.mean((drawn < 0.999 * low) | (drawn > 1.001 * high)))
    if outside > 0:
        stderr.print(
            f"warning: {100 * outside:.1f} % of the incident energies lie outside the training range "
            f"{format_energy(low)} … {format_energy(high)}; the showers there are an extrapolation"
        )
    with progress_bar() as bar:
        task = bar.add_task("generate", total=len(drawn), unit="showers", remark="")
        timing = run_generation(
            simulator,
            drawn,
            out,
            seed=seed,
            batch_size=batch_size,
            compression=compression,
            attributes={"energies": law.text, "command": " ".join(sys.argv[1:])},
            progress=lambda done: bar.advance(task, done),
        )
    per_shower = 1e3 / timing.n
    stdout.print(
        f"{timing.n:,} showers: model {timing.model:.2f} s ({timing.model * per_shower:.4f} ms per shower), "
        f"writing {timing.writing:.2f} s ({timing.writing * per_shower:.4f} ms per shower)"
    )
    stdout.print(f"wrote {out}", markup=False)
