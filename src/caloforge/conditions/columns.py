"""`Columns`: the further conditions of N showers, as a table of numbers with names and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from caloforge.conditions.kinds import Condition, condition
from caloforge.errors import CaloforgeError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Columns(Mapping[str, np.ndarray]):
    """Name → (N,) values, float64; in order.

    >>> columns = Columns.of({"theta": [0.1, 0.2, 0.3]}, 3)
    >>> columns.take(slice(1, None))["theta"]
    array([0.2, 0.3])

    Args:
        kinds: what the columns are.
        table: (N, K) values.
    """

    def __init__(self, kinds: Sequence[Condition], table: np.ndarray) -> None:
        self.kinds, self.table = tuple(kinds), np.asarray(table, dtype=np.float64)

    @classmethod
    def none(cls, n: int) -> Columns:
        """No further condition of n showers."""
        return cls((), np.empty((n, 0)))

    @classmethod
    def of(cls, given: Mapping[str, ArrayLike] | None, n: int) -> Columns:
        """Columns from arrays, lists or single numbers by name, checked.

        Args:
            given: name → (n,) or (n, 1) values, or one value for all; `Columns` keep their units.
            n: number of showers.

        Raises:
            CaloforgeError: a name is unsuitable, values are not n numbers, or one is impossible.
        """
        if not given:
            return cls.none(n)
        if not isinstance(given, Mapping):
            raise CaloforgeError(f"conditions must be a mapping of names to values, not {type(given).__name__}")
        kinds = given.kinds if isinstance(given, Columns) else [condition(str(name)) for name in given]
        parts = [_numbers(given[kind.name], n, kind) for kind in kinds]
        return cls(kinds, np.stack(parts, axis=1))

    @property
    def n(self) -> int:
        """Number of showers."""
        return len(self.table)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(kind.name for kind in self.kinds)

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        return np.asarray(self.table[:, self.names.index(name)])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Columns):
            return NotImplemented
        return self.kinds == other.kinds and np.array_equal(self.table, other.table)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Columns({', '.join(f'{kind.name} {kind.span(self[kind.name])}' for kind in self.kinds)})"

    def kind(self, name: str) -> Condition:
        """What the column of this name is."""
        return self.kinds[self.names.index(name)]

    def take(self, rows: slice | np.ndarray) -> Columns:
        """The same of the showers at `rows`."""
        return Columns(self.kinds, np.ascontiguousarray(self.table[rows]))

    def only(self, names: Sequence[str]) -> Columns:
        """The columns of these names, in this order; all must be there."""
        chosen = [self.names.index(name) for name in names]
        return Columns([self.kinds[k] for k in chosen], self.table[:, chosen])

    def with_column(self, kind: Condition, values: np.ndarray) -> Columns:
        """The same with another column (N,), in place of one of its name."""
        rest = self.only([name for name in self.names if name != kind.name])
        return Columns([*rest.kinds, kind], np.concatenate([rest.table, values[:, None]], axis=1))

    @classmethod
    def joined(cls, parts: Sequence[Columns]) -> Columns:
        """One after another; all of the same kinds."""
        return cls(parts[0].kinds, np.concatenate([part.table for part in parts]))


def difference(first: Sequence[Condition], second: Sequence[Condition]) -> str:
    """How two files' conditions differ, in words; empty if they do not. Their order does not matter."""
    names = [{kind.name: kind for kind in kinds} for kinds in (first, second)]
    for kind in (*first, *second):
        if any(kind.name not in known for known in names):
            return f"only one of them has the condition {kind.name}"
        units = [known[kind.name].unit for known in names]
        if units[0] != units[1]:
            return f"{kind.name} is in {units[0] or 'no unit'} and in {units[1] or 'no unit'}"
    return ""


def _numbers(values: ArrayLike, n: int, kind: Condition) -> np.ndarray:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        array = np.array("")
    if array.dtype.kind not in "fiub":
        raise CaloforgeError(f"the condition {kind.name} must be an array of numbers")
    array = array.astype(np.float64)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise CaloforgeError(f"the condition {kind.name} has the shape {array.shape}; expected ({n},), one per shower")
    kind.check(array)
    return array
