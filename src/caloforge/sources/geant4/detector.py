"""A calorimeter of slabs, described in a small file: what stands where, what is active, which layer it counts to.

The file is YAML (lengths mm, energies MeV); slabs follow each other from z = 0 along the shower axis.

    name: my-calorimeter
    geometry: ds2                 # the voxels: a built-in name, a geometry file, or a mapping as in one
    sampling_fraction: 0.033      # active energy is divided by it; one number, or {layer: number}
    threshold: 0                  # voxels below it (after that division) are zero; optional
    half_width: 10000             # of the slabs in x and y; optional
    score_photons_below: .inf     # photons above it are not asked for energy deposits of their own; optional
    slabs:
      - {material: G4_Al, thickness: 20}              # passive: no layer
      - repeat: 45                                    # a group, repeated; groups may hold groups
        layer: 0                                      # first layer that its active slabs count to …
        layer_step: 1                                 # … and by how much it grows from repeat to repeat
        slabs:
          - {material: G4_W, thickness: 1.4}
          - {material: G4_Si, thickness: 0.3, active: true}
      - {material: G4_lAr, thickness: 11, layer: 45, z: 900}   # a layer makes a slab active; z leaves a gap

Materials are those of Geant4's NIST table (https://geant4.web.cern.ch, Book for Application Developers).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry

SHIPPED = Path(__file__).parent / "detectors"
"""Folder of the detectors that come with caloforge."""

_MATERIAL = re.compile(r"G4_[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Slab:
    """One slab: `material` from `z` to `z + thickness` (mm); active if it counts to a `layer` (its id)."""

    material: str
    z: float
    thickness: float
    layer: int | None = None


@dataclass(frozen=True)
class Detector:
    """A stack of slabs and the voxels that its active ones are read out in.

    Args:
        name: how outputs call it.
        geometry: the voxels.
        slabs: front to back, not overlapping.
        sampling_fraction: for each layer of `geometry`, what active energy is divided by.
        threshold: voxel energy in MeV below which a voxel is zero.
        half_width: half the extent of the slabs in x and y, mm.
        score_photons_below: MeV; energy that photons above it leave by themselves is not counted.
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
    def materials(self) -> tuple[str, ...]:
        """Names of the materials, each once."""
        return tuple(dict.fromkeys(slab.material for slab in self.slabs))


