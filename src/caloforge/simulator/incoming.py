"""The particles that a run is asked to generate showers of: energies and conditions, as arrays or in words.

    run.generate([1000.0, 2000.0], conditions={"theta": [0.1, 0.2]})
    run.generate("uniform:1GeV:16GeV", n=1000, conditions={"theta": "uniform:0:60deg"})

Words are those of the command line (`caloforge.energies.spectra`, `caloforge.conditions.laws`), and draw the same
numbers from the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from caloforge.conditions import Columns
from caloforge.conditions.laws import parse_law
from caloforge.energies import EnergySpectrum, Incident, IncidentLaw, parse_spectrum
from caloforge.errors import CaloforgeError
from caloforge.showers.checks import as_numbers
from caloforge.transforms import TrainedConditions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LARGEST = 2**63
"""Integers of this size or more do not fit into file attributes."""

MOST_MEV = 1e15
"""Upper limit of incident energies: above any particle observed; single precision reaches 10³⁸."""

GIVEN = "given"
"""In place of the words of a spectrum, where energies are given as numbers."""

ANGLE = "theta"
"""The condition that `angles` gives."""


@dataclass(frozen=True)
class Incoming:
    """The energies and conditions that are asked for, to be drawn once or batch by batch.

    Args:
        known: the conditions that the run knows.
        law: of the energies and of the conditions in words.
        given: conditions as arrays or numbers.
    """

    known: TrainedConditions
    law: IncidentLaw
    given: Mapping[str, ArrayLike]

    @classmethod
    def of(
        cls,
        known: TrainedConditions,
        energies: ArrayLike,
        conditions: Mapping[str, ArrayLike] | None = None,
        angles: ArrayLike | None = None,
    ) -> Incoming:
        """From what a user gives.

        Args:
            known: the conditions that the run knows.
            energies: (N,) in MeV, or a spectrum in words.
            conditions: name → (N,) values, one value, or a law in words.
            angles: of incidence, the same as the condition theta (rad).

        Raises:
            CaloforgeError: an argument is invalid.
        """
        every = _with_angles(conditions, angles)
        kinds = {entry.kind.name: entry.kind for entry in known.entries}
        words = {name: value for name, value in every.items() if isinstance(value, str)}
        laws = tuple(parse_law(name, text, kinds.get(name)) for name, text in words.items())
        if isinstance(energies, str):
            spectrum = parse_spectrum(energies)
        else:
            values = checked_energies(energies)
            spectrum = EnergySpectrum(GIVEN, len(values), lambda n, rng: values)
        given = every if isinstance(every, Columns) else {k: v for k, v in every.items() if k not in words}
        return cls(known, IncidentLaw(spectrum, laws), given)

    def draw(self, n: int | None, seed: int) -> Incident:
        """Energies and conditions of N showers, complete and checked.

        Args:
            n: number of showers drawn from a spectrum in words; None for the natural count of `like:FILE` and `list:…`.
            seed: of what is drawn.

        Raises:
            CaloforgeError: `n` or `seed` is invalid, or a condition is missing, unknown or outside the range of the
                training.
        """
        check_integer("the seed", seed, 0)
        if n is not None:
            check_integer("the number of showers n", n, 1)
            if self.law.spectrum.text == GIVEN:
                raise CaloforgeError(
                    f"n={n} is the number of showers drawn from a spectrum, as 'uniform:1GeV:16GeV'; leave it out "
                    "where the energies are given"
                )
        drawn = self.law.draw(n, seed)
        # Conditions of the file of `like:` that the run does not know are left out, as on the command line.
        accepted = {*self.known.names, *self.known.superfluous, *(law.kind.name for law in self.law.laws)}
        columns = drawn.conditions.only([name for name in drawn.conditions if name in accepted])
        values = Columns.of(self.given, len(drawn))
        for kind in values.kinds:
            columns = columns.with_column(kind, values[kind.name])
        return Incident(drawn.energies, self.known.checked(columns))


def _with_angles(conditions: Mapping[str, ArrayLike] | None, angles: ArrayLike | None) -> Mapping[str, ArrayLike]:
    if conditions is not None and not isinstance(conditions, Mapping):
        raise CaloforgeError(f"conditions must be a mapping of names to values, not {type(conditions).__name__}")
    if angles is None:
        return conditions or {}
    if conditions and ANGLE in conditions:
        raise CaloforgeError(f"angles and the condition {ANGLE} are the same: give one of the two")
    return {**(conditions or {}), ANGLE: angles}


def check_integer(what: str, value: object, least: int) -> None:
    """Require an integer from `least` to 2⁶³.

    Args:
        what: the value is, for the error.
        value: what was given.
        least: smallest valid value.

    Raises:
        CaloforgeError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise CaloforgeError(f"{what} must be an integer, not {value!r}")
    if value < least:
        raise CaloforgeError(f"{what} must be at least {least}, not {value}")
    if value >= LARGEST:
        raise CaloforgeError(f"{what} must be less than 2^63, not {value}")


def checked_energies(energies: ArrayLike) -> np.ndarray:
    """(N,) incident energies in MeV as float64.

    Raises:
        CaloforgeError: these are not numbers, the shape is not (N,) or (N, 1), or an energy is not in (0, 10¹⁵] MeV.
    """
    values = as_numbers(energies, np.float64, "incident energies (MeV)")
    if values.ndim == 2 and values.shape[1] == 1:  # as in the challenge's files
        values = values[:, 0]
    if values.ndim != 1 or len(values) == 0:
        raise CaloforgeError(f"incident energies (MeV) must have the shape (N,) with N > 0, not {values.shape}")
    bad = ~((values > 0) & (values <= MOST_MEV))
    if bad.any():
        first = int(np.argmax(bad))
        limits = f"it must be finite and above 0, and at most {MOST_MEV:g} MeV"
        raise CaloforgeError(f"incident energy {first} is {values[first]:g} MeV; {limits}")
    return values
