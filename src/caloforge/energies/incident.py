"""What enters the calorimeter: energies and further conditions of a sample, or of one of its shards.

Shard i of N has its part of the n showers and its own random streams, seeded by (seed, i). Spectra with given
energies (`like:`, `list:`) are split into contiguous ranges, so that the shards together have exactly the energies of
the full sample. Random spectra are drawn in each shard. The same holds for the laws of further conditions, each of
which has a random stream of its own, whatever others there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from caloforge.conditions import Columns
from caloforge.conditions.laws import ConditionLaw, parse_assignment, parse_law
from caloforge.energies.spectra import EnergySpectrum, parse_spectrum
from caloforge.errors import CaloforgeError
from caloforge.showers.shard import Shard
from caloforge.units import count


@dataclass(frozen=True)
class Incident:
    """Energies (N,) in MeV and further conditions of N showers to be generated."""

    energies: np.ndarray
    conditions: Columns

    def __len__(self) -> int:
        return len(self.energies)

    def __repr__(self) -> str:
        return f"Incident({count(len(self), 'particle')}, {self.conditions})"

    def take(self, rows: slice) -> Incident:
        """Some of them."""
        return Incident(self.energies[rows], self.conditions.take(rows))


@dataclass(frozen=True)
class IncidentLaw:
    """How energies and further conditions are drawn.

    Args:
        spectrum: of the energies; that of `like:` brings the conditions of its file.
        laws: of further conditions, each in place of the file's.
    """

    spectrum: EnergySpectrum
    laws: tuple[ConditionLaw, ...] = ()

    @classmethod
    def parse(cls, energies: str, conditions: Sequence[str] = (), angles: str | None = None) -> IncidentLaw:
        """From words.

        Args:
            energies: see `parse_spectrum`.
            conditions: `NAME=LAW` each (`caloforge.conditions.laws`).
            angles: law of theta.

        Raises:
            CaloforgeError: one is invalid, or a condition has two laws.
        """
        laws = [parse_assignment(text) for text in conditions]
        if angles is not None:
            laws.append(parse_law("theta", angles))
        names = [law.kind.name for law in laws]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise CaloforgeError(f"the condition {repeated[0]} has two laws: give one")
        return cls(parse_spectrum(energies), tuple(laws))

    def __repr__(self) -> str:
        return f"IncidentLaw({', '.join([self.spectrum.text, *filter(None, [self.text])])})"

    @property
    def text(self) -> str:
        """The laws of conditions in words, for provenance; empty if there are none."""
        return ", ".join(sorted(f"{law.kind.name}={law.text}" for law in self.laws))

    def total(self, n: int | None) -> int | None:
        """Number of showers of the sample, where it is known."""
        return self.spectrum.natural_count if n is None else n

    def draw(self, n: int | None, seed: int, shard: Shard | None = None) -> Incident:
        """The energies and conditions of a sample, or of one shard of it.

        Args:
            n: number of showers in the full sample; None uses the natural count of the spectrum.
            seed: at least 0.
            shard: the shard; None for the full sample.

        Raises:
            CaloforgeError: from `EnergySpectrum.draw`, or the shard is empty.
        """
        energies = draw_energies(self.spectrum, n, seed, shard)
        columns, start = Columns.none(len(energies)), 0
        if shard is not None:
            start = shard.rows(self.total(n) or 0)[0]
        if self.spectrum.conditions is not None:
            rows_of_file = _of_copies(self.spectrum, self.spectrum.draw_rows, n, seed, shard)
            columns = self.spectrum.conditions.take(rows_of_file)
        rows = np.arange(start, start + len(energies))
        for law in self.laws:
            key = (3, law.key) if shard is None else (4, law.key, shard.number)
            columns = columns.with_column(law.kind, law.draw(rows, _random(seed, *key)))
        return Incident(energies, columns)


def draw_energies(spectrum: EnergySpectrum, n: int | None, seed: int, shard: Shard | None = None) -> np.ndarray:
    """The incident energies of a sample, or of one shard of it.

    Args:
        spectrum: the incident-energy spectrum.
        n: number of showers in the full sample; None uses the natural count of the spectrum.
        seed: at least 0.
        shard: the shard; None for the full sample.

    Returns:
        (n showers of the shard,) incident energies in MeV.

    Raises:
        CaloforgeError: from `EnergySpectrum.draw`, or the shard is empty.
    """
    if spectrum.natural_count is None and shard is not None and n is not None:
        start, stop = shard.rows(n)
        return spectrum.draw(stop - start, _random(seed, 2, shard.number, 0))
    return _of_copies(spectrum, spectrum.draw, n, seed, shard)


def _of_copies(
    spectrum: EnergySpectrum,
    draw: Callable[[int | None, np.random.Generator], np.ndarray],
    n: int | None,
    seed: int,
    shard: Shard | None,
) -> np.ndarray:
    """What `draw` gives for a sample, or the part of it that one shard has."""
    own = spectrum.natural_count
    total = own if n is None else n
    if shard is None or own is None or total is None:
        return draw(n, _random(seed, 0))  # raises if the number is missing
    # As in EnergySpectrum: row k of the sample is row k mod m of one copy; the last, incomplete copy is random.
    start, stop = shard.rows(total)
    row, whole = np.arange(start, stop), total - total % own
    found = draw(own, _random(seed, 0))[row % own]
    if stop > whole:
        found[row >= whole] = draw(total % own, _random(seed, 0))[row[row >= whole] - whole]
    return found


def _random(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
