"""The voxels of a calorimeter: which layers, which edges, where each centre is.

A `Geometry` is a frozen description and knows nothing of models. A shower of a geometry is a row of
`n_voxels` energies: layer slowest, then alpha (polar layers) or phi (Cartesian layers), then r or eta
fastest. Lengths are mm, angles rad, energies MeV.

Polar layers: `n_alpha` equal bins of alpha that start at -pi, and radial bins between `r_edges`. The centre of
a voxel is r = (r_lo + r_hi) / 2 at the middle of its alpha bin; eta = r cos(alpha), phi = r sin(alpha) are the
transverse x and y in mm (CaloChallenge convention, arXiv:2410.21611).

Cartesian layers: rows of phi (= x), columns of eta (= y), both in mm (CaloGAN convention, arXiv:1712.10321).
"""

from __future__ import annotations

import itertools
import json
import math
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from caloforge.errors import CaloforgeError

FloatArray = np.ndarray


def _checked_edges(name: str, edges: Sequence[float]) -> tuple[float, ...]:
    try:
        values = tuple(float(edge) for edge in edges)
    except (TypeError, ValueError):
        raise CaloforgeError(f"{name} must be a list of numbers (mm), not {edges!r}") from None
    if len(values) < 2:
        raise CaloforgeError(f"{name} needs at least two edges (mm), not {list(values)}")
    if not all(math.isfinite(v) for v in values) or any(b <= a for a, b in itertools.pairwise(values)):
        raise CaloforgeError(f"{name} must rise from edge to edge (mm), not {list(values)}")
    return values


