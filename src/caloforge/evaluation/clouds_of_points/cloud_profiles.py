"""Figure of point clouds: longitudinal and radial profile of the energy, hits by layer, and energies of hits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.evaluation.clouds_of_points.cloud_samples import HIT_EDGES, CloudPair
from caloforge.evaluation.metrics.base import Chart


def profile_chart(pair: CloudPair) -> Iterator[Chart]:
    """Means over all showers; for points with layers that have any energy."""
    if "n_hits" not in pair.reference.observables or not pair.shape.is_layered or pair.unavailable:
        return
    means = {
        key: {name: table.mean(axis=0, dtype=np.float64) for name, table in summary.profiles.items()}
        for key, summary in (("generated", pair.generated), ("reference", pair.reference))
    }
    layers = pair.shape.depths.astype(int)
    used = np.flatnonzero(means["generated"]["hit energy"] + means["reference"]["hit energy"])
    kept = slice(int(used[0]), int(used[-1]) + 1)
    wanted = (
        ("hits by depth", "layer", "mean number of hits", np.append(layers - 0.5, layers[-1] + 0.5), slice(None)),
        ("energy by radius", "distance from the axis [mm]", "mean energy [MeV]", pair.shape.radii, slice(None)),
        ("hit energy", "energy of a hit [MeV]", "mean number of hits", HIT_EDGES[kept.start : kept.stop + 1], kept),
    )
    others = [
        {
            "label": label,
            "unit": unit,
            "edges": edges.tolist(),
            **{key: means[key][name][part].tolist() for key in means},
        }
        for name, label, unit, edges, part in wanted
    ]
    yield Chart(
        "profiles",
        "profiles",
        "histograms",
        "Profiles",
        "Mean energy and number of hits of each layer, mean energy in rings around the axis of the shower, and "
        "energies of hits, with the ratio of generated to reference below.",
        {
            "layers": layers.tolist(),
            **{key: means[key]["energy by depth"].tolist() for key in means},
            "others": others,
        },
    )
