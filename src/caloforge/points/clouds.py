"""`PointClouds` in memory: the points of all showers in one array, and where each shower begins.

The points of shower i are `points[offsets[i] : offsets[i + 1]]`, so that a shower with 10 points next to one with
10,000 wastes nothing; `padded` makes the rectangular array that a network may want. Lengths are in mm, energies in MeV,
times in ns. Jets are point clouds too: particles relative to their jet (JetNet's etarel, phirel, ptrel), where the
incident energy is the jet's transverse momentum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.points.validity import check_offsets, check_points
from caloforge.showers.checks import as_numbers, check_energies
from caloforge.showers.selecting import Rows, selected_rows
from caloforge.units import count, format_energy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HITS = ("x", "y", "layer", "energy")
"""Columns of the hits of a calorimeter; `time` may follow."""

JET = ("etarel", "phirel", "ptrel")
"""Columns of the particles of a jet: pseudorapidity and azimuth relative to the jet's axis, and p_T / p_T(jet)."""

UNITS: Mapping[str, str] = {"x": "mm", "y": "mm", "z": "mm", "energy": "MeV", "time": "ns", "phirel": "rad"}
"""Column → its unit; others have none."""

WEIGHTS = ("energy", "ptrel")
"""Columns that say how much a point counts; every cloud has one of them."""


