"""Samples that must be independent of each other but share showers, and samples that look like a mistake."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from caloforge.errors import CaloforgeError, option
from caloforge.evaluation.samples.summary import Summary
from caloforge.showers.checks import doubts
from caloforge.units import count

MOST_SHARED = 0.01
"""Largest fraction of a baseline's showers that may be in another sample: showers of one voxel may agree by chance."""

FALSE_BASELINE = {
    "generated": "a baseline of generated showers makes every generator look good",
    "reference": "a baseline of the reference's own showers makes every generator look bad",
}


def check_baseline(summaries: Mapping[str, Summary], names: Mapping[str, str]) -> None:
    """Require the baseline to have showers of its own, as fingerprints tell.

    Args:
        summaries: "generated", "reference" and perhaps "baseline" → summary.
        names: what to call each of them.

    Raises:
        CaloforgeError: more than `MOST_SHARED` of the baseline's showers are generated or reference showers.
    """
    if "baseline" not in summaries:
        return
    own = summaries["baseline"].fingerprints
    for key, consequence in FALSE_BASELINE.items():
        n = shared(own, summaries[key].fingerprints)
        if n > MOST_SHARED * np.count_nonzero(own):
            raise CaloforgeError(
                f"{names['baseline']} and {names[key]} share {count(n, 'shower')}: {consequence}; give an independent "
                f"reference sample, or leave out {option('baseline')}"
            )


def remarks(summaries: Mapping[str, Summary], training: np.ndarray | None, names: Mapping[str, str]) -> list[str]:
    """What a reader of the report must know of the samples, a sentence each.

    Args:
        summaries: as of `check_baseline`.
        training: (n,) fingerprints of the training showers.
        names: what to call each sample, and "train".
    """
    found = []
    prints = {key: summary.fingerprints for key, summary in summaries.items()}
    pairs = [("generated", "reference")]
    if training is not None:
        prints["train"] = training
        pairs += [("reference", "train"), ("generated", "train")]
    for first, second in pairs:
        n = shared(prints[first], prints[second])
        if n:
            of = np.count_nonzero(prints[first])
            found.append(f"{names[first]} and {names[second]} share showers: {n} of {of}")
    for key, summary in summaries.items():
        deposited = summary.observables["e_tot_over_e_inc"] * summary.energies  # above the readout threshold
        deposited = np.where(summary.fingerprints == 0, 0.0, np.maximum(deposited, np.finfo(float).tiny))
        found += [f"{names[key]}: {doubt}" for doubt in doubts(summary.energies, deposited)]
    return found


def shared(prints: np.ndarray, known: np.ndarray) -> int:
    """How many of the fingerprints (n,) are among the `known`; showers without energy (0) aside."""
    return int(np.isin(prints[prints != 0], known).sum())
