"""Numbers of hits of a shower, and their energies."""

from __future__ import annotations

import numpy as np

from caloforge.observables.of_clouds.base import cloud_observable, largest_of
from caloforge.points import PointClouds


@cloud_observable("n_hits", "number of hits")
def number_of_hits(clouds: PointClouds) -> np.ndarray:
    """(N,) points."""
    return clouds.counts


@cloud_observable("e_vis_over_e_inc", "E_vis / E_inc")
def visible_energy(clouds: PointClouds) -> np.ndarray:
    """(N,) sum of the energies of hits over the incident energy."""
    return np.asarray(clouds.deposited / clouds.energies)


@cloud_observable("mean_hit_energy", "mean energy of a hit", "MeV")
def mean_hit_energy(clouds: PointClouds) -> np.ndarray:
    """(N,)."""
    return np.asarray(clouds.deposited / np.maximum(clouds.counts, 1))


@cloud_observable("largest_hit_share", "largest hit over E_vis")
def largest_hit_share(clouds: PointClouds) -> np.ndarray:
    """(N,)."""
    sums = clouds.deposited
    return np.asarray(np.divide(largest_of(clouds, clouds.weights), sums, out=np.zeros_like(sums), where=sums > 0))