@dataclass(frozen=True)
class Layer:
    """One polar layer: voxels in (alpha, r), r fastest.

    Args:
        id: the detector's own number of the layer (ds1 has 0, 1, 2, 3, 12).
        r_edges: radial bin edges in mm, rising, not negative.
        n_alpha: number of equal alpha bins, at least 1.
        z_edges: (front, back) of the layer along the shower axis in mm, where known.
    """

    id: int
    r_edges: tuple[float, ...]
    n_alpha: int = 1
    z_edges: tuple[float, float] | None = None

    kind = "polar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "r_edges", _checked_edges(f"r_edges of layer {self.id}", self.r_edges))
        if self.r_edges[0] < 0:
            raise CaloforgeError(f"r_edges of layer {self.id} must not be negative, not {self.r_edges[0]}")
        if isinstance(self.n_alpha, bool) or not isinstance(self.n_alpha, int) or self.n_alpha < 1:
            raise CaloforgeError(f"n_alpha of layer {self.id} must be a whole number from 1, not {self.n_alpha!r}")
        if self.z_edges is not None:
            front_back = _checked_edges(f"z_edges of layer {self.id}", self.z_edges)
            object.__setattr__(self, "z_edges", (front_back[0], front_back[-1]))

    @property
    def n_r(self) -> int:
        """Number of radial bins."""
        return len(self.r_edges) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n_alpha, n_r): the shape of the layer's image, last axis fastest."""
        return (self.n_alpha, self.n_r)

    @property
    def n_voxels(self) -> int:
        return self.n_alpha * self.n_r

    @property
    def has_directions(self) -> bool:
        """Whether eta and phi moments mean anything: only with more than one alpha bin."""
        return self.n_alpha > 1

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) radius of each voxel's centre in mm."""
        edges = np.asarray(self.r_edges)
        return np.tile((edges[:-1] + edges[1:]) / 2, self.n_alpha)

    @cached_property
    def alpha(self) -> FloatArray:
        """(n_voxels,) azimuth of each voxel's centre in rad, within (-pi, pi)."""
        middle = -math.pi + (np.arange(self.n_alpha) + 0.5) * (2 * math.pi / self.n_alpha)
        return np.repeat(middle, self.n_r)

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) transverse coordinate r cos(alpha) in mm."""
        return self.r * np.cos(self.alpha)

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) transverse coordinate r sin(alpha) in mm."""
        return self.r * np.sin(self.alpha)

    @cached_property
    def areas(self) -> FloatArray:
        """(n_voxels,) transverse area of each voxel in mm²."""
        edges = np.asarray(self.r_edges)
        return np.tile((edges[1:] ** 2 - edges[:-1] ** 2) * math.pi / self.n_alpha, self.n_alpha)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Geometry.from_dict` reads back."""
        plain: dict[str, Any] = {"id": self.id, "r_edges": list(self.r_edges), "n_alpha": self.n_alpha}
        if self.z_edges is not None:
            plain["z_edges"] = list(self.z_edges)
        return plain


@dataclass(frozen=True)
class CartesianLayer:
    """One Cartesian layer: voxels in (phi, eta), eta fastest.

    Args:
        id: the detector's own number of the layer.
        phi_edges: bin edges along phi (= x) in mm, rising: the rows of the image.
        eta_edges: bin edges along eta (= y) in mm, rising: the columns of the image.
        z_edges: (front, back) of the layer along the shower axis in mm, where known.
    """

    id: int
    phi_edges: tuple[float, ...]
    eta_edges: tuple[float, ...]
    z_edges: tuple[float, float] | None = None

    kind = "cartesian"

    def __post_init__(self) -> None:
        for name in ("phi_edges", "eta_edges"):
            edges = _checked_edges(f"{name} of layer {self.id}", getattr(self, name))
            object.__setattr__(self, name, edges)
        if self.z_edges is not None:
            front_back = _checked_edges(f"z_edges of layer {self.id}", self.z_edges)
            object.__setattr__(self, "z_edges", (front_back[0], front_back[-1]))

    @property
    def shape(self) -> tuple[int, int]:
        """(n_phi, n_eta): the shape of the layer's image, last axis fastest."""
        return (len(self.phi_edges) - 1, len(self.eta_edges) - 1)

    @property
    def n_voxels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def has_directions(self) -> bool:
        """Whether eta and phi moments mean anything: always on a Cartesian layer."""
        return True

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) phi of each voxel's centre in mm."""
        edges = np.asarray(self.phi_edges)
        return np.repeat((edges[:-1] + edges[1:]) / 2, self.shape[1])

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) eta of each voxel's centre in mm."""
        edges = np.asarray(self.eta_edges)
        return np.tile((edges[:-1] + edges[1:]) / 2, self.shape[0])

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) distance of each voxel's centre from the shower axis in mm."""
        return np.hypot(self.eta, self.phi)

    @cached_property
    def alpha(self) -> FloatArray:
        """(n_voxels,) azimuth of each voxel's centre in rad, within [-pi, pi]."""
        return np.arctan2(self.phi, self.eta)

    @cached_property
    def areas(self) -> FloatArray:
        """(n_voxels,) transverse area of each voxel in mm²."""
        return np.outer(np.diff(self.phi_edges), np.diff(self.eta_edges)).ravel()

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Geometry.from_dict` reads back."""
        plain: dict[str, Any] = {
            "id": self.id,
            "phi_edges": list(self.phi_edges),
            "eta_edges": list(self.eta_edges),
        }
        if self.z_edges is not None:
            plain["z_edges"] = list(self.z_edges)
        return plain


AnyLayer = Layer | CartesianLayer


@dataclass(frozen=True)
class Geometry:
    """A calorimeter's voxels.

    Args:
        name: how files and recipes call it.
        layers: the layers from front to back, each id once.
        threshold: readout threshold in MeV, not negative: voxels below it count as zero when judged.

    Raises:
        CaloforgeError: no layers, a repeated layer id, or a negative threshold.
    """

    name: str
    layers: tuple[AnyLayer, ...]
    threshold: float = 0.0
    _offsets: tuple[int, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise CaloforgeError(f"geometry '{self.name}' has no layer with voxels")
        ids = [layer.id for layer in self.layers]
        repeated = sorted({i for i in ids if ids.count(i) > 1})
        if repeated:
            raise CaloforgeError(f"geometry '{self.name}' has layer {repeated[0]} more than once")
        if not (math.isfinite(self.threshold) and self.threshold >= 0):
            raise CaloforgeError(f"threshold of geometry '{self.name}' must be at least 0 MeV, not {self.threshold}")
        offsets = [0]
        for layer in self.layers:
            offsets.append(offsets[-1] + layer.n_voxels)
        object.__setattr__(self, "_offsets", tuple(offsets))

    @property
    def n_voxels(self) -> int:
        """Length of a shower's row."""
        return self._offsets[-1]

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """The detector's own layer numbers, front to back."""
        return tuple(layer.id for layer in self.layers)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """For each layer, where its voxels lie in a shower's row."""
        return tuple(slice(a, b) for a, b in zip(self._offsets[:-1], self._offsets[1:], strict=True))

    @cached_property
    def layer_index(self) -> np.ndarray:
        """(n_voxels,) position in `layers` of each voxel's layer, 0 … n_layers - 1."""
        return np.repeat(np.arange(self.n_layers), np.diff(self._offsets))

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) eta of each voxel's centre in mm."""
        return np.concatenate([layer.eta for layer in self.layers])

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) phi of each voxel's centre in mm."""
        return np.concatenate([layer.phi for layer in self.layers])

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) distance of each voxel's centre from the axis in mm."""
        return np.concatenate([layer.r for layer in self.layers])

    @property
    def is_regular(self) -> bool:
        """Whether all layers share one binning, so that a shower reshapes to (layer, alpha, r)."""
        first = self.layers[0]
        return all(
            {**layer.to_dict(), "id": 0, "z_edges": None} == {**first.to_dict(), "id": 0, "z_edges": None}
            for layer in self.layers
        )

    def layer(self, layer_id: int) -> AnyLayer:
        """The layer with the detector's number `layer_id`.

        Raises:
            CaloforgeError: there is none.
        """
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise CaloforgeError(f"geometry '{self.name}' has no layer {layer_id}; it has {list(self.layer_ids)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data (JSON, YAML) that `from_dict` reads back."""
        return {
            "name": self.name,
            "threshold": self.threshold,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    @classmethod
    def from_dict(cls, plain: Any, origin: str = "geometry") -> Geometry:
        """Build a geometry from plain data.

        Args:
            plain: mapping with `name`, `layers` and optionally `threshold` (MeV). A layer has `id` and either
                `r_edges` (mm) with `n_alpha`, or `phi_edges` and `eta_edges` (mm); optionally `z_edges` (mm).
            origin: what to call the source in an error.

        Raises:
            CaloforgeError: a key is unknown or missing, or a value is out of range.
        """
        if not isinstance(plain, dict):
            raise CaloforgeError(f"{origin}: expected a mapping with 'name' and 'layers'")
        _check_keys(plain, required={"name", "layers"}, optional={"threshold"}, origin=origin)
        if not isinstance(plain["layers"], list):
            raise CaloforgeError(f"{origin}: 'layers' must be a list")
        layers: list[AnyLayer] = []
        for number, entry in enumerate(plain["layers"]):
            where = f"{origin}: layers[{number}]"
            if not isinstance(entry, dict):
                raise CaloforgeError(f"{where} must be a mapping")
            polar = "r_edges" in entry
            required = {"id", "r_edges"} if polar else {"id", "phi_edges", "eta_edges"}
            _check_keys(entry, required, optional={"z_edges", "n_alpha"} if polar else {"z_edges"}, origin=where)
            if isinstance(entry["id"], bool) or not isinstance(entry["id"], int):
                raise CaloforgeError(f"{where}: 'id' must be a whole number, not {entry['id']!r}")
            try:
                layers.append(Layer(**entry) if polar else CartesianLayer(**entry))
            except CaloforgeError as error:
                raise CaloforgeError(f"{where}: {error}") from None
        try:
            return cls(str(plain["name"]), tuple(layers), float(plain.get("threshold", 0.0)))
        except (TypeError, ValueError) as error:
            raise CaloforgeError(f"{origin}: {error}") from None

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], particle: str | None = None) -> Geometry:
        """Read a geometry from a YAML or JSON file, or from the challenge's binning XML.

        Args:
            path: the file; its suffix decides (`.yaml`, `.yml`, `.json`, `.xml`).
            particle: for XML with several `Bin` elements, the `name` or `pid` of the wanted one.

        Raises:
            CaloforgeError: the file is absent, unreadable or malformed.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise CaloforgeError(f"no such geometry file: {path}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise CaloforgeError(f"cannot read the geometry file {path}: {error}") from None
        if path.suffix.lower() == ".xml":
            return _from_xml(text, path, particle)
        try:
            plain = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
        except (json.JSONDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise CaloforgeError(f"{path} is no valid geometry file: {reason}") from None
        return cls.from_dict(plain, origin=str(path))


def _check_keys(plain: dict[str, Any], required: set[str], optional: set[str], origin: str) -> None:
    missing = sorted(required - plain.keys())
    if missing:
        raise CaloforgeError(f"{origin}: missing key '{missing[0]}'")
    unknown = sorted(str(key) for key in plain.keys() - required - optional)
    if unknown:
        allowed = ", ".join(sorted(required | optional))
        raise CaloforgeError(f"{origin}: unknown key '{unknown[0]}' (known: {allowed})")


def _from_xml(text: str, path: Path, particle: str | None) -> Geometry:
    """Challenge binning: root `Bins`, a `Bin` per particle, a `Layer` per detector layer.

    A layer with a single edge has no voxels and is skipped.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise CaloforgeError(f"{path} is no valid XML: {error}") from None
    bins = root.findall("Bin")
    if root.tag != "Bins" or not bins:
        raise CaloforgeError(f"{path}: expected a root element 'Bins' with a 'Bin' per particle")
    names = [entry.get("name") or entry.get("pid") or "?" for entry in bins]
    if particle is not None:
        chosen = [entry for entry in bins if particle in (entry.get("name"), entry.get("pid"))]
    else:
        chosen = bins
    if len(chosen) != 1:
        known = ", ".join(names)
        what = f"no particle '{particle}'" if particle is not None and not chosen else f"{len(chosen)} particles"
        raise CaloforgeError(f"{path} has {what}; append ':NAME' to its path, one of {known}")
    layers: list[AnyLayer] = []
    for element in chosen[0].findall("Layer"):
        try:
            layer_id = int(element.attrib["id"])
            edges = [float(edge) for edge in element.attrib["r_edges"].split(",")]
            n_alpha = int(element.get("n_bin_alpha", "1"))
        except KeyError as error:
            raise CaloforgeError(f"{path}: a 'Layer' lacks the attribute {error}") from None
        except ValueError as error:
            raise CaloforgeError(f"{path}: a 'Layer' has a bad number: {error}") from None
        if len(edges) > 1:
            layers.append(Layer(layer_id, tuple(edges), n_alpha))
    name = chosen[0].get("name") or chosen[0].get("pid") or "xml"
    return Geometry(f"{path.stem}-{name}", tuple(layers))


