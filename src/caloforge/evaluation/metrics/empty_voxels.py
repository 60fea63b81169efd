"""Voxels above the threshold in some shower of one sample and in none of the other.

`only_generated` are those always empty in the generated sample alone, `only_reference` the other way round. `expected`
is how many the numbers of showers alone would give, Σ exp(−n q) with q the voxel's occupancy in the other sample;
`certain` are those expected to be hit at least ten times, `empty_layers` whole layers without energy, and
`energy_share` the fraction of the other sample's energy in them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Extra, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair

EMPTY_VOXELS = Section(
    "empty_voxels",
    "Voxels that are always empty",
    "Voxels hit in some shower of one sample and in none of the other. Certain: expected to be hit ten times or more.",
    extra={"expected": "expected", "certain": "certain", "energy_share": "energy in them [%]"},
    page="further",
)

CERTAIN = 10.0
"""Expected hits above which an empty voxel cannot be a fluctuation: its probability is below 5e-5."""


@metric(EMPTY_VOXELS)
def empty_voxels(samples: SamplePair) -> Iterator[Found]:
    """Numbers of voxels of either kind, and of the certain ones of each layer."""
    geometry = samples.geometry
    for name in ("generated", "reference"):
        pair = (samples.generated, samples.reference)
        empty, full = pair if name == "generated" else pair[::-1]
        occupancy, energy = full.voxels.occupancy, full.voxels.energy
        lost = (empty.voxels.occupancy == 0) & (occupancy > 0)
        certain = lost & (empty.n * occupancy >= CERTAIN)
        parts = list(zip(geometry.layers, geometry.slices, strict=True))
        gone = [layer.id for layer, part in parts if certain[part].any() and not empty.voxels.occupancy[part].any()]
        total = float(energy.sum())
        label, count = f"voxels empty in the {name} sample only", int(np.count_nonzero(lost))
        extra: Extra = {
            "expected": float(np.exp(-empty.n * occupancy[occupancy > 0]).sum()),
            "certain": int(np.count_nonzero(certain)),
            "empty_layers": ", ".join(map(str, gone)),
            "energy_share": float(energy[certain].sum()) / total if total > 0 else 0.0,
            "n_voxels": geometry.n_voxels,
        }
        yield Metric(EMPTY_VOXELS.name, f"only_{name}", label, Estimate(count), extra=extra)
        for layer, part in parts:
            if n := int(np.count_nonzero(certain[part])):
                words = f"{label}, layer {layer.id}"
                yield Metric(EMPTY_VOXELS.name, f"only_{name}_{layer.id}", words, Estimate(n))
