"""Calibration of summed cluster energies E_c to incident energies, fitted to a reference (Geant4) and to nothing else.

    none        E = E_c
    linear      E = a + b E_c
    power       E = a E_c^b
    response    log E is a piecewise linear function of log E_c with a knot at the mean E_c of each incident energy

`linear` and `power` are least-squares fits to the knots (of E / E_k − 1, and of log E). The knots of `response` are
moved until the mean of E / E_inc of the reference is 1 at each of its energies, since a function of a mean is not the
mean of the function. Outside the knots the first and the last segment are continued.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caloforge.energies.agreement import groups
from caloforge.reconstruction.recipe_file import CalibrationKind

ROUNDS = 30
"""Corrections of the knots of `response`."""

FEWEST = 10
"""Fewest showers with a cluster at an energy that gets a knot."""


@dataclass(frozen=True)
class EnergyScale:
    """A fitted calibration.

    Args:
        kind: see the module.
        clusters, incident: (K,) knots: energies in MeV, rising; none without calibration.
    """

    kind: CalibrationKind
    clusters: np.ndarray
    incident: np.ndarray

    @classmethod
    def fit(cls, kind: CalibrationKind, incident: np.ndarray, summed: np.ndarray) -> EnergyScale:
        """From a reference.

        Args:
            kind: see the module.
            incident: (N,) E_inc in MeV.
            summed: (N,) E_c in MeV; showers without cluster (0) do not count.
        """
        found = summed > 0
        incident, summed = incident[found], summed[found]
        masks = [(incident >= low) & (incident < high) for _, low, high in groups(incident)] if len(incident) else []
        masks = [mask for mask in masks if mask.sum() >= FEWEST]
        x = np.array([summed[mask].mean() for mask in masks])
        y = np.array([incident[mask].mean() for mask in masks])
        # A mean that falls with the energy cannot be inverted: its knot is left out.
        rising = np.concatenate([[True], x[1:] > np.maximum.accumulate(x)[:-1]]) if len(x) else np.zeros(0, dtype=bool)
        masks = [mask for mask, keep in zip(masks, rising, strict=True) if keep]
        scale = cls(kind, x[rising], y[rising])
        if kind == "response":
            for _ in range(ROUNDS):
                means = [(scale(summed[mask]) / incident[mask]).mean() for mask in masks]
                scale = cls(kind, scale.clusters, scale.incident / np.array(means))
        return scale

    def __call__(self, summed: np.ndarray) -> np.ndarray:
        """(N,) calibrated energies in MeV; 0 without cluster."""
        if self.kind == "none" or len(self.clusters) == 0:
            return summed
        x, y = self.clusters, self.incident
        if self.kind == "linear" and len(x) > 1:
            b, a = np.polyfit(x, y, 1, w=1 / y)
            found = a + b * summed
        elif len(x) == 1 or self.kind == "linear":
            found = summed * (y[0] / x[0])
        else:
            logs = np.log(np.where(summed > 0, summed, 1.0))
            if self.kind == "power":
                found = np.exp(np.polyval(np.polyfit(np.log(x), np.log(y), 1), logs))
            else:
                found = np.exp(_continued(logs, np.log(x), np.log(y)))
        return np.asarray(np.where(summed > 0, found, 0.0))


def _continued(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(N,) the piecewise linear function through (x, y), its outer segments continued."""
    k = np.clip(np.searchsorted(x, at) - 1, 0, len(x) - 2)
    return np.asarray(y[k] + (at - x[k]) * ((y[1:] - y[:-1]) / (x[1:] - x[:-1]))[k])
