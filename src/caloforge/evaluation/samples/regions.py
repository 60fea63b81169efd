"""Regions of energy and further conditions in which a comparison is repeated: bins of one, and cells of two."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from caloforge.conditions import Columns, Condition
from caloforge.energies.agreement import groups
from caloforge.errors import CaloforgeError
from caloforge.units import format_energy

ENERGY = "energy"

BINS, MOST_VALUES = 3, 8
"""Bins of a continuous condition, and values of a discrete one, at most."""

MOST_ENERGIES, ENERGY_BINS = 6, 4
"""Energies of a cell are those of the spectrum, or with more of these than the first, bins of log E."""


@dataclass(frozen=True)
class Region:
    """Where low ≤ value < high for the energy, a condition, or both.

    Args:
        label: as "theta 20 … 40 deg".
        by: what it is a region of: the condition's name, or `energy × name`.
        limits: name (`energy` for E_inc in MeV) → (low, high).
    """

    label: str
    by: str
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def inside(self, energies: np.ndarray, conditions: Columns) -> np.ndarray:
        """(N,) which showers are in it: energies (N,) in MeV, and further conditions."""
        found = np.ones(len(energies), dtype=bool)
        for name, (low, high) in self.limits.items():
            values = energies if name == ENERGY else conditions.kind(name).turned(conditions[name])
            found &= (values >= low) & (values < high)
        return found

    @property
    def extra(self) -> dict[str, float | str | None]:
        """What a metric says of it."""
        ends = {f"{name}_{end}": value for name, limits in self.limits.items() for end, value in _ends(limits)}
        return {"by": self.by, **ends}


def _ends(limits: tuple[float, float]) -> Sequence[tuple[str, float]]:
    return list(zip(("low", "high"), limits, strict=True))


def regions(energies: np.ndarray, conditions: Columns, by: Sequence[str]) -> list[Region]:
    """Bins of each of the conditions, then cells of energy and condition.

    Args:
        energies: (N,) of the reference in MeV.
        conditions: of the reference.
        by: names of conditions.

    Raises:
        CaloforgeError: the samples do not have one of them, or it is the same for all showers.
    """
    found = []
    for name in by:
        if name not in conditions:
            has = f"they have {', '.join(conditions)}" if conditions else "they have none beyond the energy"
            raise CaloforgeError(f"the samples have no condition {name} to compare by; {has}")
        bins = _bins(conditions.kind(name), conditions[name])
        if len(bins) < 2:
            value = conditions.kind(name).span(conditions[name])
            raise CaloforgeError(f"{name} is the same for all showers ({value}): there is nothing to compare by")
        found += [Region(f"{name} {label}", name, {name: limits}) for label, limits in bins]
        for energy, ends in _energies(energies):
            found += [
                Region(f"{energy}, {name} {label}", f"{ENERGY} × {name}", {ENERGY: ends, name: limits})
                for label, limits in bins
            ]
    return found


def _energies(energies: np.ndarray) -> list[tuple[str, tuple[float, float]]]:
    known = groups(energies)
    if len(known) <= MOST_ENERGIES:
        return [(label, (low, high)) for label, low, high in known]
    edges = np.geomspace(energies.min(), energies.max() * 1.000001, ENERGY_BINS + 1)
    return [(f"{format_energy(a)} … {format_energy(b)}", (float(a), float(b))) for a, b in pairwise(edges)]


def _bins(kind: Condition, values: np.ndarray) -> list[tuple[str, tuple[float, float]]]:
    """Label and limits of each: every value of a discrete condition, or equal bins of a continuous one."""
    values = kind.turned(values)
    distinct = np.unique(np.round(values, 9))
    if len(distinct) <= MOST_VALUES or kind.label:
        half = 0.5 * np.diff(distinct).min() if len(distinct) > 1 else 1.0
        return [(kind.format(float(v)), (float(v - half), float(v + half))) for v in distinct]
    low, high = _rounded(kind, float(values.min()), float(values.max()))
    edges = np.linspace(low, high, BINS + 1)
    ends = [(kind.format(float(a)), kind.format(float(b))) for a, b in pairwise(edges)]
    unit = " deg" if kind.unit == "rad" else f" {kind.unit}" if kind.unit else ""
    limits = list(pairwise(map(float, edges)))
    limits[-1] = (limits[-1][0], math.nextafter(limits[-1][1], math.inf))
    return [(f"{a.removesuffix(unit)} … {b}", both) for (a, b), both in zip(ends, limits, strict=True)]


def _rounded(kind: Condition, low: float, high: float) -> tuple[float, float]:
    """A range moved outwards to round numbers, by at most a tenth of its width; of angles in degrees."""
    factor = math.degrees(1) if kind.unit == "rad" else 1.0
    step = 10.0 ** math.floor(math.log10((high - low) * factor / 9))
    ends = math.floor(low * factor / step + 1e-9) * step, math.ceil(high * factor / step - 1e-9) * step
    return ends[0] / factor, ends[1] / factor
