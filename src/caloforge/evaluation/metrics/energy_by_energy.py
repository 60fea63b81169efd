"""Means and standard deviations of every observable at each incident energy: at which energies does it differ?

A map of the differences of the means in units of the reference's standard deviation. The verdict takes the energies at
which an observable differs from the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.energies.agreement import groups
from caloforge.evaluation.estimates import FEWEST
from caloforge.evaluation.metrics.base import Chart, metric
from caloforge.evaluation.metrics.worth import compared
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.evaluation.samples.summary import Summary
from caloforge.plots.style import RATIO_MAP

NAME = "means_by_energy"

LIMIT = 0.5
"""Ends of the colour scale in standard deviations."""


@metric(title="means at each incident energy", quick=True)
def energy_by_energy(samples: SamplePair) -> Iterator[Chart]:
    """One chart; nothing where there is one energy, or too few showers at each."""
    slices = groups(samples.reference.energies)
    inside = [
        [np.flatnonzero((s.energies >= low) & (s.energies < high)) for s in (samples.generated, samples.reference)]
        for _, low, high in slices
    ]
    kept = [k for k, rows in enumerate(inside) if min(map(len, rows)) >= FEWEST]
    wanted = [each for each in samples.observables if each.observable.per != "voxel"]
    if samples.empty_reference or len(kept) < 2 or not wanted:
        return

    def moments(sample: Summary, which: int) -> dict[str, np.ndarray]:
        parts = [[sample.observables[o.name][inside[k][which]] for k in kept] for o in wanted]
        return {
            "mean": np.array([[part.mean() for part in row] for row in parts]),
            "std": np.array([[part.std() for part in row] for row in parts]),
            "n": np.array([len(inside[k][which]) for k in kept]),
        }

    generated, reference = moments(samples.generated, 0), moments(samples.reference, 1)
    shift, spread = generated["mean"] - reference["mean"], reference["std"]
    values = np.divide(shift, spread, out=np.full_like(shift, np.nan), where=spread > 0)
    shown = {o.name for o in compared(samples)}
    rows = [k for k, o in enumerate(wanted) if o.name in shown]
    yield Chart(
        NAME,
        "heatmap",
        "wasserstein",
        "Means at each incident energy",
        "How far the mean of each observable lies above (red) or below (blue) the reference's at one incident energy, "
        "in standard deviations of the reference at that energy.",
        {
            "rows": [wanted[k].label for k in rows],
            "columns": [slices[k][0] for k in kept],
            "values": values[rows],
            "texts": [["" if np.isnan(value) else f"{value:+.2f}" for value in values[k]] for k in rows],
            "label": "(mean − reference mean) / standard deviation",
            "limits": [-LIMIT, LIMIT],
            "map": RATIO_MAP,
            "names": [o.name for o in wanted],
            "generated": generated,
            "reference": reference,
        },
    )
