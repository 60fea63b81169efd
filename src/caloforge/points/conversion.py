"""`convert`: a file of points or voxels into another format, by chunks, with what is lost on the way in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.conditions import Columns, Condition
from caloforge.errors import CaloforgeError, option
from caloforge.geometry import Geometry, load_geometry
from caloforge.points.clouds import HITS, PointClouds
from caloforge.points.exchange import OUTPUTS
from caloforge.points.layer_depths import depths_of, layers_of, stored_pitch
from caloforge.points.point_file import PointFile, is_point_file
from caloforge.points.point_writer import PointWriter
from caloforge.points.voxelisation import Outside, points_of, voxelised
from caloforge.showers import ShowerFile, ShowerWriter

VOXELS = "voxels"
"""Name of the challenge's layout among the formats."""

FORMATS = (*OUTPUTS, VOXELS)
"""Formats that `convert` writes."""

OF_THE_FORMAT = {"columns", "layout", "energy_unit", "length_unit", "time_unit", "units", "geometry", "angle_unit"} | {
    "showerdata_version",
    "caloforge_version",
}
"""Attributes that say how a file stores its showers, and do not go with them."""

VOXEL_VALUES = 16_000_000
"""Voxel values in memory at once."""


@dataclass(frozen=True)
class Conversion:
    """What was converted, and what was lost.

    Args:
        n: number of showers.
        losses: in words, a sentence each; empty if there are none.
    """

    n: int
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """How to convert.

    Args:
        to: name of the format (`FORMATS`).
        geometry: voxels to fill; or where layers lie, for formats with a depth. Where points are written as points,
            it (or the pitch) asks for a layer from a z, or a z from a layer, in addition.
        unit: of energies in the input, where it does not say. out_unit: in the output, likewise.
        sampling_fraction: energies of points are divided by it on the way to voxels.
        layer_pitch: depth of a layer in mm, where neither geometry nor file say.
        centre: whether points lie at the centres of voxels, instead of anywhere in them.
        seed: of the positions.
    """

    to: str
    geometry: Geometry | str | os.PathLike[str] | None = None
    unit: str | None = None
    out_unit: str = "MeV"
    sampling_fraction: float = 1.0
    layer_pitch: float | None = None
    centre: bool = False
    seed: int = 1


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    wanted: Wanted,
    *,
    attributes: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Conversion:
    """Convert a file.

    Args:
        source: a file of points in any format, or of voxels.
        out: the file to write; it is replaced.
        wanted: the format, and how.
        attributes: provenance to add.
        progress: told the numbers of showers that are done, and that there are.

    Raises:
        CaloforgeError: the source cannot be read, the output not be written, or the format needs what is not there.
    """
    if wanted.to not in FORMATS:
        raise CaloforgeError(f"{option('to')} '{wanted.to}' is not a format; use {', '.join(FORMATS)}")
    tell = progress or (lambda done, total: None)
    added = {"converted_from": Path(os.fsdecode(source)).name, **(attributes or {})}
    if is_point_file(source):
        with PointFile(source, wanted.unit) as points:
            facts = {**_kept(points.attributes), **added}
            if wanted.to == VOXELS:
                return _points_to_voxels(points, Path(out), wanted, facts, tell)
            stream = _Stream(points.names, points.kinds, points.attributes, len(points), points.chunks())
            return _write_points(stream, Path(out), wanted, facts, tell)
    with ShowerFile(source, wanted.geometry) as showers:
        facts = {**_kept(showers.attributes), **added}
        if wanted.to == VOXELS:
            return _rewrite(showers, Path(out), facts, tell)
        rng = None if wanted.centre else np.random.default_rng(wanted.seed)
        chunks = (points_of(chunk, rng) for chunk in showers.chunks())
        stream = _Stream(HITS, showers.kinds, showers.attributes, len(showers), chunks, showers.geometry)
        where = "the centre of its voxel" if wanted.centre else f"a random position in its voxel (seed {wanted.seed})"
        found = _write_points(stream, Path(out), wanted, facts, tell)
        return Conversion(found.n, [f"each point lies at {where}", *found.losses])


@dataclass
class _Stream:
    """Point clouds from somewhere, and what they are."""

    names: tuple[str, ...]
    kinds: tuple[Condition, ...]
    attributes: dict[str, Any]
    n: int
    chunks: Iterator[PointClouds]
    geometry: Geometry | None = None


