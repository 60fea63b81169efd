"""`Geometry`: the layers of a calorimeter from front to back, frozen.

A shower of a geometry is a row of `n_voxels` energies in MeV: layer slowest, then alpha (polar layers) or phi
(Cartesian layers), then r or eta fastest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.geometry.entries import CartesianEntry, GeometryEntry, PolarEntry, checked_entry
from caloforge.geometry.layers import AnyLayer, CartesianLayer, FloatArray, Layer
from caloforge.units import count, format_energy


@dataclass(frozen=True)
class Geometry:
    """The voxels of a calorimeter.

    >>> from caloforge import Geometry, Layer
    >>> Geometry("toy", (Layer(0, (0, 10, 20), n_alpha=1), Layer(1, (0, 40), n_alpha=2)), threshold=0.5)
    Geometry(4 voxels in 2 layers of 'toy', threshold 500 keV)

    Args:
        name: its name in files and recipes.
        layers: the layers from front to back, with distinct ids.
        threshold: readout threshold in MeV, at least 0; evaluations set voxels below it to zero.

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

    def __repr__(self) -> str:
        threshold = f", threshold {format_energy(self.threshold)}" if self.threshold else ""
        return f"Geometry({self.in_words}{threshold})"

    @property
    def in_words(self) -> str:
        """As "368 voxels in 5 layers of 'ds1-photons'"."""
        return f"{count(self.n_voxels, 'voxel')} in {count(self.n_layers, 'layer')} of '{self.name}'"

    @property
    def n_voxels(self) -> int:
        """Number of voxels of a shower."""
        return self._offsets[-1]

    row_length = n_voxels
    """Numbers of a row in physical space, for what works on points too (`PointGeometry`)."""

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def layer_ids(self) -> tuple[int, ...]:
        """Layer numbers of the detector, front to back."""
        return tuple(layer.id for layer in self.layers)

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """For each layer, the slice of its voxels in a shower's row."""
        return tuple(slice(a, b) for a, b in zip(self._offsets[:-1], self._offsets[1:], strict=True))

    @cached_property
    def layer_index(self) -> np.ndarray:
        """(n_voxels,) index in `layers` of the layer of each voxel, 0 … n_layers - 1."""
        return np.repeat(np.arange(self.n_layers), np.diff(self._offsets))

    @cached_property
    def eta(self) -> FloatArray:
        """(n_voxels,) eta of voxel centres in mm."""
        return np.concatenate([layer.eta for layer in self.layers])

    @cached_property
    def phi(self) -> FloatArray:
        """(n_voxels,) phi of voxel centres in mm."""
        return np.concatenate([layer.phi for layer in self.layers])

    @cached_property
    def r(self) -> FloatArray:
        """(n_voxels,) distance of voxel centres from the axis in mm."""
        return np.concatenate([layer.r for layer in self.layers])

    def layer_sums(self, voxels: np.ndarray) -> FloatArray:
        """Energy of each layer, summed in float64: voxels (…, n_voxels) → (…, n_layers), in the same unit."""
        return np.stack([voxels[..., part].sum(axis=-1, dtype=np.float64) for part in self.slices], axis=-1)

    @property
    def is_regular(self) -> bool:
        """Whether all layers have the same binning, so that a shower can be reshaped to (layer, alpha, r)."""
        first = self.layers[0]
        return all(
            {**layer.to_dict(), "id": 0, "z_edges": None} == {**first.to_dict(), "id": 0, "z_edges": None}
            for layer in self.layers
        )

    @property
    def polar_mesh(self) -> Layer | None:
        """A layer with the common binning in r and alpha; None if layers differ or are Cartesian."""
        first = self.layers[0]
        return first if isinstance(first, Layer) and self.is_regular else None

    @property
    def n_sectors(self) -> int:
        """The largest number of equal sectors whose edges are bin edges in all layers with alpha bins.

        It is 1 if no layer has alpha bins, or if not all are polar.
        """
        if any(layer.kind != "polar" for layer in self.layers):
            return 1
        return max(1, math.gcd(*(layer.shape[0] for layer in self.layers if layer.shape[0] > 1)))

    def layer(self, layer_id: int) -> AnyLayer:
        """The layer with the number `layer_id`.

        Raises:
            CaloforgeError: there is no such layer.
        """
        for layer in self.layers:
            if layer.id == layer_id:
                return layer
        raise CaloforgeError(f"geometry '{self.name}' has no layer {layer_id}; it has {list(self.layer_ids)}")

    def has_voxels_of(self, other: Geometry) -> bool:
        """Whether both have the same layers and edges, whatever their names, thresholds and depths."""
        return [_edges_of(layer) for layer in self.layers] == [_edges_of(layer) for layer in other.layers]

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
            origin: name of the source in error messages.

        Raises:
            CaloforgeError: a key is unknown or missing, or a value is out of range.
        """
        entry = checked_entry(GeometryEntry, plain, origin)
        layers: list[AnyLayer] = []
        for number, layer in enumerate(entry.layers):
            where = f"{origin}: layers.{number}"
            schema: type[PolarEntry | CartesianEntry] = PolarEntry if "r_edges" in layer else CartesianEntry
            checked = dict(checked_entry(schema, layer, where))
            try:
                layers.append(Layer(**checked) if schema is PolarEntry else CartesianLayer(**checked))
            except CaloforgeError as error:
                raise CaloforgeError(f"{where}: {error}") from None
        try:
            return cls(entry.name, tuple(layers), entry.threshold)
        except CaloforgeError as error:
            raise CaloforgeError(f"{origin}: {error}") from None


def _edges_of(layer: AnyLayer) -> dict[str, Any]:
    return {key: value for key, value in layer.to_dict().items() if key != "z_edges"}
