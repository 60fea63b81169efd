"""A calorimeter made of slabs, described in a small file: their materials, and the layer of each active slab.

The file is YAML (lengths in mm, energies in MeV); the slabs are stacked from z = 0 along the shower axis.

    name: my-calorimeter
    geometry: ds2                 # the voxels: a built-in name, a geometry file, or a mapping as in one
    sampling_fraction: 0.033      # divides the active energy; one number, or {layer: number}
    threshold: 0                  # voxels below it (after this division) are set to zero; optional
    half_width: 10000             # half extent of the slabs in x and y; optional
    score_photons_below: .inf     # direct energy deposits by photons above it are not scored; optional
    birks: {G4_lAr: 0.0348}       # Birks' kB in mm/MeV, of active materials; optional
    time_gate: 150                # ns; later deposits are lost; one number, or {material: number}; optional
    slabs:
      - {material: G4_Al, thickness: 20}              # passive: no layer
      - repeat: 45                                    # a repeated group; groups may be nested
        layer: 0                                      # layer of its active slabs in the first repeat …
        layer_step: 1                                 # … and its increment per repeat
        slabs:
          - {material: G4_W, thickness: 1.4}
          - {material: G4_Si, thickness: 0.3, active: true}
      - {material: G4_lAr, thickness: 11, layer: 45, z: 900}   # a slab with a layer is active; z leaves a gap
      - {material: G4_lAr, thickness: 11, layer: 45, birks: 0, time_gate: 50}   # in place of the material's

Materials are named as in Geant4's NIST table (https://geant4.web.cern.ch, Book for Application Developers).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, StrictBool, StrictInt

from caloforge.documents import read_document
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, geometry_in_file
from caloforge.geometry.entries import Entry, Number, checked_entry

SHIPPED = Path(__file__).parent / "detectors"
"""Folder of the detectors that come with caloforge."""


@dataclass(frozen=True)
class Slab:
    """One slab: `material` from `z` to `z + thickness` (mm); active if it belongs to a `layer` (its id).

    In an active slab, a charged particle's deposit counts as dE / (1 + `birks` dE/dx) (mm/MeV), and one that ends later
    than `time_gate` (ns after the start of the event) does not count.
    """

    material: str
    z: float
    thickness: float
    layer: int | None = None
    birks: float = 0.0
    time_gate: float = math.inf


@dataclass(frozen=True)
class Detector:
    """A stack of slabs and the voxels in which the active ones are read out.

    Args:
        name: its name in output files.
        geometry: the voxels.
        slabs: front to back, without overlap.
        sampling_fraction: per layer of `geometry`; the active energy is divided by it.
        threshold: voxel energy in MeV below which a voxel is set to zero.
        half_width: half the extent of the slabs in x and y, mm.
        score_photons_below: MeV; direct energy deposits by photons above it are not scored.
        source: the file's content as plain data, for provenance.
    """

    name: str
    geometry: Geometry
    slabs: tuple[Slab, ...]
    sampling_fraction: tuple[float, ...]
    threshold: float
    half_width: float
    score_photons_below: float
    source: dict[str, Any]

    @property
    def depth(self) -> float:
        """Back of the last slab, mm."""
        return self.slabs[-1].z + self.slabs[-1].thickness

    @property
    def layer_edges(self) -> np.ndarray:
        """(L + 1,) where layers begin and end along the shower axis in mm: as the geometry says, or from the slabs.

        A layer begins where the last active slab of the one before ends, the first one at 0.
        """
        edges = [layer.z_edges for layer in self.geometry.layers]
        if all(each is not None for each in edges):
            return np.array([*(each[0] for each in edges if each), edges[-1][1] if edges[-1] else 0.0])
        backs = [
            max(slab.z + slab.thickness for slab in self.slabs if slab.layer == layer)
            for layer in self.geometry.layer_ids
        ]
        return np.array([0.0, *backs])

    @property
    def materials(self) -> tuple[str, ...]:
        """Names of the distinct materials."""
        return tuple(dict.fromkeys(slab.material for slab in self.slabs))


def shipped_detectors() -> tuple[str, ...]:
    """Names of the detectors that come with caloforge."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_detector(name: str) -> Detector:
    """The shipped detector called `name`, or the one described in the file at that path.

    Raises:
        CaloforgeError: `name` is neither a shipped detector nor a readable file; a key is unknown or missing; a value
            is out of range; slabs overlap; a layer is not in the geometry, or has no active slab.
    """
    path = SHIPPED / f"{name}.yaml" if name in shipped_detectors() else Path(name)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        known = ", ".join(shipped_detectors())
        raise CaloforgeError(f"unknown detector '{name}': give one of {known}, or a .yaml file")
    plain = read_document(path, "detector file")
    return detector_from_plain(plain, origin=name, folder=path.parent)


def _of_the_table(material: str) -> str:
    if not re.fullmatch(r"G4_[A-Za-z0-9_.-]+", material):
        raise ValueError("must be a name from Geant4's NIST table, such as G4_Pb")
    return material


Kb = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Gate = Annotated[Number, Field(gt=0)]


class SlabEntry(Entry):
    """A slab in a detector file."""

    material: Annotated[str, AfterValidator(_of_the_table)]
    thickness: Annotated[Number, Field(gt=0, allow_inf_nan=False)]
    layer: Annotated[StrictInt, Field(ge=0)] | None = None
    active: StrictBool | None = None
    z: Annotated[Number, Field(ge=0, allow_inf_nan=False)] | None = None
    birks: Kb | None = None
    time_gate: Gate | None = None