def _polar(rows: Sequence[tuple[int, str, int]]) -> tuple[Layer, ...]:
    return tuple(Layer(i, tuple(float(e) for e in edges.split()), n_alpha) for i, edges, n_alpha in rows)


def _stack(n_layers: int, dr: float, n_r: int, n_alpha: int, dz: float) -> tuple[Layer, ...]:
    edges = tuple(round(dr * k, 6) for k in range(n_r + 1))
    return tuple(Layer(i, edges, n_alpha, (round(i * dz, 6), round((i + 1) * dz, 6))) for i in range(n_layers))


def _ds1_photons() -> Geometry:
    rows = [
        (0, "0 5 10 30 50 100 200 400 600", 1),
        (1, "0 2 4 6 8 10 12 15 20 30 40 50 70 90 120 150 200", 10),
        (2, "0 2 5 10 15 20 25 30 40 50 60 80 100 130 160 200 250 300 350 400", 10),
        (3, "0 50 100 200 400 600", 1),
        (12, "0 100 200 400 1000 2000", 1),
    ]
    return Geometry("ds1-photons", _polar(rows), threshold=1.0)


def _ds1_pions() -> Geometry:
    rows = [
        (0, "0 5 10 30 50 100 200 400 600", 1),
        (1, "0 1 4 7 10 15 30 50 90 150 200", 10),
        (2, "0 5 10 20 30 50 80 130 200 300 400", 10),
        (3, "0 50 100 200 400 600", 1),
        (12, "0 10 20 30 50 80 100 130 160 200 250 300 350 400 1000 2000", 10),
        (13, "0 10 20 30 50 80 100 130 160 200 250 300 350 400 600 1000 2000", 10),
        (14, "0 50 100 150 200 250 300 400 600 1000 2000", 1),
    ]
    return Geometry("ds1-pions", _polar(rows), threshold=1.0)