def shipped_detectors() -> tuple[str, ...]:
    """Names of the detectors that come with caloforge."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def load_detector(name: str) -> Detector:
    """The shipped detector called `name`, or the one described in the file at that path.

    Raises:
        CaloforgeError: neither a shipped name nor a readable file; an unknown or missing key; a value out of
            range; slabs that overlap; a layer that the geometry lacks, or one without an active slab.
    """
    path = SHIPPED / f"{name}.yaml" if name in shipped_detectors() else Path(name)
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        known = ", ".join(shipped_detectors())
        raise CaloforgeError(f"unknown detector '{name}'; shipped are {known}, or give a .yaml file")
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaloforgeError(f"no such detector file: {path}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CaloforgeError(f"{path} is no valid detector file: {' '.join(str(error).split())}") from None
    return detector_from_plain(plain, origin=name, folder=path.parent)


def detector_from_plain(plain: Any, origin: str, folder: Path = Path()) -> Detector:
    """Build a detector from plain data (see the module's opening and `load_detector` for the errors).

    Args:
        plain: the file's content.
        origin: what to call it in an error.
        folder: where a geometry file named in it is looked for.
    """
    optional = {"threshold", "half_width", "score_photons_below"}
    _check(plain, {"name", "geometry", "slabs", "sampling_fraction"}, optional, origin)
    geometry = _geometry(plain["geometry"], origin, folder)
    slabs = tuple(_placed(_expand(plain["slabs"], None, f"{origin}: slabs"), origin))
    counted = {slab.layer for slab in slabs} - {None}
    for layer in counted:
        if layer not in geometry.layer_ids:
            raise CaloforgeError(f"{origin}: layer {layer} is not in geometry '{geometry.name}' {geometry.layer_ids}")
    for layer in geometry.layer_ids:
        if layer not in counted:
            raise CaloforgeError(f"{origin}: no active slab counts to layer {layer} of geometry '{geometry.name}'")
    return Detector(
        name=str(plain["name"]),
        geometry=geometry,
        slabs=slabs,
        sampling_fraction=_fractions(plain["sampling_fraction"], geometry, origin),
        threshold=_number(plain.get("threshold", 0.0), f"{origin}: threshold", zero=True),
        half_width=_number(plain.get("half_width", 1e4), f"{origin}: half_width"),
        score_photons_below=_number(
            plain.get("score_photons_below", math.inf), f"{origin}: score_photons_below", zero=True, infinite=True
        ),
        source=json.loads(json.dumps(plain, default=str)),
    )


def _check(plain: Any, required: set[Any], optional: set[Any], origin: str) -> None:
    if not isinstance(plain, dict):
        raise CaloforgeError(f"{origin}: expected a mapping with {', '.join(sorted(required))}, not {plain!r}")
    for key in sorted(required):
        if key not in plain:
            raise CaloforgeError(f"{origin}: missing key '{key}'")
    for key in plain:
        if key not in required | optional:
            known = ", ".join(sorted(map(str, required | optional)))
            raise CaloforgeError(f"{origin}: unknown key '{key}' (known: {known})")


def _number(value: Any, what: str, zero: bool = False, infinite: bool = False) -> float:
    try:
        # YAML 1.1 reads 1e-3 as text, so text that is a number is welcome.
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number > 0 or (zero and number == 0)) or (math.isinf(number) and not infinite):
        raise CaloforgeError(f"{what} must be a number {'from' if zero else 'above'} 0, not {value!r}")
    return number


def _whole(value: Any, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise CaloforgeError(f"{what} must be a whole number from {least}, not {value!r}")
    return value


def _geometry(value: Any, origin: str, folder: Path) -> Geometry:
    if isinstance(value, dict):
        return Geometry.from_dict(value, origin=f"{origin}: geometry")
    beside = folder / str(value)
    return load_geometry(beside if beside.is_file() else str(value))


def _fractions(value: Any, geometry: Geometry, origin: str) -> tuple[float, ...]:
    what = f"{origin}: sampling_fraction"
    if not isinstance(value, dict):
        return (_number(value, what),) * geometry.n_layers
    _check(value, set(geometry.layer_ids), set(), what)
    return tuple(_number(value[i], f"{what} of layer {i}") for i in geometry.layer_ids)


@dataclass(frozen=True)
class _Entry:
    material: str
    thickness: float
    layer: int | None
    z: float | None
    where: str


def _expand(entries: Any, layer: int | None, where: str) -> Iterator[_Entry]:
    """The slabs of a list of slabs and groups; `layer` is what an enclosing group counts to."""
    if not isinstance(entries, list) or not entries:
        raise CaloforgeError(f"{where} must be a list of slabs, not {entries!r}")
    for number, entry in enumerate(entries):
        here = f"{where}[{number}]"
        if isinstance(entry, dict) and "slabs" in entry:
            _check(entry, {"slabs"}, {"repeat", "layer", "layer_step"}, here)
            first = _whole(entry["layer"], f"{here}: layer", 0) if "layer" in entry else layer
            step = _whole(entry.get("layer_step", 0), f"{here}: layer_step", 0)
            for k in range(_whole(entry.get("repeat", 1), f"{here}: repeat", 1)):
                yield from _expand(entry["slabs"], None if first is None else first + k * step, f"{here}.slabs")
        else:
            yield _entry(entry, layer, here)


def _entry(entry: Any, layer: int | None, here: str) -> _Entry:
    _check(entry, {"material", "thickness"}, {"layer", "active", "z"}, here)
    material = entry["material"]
    if not isinstance(material, str) or not _MATERIAL.fullmatch(material):
        raise CaloforgeError(f"{here}: material must be a name of Geant4's NIST table such as G4_Pb, not {material!r}")
    if "layer" in entry:
        layer = _whole(entry["layer"], f"{here}: layer", 0)
    active = entry.get("active", "layer" in entry)
    if not isinstance(active, bool):
        raise CaloforgeError(f"{here}: active must be true or false, not {active!r}")
    if active and layer is None:
        raise CaloforgeError(f"{here}: an active slab needs a 'layer', its own or its group's")
    z = entry.get("z")
    return _Entry(
        material,
        _number(entry["thickness"], f"{here}: thickness"),
        layer if active else None,
        None if z is None else _number(z, f"{here}: z", zero=True),
        here,
    )


def _placed(entries: Iterator[_Entry], origin: str) -> Iterator[Slab]:
    back = 0.0
    for entry in entries:
        z = back if entry.z is None else entry.z
        # Positions are sums of thicknesses: a rounding error is no overlap.
        if z < back - 1e-9:
            raise CaloforgeError(
                f"{entry.where}: begins at z = {z:g} mm and overlaps the slab that ends at {back:g} mm"
            )
        yield Slab(entry.material, z, entry.thickness, entry.layer)
        back = z + entry.thickness
