"""The reference shower that is most like another one, to be shown beside it.

Among the reference showers within 5 % of the incident energy, or the 50 nearest in energy if these are fewer, it is the
one with the smallest Euclidean distance of the layers' energies over the incident energy. Where both have further
conditions, such as an angle, only the 50 of these with the nearest conditions are considered, each condition in units
of its range in the reference.
"""

from __future__ import annotations

import numpy as np

from caloforge.showers import Showers

WITHIN, FEWEST = 0.05, 50


def nearest_rows(showers: Showers, reference: Showers) -> np.ndarray:
    """(N,) row of the reference shower that is shown beside each shower.

    >>> from caloforge import sample
    >>> few = sample("test", stop=20)
    >>> bool((nearest_rows(few, few) == range(20)).all())
    True

    Args:
        showers: N showers.
        reference: others, in a geometry with the same layers.
    """
    profiles = [each.layer_energies / each.energies[:, None] for each in (showers, reference)]
    common = [name for name in showers.conditions if name in reference.conditions]
    conditions = [each.conditions.only(common).table for each in (showers, reference)]
    scale = np.ptp(conditions[1], axis=0)
    scale[scale == 0] = 1.0
    logarithms = np.log(reference.energies)
    found = np.empty(len(showers), dtype=np.int64)
    for row, (energy, profile) in enumerate(zip(showers.energies, profiles[0], strict=True)):
        distance = np.abs(logarithms - np.log(energy))
        close = np.flatnonzero(distance <= np.log1p(WITHIN))
        if len(close) < FEWEST:
            close = np.argsort(distance, kind="stable")[:FEWEST]
        if common and len(close) > FEWEST:
            apart = np.square((conditions[1][close] - conditions[0][row]) / scale).sum(axis=1)
            close = close[np.argsort(apart, kind="stable")[:FEWEST]]
        found[row] = close[np.argmin(np.square(profiles[1][close] - profile).sum(axis=1))]
    return found