def _write_points(
    stream: _Stream, out: Path, wanted: Wanted, facts: dict[str, Any], tell: Callable[[int, int], None]
) -> Conversion:
    form = OUTPUTS[wanted.to]
    losses = form.losses(stream.names, stream.kinds)
    needed = form.required
    geometry = stream.geometry if wanted.geometry is None else _geometry(wanted.geometry)
    pitch = stored_pitch(stream.attributes, wanted.layer_pitch)
    names = stream.names
    given = wanted.layer_pitch is not None or (wanted.geometry is not None and stream.geometry is None)
    asked = wanted.to == "points" and given
    for name, other in (("layer", "z"), ("z", "layer")):
        if (name in needed or asked) and name not in names and other in names:
            names = (*names, name)
            losses = [f"the {name} of a point follows from its {other}", *losses]
    names = tuple(name for name in names if name in (*needed, *form.optional) or wanted.to == "points")
    kinds = [kind for kind in stream.kinds if kind.name in form.held or wanted.to == "points"]
    done, dropped = 0, 0
    tell(0, stream.n)
    with PointWriter(out, names, kinds, layout=wanted.to, unit=wanted.out_unit, attributes=facts) as file:
        for chunk in stream.chunks:
            n, kept = len(chunk), chunk
            if "z" in names and "z" not in chunk.names:
                kept = chunk.with_column("z", depths_of(chunk, geometry, pitch))
            elif "layer" in names and "layer" not in chunk.names:
                layers = layers_of(chunk, geometry, pitch)
                dropped += int(np.count_nonzero(layers < 0))
                kept = chunk.with_column("layer", layers).with_points(layers >= 0)
            kept = kept.without([name for name in kept.names if name not in names])
            file.append(_only(kept, kinds))
            done += n
            tell(done, stream.n)
    if dropped:
        losses.append(f"points in no layer are left out: {dropped:,}")
    return Conversion(stream.n, losses)


def _only(clouds: PointClouds, kinds: list[Condition]) -> PointClouds:
    """The same with these conditions alone."""
    conditions = clouds.conditions.only([kind.name for kind in kinds]) if kinds else Columns.none(len(clouds))
    return PointClouds.unchecked(
        clouds.energies, clouds.points, clouds.offsets, clouds.names, clouds.attributes, conditions
    )


def _points_to_voxels(
    points: PointFile, out: Path, wanted: Wanted, facts: dict[str, Any], tell: Callable[[int, int], None]
) -> Conversion:
    if wanted.geometry is None:
        raise CaloforgeError(f"voxels need a geometry: give {option('geometry')}, e.g. {option('geometry', 'ds2')}")
    geometry = _geometry(wanted.geometry)
    pitch = stored_pitch(points.attributes, wanted.layer_pitch)
    outside, done = Outside(), 0
    rows = max(1, VOXEL_VALUES // geometry.n_voxels)
    facts = {**facts, "sampling_fraction": wanted.sampling_fraction} if wanted.sampling_fraction != 1 else facts
    tell(0, len(points))
    with ShowerWriter(out, geometry, facts, conditions=points.kinds) as file:
        for chunk in points.chunks():
            for start in range(0, len(chunk), rows):
                part = chunk[start : start + rows]
                showers, lost = voxelised(part, geometry, sampling_fraction=wanted.sampling_fraction, pitch=pitch)
                file.append(showers.energies, showers.voxels, showers.conditions)
                outside, done = outside + lost, done + len(part)
                tell(done, len(points))
    losses = ["positions within a voxel are lost"]
    losses += [f"{outside} and are left out"] if outside.points else []
    losses += ["times of points are lost"] if "time" in points.names else []
    return Conversion(done, losses)


def _rewrite(showers: ShowerFile, out: Path, facts: dict[str, Any], tell: Callable[[int, int], None]) -> Conversion:
    """Voxels of another layout in the challenge's."""
    done = 0
    tell(0, len(showers))
    with ShowerWriter(out, showers.geometry, facts, conditions=showers.kinds) as file:
        for chunk in showers.chunks():
            file.append(chunk.energies, chunk.voxels, chunk.conditions)
            done += len(chunk)
            tell(done, len(showers))
    return Conversion(done)


def _geometry(given: Geometry | str | os.PathLike[str]) -> Geometry:
    return given if isinstance(given, Geometry) else load_geometry(given)


def _kept(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in OF_THE_FORMAT}
