"""What a condition is: its name, unit, limits and period. `KNOWN` is the table of those with a meaning of their own.

A shower file may hold any further number per shower under a name that is not in the table: it has then no limits, and
the unit that the file states. Angles are in rad, lengths in mm.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError

UNITS = {"rad": {"rad": 1.0, "deg": math.pi / 180}, "mm": {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3}}
"""Unit that is stored → units that values may be given in, and what they are in it."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_QUANTITY = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([a-zA-Z]*)\s*")

ROUNDING = 1e-6
"""Relative excess over a limit that counts as rounding."""


@dataclass(frozen=True)
class Condition:
    """A number per shower that showers depend on.

    >>> KNOWN["theta"].format(0.5236)
    '30 deg'

    Args:
        name: as in `incident_NAME`, the dataset of a shower file.
        unit: of stored values; empty for a pure number.
        low, high: limits of possible values.
        period: of a periodic one, in its unit; values that differ by it are the same.
        label: whether values are codes, as of particles: there is nothing between two of them.
        what: it is, in words.
    """

    name: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    period: float | None = None
    label: bool = False
    what: str = ""

    def parse(self, text: str) -> tuple[float, str]:
        """The value of text such as `30deg` in this condition's unit, and the unit that the text states, if any.

        Raises:
            CaloforgeError: the text is not a number, or has a unit of something else.
        """
        match = _QUANTITY.fullmatch(text)
        try:
            value = float(match.group(1)) if match else math.nan
        except ValueError:
            value = math.nan
        units = {**UNITS.get(self.unit, {}), **({self.unit: 1.0} if self.unit else {})}
        if match is None or math.isnan(value):
            example = "30deg" if self.unit == "rad" else f"12{self.unit}"
            raise CaloforgeError(f"'{text}' is not a valid value of {self.name}; write a number, as in {example}")
        unit = match.group(2)
        if unit and unit not in units:
            with_unit = ", ".join(each.name for each in KNOWN.values() if each.unit)
            known = f"its units are {', '.join(units)}" if units else f"it has no unit, as {with_unit} have"
            raise CaloforgeError(f"'{unit}' in '{text}' is not a unit of {self.name}; {known}")
        return value * units.get(unit, 1.0), unit

    def format(self, value: float) -> str:
        """A value with its unit; angles in degrees."""
        if self.unit == "rad":
            return f"{math.degrees(value):.4g} deg"
        return f"{value:.6g}{f' {self.unit}' if self.unit else ''}"

    def span(self, values: np.ndarray) -> str:
        """The range of values (N,) in words."""
        if self.label:
            distinct = np.unique(values)
            return ", ".join(f"{v:g}" for v in distinct[:8]) + (", …" if len(distinct) > 8 else "")
        ends = [self.format(float(v)) for v in (values.min(), values.max())] if len(values) else []
        return " … ".join(dict.fromkeys(ends))

    def possible(self, values: np.ndarray) -> np.ndarray:
        """(N,) whether values (N,) are finite and within the limits, up to the rounding of float32."""
        slack = ROUNDING * max((abs(v) for v in (self.low, self.high) if math.isfinite(v)), default=0.0)
        return np.asarray((values >= self.low - slack) & (values <= self.high + slack) & np.isfinite(values))

    def check(self, values: np.ndarray, where: str = "", start: int = 0) -> None:
        """Require values (N,) to be finite and possible.

        Args:
            values: in this condition's unit.
            where: prefix of an error, such as the file.
            start: row of the first one, for the error.

        Raises:
            CaloforgeError: one is not; asks about degrees where that would explain it.
        """
        bad = ~self.possible(values)
        if not bad.any():
            return
        row = int(np.argmax(bad))
        value = float(values[row])
        if not math.isfinite(value):
            raise CaloforgeError(f"{where}{self.name} of row {start + row} is {value:g}, not finite")
        limits = f"must be from {self.low:.4g} to {self.high:.4g} {self.unit}"
        question = "; is it in degrees? Angles are in rad" if self.unit == "rad" and abs(value) <= 360 else ""
        raise CaloforgeError(f"{where}{self.name} of row {start + row} is {value:.4g}, but it {limits}{question}")

    def turned(self, values: np.ndarray) -> np.ndarray:
        """Values (N,), periodic ones moved to −period/2 … period/2."""
        if self.period is None:
            return values
        return np.asarray(values - self.period * np.floor(values / self.period + 0.5))

    def to_dict(self) -> dict[str, Any]:
        """What of it a table cannot tell, as plain data."""
        facts = {"name": self.name, "unit": self.unit, "period": self.period, "label": self.label}
        return {key: value for key, value in facts.items() if value or key == "name"}


KNOWN: Mapping[str, Condition] = {
    each.name: each
    for each in (
        Condition("theta", "rad", 0.0, math.pi / 2, what="angle of incidence from the normal of the layers"),
        Condition(
            "phi", "rad", -2 * math.pi, 2 * math.pi, period=2 * math.pi, what="azimuth of the direction of incidence"
        ),
        Condition("polar", "rad", 0.0, math.pi, what="polar angle from the beam axis; 90 deg is normal to a barrel"),
        Condition("x", "mm", what="entry point along x"),
        Condition("y", "mm", what="entry point along y"),
        Condition("pdg", label=True, what="particle, as the PDG's code"),
        Condition("detector", label=True, what="number of the detector"),
    )
}
"""Conditions with a meaning, by name."""

TURNING_FRAME = "mesh axis along the incident direction"
"""How the attribute `frame` of a file begins whose mesh turns with the particle."""


def condition(name: str, unit: str = "", period: float | None = None, label: bool = False) -> Condition:
    """The condition of this name: from the table, else one without limits.

    Args:
        name, unit, period, label: see `Condition`; of one in the table, a unit must be the table's.

    Raises:
        CaloforgeError: the name is not a word, or a known condition has another unit.
    """
    if not NAME.fullmatch(name):
        raise CaloforgeError(f"'{name}' is not a valid name of a condition: use letters, digits and _")
    known = KNOWN.get(name)
    if known is None:
        return Condition(name, unit, period=period, label=label)
    if unit and unit != known.unit:
        raise CaloforgeError(f"{name} is in {unit}, but must be in {known.unit or 'no unit'}: convert it")
    return known


def superfluous(names: Iterable[str], frame: str) -> list[str]:
    """Those of `names` on which showers cannot depend: the azimuth, where the mesh turns with the particle.

    Args:
        names: of conditions.
        frame: the file's attribute of this name.
    """
    return [name for name in names if name == "phi" and frame.startswith(TURNING_FRAME)]
