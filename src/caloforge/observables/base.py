"""`@observable`: one function per observable, with its label, unit, histogram axis and figure.

    @observable("n_bright", per="layer", label="voxels above 100 MeV", group="further", axis=(50, 0, 50))
    def n_bright(view: View, position: int) -> np.ndarray:
        return (view.part(position) > 100).sum(axis=1)

An observable is a pure function of a `View` that returns one float64 per shower; a per-layer observable is called
`name_<id>`, where <id> is the layer number in the detector. Once registered, it is part of every report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.geometry import AnyLayer, Geometry
from caloforge.observables.axes import Axis, AxisRequest, equal, of_reference
from caloforge.observables.view import View

GROUPS = {
    "energies": "Energies",
    "centres": "Centres of energy",
    "widths": "Widths",
    "sparsity": "Sparsity",
    "shower": "Whole shower",
    "fractions": "Layer fractions",
    "brightest": "Brightest voxels",
    "neighbours": "Neighbouring hits",
    "further": "Further observables",
}
"""Figures of histograms: key of `Observable.group` → title. Any other key creates another figure."""


def everywhere(layer: AnyLayer) -> bool:
    """Whether an observable is defined on this layer: always."""
    return True


def with_directions(layer: AnyLayer) -> bool:
    """Whether eta and phi are meaningful on the layer: more than one alpha bin, or Cartesian."""
    return layer.has_directions


@dataclass(frozen=True)
class Observable:
    """An observable of showers, layers or voxels; it can be called like the function that it wraps.

    Args:
        name: the name, or the prefix before `_<id>` for a per-layer observable.
        compute: (view) → (N,), or (view, index of the layer) → (N,).
        per: whether there is one value per shower, layer or voxel.
        label: plain text, without layer and unit.
        symbol: the same with mathtext, for axes of figures.
        unit: unit of the values, empty for pure numbers.
        group: the figure that contains it (see `GROUPS`).
        axis: rule for the edges of its histogram.
        log: whether fractions of showers are drawn on a logarithmic scale.
        where: whether it is defined on a given layer.
        most_layers: in geometries with more layers it is computed only on request; None: always computed.
    """

    name: str
    compute: Callable[..., np.ndarray]
    per: Literal["shower", "layer", "voxel"]
    label: str
    symbol: str
    unit: str
    group: str
    axis: Axis
    log: bool
    where: Callable[[AnyLayer], bool]
    most_layers: int | None

    def __repr__(self) -> str:
        name = f"{self.name}_<layer>" if self.per == "layer" else self.name
        return f"Observable('{name}', {self.label}{f' [{self.unit}]' if self.unit else ''}, per {self.per})"

    def __call__(self, view: View, *position: int) -> np.ndarray:
        """(N,) float64, for the showers of `view`."""
        return self.compute(view, *position)

    def bind(self, geometry: Geometry) -> list[BoundObservable]:
        """The observable on a geometry: one, or one per layer on which it is defined."""
        if self.per != "layer":
            return [BoundObservable(self, geometry, None)]
        layers = enumerate(geometry.layers)
        return [BoundObservable(self, geometry, k) for k, layer in layers if self.where(layer)]


@dataclass(frozen=True)
class BoundObservable:
    """An observable on a geometry; a per-layer observable on one layer.

    Args:
        observable: the observable.
        geometry: the voxels.
        position: index of the layer in the geometry; None for an observable of showers or voxels.
    """

    observable: Observable
    geometry: Geometry
    position: int | None

    def __repr__(self) -> str:
        unit = f" [{self.unit}]" if self.unit else ""
        return f"BoundObservable('{self.name}', {self.label}{unit}, in '{self.geometry.name}')"

    @property
    def layer(self) -> AnyLayer | None:
        """The layer of a per-layer observable, otherwise None."""
        return None if self.position is None else self.geometry.layers[self.position]

    @property
    def name(self) -> str:
        """Full name, e.g. `ec_eta_12`."""
        return self.observable.name if self.layer is None else f"{self.observable.name}_{self.layer.id}"

    @property
    def label(self) -> str:
        """Plain text, e.g. "centre of energy in eta, layer 12"."""
        return self.observable.label if self.layer is None else f"{self.observable.label}, layer {self.layer.id}"

    @property
    def axis_label(self) -> str:
        """Axis label for figures, with mathtext and unit."""
        words = self.observable.symbol if self.layer is None else f"{self.observable.symbol}, layer {self.layer.id}"
        return f"{words} [{self.unit}]" if self.unit else words

    @property
    def unit(self) -> str:
        """Unit of the values, empty for pure numbers."""
        return self.observable.unit

    def values(self, view: View) -> np.ndarray:
        """(N,) float64, for the showers of `view`.

        Raises:
            CaloforgeError: the function does not return one number per shower.
        """
        found = self.observable.compute(view) if self.position is None else self.observable.compute(view, self.position)
        values = np.asarray(found, dtype=np.float64)
        if values.shape != (n := len(view.energies),):
            raise CaloforgeError(f"observable '{self.name}' must give one number per shower ({n},), not {values.shape}")
        return values

    def request(self, reference: np.ndarray, threshold: float | None = None) -> AxisRequest:
        """Request for an axis, given the reference's values; by default with the threshold of the geometry (MeV)."""
        cut = self.geometry.threshold if threshold is None else threshold
        return AxisRequest(self.geometry, self.layer, reference, cut)

    def edges(self, reference: np.ndarray, threshold: float | None = None) -> np.ndarray | None:
        """(B + 1,) histogram edges (see `request`); None if the reference allows no histogram."""
        return self.observable.axis(self.request(reference, threshold))


