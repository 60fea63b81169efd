"""Options for conditions beyond the energy, which several commands have."""

from __future__ import annotations

import typer

ANGLES = typer.Option(
    None,
    "--angles",
    metavar="LAW",
    help="Angle of incidence, e.g. 30deg, uniform:0:60deg, solid:0:60deg or discrete:0,30,60deg (docs/conditions.md).",
)
CONDITIONS = typer.Option(
    [],
    "--condition",
    metavar="NAME=LAW",
    help="A further condition, e.g. phi=uniform:0:360deg or x=gauss:0:3mm. May be repeated.",
)
