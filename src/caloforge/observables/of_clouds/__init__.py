"""Observables of point clouds, one file for each kind; energy-flow polynomials of jets."""

from __future__ import annotations

from caloforge.observables.of_clouds import (
    features_of_jets,
    hits_of_showers,
    moments_of_showers,
    principal_axes,
    start_and_maximum,
)
from caloforge.observables.of_clouds.base import CLOUD_OBSERVABLES, PointObservable, cloud_observable
from caloforge.observables.of_clouds.energy_flow import GRAPHS, energy_flow
from caloforge.points import PointClouds

__all__ = ["CLOUD_OBSERVABLES", "GRAPHS", "PointObservable", "cloud_observable", "energy_flow", "observables_of"]

BUILT_IN = (hits_of_showers, moments_of_showers, start_and_maximum, principal_axes, features_of_jets)
"""Modules that register observables."""


def observables_of(clouds: PointClouds) -> list[PointObservable]:
    """The observables of showers, or of jets, whichever these are."""
    return [each for each in CLOUD_OBSERVABLES.values() if each.of == clouds.noun]
