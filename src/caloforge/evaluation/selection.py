"""One number for choosing the best epoch: the mean separation power over CaloMan's Table 1 observables.

The paper's validation metric (arXiv:2211.15380, appendix). The reference's histograms are counted once, since the
metric is taken after every epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from caloforge.distances.one_dimensional import separation_power
from caloforge.geometry import Geometry
from caloforge.observables import BoundObservable, View, select, table1
from caloforge.observables.binning import counts
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
