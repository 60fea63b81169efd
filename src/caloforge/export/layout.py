"""Inputs of graphs column by column, and units of their outputs: what a consumer passes and gets, for code and card.

An input of a graph is a tensor of float32, a row per shower. Its columns are, from left to right, those of its parts:

    noise       mean + deviation z, with z from N(0, 1)            `size` columns
    energy      offset + factor E, or offset + factor ln E         one column, E in MeV
    condition   factor v, with v in the unit of the part           one column
    constant    the same values for all showers                    a column each
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from caloforge.energies.spectra import ROUNDING
from caloforge.transforms.trained_conditions import TrainedCondition

Intervals = tuple[tuple[float, float], ...]
"""Closed intervals: a value is accepted in any of them."""


@dataclass(frozen=True)
class Given:
    """What the showers of a batch are asked for.

    Args:
        noise: (B, n) from N(0, 1).
        energies: (B, 1) in MeV.
        conditions: name → (B, 1).
    """

    noise: Tensor
    energies: Tensor
    conditions: Mapping[str, Tensor]


class InputPart(ABC):
    """Consecutive columns of an input."""

    kind: ClassVar[str]
    what: str
    """In words."""

    @property
    def size(self) -> int:
        """Number of columns."""
        return 1

    @abstractmethod
    def columns(self, given: Given) -> Tensor:
        """(B, size)."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Everything that a program needs to fill the columns."""

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        return {"kind": self.kind, **self.facts()}


@dataclass(frozen=True)
class Noise(InputPart):
    """`dimension` independent normal numbers of this mean and standard deviation.

    Of the noise of a shower, they are those from the number `start` on.
    """

    dimension: int
    mean: float = 0.0
    deviation: float = 1.0
    what: str = "independent normal numbers"
    start: int = 0

    kind: ClassVar[str] = "noise"

    @property
    def size(self) -> int:
        return self.dimension

    def columns(self, given: Given) -> Tensor:
        return self.mean + self.deviation * given.noise[:, self.start : self.start + self.dimension]

    def facts(self) -> dict[str, Any]:
        return {"size": self.size, "mean": self.mean, "deviation": self.deviation}


@dataclass(frozen=True)
class Energy(InputPart):
    """offset + factor · E, or · ln E; `what` it is in words, `low` and `high` of the training showers in MeV."""

    low: float
    high: float
    factor: float = 1.0
    offset: float = 0.0
    logarithm: bool = False
    what: str = "incident energy"

    kind: ClassVar[str] = "energy"

    def columns(self, given: Given) -> Tensor:
        energies = given.energies.double()  # offset and logarithm cancel in part
        value = self.offset + self.factor * (torch.log(energies) if self.logarithm else energies)
        return value.to(given.energies.dtype)

    def facts(self) -> dict[str, Any]:
        accepted = [(1 - ROUNDING) * self.low, (1 + ROUNDING) * self.high]
        encoding = {"factor": self.factor, "offset": self.offset, "logarithm": self.logarithm}
        return {"unit": "MeV", **encoding, "accepted": [accepted]}


@dataclass(frozen=True)
class Quantity(InputPart):
    """factor · v of a condition v called `name`, with the intervals in which a run was trained at it."""

    name: str
    unit: str
    accepted: Intervals
    factor: float = 1.0
    period: float | None = None
    what: str = ""

    kind: ClassVar[str] = "condition"

    def columns(self, given: Given) -> Tensor:
        return self.factor * given.conditions[self.name]

    def facts(self) -> dict[str, Any]:
        period = {} if self.period is None else {"period": self.period}
        accepted = [list(interval) for interval in self.accepted]
        return {"name": self.name, "unit": self.unit, "factor": self.factor, **period, "accepted": accepted}


@dataclass(frozen=True)
class Constant(InputPart):
    """The same `values` for all showers."""

    values: Sequence[float]
    what: str

    kind: ClassVar[str] = "constant"

    @property
    def size(self) -> int:
        return len(self.values)

    def columns(self, given: Given) -> Tensor:
        return given.energies.new_tensor(self.values).expand(len(given.energies), -1)

    def facts(self) -> dict[str, Any]:
        return {"values": list(self.values)}


@dataclass(frozen=True)
class OutputUnit:
    """Unit of an output: its value in MeV is `mev` times the number, and times E where it is a fraction of E."""

    name: str
    mev: float = 1.0
    times_energy: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For the card."""
        return {"unit": self.name, "mev_per_unit": self.mev, "times_energy": self.times_energy}


MEV, GEV, FRACTION = OutputUnit("MeV"), OutputUnit("GeV", 1000.0), OutputUnit("fraction of E", times_energy=True)


def quantity(entry: TrainedCondition) -> Quantity:
    """The column for a condition as the run knows it."""
    kind = entry.kind
    return Quantity(kind.name, kind.unit, entry.accepted, period=kind.period, what=kind.what or kind.name)


def symmetric(intervals: Intervals, centre: float) -> Intervals:
    """Where v is accepted if |v − centre| is in one of the intervals, in rising order."""
    return (
        *((centre - high, centre - low) for low, high in reversed(intervals)),
        *((centre + low, centre + high) for low, high in intervals),
    )
