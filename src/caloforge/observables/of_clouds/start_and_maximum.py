"""Where in depth a shower begins, and where it is largest."""

from __future__ import annotations

import numpy as np

from caloforge.observables.of_clouds.base import cloud_observable
from caloforge.observables.of_clouds.moments_of_showers import depth
from caloforge.points import PointClouds

START = 0.02
"""Share of the visible energy up to the depth at which a shower is said to begin."""


@cloud_observable("start", "depth of the shower's start", "layers")
def start(clouds: PointClouds) -> np.ndarray:
    """(N,) smallest depth up to which more than `START` of the energy is deposited; 0 without energy."""
    depths, rows = depth(clouds), clouds.rows
    order = np.lexsort((depths, rows))
    upto = np.cumsum(clouds.weights[order], dtype=np.float64)
    before = np.concatenate([[0.0], upto])[clouds.offsets[:-1]]
    beyond = upto - before[rows] > START * clouds.deposited[rows]  # sorted by shower, rows are the same
    found = np.zeros(len(clouds))
    first, index = np.unique(rows[beyond], return_index=True)
    found[first] = depths[order][beyond][index]
    return found


@cloud_observable("maximum", "depth of the largest layer energy", "layers")
def maximum(clouds: PointClouds) -> np.ndarray:
    """(N,) depth, cut to whole layers (or mm), with the most energy; 0 without energy."""
    layers = np.floor(depth(clouds)).astype(np.int64)
    low = int(layers.min(initial=0))
    width = int(layers.max(initial=0)) - low + 1
    sums = np.bincount(clouds.rows * width + layers - low, clouds.weights, len(clouds) * width)
    table = sums.reshape(len(clouds), width)
    return np.where(table.sum(axis=1) > 0, table.argmax(axis=1) + low, 0)
