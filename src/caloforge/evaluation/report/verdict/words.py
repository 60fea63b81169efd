"""How much an observable differs, in words: direction and size from mean and standard deviation of both samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from caloforge.evaluation.report.records import Records
from caloforge.formatting import number

SAME = 0.02
"""Relative differences of means (in standard deviations) and of widths below which the shape alone is named."""

LARGE = 3.0
"""Ratios from which a factor is given rather than per cent."""


@dataclass(frozen=True)
class MomentPair:
    """Mean and standard deviation of an observable in the generated (g) and reference (r) sample."""

    mean_g: float
    std_g: float
    mean_r: float
    std_r: float


WORDS = {
    "e_layer": ("too little energy", "too much energy"),
    "e_tot_over_e_inc": ("too little energy deposited", "too much energy deposited"),
    "fraction_layer": ("too small a share of the energy", "too large a share of the energy"),
    "width_eta": ("too narrow in eta", "too wide in eta"),
    "width_phi": ("too narrow in phi", "too wide in phi"),
    "width_r": ("too narrow in r", "too wide in r"),
    "ec_r": ("too close to the axis", "too far from the axis"),
    "sparsity": ("too many voxels hit", "too few voxels hit"),
    "occupancy": ("too few voxels hit", "too many voxels hit"),
    "n_hits": ("too few hits", "too many hits"),
    "pairs_around": ("too few neighbouring hits around the axis", "too many neighbouring hits around the axis"),
    "pairs_outwards": ("too few neighbouring hits in r", "too many neighbouring hits in r"),
    "isolated": ("too few isolated hits", "too many isolated hits"),
    "clusters": ("too few clusters of hits", "too many clusters of hits"),
    "sigma_s_d": ("too short along the depth", "too long along the depth"),
    "voxel_energy": ("too low voxel energies", "too high voxel energies"),
}
"""Family → what it means that its mean is too low, too high."""


def moments(records: Records, name: str) -> MomentPair | None:
    """From the extras of its Wasserstein distance, else from its histogram."""
    for metric in records.section("wasserstein", at=""):
        keys = ("mean_generated", "std_generated", "mean_reference", "spread")
        if metric.name == name:
            numbers = [value for key in keys if isinstance(value := metric.extra.get(key), (int, float))]
            if len(numbers) == len(keys):
                return MomentPair(*numbers)
    if name not in records.hists:
        return None
    samples, axis = records.hists[name].axes
    found: list[float] = []
    for label in ("generated", "reference"):
        counts = records.hists[name].values()[samples.index(label)]
        if not counts.sum() > 0:
            return None
        mean = float(np.average(axis.centers, weights=counts))
        found += [mean, math.sqrt(np.average((axis.centers - mean) ** 2, weights=counts))]
    return MomentPair(*found)


def difference(family: str, label: str, unit: str, values: MomentPair) -> str:
    """As `14 % too narrow in phi`, `centre of energy in eta 1.2 mm too low`, `spread of width in r 8 % too small`.

    Args:
        family: the observable without its layer.
        label: its words without the layer.
        unit: of the observable.
        values: means and standard deviations.
    """
    shift = values.mean_g - values.mean_r
    in_stds = abs(shift) / values.std_r if values.std_r > 0 else math.inf if shift else 0.0
    widening = values.std_g / values.std_r - 1 if values.std_r > 0 else 0.0
    if max(in_stds, abs(widening)) < SAME:
        return f"{label} differs in shape, not in mean or spread"
    if in_stds < abs(widening) / 2:
        amount = "too large" if widening > 0 else "too small"
        return f"spread of {label} {_sized(amount, 1 + widening)}"
    low, high = WORDS.get(family, ("", ""))
    words = high if shift > 0 else low
    if family == "sparsity" and values.mean_r < 1:
        return _sized(words, (1 - values.mean_g) / (1 - values.mean_r))
    # Where the mean is near zero by symmetry, as of a centre of energy, a ratio says nothing.
    direction = f"too {'high' if shift > 0 else 'low'}"
    if values.mean_r > 0.2 * values.std_r and values.mean_g >= 0 and (words or not unit or unit == "MeV"):
        ratio = values.mean_g / values.mean_r
        return _sized(words, ratio) if words else f"{label} {_sized(direction, ratio)}"
    return f"{label} {number(abs(shift), 2)}{f' {unit}' if unit else ''} {direction}"


def _sized(words: str, ratio: float) -> str:
    """`14 % too wide`, or `too wide by a factor of 4.6`."""
    if ratio >= LARGE:
        return f"{words} by a factor of {number(ratio, 2)}"
    change = 100 * abs(ratio - 1)
    return f"{f'{change:.0f}' if change >= 10 else number(change, 2)} % {words}"
