"""Options for conditions beyond the energy, which several commands have."""

from __future__ import annotations

from collections.abc import Sequence

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


def fixed_values(conditions: Sequence[str], what: str) -> dict[str, float]:
    """Values of conditions, in their units, from words such as `theta=30deg`.

    Args:
        conditions: NAME=VALUE each.
        what: takes one value, for the error.

    Raises:
        CaloforgeError: one is a law, or invalid.
    """
    import numpy as np

    from caloforge.conditions.laws import parse_assignment
    from caloforge.errors import CaloforgeError

    found = {}
    for text in conditions:
        law = parse_assignment(text)
        if ":" in law.text:
            raise CaloforgeError(f"--condition {text}: {what} takes one value, as in {law.kind.name}=VALUE, not a law")
        found[law.kind.name] = float(law.draw(np.arange(1), np.random.default_rng(0))[0])
    return found