class GroupEntry(Entry):
    """A repeated group of slabs in a detector file."""

    slabs: Annotated[list[Any], Field(min_length=1)]
    repeat: Annotated[StrictInt, Field(ge=1)] = 1
    layer: Annotated[StrictInt, Field(ge=0)] | None = None
    layer_step: Annotated[StrictInt, Field(ge=0)] = 0


class DetectorEntry(Entry):
    """A detector file (see the module docstring)."""

    name: str
    geometry: str | dict[str, Any]
    sampling_fraction: Number | dict[int, Annotated[Number, Field(gt=0, allow_inf_nan=False)]]
    threshold: Annotated[Number, Field(ge=0, allow_inf_nan=False)] = 0.0
    half_width: Annotated[Number, Field(gt=0, allow_inf_nan=False)] = 1e4
    score_photons_below: Annotated[Number, Field(ge=0)] = math.inf
    birks: dict[str, Kb] = Field(default_factory=dict)
    time_gate: Gate | dict[str, Gate] = math.inf
    slabs: Annotated[list[Any], Field(min_length=1)]


def detector_from_plain(plain: Any, origin: str, folder: Path = Path()) -> Detector:
    """Build a detector from plain data (format: module docstring; errors: `load_detector`).

    Args:
        plain: the file's content.
        origin: its name in error messages.
        folder: base folder of a relative geometry path.
    """
    entry = checked_entry(DetectorEntry, plain, origin)
    geometry = geometry_in_file(entry.geometry, folder, f"{origin}: geometry")
    slabs = tuple(_placed(_expand(entry.slabs, None, f"{origin}: slabs"), entry))
    active = {slab.material for slab in slabs if slab.layer is not None}
    gates = entry.time_gate if isinstance(entry.time_gate, dict) else {}
    for key, materials in (("birks", entry.birks), ("time_gate", gates)):
        for material in materials:
            if material not in active:
                raise CaloforgeError(
                    f"{origin}: {key}: no active slab is of {material}; those there are of {', '.join(sorted(active))}"
                )
    counted = {slab.layer for slab in slabs} - {None}
    for layer in counted:
        if layer not in geometry.layer_ids:
            raise CaloforgeError(f"{origin}: layer {layer} is not in geometry '{geometry.name}' {geometry.layer_ids}")
    for layer in geometry.layer_ids:
        if layer not in counted:
            raise CaloforgeError(f"{origin}: layer {layer} of geometry '{geometry.name}' has no active slab")
    return Detector(
        name=entry.name,
        geometry=geometry,
        slabs=slabs,
        sampling_fraction=_fractions(entry.sampling_fraction, geometry, f"{origin}: sampling_fraction"),
        threshold=entry.threshold,
        half_width=entry.half_width,
        score_photons_below=entry.score_photons_below,
        source=json.loads(json.dumps(plain, default=str)),
    )


def _fractions(value: float | dict[int, float], geometry: Geometry, what: str) -> tuple[float, ...]:
    if not isinstance(value, dict):
        if not 0 < value < math.inf:
            raise CaloforgeError(f"{what} must be above 0 and finite, not {value:g}")
        return (value,) * geometry.n_layers
    for layer in geometry.layer_ids:
        if layer not in value:
            raise CaloforgeError(f"{what}: missing layer {layer}")
    for layer in value:
        if layer not in geometry.layer_ids:
            raise CaloforgeError(f"{what}: there is no layer {layer}; the geometry has {list(geometry.layer_ids)}")
    return tuple(value[layer] for layer in geometry.layer_ids)


def _expand(entries: list[Any], layer: int | None, where: str) -> Iterator[tuple[SlabEntry, int | None, str]]:
    """Slab, its layer (None if passive) and its position in the file, for a list of slabs and groups.

    Args:
        entries: list from the file.
        layer: layer of the enclosing group.
        where: name of the list in error messages.
    """
    for number, plain in enumerate(entries):
        here = f"{where}.{number}"
        if isinstance(plain, dict) and "slabs" in plain:
            group = checked_entry(GroupEntry, plain, here)
            first = layer if group.layer is None else group.layer
            for k in range(group.repeat):
                inner = None if first is None else first + k * group.layer_step
                yield from _expand(group.slabs, inner, f"{here}.slabs")
            continue
        slab = checked_entry(SlabEntry, plain, here)
        counts_to = layer if slab.layer is None else slab.layer
        active = slab.layer is not None if slab.active is None else slab.active
        if active and counts_to is None:
            raise CaloforgeError(f"{here}: an active slab needs a 'layer', its own or that of its group")
        for key, value in (("birks", slab.birks), ("time_gate", slab.time_gate)):
            if value is not None and not active:
                raise CaloforgeError(f"{here}: '{key}' is for active slabs; give this one a 'layer', or leave it out")
        yield slab, counts_to if active else None, here


def _placed(entries: Iterator[tuple[SlabEntry, int | None, str]], of: DetectorEntry) -> Iterator[Slab]:
    gates, back = of.time_gate, 0.0
    for entry, layer, where in entries:
        z = back if entry.z is None else entry.z
        # Positions are sums of thicknesses: tolerate rounding errors.
        if z < back - 1e-9:
            raise CaloforgeError(f"{where}: starts at z = {z:g} mm and overlaps the slab that ends at {back:g} mm")
        birks, gate = entry.birks, entry.time_gate
        if layer is not None:
            of_material = gates.get(entry.material, math.inf) if isinstance(gates, dict) else gates
            birks = of.birks.get(entry.material, 0.0) if birks is None else birks
            gate = of_material if gate is None else gate
        yield Slab(entry.material, z, entry.thickness, layer, birks or 0.0, math.inf if gate is None else gate)
        back = z + entry.thickness
