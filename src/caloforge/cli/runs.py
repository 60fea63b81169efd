"""The argument RUN of all commands that take a trained generator, and what is said of one that does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.completion import runs

if TYPE_CHECKING:
    from caloforge.energies import EnergySpectrum
    from caloforge.simulator import AnySimulator


RUN = typer.Argument(
    ...,
    metavar="RUN",
    help="Folder that `caloforge train` wrote, or the name of a model (`caloforge models list`).",
    autocompletion=runs,
)

TRUST = typer.Option(
    [], "--trust", metavar="CLASS", help="Dotted path of a class of yours that the run may import. May be repeated."
)


def folder_of(run: Path) -> Path:
    """The folder of a run, given that folder or the name of a model."""
    from caloforge.zoo import find_run

    return find_run(run)


def remark_on(simulator: AnySimulator, spectrum: EnergySpectrum | None = None) -> None:
    """Say on stderr where a run does not fit what it is asked for."""
    from caloforge.cli.console import stderr
    from caloforge.simulator.fitness import mismatches, shortcomings

    for text in shortcomings(simulator):
        stderr.print(f"warning: {text}")
    if spectrum is not None:
        for text in mismatches(simulator, spectrum.geometry, spectrum.attributes):
            stderr.print(f"warning: {text}")
