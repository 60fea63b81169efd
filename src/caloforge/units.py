"""Units: MeV, mm and rad everywhere; this module parses and formats energies for users."""

from __future__ import annotations

import re
from collections.abc import Sequence

from caloforge.errors import CaloforgeError

MEV = {"ev": 1e-6, "kev": 1e-3, "mev": 1.0, "gev": 1e3, "tev": 1e6}

_QUANTITY = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Z]*)\s*")


def parse_energy(text: str) -> float:
    """Energy in MeV from text such as `512`, `1GeV` or `2.5 TeV`; no unit means MeV.

    Raises:
        CaloforgeError: the text is not a number, the unit is unknown, or the energy is not positive.
    """
    match = _QUANTITY.fullmatch(text)
    try:
        value = float(match.group(1)) if match else float("nan")
    except ValueError:
        value = float("nan")
    if match is None or value != value:
        raise CaloforgeError(f"'{text}' is not a valid energy; write a number and a unit, e.g. 512, 1GeV or 2.5TeV")
    unit = match.group(2).lower()
    if unit and unit not in MEV:
        raise CaloforgeError(f"'{match.group(2)}' in '{text}' is not a unit of energy; use eV, keV, MeV, GeV or TeV")
    if value == float("inf"):
        raise CaloforgeError(f"the energy '{text}' is too large for a number")
    if value <= 0:
        raise CaloforgeError(f"the energy '{text}' must be above zero")
    return value * MEV.get(unit, 1.0)


def format_energy(energy: float) -> str:
    """`energy` (MeV) with the unit that keeps it between 1 and 1000, e.g. `16.4 GeV`."""
    for unit, factor in (("TeV", 1e6), ("GeV", 1e3), ("MeV", 1.0)):
        if energy >= factor:
            return f"{energy / factor:.4g} {unit}"
    return f"{energy / 1e-3:.4g} keV"


def count(n: int, noun: str) -> str:
    """`n` with the noun in singular or plural, e.g. `1 shower` or `12,000 showers`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def energy_span(labels: Sequence[str]) -> str:
    """From the first of several energies, or octaves, to the last.

    >>> energy_span(["256 MeV", "512 MeV"]), energy_span(["512 MeV", "1.024 GeV"]), energy_span(["1 GeV … 2 GeV"])
    ('256 to 512 MeV', '512 MeV to 1.024 GeV', '1 to 2 GeV')
    """
    first, last = labels[0].split(" … ")[0], labels[-1].split(" … ")[-1]
    if first == last:
        return first
    (low, unit), (_, other) = first.split(), last.split()
    return f"{low if unit == other else first} to {last}"
