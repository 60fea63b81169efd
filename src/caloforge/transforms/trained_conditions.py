"""`TrainedConditions`: what a run knows of conditions beyond the energy, and how its model is told of them.

A model gets the incident energy first, then for each condition v with the trained range from a to b

    2 (v − a)/(b − a) − 1                   in general,
    sin(2π v/p) and cos(2π v/p)             where v is periodic with the period p,
    1 at the position of v, else 0          where v is a label.

A condition that is the same for all training showers is remembered, so that others are refused, and not an input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.conditions import Columns, Condition
from caloforge.conditions.kinds import condition
from caloforge.errors import CaloforgeError, either, option

MARGIN = 0.02
"""By how much of its width a range may be exceeded: the showers drawn from a range do not reach its ends."""

WHOLE = 0.9
"""A periodic condition that covers this part of its period counts as covering it all."""

MOST_LABELS = 64
"""Different values of a label, at most."""


@dataclass(frozen=True)
class TrainedCondition:
    """A condition and its values in training.

    Args:
        kind: what it is.
        low, high: of the training showers, in the condition's unit.
        values: of a label, rising.
    """

    kind: Condition
    low: float
    high: float
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, kind: Condition, column: np.ndarray) -> TrainedCondition:
        """From the training showers' values (N,).

        Raises:
            CaloforgeError: a label has too many values.
        """
        column = kind.turned(column)
        low, high = float(column.min()), float(column.max())
        if kind.label:
            values = tuple(float(v) for v in np.unique(column))
            if len(values) > MOST_LABELS:
                raise CaloforgeError(
                    f"{kind.name} has {len(values)} different values; a label has {MOST_LABELS} at most"
                )
            return cls(kind, low, high, values)
        if kind.period is not None and high - low > WHOLE * kind.period:
            low, high = -kind.period / 2, kind.period / 2
        return cls(kind, low, high)

    @property
    def is_fixed(self) -> bool:
        """Whether all training showers had the same value."""
        return not self.high > self.low

    @property
    def n_inputs(self) -> int:
        """Numbers that a model gets."""
        if self.is_fixed:
            return 0
        return len(self.values) if self.kind.label else 1 if self.kind.period is None else 2

    @property
    def span(self) -> str:
        """The trained values in words."""
        return self.kind.span(np.array(self.values or (self.low, self.high)))

    @property
    def accepted(self) -> tuple[tuple[float, float], ...]:
        """Closed intervals of values, periodic ones within half a period of 0, that count as trained."""
        if self.kind.label:
            return tuple((v, v) for v in self.values)
        margin = MARGIN * (self.high - self.low) + 1e-6 * max(abs(self.low), abs(self.high))
        return ((self.low - margin, self.high + margin),)

    def check(self, column: np.ndarray) -> None:
        """Require values (N,) in the trained range.

        Raises:
            CaloforgeError: one is not; names its row.
        """
        turned = self.kind.turned(column)
        bad = ~np.any([(turned >= low) & (turned <= high) for low, high in self.accepted], axis=0)
        if bad.any():
            row = int(np.argmax(bad))
            value, name = self.kind.format(float(column[row])), self.kind.name
            raise CaloforgeError(f"{name} of row {row} is {value}, but the run was trained at {self.span}")

    def encode(self, v: Tensor) -> Tensor:
        """v (B, 1) → (B, n_inputs)."""
        if self.is_fixed:
            return v[:, :0]
        if self.kind.label:
            return (v == torch.tensor(self.values, dtype=v.dtype, device=v.device)).to(v.dtype)
        if self.kind.period is None:
            return (v - self.low) * (2 / (self.high - self.low)) - 1
        angle = v * (2 * math.pi / self.kind.period)
        return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        facts: dict[str, Any] = {**self.kind.to_dict(), "low": self.low, "high": self.high}
        return facts | ({"values": list(self.values)} if self.values else {})

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TrainedCondition:
        """From what `to_dict` gives."""
        period = None if plain.get("period") is None else float(plain["period"])
        kind = condition(str(plain["name"]), str(plain.get("unit", "")), period, bool(plain.get("label", False)))
        low, high = float(plain["low"]), float(plain["high"])
        values = tuple(float(v) for v in plain.get("values", ()))
        if not (math.isfinite(low) and low <= high < math.inf) or kind.label != bool(values):
            raise CaloforgeError(f"condition {kind.name}: {low:g} … {high:g} is not a valid range")
        return cls(kind, low, high, values)


@dataclass(frozen=True)
class TrainedConditions:
    """The conditions that a run knows, in the order of its model's inputs.

    Args:
        entries: what is known of each.
        superfluous: conditions of the training showers on which showers cannot depend
            (`caloforge.conditions.kinds.superfluous`): accepted with any value, and passed on.
    """

    entries: tuple[TrainedCondition, ...] = ()
    superfluous: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Columns, superfluous: Sequence[str] = ()) -> TrainedConditions:
        """From the conditions of the training showers that the model is to be told of."""
        return cls(tuple(TrainedCondition.of(kind, columns[kind.name]) for kind in columns.kinds), tuple(superfluous))

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.kind.name for entry in self.entries)

    @property
    def n_inputs(self) -> int:
        """Numbers that a model gets besides the energy."""
        return sum(entry.n_inputs for entry in self.entries)

    @property
    def needed(self) -> tuple[TrainedCondition, ...]:
        """Those that must be given, since they vary."""
        return tuple(entry for entry in self.entries if not entry.is_fixed)

    def missing(self, given: Columns) -> tuple[TrainedCondition, ...]:
        """Those that must be given and are not."""
        return tuple(entry for entry in self.needed if entry.kind.name not in given)

    def checked(self, given: Columns) -> Columns:
        """The given conditions, complete and checked: the run's in its own order, then the superfluous ones.

        Raises:
            CaloforgeError: one is missing, unknown or outside its trained range.
        """
        if missing := self.missing(given):
            raise CaloforgeError(
                f"the run also needs the condition {missing[0].kind.name} of every shower; it was trained at "
                f"{missing[0].span}"
            )
        for name in given:
            if name not in (*self.names, *self.superfluous):
                known = f"it knows {', '.join(self.names)}" if self.names else "it knows the energy alone"
                raise CaloforgeError(f"the run does not know the condition {name}; {known}: {_without(name)}")
        complete = given
        for entry in self.entries:
            name = entry.kind.name
            if name not in given:
                complete = complete.with_column(entry.kind, np.full(given.n, entry.low))
            elif given.kind(name).unit != entry.kind.unit:
                unit = given.kind(name).unit or "no unit"
                raise CaloforgeError(f"the condition {name} is in {unit}, but the run has it in {entry.kind.unit}")
            else:
                entry.check(given[name])
        return complete.only([*self.names, *(name for name in given if name in self.superfluous)])

    def values(self, columns: Columns) -> np.ndarray:
        """(N, K) of checked conditions, what `inputs` takes."""
        return columns.only(self.names).table

    def inputs(self, energies: Tensor, values: Tensor | None) -> Tensor:
        """What the transforms get: energies (B, 1) in MeV, values (B, K) of the conditions → (B, 1 + n_inputs)."""
        if self.n_inputs == 0:
            return energies
        assert values is not None
        parts = [entry.encode(values[:, k : k + 1]) for k, entry in enumerate(self.entries)]
        return torch.cat([energies, *parts], dim=1)

    def clamped(self, values: Tensor) -> Tensor:
        """(B, K) conditions, moved to the nearer end of their trained ranges; for graphs."""
        parts = []
        for k, entry in enumerate(self.entries):
            v = values[:, k : k + 1]
            parts.append(v if entry.kind.label or entry.kind.period is not None else v.clamp(entry.low, entry.high))
        return torch.cat(parts, dim=1) if parts else values

    def examples(self, n: int, seed: int = 0) -> Columns:
        """Conditions of n showers, drawn evenly from their trained ranges: for timings and checks."""
        rng, columns = np.random.default_rng(seed), Columns.none(n)
        for entry in self.entries:
            drawn = rng.choice(entry.values, n) if entry.values else rng.uniform(entry.low, entry.high, n)
            columns = columns.with_column(entry.kind, drawn)
        return columns

    def to_list(self) -> list[dict[str, Any]]:
        """The entries as plain data."""
        return [entry.to_dict() for entry in self.entries]


def _without(name: str) -> str:
    """The remedy for a condition that a run does not know."""
    words = [either(f"--condition {name}=…", f"conditions['{name}']")]
    return f"leave out {' or '.join([option('angles'), *words] if name == 'theta' else words)}"