def _ds2() -> Geometry:
    return Geometry("ds2", _stack(45, 4.65, 9, 16, 3.4), threshold=0.5e-3 / 0.033)


def _ds3() -> Geometry:
    return Geometry("ds3", _stack(45, 2.325, 18, 50, 3.4), threshold=0.5e-3 / 0.033)


def _calogan() -> Geometry:
    def edges(cell: float) -> tuple[float, ...]:
        return tuple(float(e) for e in np.arange(-240.0, 240.0 + cell / 2, cell))

    layers = (
        CartesianLayer(0, edges(160), edges(5), (0.0, 90.0)),
        CartesianLayer(1, edges(40), edges(40), (90.0, 437.0)),
        CartesianLayer(2, edges(40), edges(80), (437.0, 480.0)),
    )
    return Geometry("calogan", layers)


BUILTIN = {
    "ds1-photons": _ds1_photons,
    "ds1-pions": _ds1_pions,
    "ds2": _ds2,
    "ds3": _ds3,
    "calogan": _calogan,
}
"""Name → maker of each built-in geometry."""


def load_geometry(name: str | os.PathLike[str]) -> Geometry:
    """The built-in geometry called `name`, or the one in the file at that path.

    For a binning XML of several particles, `path.xml:NAME` chooses one.

    Raises:
        CaloforgeError: neither a built-in name nor a readable geometry file.
    """
    text = os.fspath(name)
    if text in BUILTIN:
        return BUILTIN[text]()
    path, _, particle = text.partition(".xml:")
    if particle:
        return Geometry.from_file(path + ".xml", particle)
    if Path(text).suffix.lower() in (".yaml", ".yml", ".json", ".xml"):
        return Geometry.from_file(text)
    known = ", ".join(BUILTIN)
    raise CaloforgeError(f"unknown geometry '{text}'; built in are {known}, or give a .yaml, .json or .xml file")


def geometry_of_voxel_count(n_voxels: int) -> Geometry | None:
    """The built-in geometry with `n_voxels` voxels, if there is one (no two share a count)."""
    for make in BUILTIN.values():
        geometry = make()
        if geometry.n_voxels == n_voxels:
            return geometry
    return None
