"""What every observable is made of: the thresholded voxels and, per layer, their energy-weighted sums.

An observable is a pure function of a `View`, one float64 per shower. `@per_shower(name)` and
`@per_layer(name)` enter it into `REGISTRY`; an observable of layers is called `name_<id>`, <id> being the
detector's own number of the layer. A new one is a function with one of these decorators in any module that is imported.

Sums run over float64 copies of the float32 voxels, one layer at a time: E[x²] − E[x]² cancels, and in single
precision a layer 2 m wide would get widths wrong by a histogram bin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from caloforge.geometry import AnyLayer, Geometry
from caloforge.showers import Showers

FLOOR = 1e-16
"""MeV added to every denominator (CaloChallenge convention)."""

COLUMNS = ("one", "eta", "phi", "r", "eta2", "phi2", "r2")


class View:
    """Showers as observables see them: voxels below the threshold are zero.

    Args:
        showers: N showers; they are not changed.
        threshold: readout threshold in MeV; None takes the geometry's.
    """

    def __init__(self, showers: Showers, threshold: float | None = None) -> None:
        cut = showers.geometry.threshold if threshold is None else threshold
        self.geometry: Geometry = showers.geometry
        self.energies: np.ndarray = np.asarray(showers.energies, dtype=np.float64)
        self.voxels: np.ndarray = above_threshold(showers.voxels, cut)
        self._sums: dict[int, np.ndarray] = {}
        self._brightest: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def part(self, position: int) -> np.ndarray:
        """(N, v) voxels in MeV of the layer at `position` (0 … n_layers − 1)."""
        return self.voxels[:, self.geometry.slices[position]]

    def sums(self, position: int, column: str) -> np.ndarray:
        """(N,) Σ w_i e_i over a layer, w the quantity called `column` (see `COLUMNS`), in MeV mm^k."""
        if position not in self._sums:
            layer = self.geometry.layers[position]
            x = np.stack([np.ones(layer.n_voxels), layer.eta, layer.phi, layer.r])
            weights = np.concatenate([x, x[1:] ** 2]).T
            self._sums[position] = self.part(position).astype(np.float64) @ weights
        return self._sums[position][:, COLUMNS.index(column)]

    def layer_energy(self, position: int) -> np.ndarray:
        """(N,) E_l in MeV."""
        return self.sums(position, "one")

    def brightest(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """(N,) brightest and (N,) second-brightest voxel of a layer in MeV, float64; 0 for a missing second."""
        if position not in self._brightest:
            part = self.part(position).copy()
            rows, where = np.arange(len(part)), part.argmax(axis=1)
            first = part[rows, where].astype(np.float64)
            part[rows, where] = 0
            self._brightest[position] = first, part.max(axis=1).astype(np.float64)
        return self._brightest[position]

    @cached_property
    def deposited(self) -> np.ndarray:
        """(N,) E_dep in MeV."""
        return np.sum([self.layer_energy(k) for k in range(self.geometry.n_layers)], axis=0)


def above_threshold(voxels: np.ndarray, threshold: float) -> np.ndarray:
    """(N, V) `voxels` with those below `threshold` (MeV) set to zero; the same array where nothing is cut."""
    return np.where(voxels < threshold, voxels.dtype.type(0), voxels) if threshold > 0 else voxels


def everywhere(layer: AnyLayer) -> bool:
    """Whether an observable of any layer is defined on this one: always."""
    return True


@dataclass(frozen=True)
class Observable:
    """One family of observables.

    Args:
        name: the name, or the prefix before `_<id>` for an observable of layers.
        compute: (view) → (N,), or (view, position of the layer) → (N,).
        of_layers: whether there is one per layer.
        applies: on which layers it is defined.
        unit: of the values, empty for pure numbers.
    """

    name: str
    compute: Callable[..., np.ndarray]
    of_layers: bool
    applies: Callable[[AnyLayer], bool]
    unit: str


REGISTRY: dict[str, Observable] = {}
"""Name or prefix → family."""


def per_shower(name: str, unit: str = "") -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Register a function (view) → (N,) as the observable `name`."""

    def register(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        REGISTRY[name] = Observable(name, function, False, everywhere, unit)
        return function

    return register


def per_layer(
    name: str, unit: str = "", applies: Callable[[AnyLayer], bool] = everywhere
) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Register a function (view, position) → (N,) as `name_<id>` of the layers that it applies to."""

    def register(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        REGISTRY[name] = Observable(name, function, True, applies, unit)
        return function

    return register


def with_directions(layer: AnyLayer) -> bool:
    """Whether eta and phi mean anything on the layer: more than one alpha bin, or Cartesian."""
    return layer.has_directions
