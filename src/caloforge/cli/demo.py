"""`caloforge demo`: the full workflow on the embedded sample, with the commands a user would type."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import typer

from caloforge.cli.completion import recipes


def demo(
    context: typer.Context,
    out: Path = typer.Option(Path("demo"), "--out", "-o", help="Folder for the run, showers and report."),
    recipe: str = typer.Option(
        "flagship-demo", "--recipe", autocompletion=recipes, help="Recipe to train (any for ds1-photons)."
    ),
) -> None:
    """Train and evaluate a small generator on the embedded Geant4 showers, in minutes.

    Prints each command before running it, then the table of results and the path
    of the report.

    Example: caloforge demo -o demo
    """
    import time

    from caloforge.cli.console import stdout
    from caloforge.sources.sample import sample_path

    train, test = sample_path("train"), sample_path("test")
    run, made, report = out / "run", out / "generated.h5", out / "report"
    steps = [
        ["check", str(train)],
        ["train", recipe, "--train", str(train), "--out", str(run), "--overwrite"],
        ["generate", str(run), "--energies", f"like:{test}", "--seed", "1", "--out", str(made), "--overwrite"],
        ["evaluate", str(made), "--reference", str(test), "--train", str(train), "--out", str(report), "--overwrite"],
    ]
    commands = context.find_root().command
    started = time.monotonic()
    for step in steps:
        stdout.rule()
        stdout.print(f"$ caloforge {shlex.join(step)}", markup=False, style="bold")
        arguments, sys.argv = sys.argv, ["caloforge", *step]  # outputs record the command that wrote them
        try:
            status = commands.main(step, standalone_mode=False)
        finally:
            sys.argv = arguments
        if status:  # the step was interrupted or failed
            raise typer.Exit(status)
    stdout.print(f"total time: {time.monotonic() - started:.0f} s", markup=False)
