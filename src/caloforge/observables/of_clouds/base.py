"""`PointObservable`: one number per point cloud, with label and unit; and the registry of them by name.

    @cloud_observable("n_heavy", "hits above 1 MeV")
    def n_heavy(clouds: PointClouds) -> np.ndarray:
        return clouds.sums(clouds["energy"] > 1)

An observable is a pure function of `PointClouds` that gives (N,) float64. Of a shower without points, means are 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.points import PointClouds


@dataclass(frozen=True)
class PointObservable:
    """An observable of showers or of jets.

    Args:
        name: its key.
        label: plain text, without unit.
        unit: of the values, empty for pure numbers.
        of: "shower" or "jet".
        compute: clouds → (N,).
    """

    name: str
    label: str
    unit: str
    of: str
    compute: Callable[[PointClouds], np.ndarray]

    def __call__(self, clouds: PointClouds) -> np.ndarray:
        """(N,) float64.

        Raises:
            CaloforgeError: the function does not give one number per shower.
        """
        values = np.asarray(self.compute(clouds), dtype=np.float64)
        if values.shape != (len(clouds),):
            raise CaloforgeError(
                f"observable '{self.name}' must give one number per shower ({len(clouds)},), not {values.shape}"
            )
        return values


CLOUD_OBSERVABLES: dict[str, PointObservable] = {}
"""Name → observable, in the order of reports."""


def cloud_observable(
    name: str, label: str, unit: str = "", of: str = "shower"
) -> Callable[[Callable[[PointClouds], np.ndarray]], PointObservable]:
    """Register a function clouds → (N,) (see `PointObservable`).

    Raises:
        ValueError: the name is taken, or `of` is not a shower or a jet.
    """
    if name in CLOUD_OBSERVABLES or of not in ("shower", "jet"):
        raise ValueError(f"observable '{name}' of a {of}: the name is taken, or it is of neither shower nor jet")

    def register(function: Callable[[PointClouds], np.ndarray]) -> PointObservable:
        made = PointObservable(name, label, unit, of, function)
        CLOUD_OBSERVABLES[name] = made
        return made

    return register


def mean_of(clouds: PointClouds, values: np.ndarray) -> np.ndarray:
    """(N,) energy-weighted mean of values (P,) of the points; 0 where there is no energy."""
    weights, sums = clouds.weights.astype(np.float64), clouds.deposited
    return np.asarray(np.divide(clouds.sums(weights * values), sums, out=np.zeros_like(sums), where=sums > 0))


def spread_of(clouds: PointClouds, values: np.ndarray) -> np.ndarray:
    """(N,) energy-weighted standard deviation of values (P,) of the points."""
    away = values - mean_of(clouds, values)[clouds.rows]
    return np.asarray(np.sqrt(mean_of(clouds, away**2)))


def largest_of(clouds: PointClouds, values: np.ndarray) -> np.ndarray:
    """(N,) largest of values (P,), which are not negative; 0 for a shower without points."""
    found = np.zeros(len(clouds))
    np.maximum.at(found, clouds.rows, values)
    return found
