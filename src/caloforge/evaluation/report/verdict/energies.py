"""At which incident energies an observable differs, from its means and spreads at each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caloforge.evaluation.metrics.energy_by_energy import NAME
from caloforge.evaluation.report.records import BAD, Records
from caloforge.evaluation.report.verdict.words import MomentPair
from caloforge.units import energy_span

LARGE = 0.5
"""Fraction of the largest shift from which a neighbouring energy counts to the same range."""

OFFSET = 0.2
"""Means below so many standard deviations are zero by symmetry, such as a centre of energy: no ratio can be taken."""


@dataclass(frozen=True)
class Range:
    """Neighbouring energies, as "256 to 512 MeV", and the mean moments of an observable there."""

    words: str
    moments: MomentPair


def energies_of(records: Records, name: str) -> Range | None:
    """The energies around the largest shift of the mean; None where it differs at all of them, or not clearly at any.

    The largest shift, in standard deviations, needs `BAD` standard errors. A neighbour belongs to it unless its shift
    is of the other sign or, within two errors, less than half as large, in standard deviations and in per cent: an
    energy that is 3 % too low everywhere shows best where the showers fluctuate least, but not because of these
    energies.
    """
    data = next((chart.data for chart in records.charts if chart.name == NAME), None)
    if data is None or name not in data["names"]:
        return None
    row = list(data["names"]).index(name)
    (mean_g, std_g, n_g), (mean_r, std_r, n_r) = (
        (*(np.asarray(data[sample][key], dtype=float)[row] for key in ("mean", "std")), np.asarray(data[sample]["n"]))
        for sample in ("generated", "reference")
    )
    shift, error = mean_g - mean_r, np.sqrt(std_g**2 / n_g + std_r**2 / n_r)
    # An energy at which the reference does not fluctuate, as where a layer gets nothing, has no shift in its terms.
    effect = np.divide(shift, std_r, out=np.zeros_like(shift), where=std_r > 0)
    significant = (np.abs(shift) > BAD * error) & (std_r > 0)
    if not significant.any():
        return None
    peak = int(np.argmax(np.where(significant, np.abs(effect), 0)))
    largest = (shift + 2 * np.sign(shift[peak]) * error) * np.sign(shift[peak])
    alike = largest >= LARGE * abs(effect[peak]) * std_r
    if (np.abs(mean_r) > OFFSET * std_r).all():
        alike |= largest / np.abs(mean_r) >= LARGE * abs(shift[peak] / mean_r[peak])
    first = peak - int(np.argmin(np.append(alike[peak::-1], False))) + 1
    last = peak + int(np.argmin(np.append(alike[peak:], False))) - 1
    if last - first + 1 == len(shift):
        return None
    part = slice(first, last + 1)
    moments = MomentPair(*(float(values[part].mean()) for values in (mean_g, std_g, mean_r, std_r)))
    return Range(energy_span(list(data["columns"])[part]), moments)
