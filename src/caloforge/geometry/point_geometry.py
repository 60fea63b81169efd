"""`PointGeometry`: what a row of a point cloud holds, in place of voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.geometry.description import Geometry

COLUMNS, MOST = "columns", "most_points"
"""Keys of a point geometry as plain data; no geometry of voxels has them."""


@dataclass(frozen=True)
class PointGeometry:
    """Columns of the points, and how many points a cloud may have.

    >>> PointGeometry(("etarel", "phirel", "ptrel"), 30).row_length
    91

    Args:
        columns: names of the F columns.
        most: M, room for points in a row (`caloforge.packed`); that of the largest training cloud.

    Raises:
        CaloforgeError: there are no columns, or no room.
    """

    columns: tuple[str, ...]
    most: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        if not self.columns or self.most < 1:
            raise CaloforgeError(f"point clouds need columns and room for a point, not {self.columns}, {self.most}")

    @property
    def name(self) -> str:
        """What to call it in messages and files."""
        return f"points of {', '.join(self.columns)}"

    in_words = name

    @property
    def row_length(self) -> int:
        """Numbers of a row in physical space: the number of points, and the points."""
        return 1 + self.most * len(self.columns)

    def index(self, column: str) -> int:
        """Position of a column.

        Raises:
            CaloforgeError: there is no such column.
        """
        if column not in self.columns:
            raise CaloforgeError(f"points have no column '{column}'; they have {', '.join(self.columns)}")
        return self.columns.index(column)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as in a recipe's `geometry`."""
        return {COLUMNS: list(self.columns), MOST: self.most}

    @classmethod
    def is_open(cls, plain: Any) -> bool:
        """Whether plain data leave the room for points to the training file."""
        return cls.is_in(plain) and MOST not in plain

    @classmethod
    def is_in(cls, plain: Any) -> bool:
        """Whether plain data describe points rather than voxels."""
        return isinstance(plain, Mapping) and COLUMNS in plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], origin: str = "geometry") -> PointGeometry:
        """The inverse of `to_dict`.

        Raises:
            CaloforgeError: a key is missing, unknown or has a wrong value.
        """
        columns, most = plain.get(COLUMNS), plain.get(MOST)
        good = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
        if not good or not isinstance(most, int) or isinstance(most, bool) or set(plain) != {COLUMNS, MOST}:
            raise CaloforgeError(f"{origin}: points have the keys {COLUMNS}, a list of names, and {MOST}, a number")
        return cls(tuple(columns or ()), most)


AnyGeometry = Geometry | PointGeometry
"""What a generator may generate: voxels or points."""
