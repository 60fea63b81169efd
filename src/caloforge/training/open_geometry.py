"""The geometry that a recipe leaves to the training file: its voxels, or the columns and the room for its points."""

from __future__ import annotations

from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.geometry import AnyGeometry, PointGeometry
from caloforge.points import PointClouds, PointFiles, is_point_file
from caloforge.points.energy_unit import conversion_instead_of_unit
from caloforge.showers import ShowerFiles, Showers, geometry_attribute
from caloforge.training.training_set import Source, name_of


def geometry_of(source: Source) -> AnyGeometry:
    """The voxels of showers; or the columns of point clouds, with room for the largest of them.

    Raises:
        CaloforgeError: a file cannot be read, or does not name its geometry.
    """
    if isinstance(source, Showers):
        return source.geometry
    if isinstance(source, PointClouds):
        return PointGeometry(source.names, max(1, int(source.counts.max(initial=0))))
    if is_point_file(source[0]):
        with conversion_instead_of_unit():
            points = PointFiles(source)
        return PointGeometry(points.names, max(1, points.most))
    with ShowerFiles(source) as files:
        return files.geometry


def completed(left_open: str | dict[str, Any], source: Source, validation: Source | None) -> str | dict[str, Any]:
    """A recipe's geometry, completed: a name or plain data.

    Args:
        left_open: as the recipe has it: `file`, or columns of points.
        source: training showers. validation: held-out ones, which points need room for too.

    Raises:
        CaloforgeError: as `geometry_of`; or the recipe is for points and these are voxels.
    """
    found = geometry_of(source)
    if isinstance(found, PointGeometry):
        other = None if validation is None else geometry_of(validation)
        most = max(found.most, other.most) if isinstance(other, PointGeometry) else found.most
        return {**PointGeometry(found.columns, most).to_dict(), **_columns(left_open)}
    if _columns(left_open):
        raise CaloforgeError(f"{name_of(source)} holds voxels, but the recipe is for points: choose another recipe")
    named = geometry_attribute(found)
    return found.to_dict() if named.startswith("{") else named


def _columns(left_open: str | dict[str, Any]) -> dict[str, Any]:
    return left_open if isinstance(left_open, dict) else {}
