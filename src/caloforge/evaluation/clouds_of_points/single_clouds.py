"""Figure of single generated clouds, each with its nearest in the reference.

Three generated showers, at the 10th, 50th and 90th percentile of the incident energy (jets: of the mass), next to the
reference shower that is nearest in the observables of whole showers, each divided by its spread in the reference, and
in log10 E_inc.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from caloforge.evaluation.clouds_of_points.cloud_samples import CloudPair, CloudSource, CloudSummary
from caloforge.evaluation.metrics.base import Chart
from caloforge.observables.of_clouds import CLOUD_OBSERVABLES
from caloforge.points import PointClouds
from caloforge.units import format_energy

PERCENTILES = (10, 50, 90)

MOST = 600
"""Points of a cloud that are drawn: those with the largest energy."""


def single_clouds(pair: CloudPair, generated: CloudSource, reference: CloudSource) -> Iterator[Chart]:
    """The figure; none where a sample has no points."""
    if pair.unavailable or pair.generated.empty == pair.generated.n:
        return
    is_jet = pair.shape.noun == "jet"
    by = pair.generated.observables["mass"] if is_jet else pair.generated.energies
    order = np.argsort(by, kind="stable")
    rows = [int(order[(len(order) - 1) * p // 100]) for p in PERCENTILES]
    first, second = (_standardised(each, pair.reference, is_jet) for each in (pair.generated, pair.reference))
    entries = []
    for row in rows:
        nearest = int(np.argmin(((second - first[row]) ** 2).sum(axis=1)))
        shown = generated.one(row), reference.one(nearest)
        names = ("generated", row, pair.generated), ("nearest reference", nearest, pair.reference)
        titles = [_title(word, summary, k, is_jet) for word, k, summary in names]
        parts = [_data(cloud, is_jet) for cloud in shown]
        entries.append(
            {
                "generated": parts[0],
                "reference": parts[1],
                "generated_title": titles[0],
                "reference_title": titles[1],
            }
        )
    depth = "layer" if pair.shape.is_layered else "z [mm]"
    axes = ["etarel", "phirel"] if is_jet else [depth, "x [mm]", "y [mm]"]
    caption = (
        "Generated above, the nearest of the reference below it: nearest in the observables of the whole, divided by "
        "their spread in the reference. Colours are energies on a logarithmic scale."
    )
    yield Chart(
        "single_clouds",
        "clouds",
        "single",
        "Single " + pair.shape.noun + "s",
        caption,
        {"axes": axes, "pairs": entries},
    )


def _standardised(summary: CloudSummary, reference: CloudSummary, is_jet: bool) -> np.ndarray:
    """(N, F) observables over their spread in the reference."""
    columns = [] if is_jet else [np.log10(summary.energies) / max(float(np.log10(reference.energies).std()), 1e-3)]
    for name, values in summary.observables.items():
        spread = float(reference.observables[name].std())
        if name in CLOUD_OBSERVABLES and spread > 0:
            columns.append(values / spread)
    return np.column_stack(columns)


def _title(word: str, summary: CloudSummary, row: int, is_jet: bool) -> str:
    if is_jet:
        return f"{word}, mass / p_T = {summary.observables['mass'][row]:.3g}"
    return f"{word}, {format_energy(float(summary.energies[row]))}, {int(summary.observables['n_hits'][row])} hits"


def _data(cloud: PointClouds, is_jet: bool) -> dict[str, object]:
    """Positions and weights of the points, as the chart has them."""
    padded, mask = cloud.padded(min(MOST, int(cloud.counts.max(initial=0))))
    points = padded[mask]
    depth = "layer" if "layer" in cloud.names else "z"
    names = ("etarel", "phirel") if is_jet else (depth, "x", "y")
    weight = "ptrel" if is_jet else "energy"
    columns = [cloud.names.index(name) for name in names]
    return {
        "points": points[:, columns].round(4).tolist(),
        "weights": points[:, cloud.names.index(weight)].tolist(),
    }
