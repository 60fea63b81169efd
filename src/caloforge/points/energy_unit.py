"""The unit of energies in files that do not store it: as the user says it, and as caloforge writes it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from caloforge.errors import CaloforgeError, either, option
from caloforge.units import MEV

SPELLINGS = {"ev": "eV", "kev": "keV", "mev": "MeV", "gev": "GeV", "tev": "TeV"}


class Unit(NamedTuple):
    """MeV per unit of a file: for energies of points, and for incident energies."""

    points: float
    incident: float


def parse_unit(text: str, what: str = "unit") -> Unit:
    """A unit such as `GeV`, or two, such as `MeV,GeV`: of the points, and of the incident energies.

    >>> parse_unit("MeV,GeV")
    Unit(points=1.0, incident=1000.0)

    Args:
        text: what the user wrote. what: argument that it was given for.

    Raises:
        CaloforgeError: it is not a unit of energy.
    """
    words = [word.strip().lower() for word in text.split(",")]
    if not 1 <= len(words) <= 2 or any(word not in MEV for word in words):
        raise CaloforgeError(
            f"{option(what)} '{text}' is not a unit of energy: write MeV or GeV, or two where the points and the "
            "incident energies differ, as in MeV,GeV"
        )
    return Unit(MEV[words[0]], MEV[words[-1]])


GEV = Unit(1000.0, 1000.0)
"""Of formats whose energies are all in GeV."""


def unit_text(unit: Unit) -> str:
    """As `parse_unit` reads it."""
    words = [next(SPELLINGS[word] for word, factor in MEV.items() if factor == each) for each in unit]
    return ",".join(dict.fromkeys(words))


def of_attribute(attributes: Mapping[str, Any]) -> Unit | None:
    """The unit that a file states as `energy_unit`, if it does."""
    stated = attributes.get("energy_unit")
    return parse_unit(stated) if isinstance(stated, str) else None


class UnitNeeded(CaloforgeError):
    """A file does not say in which unit its energies are, and nor does the user."""

    path: Path
    layout: str


def unit_needed(path: Path, layout: str) -> NoReturn:
    """Ask for the unit.

    Raises:
        UnitNeeded: always.
    """
    error = UnitNeeded(f"{_unknown(path, layout)}: give {option('unit', 'GeV')} (or MeV, or MeV,GeV)")
    error.path, error.layout = path, layout
    raise error


def _unknown(path: Path, layout: str) -> str:
    return f"{path}: files of {layout} do not store the unit of energies"


@contextmanager
def conversion_instead_of_unit() -> Iterator[None]:
    """Context in which no unit can be given: an error asks for a conversion into a file that states it.

    Raises:
        CaloforgeError: a file does not say in which unit its energies are.
    """
    try:
        yield
    except UnitNeeded as error:
        how = either("caloforge convert", "caloforge.points.conversion.convert")
        words = f"{option('to', 'points')} {either('', 'and ')}{option('unit', 'GeV')}"
        raise CaloforgeError(f"{_unknown(error.path, error.layout)}: convert it first ({how} … {words})") from None
