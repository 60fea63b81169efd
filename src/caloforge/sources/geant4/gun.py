"""What enters the detector in an event: one particle or several, in words, drawn, and as columns of a file.

A gun is written as entries with commas between, each a number of particles (1 if left out), a particle, and its
kinetic energy: fixed, uniform from one value to another, or after a law `uniform:…`, `loguniform:…`:

    2 gamma 1GeV:10GeV, 1 pi+ 5GeV, e- loguniform:1GeV:16GeV

Energies, angles and entry points are drawn for each particle independently. A file has the sum of the energies as
incident energy, and for particle k = 1, 2, … the conditions energy_k (MeV), and theta_k, phi_k (rad), x_k, y_k (mm) if
they have a law.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caloforge.conditions import KNOWN, Columns
from caloforge.conditions.kinds import condition
from caloforge.energies import Incident, parse_spectrum
from caloforge.errors import CaloforgeError, either
from caloforge.sources.geant4.datasets import HADRONS, physics_list_for
from caloforge.sources.geant4.incidence import Incidence, drawn, incidences, incident_law

MOST = 100
"""Particles per event, at most."""

EXAMPLE = "2 gamma 1GeV:10GeV, 1 pi+ 5GeV"

_ENERGY = "energy"
_LAWS = ("uniform:", "loguniform:")


@dataclass(frozen=True)
class GunEntry:
    """One particle of every event: its Geant4 name, and the spectrum of its kinetic energy in words."""

    particle: str
    spectrum: str


@dataclass(frozen=True)
class Primary:
    """A particle of one event.

    Args:
        particle: its Geant4 name.
        energy: kinetic energy in MeV.
        incidence: direction and entry point; None for those of the beam.
    """

    particle: str
    energy: float
    incidence: Incidence | None = None


def parse_gun(text: str) -> tuple[GunEntry, ...]:
    """The particles of an event, from words (see the module docstring).

    >>> parse_gun("2 gamma 1GeV:10GeV, pi+ 5GeV")[1:]
    (GunEntry(particle='gamma', spectrum='uniform:1GeV:10GeV'), GunEntry(particle='pi+', spectrum='list:5GeV'))

    Raises:
        CaloforgeError: an entry has not this form, a particle is unknown, a number or an energy is invalid, or there
            are more than `MOST` particles.
    """
    found: list[GunEntry] = []
    for entry in text.split(","):
        words = entry.split()
        counted = bool(words) and re.fullmatch(r"[-+]?[0-9.]+", words[0]) is not None
        if len(words) != 2 + counted:
            raise CaloforgeError(
                f"'{entry.strip()}' is not a number of particles, a particle and an energy; write a gun as in "
                f"'{EXAMPLE}'"
            )
        number = _number(words[0], entry) if counted else 1
        particle, energy = words[-2:]
        physics_list_for(particle)
        found += [GunEntry(particle, _spectrum(energy))] * number
        if len(found) > MOST:
            raise CaloforgeError(f"the gun '{text.strip()}' shoots more than {MOST} particles per event")
    return tuple(found)


def physics_list_of(entries: Sequence[GunEntry]) -> str:
    """The physics list of an event: with hadrons if one of its particles is a hadron."""
    hadron = next((entry.particle for entry in entries if entry.particle in HADRONS), entries[0].particle)
    return physics_list_for(hadron)


def draw_primaries(
    entries: Sequence[GunEntry], conditions: tuple[str, ...], n: int | None, seed: int, half_width: float
) -> Incident:
    """Energies and conditions of n events of several particles, each particle with random numbers of its own.

    The first particle has the energies and conditions of a sample of it alone.

    Args:
        entries: the particles.
        conditions: laws of angles and entry points, `NAME=LAW` each, for every particle.
        n: number of events.
        seed: of all random numbers.
        half_width: of the front face in mm.

    Raises:
        CaloforgeError: n is missing or below 1, or from `incidence.drawn`.
    """
    if n is None:
        raise CaloforgeError(f"events of several particles need their number: {either('add -n N', 'give n')}")
    columns, total = Columns.none(n), np.zeros(n)
    for k, entry in enumerate(entries):
        own = (
            seed if k == 0 else int(np.random.SeedSequence(seed, spawn_key=(5, k)).generate_state(1, np.uint64)[0] >> 1)
        )
        found = drawn(incident_law(entry.spectrum, conditions), n, own, half_width)
        total += found.energies
        columns = columns.with_column(condition(f"{_ENERGY}_{k + 1}", "MeV"), found.energies)
        for kind in found.conditions.kinds:
            of_this = condition(f"{kind.name}_{k + 1}", kind.unit, kind.period)
            columns = columns.with_column(of_this, found.conditions[kind.name])
    return Incident(total, columns)


def primaries(particles: Sequence[str], energies: np.ndarray, columns: Columns | None) -> list[tuple[Primary, ...]]:
    """The particles of each event.

    Args:
        particles: their names, the same in every event.
        energies: (n,) incident energies in MeV, of all particles of an event together.
        columns: conditions: those of the only particle, or of several as `draw_primaries` makes them; None without any.
    """
    several = columns is not None and f"{_ENERGY}_1" in columns
    if columns is None or not several:
        return [*zip(_of_one(particles[0], energies, columns), strict=True)]
    by_particle = []
    for k, particle in enumerate(particles, start=1):
        names = [name for name in KNOWN if f"{name}_{k}" in columns]
        own = Columns.of({name: columns[f"{name}_{k}"] for name in names}, columns.n) if names else None
        by_particle.append(_of_one(particle, columns[f"{_ENERGY}_{k}"], own))
    return list(zip(*by_particle, strict=True))


def _of_one(particle: str, energies: np.ndarray, columns: Columns | None) -> list[Primary]:
    ways = [None] * len(energies) if columns is None else incidences(columns, len(energies))
    return [Primary(particle, float(energy), way) for energy, way in zip(energies, ways, strict=True)]


def _number(word: str, entry: str) -> int:
    if not re.fullmatch(r"\+?[0-9]+", word) or int(word) < 1:
        raise CaloforgeError(f"the number of particles in '{entry.strip()}' must be a whole number from 1, not {word}")
    return min(int(word), MOST + 1)


def _spectrum(energy: str) -> str:
    """The spectrum that an entry's energy means."""
    kind, colon, _ = energy.partition(":")
    if energy.startswith(_LAWS):
        text = energy
    elif colon and kind.isalpha():
        raise CaloforgeError(f"'{energy}' is not an energy of a gun; write 5GeV, 1GeV:10GeV, uniform:… or loguniform:…")
    else:
        text = f"uniform:{energy}" if colon else f"list:{energy}"
    parse_spectrum(text)
    return text
