"""Laws that conditions are drawn from, as words such as `uniform:0:60deg`.

    30deg                    one value for all showers
    uniform:0:60deg          flat between the limits
    solid:0:60deg            of an angle from an axis: flat in the solid angle between the limits
    gauss:0:3mm              normal, with mean and standard deviation
    discrete:0,30,60deg      these values, at random with equal probability
    list:0,30,60deg          these values, in turn

A unit at the last value holds for those before it that have none. Without units, angles are in rad, lengths in mm.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from caloforge.conditions.kinds import Condition, condition
from caloforge.errors import CaloforgeError

LAWS = "30deg, uniform:0:60deg, solid:0:60deg, gauss:0:3mm, discrete:0,30,60deg or list:0,30,60deg"


@dataclass(frozen=True)
class ConditionLaw:
    """How a condition is drawn.

    >>> law = parse_law("theta", "list:0,90deg")
    >>> law.draw(np.arange(3), np.random.default_rng(0)).round(4)
    array([0.    , 1.5708, 0.    ])

    Args:
        kind: of the condition.
        text: the law as written, for provenance.
        in_turn: whether a value depends on the shower's number alone.
    """

    kind: Condition
    text: str
    in_turn: bool
    _draw: Callable[[np.ndarray, np.random.Generator], np.ndarray]

    def __repr__(self) -> str:
        return f"ConditionLaw({self.kind.name}={self.text})"

    def draw(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n,) values in the condition's unit.

        Args:
            rows: (n,) numbers of the showers in the sample.
            rng: random generator.
        """
        return np.asarray(self._draw(rows, rng), dtype=np.float64)

    @property
    def key(self) -> int:
        """A number for its random stream, which depends on its name alone."""
        return zlib.crc32(self.kind.name.encode())


def parse_law(name: str, text: str, kind: Condition | None = None) -> ConditionLaw:
    """Read a law (see the module docstring).

    Args:
        name: of the condition.
        text: of the law.
        kind: what the condition is, if that is known from elsewhere.

    Raises:
        CaloforgeError: the law is unknown, or a value invalid or impossible.
    """
    kind = condition(name) if kind is None else kind
    word, colon, rest = text.strip().partition(":")
    separator = "," if word in ("discrete", "list") else ":"
    if not colon:
        word, rest = "value", text
    sizes = {"value": 1, "uniform": 2, "solid": 2, "gauss": 2}
    if word not in (*sizes, "discrete", "list") or not rest or (word == "solid" and kind.unit != "rad"):
        raise CaloforgeError(f"'{text}' is not a valid law of {name}; write {LAWS}")
    values, stated = _values(rest.split(separator), kind)
    if word in sizes and len(values) != sizes[word]:
        raise CaloforgeError(f"'{text}' has {len(values)} values; {word} takes {sizes[word]}, as in {LAWS}")
    if word in ("uniform", "solid") and not values[0] < values[1]:
        raise CaloforgeError(f"in '{text}' the lower limit must be below the upper one")
    if word == "gauss" and not values[1] >= 0:
        raise CaloforgeError(f"in '{text}' the standard deviation must not be negative")
    _check_limits(kind, text, values[:1] if word == "gauss" else values, stated)
    return ConditionLaw(kind, text, word in ("value", "list"), _drawing(word, values))


def parse_assignment(text: str) -> ConditionLaw:
    """Read `NAME=LAW`.

    Raises:
        CaloforgeError: it has another form, or the law is invalid.
    """
    name, equals, law = text.partition("=")
    if not equals:
        raise CaloforgeError(f"'{text}' is not of the form NAME=LAW, as in theta=uniform:0:60deg")
    return parse_law(name.strip(), law)


def _values(words: list[str], kind: Condition) -> tuple[list[float], bool]:
    """The values in the condition's unit, and whether the last has a unit."""
    found = [kind.parse(word) for word in words]
    unit = found[-1][1]
    factor = kind.parse(f"1{unit}")[0]
    return [value if own else value * factor for value, own in found], bool(unit)


def _check_limits(kind: Condition, text: str, values: list[float], stated: bool) -> None:
    wrong = [value for value in values if not kind.possible(np.array(value))]
    if not wrong:
        return
    value, low, high = (kind.format(x) if stated else f"{x:.4g}" for x in (wrong[0], kind.low, kind.high))
    unit = f" {kind.unit}" if kind.unit and not stated else ""
    question = f"; is it in degrees? Write {value}deg" if kind.unit == "rad" and not stated else ""
    raise CaloforgeError(f"'{text}': {kind.name} must be from {low} to {high}{unit}, not {value}{unit}{question}")


def _drawing(word: str, values: list[float]) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    first, last, every = values[0], values[-1], np.array(values)
    match word:
        case "uniform":
            return lambda rows, rng: rng.uniform(first, last, len(rows))
        case "solid":
            ends = math.cos(last), math.cos(first)
            return lambda rows, rng: np.arccos(rng.uniform(*ends, len(rows)))
        case "gauss":
            return lambda rows, rng: rng.normal(first, last, len(rows))
        case "discrete":
            return lambda rows, rng: rng.choice(every, len(rows))
        case _:
            return lambda rows, rng: every[rows % len(every)]