REGISTRY: dict[str, Observable] = {}
"""Name or prefix → observable, in the order of reports."""


def observable(
    name: str,
    *,
    per: Literal["shower", "layer", "voxel"] = "shower",
    label: str = "",
    symbol: str = "",
    unit: str = "",
    group: str = "further",
    axis: Axis | tuple[int, float, float] = of_reference,
    log: bool = True,
    where: Callable[[AnyLayer], bool] = everywhere,
    most_layers: int | None = None,
) -> Callable[[Callable[..., np.ndarray]], Observable]:
    """Register a function (view) → (N,), or (view, position) → (N,) with `per="layer"`, as an observable.

    >>> @observable("first_layer", label="energy of the first layer", unit="MeV")
    ... def first_layer(view: View) -> np.ndarray:
    ...     return view.layer_energy(0)
    >>> REGISTRY.pop("first_layer").unit
    'MeV'

    Args:
        name, per, label, symbol, unit, group, axis, log, where, most_layers: see `Observable`. The label defaults to
            the name, the symbol to the label, and an axis may be given as (bins, low, high).

    Raises:
        ValueError: an observable with this name exists, or name, group, per or axis are not valid.
    """

    def register(function: Callable[..., np.ndarray]) -> Observable:
        if not (isinstance(name, str) and re.fullmatch(r"\w+", name)):
            raise ValueError(f"an observable is named with letters, digits and _, not {name!r}")
        if per not in ("shower", "layer", "voxel"):
            raise ValueError(f"observable '{name}' is per shower, layer or voxel, not per '{per}'")
        if not re.fullmatch(r"[\w -]+", group):
            raise ValueError(
                f"the group of observable '{name}' may have letters, digits, spaces, - and _, not '{group}'"
            )
        _check_free(name, per)
        words = label or name.replace("_", " ")
        if not callable(axis) and not (
            isinstance(axis, tuple) and len(axis) == 3 and axis[0] >= 1 and axis[1] < axis[2]
        ):
            raise ValueError(f"the axis of observable '{name}' is {axis!r}; give (bins, low, high) with low < high")
        rule = equal(*axis) if isinstance(axis, tuple) else axis
        made = Observable(name, function, per, words, symbol or words, unit, group, rule, log, where, most_layers)
        REGISTRY[name] = made
        return made

    return register


def _check_free(name: str, per: str) -> None:
    """Raise for a name that exists, or that a per-layer observable has on some layer."""
    prefix, _, end = name.rpartition("_")
    clash = name if name in REGISTRY else ""
    if end.lstrip("-").isdigit() and prefix in REGISTRY and REGISTRY[prefix].per == "layer":
        clash = prefix
    if per == "layer":
        of_layer = (n for n in REGISTRY if n.startswith(f"{name}_") and n[len(name) + 1 :].lstrip("-").isdigit())
        clash = clash or next(of_layer, "")
    if clash:
        raise ValueError(f"observable '{name}' clashes with the existing '{clash}'; choose another name")


def available(geometry: Geometry) -> dict[str, BoundObservable]:
    """Name → observable, for all registered ones that are defined in the geometry."""
    return {bound.name: bound for entry in REGISTRY.values() for bound in entry.bind(geometry)}


def select(geometry: Geometry, wanted: Iterable[str | Observable]) -> list[BoundObservable]:
    """The distinct observables selected by `wanted`.

    Args:
        geometry: the voxels.
        wanted: observables, their names (per-layer ones: on all layers), or names with a layer, e.g. `ec_eta_1`.

    Raises:
        CaloforgeError: an observable is unknown, or not defined in this geometry.
    """
    if isinstance(wanted, str):
        raise CaloforgeError(f"give a list of observables, as ['{wanted}']")
    found: dict[str, BoundObservable] = {}
    names = available(geometry)
    for entry in wanted:
        known = entry if isinstance(entry, Observable) else REGISTRY.get(entry)
        if known is None and entry not in names:
            hints = ", ".join(f"{n}_<layer>" if o.per == "layer" else n for n, o in REGISTRY.items())
            raise CaloforgeError(f"unknown observable '{entry}' in geometry '{geometry.name}': give one of {hints}")
        bound = [names[str(entry)]] if known is None else known.bind(geometry)
        found |= {each.name: each for each in bound}
    return list(found.values())


def find(geometry: Geometry, name: str) -> BoundObservable:
    """The observable called `name`, e.g. `ec_eta_1` or `n_hits`.

    Raises:
        CaloforgeError: an observable is unknown, or not defined in this geometry.
    """
    found = select(geometry, [name])
    if [bound.name for bound in found] != [name]:
        raise CaloforgeError(f"'{name}' is a per-layer observable: name a layer, e.g. {name}_{geometry.layer_ids[0]}")
    return found[0]


def names_of(bound: Sequence[BoundObservable]) -> list[str]:
    """Names of observables, in order."""
    return [each.name for each in bound]
