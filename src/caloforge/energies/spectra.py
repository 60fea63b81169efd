"""Incident-energy spectra of shower samples.

A spectrum is written as one word, e.g. `uniform:1GeV:100GeV`; energies without a unit are in MeV.

    like:FILE               the energies of a shower file, with the same multiplicities, and its conditions with them
    list:512,1024           these energies, in turn
    discrete:256,512,1024   these energies, at random with equal probability
    uniform:1GeV:100GeV     flat between the limits
    loguniform:1GeV:1TeV    flat in the logarithm between the limits

In lists, `256,...,16384` doubles from the first to the last, and `10,30,...,810` continues with the ratio of the first
two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError, either
from caloforge.geometry import Geometry
from caloforge.units import parse_energy

ROUNDING = 1e-3
"""Relative tolerance at the limits of a range; energies within it count as inside."""

SPECTRA = "like:FILE, list:512,1024, discrete:256,...,16384, uniform:1GeV:100GeV or loguniform:1GeV:1TeV"


@dataclass(frozen=True)
class EnergySpectrum:
    """An incident-energy spectrum.

    >>> parse_spectrum("list:256,...,2048").draw(None, np.random.default_rng(0))
    array([ 256.,  512., 1024., 2048.])

    Args:
        text: the spectrum as written, for provenance.
        natural_count: number of energies in the spectrum (`like:`, `list:`); None if any number may be drawn.
        conditions: those of the file of `like:`, shower by shower; they are drawn together with the energies.
        geometry: of that file's showers, if they are voxels.
        attributes: of that file.
    """

    text: str
    natural_count: int | None
    _draw: Callable[[int, np.random.Generator], np.ndarray]
    conditions: Columns | None = None
    _rows: Callable[[int, np.random.Generator], np.ndarray] | None = None
    geometry: Geometry | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"EnergySpectrum('{self.text}')"

    def draw(self, n: int | None, rng: np.random.Generator) -> np.ndarray:
        """(n,) incident energies in MeV, float64.

        Args:
            n: number of energies; None uses `natural_count`.
            rng: random generator (unused by `list:`).

        Raises:
            CaloforgeError: n is None and there is no natural count, n is below 1, n is too large for the memory, or an
                energy is one that no shower file may have.
        """
        from caloforge.showers.checks import check_energies

        energies = self._drawn(self._draw, n, rng)
        check_energies(energies)
        return energies

    def draw_rows(self, n: int | None, rng: np.random.Generator) -> np.ndarray:
        """(n,) row numbers of the file of `like:`, the showers that `draw` takes the energies of.

        Raises:
            CaloforgeError: as for `draw`.
        """
        assert self._rows is not None
        return self._drawn(self._rows, n, rng)

    def _drawn(
        self, draw: Callable[[int, np.random.Generator], np.ndarray], n: int | None, rng: np.random.Generator
    ) -> np.ndarray:
        n = self.natural_count if n is None else n
        if n is None:
            raise CaloforgeError(
                f"the energy spectrum '{self.text}' needs the number of showers: {either('add -n N', 'give n')}"
            )
        if n < 1:
            raise CaloforgeError(f"the number of showers must be at least 1, not {n}")
        try:
            return draw(n, rng)
        except (MemoryError, OverflowError, ValueError):
            raise CaloforgeError(
                f"the incident energies of {n:,} showers do not fit into memory: split the sample"
                f"{either(' (--shards)', '')}"
            ) from None


def outside_range(energies: np.ndarray, low: float, high: float) -> np.ndarray:
    """(N,) whether each incident energy is outside the range from `low` to `high`, all in MeV; up to rounding."""
    return (energies < (1 - ROUNDING) * low) | (energies > (1 + ROUNDING) * high)


def parse_spectrum(text: str) -> EnergySpectrum:
    """Read an incident-energy spectrum (see the module docstring).

    Raises:
        CaloforgeError: the kind of spectrum is unknown or a value is invalid; for `like:`, from `ShowerFile`.
    """
    kind, _, rest = text.partition(":")
    if kind == "like" and rest:
        return _like(text, rest)
    if kind in ("list", "discrete") and rest:
        values = np.array(_parse_list(rest, text))
        if kind == "list":
            return EnergySpectrum(text, len(values), lambda n, rng: np.tile(values, -(-n // len(values)))[:n])
        return EnergySpectrum(text, None, lambda n, rng: rng.choice(values, n))
    if kind in ("uniform", "loguniform") and rest:
        low, high = _parse_range(rest, text)
        if kind == "uniform":
            return EnergySpectrum(text, None, lambda n, rng: rng.uniform(low, high, n))
        return EnergySpectrum(text, None, lambda n, rng: np.exp(rng.uniform(math.log(low), math.log(high), n)))
    raise CaloforgeError(f"'{text}' is not a valid energy spectrum; write {SPECTRA}")


def _like(text: str, path: str) -> EnergySpectrum:
    from caloforge.points import is_point_file

    found = _of_points(path) if is_point_file(path) else _of_voxels(path)
    energies, columns, geometry, attributes = found
    every = np.arange(len(energies))

    def rows(n: int, rng: np.random.Generator) -> np.ndarray:
        # Complete copies first, so that the spectrum is that of the file; only the remainder is drawn at random.
        copies, remainder = divmod(n, len(energies))
        return np.concatenate([np.tile(every, copies), rng.choice(every, remainder, replace=False)])

    def drawn(n: int, rng: np.random.Generator) -> np.ndarray:
        found: np.ndarray = energies[rows(n, rng)]
        return found

    return EnergySpectrum(text, len(energies), drawn, columns or None, rows, geometry, attributes)


OfFile = tuple[np.ndarray, Columns, Geometry | None, dict[str, Any]]
"""Energies and conditions of a file's showers, the geometry if they are voxels, and attributes."""


