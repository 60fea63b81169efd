"""One number for choosing the best epoch: the mean separation power over CaloMan's Table 1 features.

The paper's validation metric (arXiv:2211.15380, appendix). The reference's histograms are counted once, because the
metric is taken after every epoch.
"""

from __future__ import annotations

import numpy as np

from caloforge.evaluation import observables
from caloforge.evaluation.distances.one_dimensional import separation_power
from caloforge.evaluation.observables.binning import counts
from caloforge.showers import Showers


class MeanSeparationPower:
    """Mean separation power of samples against one reference, in the challenge's binning.

    Args:
        reference: showers to compare with. Features without a histogram there (an empty layer) are left out.
    """

    def __init__(self, reference: Showers) -> None:
        geometry = reference.geometry
        self._counts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for name, values in observables.compute(reference, observables.table1_names(geometry)).items():
            edges = observables.find(geometry, name).edges(values)
            if edges is not None:
                self._counts[name] = (edges, counts(values, edges)[1:-1])

    def __call__(self, showers: Showers) -> float:
        """The mean over the features, 0 (same) … 1 (disjoint)."""
        values = observables.compute(showers, list(self._counts))
        powers = [separation_power(counts(values[k], edges)[1:-1], g) for k, (edges, g) in self._counts.items()]
        return float(np.mean(powers))
