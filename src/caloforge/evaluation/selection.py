"""One number for choosing the best epoch: the mean separation power over CaloMan's Table 1 observables.

The paper's validation metric (arXiv:2211.15380, appendix). The reference's histograms are counted once, since the
metric is taken after every epoch.
"""

from __future__ import annotations

import numpy as np

from caloforge.evaluation.distances.one_dimensional import separation_power
from caloforge.observables import BoundObservable, View, select, table1
from caloforge.observables.binning import counts
from caloforge.showers import Showers


class MeanSeparationPower:
    """Mean separation power of samples against one reference, in the challenge's binning.

    Args:
        reference: showers to compare with. Observables without a histogram there (an empty layer) are left out.
    """

    def __init__(self, reference: Showers) -> None:
        self._counts: list[tuple[BoundObservable, np.ndarray, np.ndarray]] = []
        view = View(reference)
        for observable in select(reference.geometry, table1):
            values = observable.values(view)
            edges = observable.edges(values)
            if edges is not None:
                self._counts.append((observable, edges, counts(values, edges)[1:-1]))

    def __call__(self, showers: Showers) -> float:
        """The mean over the observables, 0 (same) … 1 (disjoint)."""
        view = View(showers)
        powers = [separation_power(counts(each.values(view), e)[1:-1], g) for each, e, g in self._counts]
        return float(np.mean(powers))