def _of_voxels(path: str) -> OfFile:
    from caloforge.showers import ShowerFile
    from caloforge.showers.checks import warn_of_doubts

    with ShowerFile(path) as file:
        energies, columns = file.energies(), file.conditions()
        warn_of_doubts(path, energies)
        return energies, columns, file.geometry, dict(file.attributes)


def _of_points(path: str) -> OfFile:
    from caloforge.points import PointFiles
    from caloforge.points.energy_unit import conversion_instead_of_unit

    with conversion_instead_of_unit():
        files = PointFiles([path])
    return np.concatenate(files.energies_by_file()), files.conditions(), None, files.attributes


def _parse_range(rest: str, text: str) -> tuple[float, float]:
    parts = rest.split(":")
    if len(parts) != 2:
        raise CaloforgeError(f"'{text}' needs a lower and an upper energy, e.g. {text.split(':')[0]}:1GeV:100GeV")
    low, high = parse_energy(parts[0]), parse_energy(parts[1])
    if low >= high:
        raise CaloforgeError(f"in '{text}' the lower energy must be below the upper one")
    return low, high


def _parse_list(rest: str, text: str) -> list[float]:
    words = [word.strip() for word in rest.split(",")]
    dots = [k for k, word in enumerate(words) if word in ("...", "…")]
    if not dots:
        return [parse_energy(word) for word in words]
    if len(dots) > 1 or dots[0] not in (1, 2) or dots[0] != len(words) - 2:
        raise CaloforgeError(f"in '{text}' write FIRST,...,LAST or FIRST,SECOND,...,LAST")
    head, last = [parse_energy(word) for word in words[: dots[0]]], parse_energy(words[-1])
    ratio = head[1] / head[0] if len(head) == 2 else 2.0
    steps = math.log(last / head[0]) / math.log(ratio) if ratio > 1 else -1.0
    if steps < 1 or abs(steps - round(steps)) > 1e-6:
        raise CaloforgeError(f"'{text}': {last:g} MeV is not {head[0]:g} MeV times a power of {ratio:g}")
    return [head[0] * ratio**k for k in range(round(steps) + 1)]
