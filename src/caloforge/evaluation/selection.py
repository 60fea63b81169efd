"""One number for choosing the best epoch, taken after every epoch; what is needed of the reference is counted once.

voxels   separation_power   mean over CaloMan's Table 1 observables; its paper's validation metric (arXiv:2211.15380)
points   wasserstein        mean 1-Wasserstein distance over the observables of showers, or of jets, each in standard
                            deviations of the reference
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from caloforge.distances.one_dimensional import separation_power, wasserstein
from caloforge.geometry import AnyGeometry, Geometry, PointGeometry
from caloforge.observables import BoundObservable, View, select, table1
from caloforge.observables.binning import counts
from caloforge.observables.of_clouds import observables_of
from caloforge.points import PointClouds
from caloforge.showers import Showers


class MeanSeparationPower:
    """Mean separation power of samples against one reference, in the challenge's binning.

    Args:
        reference: showers to compare with, some at a time. Observables without a histogram there (an empty layer) are
            left out.
        geometry: of the showers.
    """

    def __init__(self, reference: Iterable[Showers], geometry: Geometry) -> None:
        observables = select(geometry, table1)
        self._counts: list[tuple[BoundObservable, np.ndarray, np.ndarray]] = []
        for observable, values in zip(observables, _values(observables, reference), strict=True):
            edges = observable.edges(values)
            if edges is not None:
                self._counts.append((observable, edges, counts(values, edges)[1:-1]))

    def __call__(self, showers: Iterable[Showers]) -> float:
        """The mean over the observables, 0 (same) … 1 (disjoint), for showers that come some at a time."""
        found = _values([observable for observable, _, _ in self._counts], showers)
        pairs = zip(self._counts, found, strict=True)
        return float(np.mean([separation_power(counts(values, e)[1:-1], g) for (_, e, g), values in pairs]))


class MeanWasserstein:
    """Mean 1-Wasserstein distance of point clouds from one reference, in standard deviations of the reference.

    Args:
        reference: clouds to compare with, some at a time. Observables that are the same for all of them are left out.
        geometry: of the clouds.
    """

    def __init__(self, reference: Iterable[PointClouds], geometry: PointGeometry) -> None:
        found = _of_clouds(reference)
        self._reference = {name: values for name, values in found.items() if values.std() > 0}

    def __call__(self, clouds: Iterable[PointClouds]) -> float:
        """The mean over the observables, from 0, for clouds that come some at a time."""
        found = _of_clouds(clouds)
        own = self._reference.items()
        return float(np.mean([wasserstein(found[name], values) / values.std() for name, values in own]))


SELECTIONS: dict[str, Callable[[Iterable[Any], Any], Callable[[Iterable[Any]], float]]] = {
    "separation_power": MeanSeparationPower,
    "wasserstein": MeanWasserstein,
}
"""What a stage may select by: name → distance from a reference, given it and the geometry."""


def selection_of(geometry: AnyGeometry) -> str:
    """The name of the one for a geometry."""
    return "wasserstein" if isinstance(geometry, PointGeometry) else "separation_power"


def _of_clouds(parts: Iterable[PointClouds]) -> dict[str, np.ndarray]:
    """(N,) of each observable."""
    found: dict[str, list[np.ndarray]] = {}
    for clouds in parts:
        for each in observables_of(clouds):
            found.setdefault(each.name, []).append(each(clouds))
    return {name: np.concatenate(values) for name, values in found.items()}


def _values(observables: Sequence[BoundObservable], showers: Iterable[Showers]) -> list[np.ndarray]:
    """(N,) of each observable."""
    # One table that doubles when it is full: small arrays, kept while large ones come and go, would fragment memory.
    table, n = np.empty((len(observables), 1024)), 0
    for view in map(View, showers):
        stop = n + len(view.energies)
        while stop > table.shape[1]:
            table = np.concatenate([table, np.empty_like(table)], axis=1)
        for row, each in zip(table, observables, strict=True):
            row[n:stop] = each.values(view)
        n = stop
    return list(table[:, :n])
