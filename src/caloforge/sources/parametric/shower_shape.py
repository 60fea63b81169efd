"""The shape of an electromagnetic shower: the formulae behind the analytic showers (NOT Geant4).

Formulae and constants are those of Grindhammer and Peters (hep-ex/0001020) for homogeneous media. Depths t are
in radiation lengths X0, radii r in Molière radii R_M, and y = E / E_c with the critical energy E_c.

Longitudinal: (1/E) dE/dt = β (β t)^(α-1) exp(-β t) / Γ(α), with its maximum at T = (α - 1) / β; from shower
to shower (ln T, ln α) follows a two-dimensional Gaussian:

    <ln T> = ln(ln y - 0.812)                       σ(ln T) = 1 / (-1.4 + 1.26 ln y)
    <ln α> = ln(0.81 + (0.458 + 2.26/Z) ln y)       σ(ln α) = 1 / (-0.58 + 0.86 ln y)
    correlation 0.705 - 0.023 ln y

Radial: f(r) = p 2r R_C²/(r² + R_C²)² + (1 - p) 2r R_T²/(r² + R_T²)², with R_C, R_T and p functions of the
relative depth τ:

    R_C = 0.0251 + 0.00319 ln E + (0.1162 - 0.000381 Z) τ                       E in GeV
    R_T = (0.659 - 0.00309 Z) {exp(-2.59 (τ - 0.645)) + exp((0.3585 + 0.0421 ln E) (τ - 0.645))}
    p   = (2.632 - 0.00094 Z) exp(u - exp(u)),  u = (0.401 + 0.00187 Z - τ) / (1.313 - 0.0686 ln E)
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from caloforge.errors import CaloforgeError


@dataclass(frozen=True)
class Medium:
    """Properties of a medium that determine its showers; for a sampling calorimeter, averages over its materials.

    Args:
        radiation_length: X0 in mm.
        moliere_radius: R_M in mm.
        critical_energy: E_c in MeV.
        charge: atomic number Z.

    Raises:
        CaloforgeError: a value is not above zero.
    """

    radiation_length: float
    moliere_radius: float
    critical_energy: float
    charge: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < math.inf:
                raise CaloforgeError(f"the medium's {name} must be above zero, not {value}")

    @classmethod
    def layered(cls, **thickness: float) -> Medium:
        """The average over plates of W, Si, Pb and LAr with the given thicknesses, mm.

        X0 is averaged by length and Z by mass; 1/R_M = Σ (length fraction) E_c / (21.2 MeV · X0), and
        E_c = 21.2 MeV · X0/R_M.
        """
        total = sum(thickness.values())
        plates = [(width / total, *_MATERIALS[name]) for name, width in thickness.items()]
        x0 = 1 / sum(f / x for f, x, _, _, _ in plates)
        r_m = 21.2 / sum(f * e_c / x for f, x, e_c, _, _ in plates)
        z = sum(f * rho * z for f, _, _, z, rho in plates) / sum(f * rho for f, _, _, _, rho in plates)
        return cls(round(x0, 3), round(r_m, 3), round(21.2 * x0 / r_m, 3), round(z, 2))


# X0 (mm), E_c (MeV, electrons), Z, density (g/cm³): Particle Data Group, atomic and nuclear properties.
_MATERIALS = {
    "W": (3.504, 7.97, 74, 19.30),
    "Si": (93.70, 40.19, 14, 2.329),
    "Pb": (5.612, 7.43, 82, 11.35),
    "LAr": (140.0, 32.84, 18, 1.396),
}

TUNGSTEN_SILICON = Medium.layered(W=2.8, Si=0.6)
"""ds2 and ds3: X0 4.22 mm, R_M 10.9 mm, E_c 8.2 MeV."""

LEAD_ARGON = Medium.layered(Pb=1.5, LAr=4.2)
"""ATLAS-like barrel: X0 19.2 mm, R_M 40.7 mm, E_c 10.0 MeV."""

CALOGAN_LEAD_ARGON = Medium.layered(Pb=2.0, LAr=4.0)
"""CaloGAN's calorimeter: X0 15.6 mm."""


def longitudinal_means(ln_y: np.ndarray, charge: float) -> tuple[np.ndarray, np.ndarray]:
    """<ln T> and <ln α> for ln(E/E_c) above 0.812; same shape as `ln_y`."""
    return np.log(ln_y - 0.812), np.log(0.81 + (0.458 + 2.26 / charge) * ln_y)


def longitudinal_spread(ln_y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """σ(ln T), σ(ln α) and their correlation for ln(E/E_c) above 1.12; same shape as `ln_y`."""
    return 1 / (-1.4 + 1.26 * ln_y), 1 / (-0.58 + 0.86 * ln_y), 0.705 - 0.023 * ln_y


def radial_parameters(tau: np.ndarray, energy: np.ndarray, charge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Core radius R_C, tail radius R_T (both in R_M) and core weight p.

    Args:
        tau: relative depth τ, at least 0.
        energy: incident energy in MeV, broadcast against `tau`.
        charge: atomic number Z.
    """
    ln_e = np.log(energy / 1e3)
    core = 0.0251 + 0.00319 * ln_e + (0.1162 - 0.000381 * charge) * tau
    k1, k4 = 0.659 - 0.00309 * charge, 0.3585 + 0.0421 * ln_e
    tail = k1 * (np.exp(-2.59 * (tau - 0.645)) + np.exp(k4 * (tau - 0.645)))
    u = (0.401 + 0.00187 * charge - tau) / (1.313 - 0.0686 * ln_e)
    return core, tail, (2.632 - 0.00094 * charge) * np.exp(u - np.exp(u))


def circle_containment(r: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """∫ 2ρ R²/(ρ² + R²)² dρ from 0 to r: the fraction of one radial component within r."""
    return np.asarray(r**2 / (r**2 + radius**2))


def rectangle_containment(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """∫∫ R²/(π (u² + v² + R²)²) du dv from (0, 0) to (x, y): the fraction of one component in a rectangle."""
    a, b = np.sqrt(x**2 + radius**2), np.sqrt(y**2 + radius**2)
    return np.asarray((x / a * np.arctan(y / a) + y / b * np.arctan(x / b)) / (2 * math.pi))