@dataclass(frozen=True, eq=False, repr=False)
class PointClouds:
    """N showers (or jets), each a list of points.

    `clouds[k]`, a slice, an index array or a mask give `PointClouds` again, and iterating gives one shower at a time.
    Two are equal if their values and names are; attributes are not compared.

    >>> clouds = PointClouds([100, 200], [[0, 5, 0, 3], [5, 5, 1, 4], [0, 0, 2, 8]], [0, 2, 3])
    >>> clouds
    PointClouds(2 showers, 100 MeV … 200 MeV,
                3 points of x, y, layer, energy; 1 … 2 per shower, mean 1.5)
    >>> clouds["energy"], clouds.deposited, clouds.counts
    (array([3., 4., 8.], dtype=float32), array([7., 8.]), array([2, 1]))
    >>> clouds[1].points
    array([[0., 0., 2., 8.]], dtype=float32)

    Args:
        energies: (N,) incident energies in MeV, above zero; float64. Of a jet, its transverse momentum.
        points: (P, F) points of all showers, one shower after another; float32. A column `energy` or `ptrel` is not
            negative, a column `layer` holds whole numbers from 0.
        offsets: (N + 1,) from 0 to P, never falling: first point of each shower, and P at the end; int64.
        names: of the F columns (`HITS`, with `time`, or `JET`, or others); `UNITS` has their units.
        attributes: provenance and other remarks, as in an HDF5 file's attributes.
        conditions: what showers depend on besides the energy: name → (N,) values (`caloforge.conditions`).

    Raises:
        CaloforgeError: shapes do not fit each other, offsets fall, a value is not finite or out of range.
    """

    energies: np.ndarray
    points: np.ndarray
    offsets: np.ndarray
    names: tuple[str, ...] = HITS
    attributes: Mapping[str, Any] = field(default_factory=dict)
    conditions: Columns = field(default_factory=lambda: Columns.none(0))

    def __init__(
        self,
        energies: ArrayLike,
        points: ArrayLike,
        offsets: ArrayLike,
        names: Sequence[str] = HITS,
        attributes: Mapping[str, Any] | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        incident = as_numbers(energies, np.float64, "incident energies")
        table = as_numbers(points, np.float32, "points")
        if incident.ndim == 2 and incident.shape[1] == 1:
            incident = incident[:, 0]
        columns = checked_names(names)
        if table.size == 0:
            table = table.reshape(0, len(columns))
        if incident.ndim != 1 or table.ndim != 2 or table.shape[1] != len(columns):
            raise CaloforgeError(
                f"PointClouds(energies, points, offsets, names) takes the shapes (N,), (P, {len(columns)}), (N + 1,) "
                f"for the columns {', '.join(columns)}, not energies {incident.shape} and points {table.shape}"
            )
        bounds = check_offsets(offsets, len(table), len(incident))
        check_energies(incident)
        check_points(table, columns, bounds)
        self._set(incident, table, bounds, columns, attributes or {}, Columns.of(conditions, len(incident)))

    def _set(
        self,
        energies: np.ndarray,
        points: np.ndarray,
        offsets: np.ndarray,
        names: tuple[str, ...],
        attributes: Mapping[str, Any],
        conditions: Columns,
    ) -> None:
        for name, value in zip(
            ("energies", "points", "offsets", "names", "attributes", "conditions"),
            (energies, points, offsets, names, attributes, conditions),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def unchecked(
        cls,
        energies: np.ndarray,
        points: np.ndarray,
        offsets: np.ndarray,
        names: tuple[str, ...] = HITS,
        attributes: Mapping[str, Any] | None = None,
        conditions: Columns | None = None,
    ) -> PointClouds:
        """Clouds whose values were checked before, or are not to be: float64, float32 and int64 arrays as above."""
        clouds = cls.__new__(cls)
        clouds._set(energies, points, offsets, names, attributes or {}, conditions or Columns.none(len(energies)))
        return clouds

    @classmethod
    def from_padded(
        cls,
        energies: ArrayLike,
        padded: ArrayLike,
        mask: ArrayLike,
        names: Sequence[str] = HITS,
        attributes: Mapping[str, Any] | None = None,
        conditions: Mapping[str, ArrayLike] | None = None,
    ) -> PointClouds:
        """Clouds from a rectangular array (N, M, F), of which `mask` (N, M) says what is a point; inverts `padded`.

        >>> mask = [[True, True], [True, False]]
        >>> PointClouds.from_padded([5, 5], [[[1], [2]], [[3], [0]]], mask, ["energy"]).counts
        array([2, 1])

        Raises:
            CaloforgeError: as the constructor; or the shapes of `padded` and `mask` do not fit each other.
        """
        table, real = as_numbers(padded, np.float32, "points"), np.asarray(mask, dtype=bool)
        if table.ndim != 3 or real.shape != table.shape[:2]:
            raise CaloforgeError(f"padded points {table.shape} and mask {real.shape} must be (N, M, F) and (N, M)")
        return cls(energies, table[real], offsets_of(real.sum(axis=1)), names, attributes, conditions)

    @classmethod
    def joined(cls, parts: Sequence[PointClouds]) -> PointClouds:
        """One sample after another; attributes are those of the first.

        Raises:
            CaloforgeError: there are none, or their columns or conditions differ.
        """
        if not parts:
            raise CaloforgeError("there are no point clouds to concatenate")
        first = parts[0]
        for part in parts[1:]:
            for what, one, other in (
                ("columns", first.names, part.names),
                ("conditions", first.conditions.names, part.conditions.names),
            ):
                if one != other:
                    raise CaloforgeError(
                        f"point clouds with the {what} {', '.join(one) or 'none'} and {', '.join(other) or 'none'} "
                        "cannot be concatenated"
                    )
        return cls.unchecked(
            np.concatenate([part.energies for part in parts]),
            np.concatenate([part.points for part in parts]),
            offsets_of(np.concatenate([part.counts for part in parts])),
            first.names,
            first.attributes,
            Columns.joined([part.conditions for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.energies)

    @overload
    def __getitem__(self, rows: str) -> np.ndarray: ...

    @overload
    def __getitem__(self, rows: Rows) -> PointClouds: ...

    def __getitem__(self, rows: Rows | str) -> np.ndarray | PointClouds:
        """The showers at `rows` as `PointClouds`, or with a name the column (P,) of all points.

        Raises:
            IndexError: there is no such shower.
            CaloforgeError: there is no such column, or `rows` is something else.
        """
        if isinstance(rows, str):
            return self.column(rows)
        chosen = selected_rows(rows, len(self), "for single points, index clouds.points")
        counts = self.counts[chosen]
        offsets = offsets_of(counts)
        if isinstance(chosen, slice) and chosen.indices(len(self))[2] == 1:
            start = int(self.offsets[chosen.indices(len(self))[0]]) if len(counts) else 0
            points = self.points[start : start + int(offsets[-1])]
        else:
            shift = self.offsets[:-1][chosen] - offsets[:-1]
            points = self.points[np.arange(offsets[-1]) + np.repeat(shift, counts)]
        return PointClouds.unchecked(
            np.ascontiguousarray(self.energies[chosen]),
            np.ascontiguousarray(points),
            offsets,
            self.names,
            self.attributes,
            self.conditions.take(chosen),
        )

    def __iter__(self) -> Iterator[PointClouds]:
        return (self[row] for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PointClouds):
            return NotImplemented
        return (
            self.names == other.names
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.energies, other.energies)
            and np.array_equal(self.points, other.points)
            and self.conditions == other.conditions
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        facts = [count(len(self), self.noun)]
        if len(self):
            ends = (self.energies.min(), self.energies.max())
            facts.append(" … ".join(format_energy(float(e)) for e in dict.fromkeys(ends)))
        facts += [f"{kind.name} {kind.span(self.conditions[kind.name])}" for kind in self.conditions.kinds]
        counts = self.counts
        per = f"; {counts.min():,} … {counts.max():,} per {self.noun}, mean {counts.mean():.4g}" if len(self) else ""
        what = f"{count(len(self.points), 'point')} of {', '.join(self.names)}{per}"
        return f"PointClouds({', '.join(facts)},\n            {what})"

    @property
    def noun(self) -> str:
        """What one of them is, in words: a shower or a jet."""
        return "jet" if "ptrel" in self.names else "shower"

    @property
    def counts(self) -> np.ndarray:
        """(N,) number of points of each shower, int64."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """(P,) number of the shower that each point belongs to, int64."""
        return np.repeat(np.arange(len(self)), self.counts)

    def column(self, name: str) -> np.ndarray:
        """(P,) one column of all points, float32, in its unit (`UNITS`).

        Raises:
            CaloforgeError: there is no such column.
        """
        if name not in self.names:
            raise CaloforgeError(f"points have no column '{name}'; they have {', '.join(self.names)}")
        return np.asarray(self.points[:, self.names.index(name)])

    @property
    def weights(self) -> np.ndarray:
        """(P,) what each point counts: its energy in MeV, or of a particle in a jet its share of the p_T; float32."""
        return self.column(next(name for name in WEIGHTS if name in self.names))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(N,) sums per shower of values (P,) of the points, in float64; 0 for a shower without points."""
        return np.bincount(self.rows, weights=values, minlength=len(self)).astype(np.float64)  # of nothing, int64

    @property
    def deposited(self) -> np.ndarray:
        """(N,) sum of the weights: E_dep in MeV, or of a jet the share of its p_T that the particles have; float64."""
        return self.sums(self.weights)

    @property
    def response(self) -> np.ndarray:
        """(N,) E_dep / E_inc, or of jets the sum of ptrel; float64."""
        return self.deposited if self.noun == "jet" else np.asarray(self.deposited / self.energies)

    def padded(self, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, M, F), zero where there is none, and the mask (N, M) of those that are points.

        Args:
            most: M, points of a shower; by default of the largest one. Of a shower with more, those with the largest
                weight remain, in their order.
        """
        counts = self.counts
        most = int(counts.max(initial=0)) if most is None else most
        kept = self if counts.max(initial=0) <= most else self._heaviest(most)
        padded = np.zeros((len(self), most, len(self.names)), dtype=np.float32)
        mask = np.arange(most) < kept.counts[:, None]
        padded[mask] = kept.points
        return padded, mask

    def _heaviest(self, most: int) -> PointClouds:
        """The same with at most so many points per shower, those with the largest weight, in their order."""
        rows = self.rows
        order = np.lexsort((-self.weights, rows))
        rank = np.empty(len(rows), dtype=np.int64)
        rank[order] = np.arange(len(rows)) - self.offsets[:-1][rows]  # order keeps each shower's points together
        return self.with_points(rank < most)

    def with_points(self, kept: np.ndarray) -> PointClouds:
        """The same showers with only the points where `kept` (P,) is true.

        >>> clouds = PointClouds([100, 200], [[0, 5, 0, 3], [5, 5, 1, 4], [0, 0, 2, 8]], [0, 2, 3])
        >>> clouds.with_points(clouds["energy"] > 3).counts
        array([1, 1])
        """
        offsets = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[self.offsets]
        return PointClouds.unchecked(
            self.energies, self.points[kept], offsets, self.names, self.attributes, self.conditions
        )

    def with_column(self, name: str, values: np.ndarray) -> PointClouds:
        """The same with a column (P,) more, or in place of one of its name; not checked."""
        rest = [k for k, other in enumerate(self.names) if other != name]
        points = np.column_stack([self.points[:, rest], np.asarray(values, dtype=np.float32)])
        names = (*(self.names[k] for k in rest), name)
        return PointClouds.unchecked(self.energies, points, self.offsets, names, self.attributes, self.conditions)

    def without(self, names: Sequence[str]) -> PointClouds:
        """The same without these columns of the points, those that there are."""
        kept = [k for k, name in enumerate(self.names) if name not in names]
        return PointClouds.unchecked(
            self.energies,
            np.ascontiguousarray(self.points[:, kept]),
            self.offsets,
            tuple(self.names[k] for k in kept),
            self.attributes,
            self.conditions,
        )


def offsets_of(counts: np.ndarray) -> np.ndarray:
    """(N + 1,) offsets, int64, of showers with so many points (N,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def checked_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns as a tuple.

    Raises:
        CaloforgeError: they are not words, one occurs twice, or none of them says how much a point counts.
    """
    if isinstance(names, str) or not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise CaloforgeError(f"names of columns must be a list of words such as {', '.join(HITS)}, not {names!r}")
    columns = tuple(names)
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise CaloforgeError(f"two columns of points have the name '{twice}'")
    if not set(columns) & set(WEIGHTS):
        raise CaloforgeError(f"points need a column {' or '.join(WEIGHTS)}; they have {', '.join(columns) or 'none'}")
    return columns
