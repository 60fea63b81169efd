"""The closed forms against quadrature, and constants worked out by hand from Grindhammer and Peters."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from caloforge.errors import CaloforgeError
from caloforge.sources.parametric.shower_shape import (
    LEAD_ARGON,
    TUNGSTEN_SILICON,
    Medium,
    circle_containment,
    longitudinal_means,
    longitudinal_spread,
    radial_parameters,
    rectangle_containment,
)


def density(r: float, radius: float) -> float:
    return 2 * r * radius**2 / (r**2 + radius**2) ** 2


@pytest.mark.parametrize(("low", "high", "radius"), [(0.0, 1.0, 0.3), (0.5, 0.7, 2.0), (3.0, 40.0, 1.1)])
def test_ring_integral_is_the_closed_form(low: float, high: float, radius: float) -> None:
    expected = quad(density, low, high, args=(radius,))[0]
    found = circle_containment(np.array([low, high]), np.array(radius))
    assert found[1] - found[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("x", "y", "radius"), [(1.0, 1.0, 0.5), (0.3, 4.0, 1.2), (-2.0, 0.7, 3.0)])
def test_rectangle_integral_is_the_closed_form(x: float, y: float, radius: float) -> None:
    expected = dblquad(lambda v, u: radius**2 / (math.pi * (u**2 + v**2 + radius**2) ** 2), 0, x, 0, y)[0]
    found = rectangle_containment(np.array(x), np.array(y), np.array(radius))
    assert found == pytest.approx(expected, rel=1e-8)


def test_rectangle_of_the_whole_quadrant_holds_a_quarter() -> None:
    assert rectangle_containment(np.array(1e9), np.array(1e9), np.array(1.0)) == pytest.approx(0.25, abs=1e-8)


def test_longitudinal_constants_by_hand() -> None:
    # ln y = 5, Z = 50: T = 4.188, α = 0.81 + (0.458 + 0.0452) · 5 = 3.326.
    ln_t, ln_alpha = longitudinal_means(np.array(5.0), 50)
    assert np.exp([ln_t, ln_alpha]) == pytest.approx([4.188, 3.326])
    assert longitudinal_spread(np.array(5.0)) == pytest.approx((1 / 4.9, 1 / 3.72, 0.59))


def test_radial_constants_by_hand() -> None:
    # E = 1 GeV, Z = 50, τ = 1: R_C = 0.0251 + 0.09715, R_T = 0.5045 (e^-0.91945 + e^0.1272675),
    # p = 2.585 exp(u - e^u) with u = (0.4945 - 1) / 1.313.
    core, tail, weight = radial_parameters(np.array(1.0), np.array(1e3), 50)
    u = -0.5055 / 1.313
    assert core == pytest.approx(0.12225)
    assert tail == pytest.approx(0.5045 * (math.exp(-0.91945) + math.exp(0.1272675)))
    assert weight == pytest.approx(2.585 * math.exp(u - math.exp(u)))


def test_parameters_stay_physical_over_the_energies_and_depths_in_use() -> None:
    energy, tau = np.geomspace(60, 1e8, 60)[:, None], np.linspace(0, 10, 101)
    for charge in (14, 50, 82):
        core, tail, weight = radial_parameters(tau, energy, charge)
        assert (core > 0).all()
        assert (tail > 0).all()
        assert ((weight >= 0) & (weight < 1)).all()


def test_layered_medium_by_hand() -> None:
    # X0: 3.4 / (2.8/3.504 + 0.6/93.7) mm; R_M: 21.2 · 3.4 / (2.8 · 7.97/3.504 + 0.6 · 40.19/93.7) mm.
    assert pytest.approx(4.221, abs=1e-3) == TUNGSTEN_SILICON.radiation_length
    assert pytest.approx(10.88, abs=1e-2) == TUNGSTEN_SILICON.moliere_radius
    assert pytest.approx(21.2 * 4.221 / 10.88, abs=1e-2) == TUNGSTEN_SILICON.critical_energy
    assert pytest.approx(19.17, abs=1e-2) == LEAD_ARGON.radiation_length
    lead = Medium.layered(Pb=3.0)
    assert (lead.radiation_length, lead.charge) == (5.612, 82)
    assert lead.critical_energy == pytest.approx(7.43, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_medium_needs_positive_numbers(value: float) -> None:
    with pytest.raises(CaloforgeError, match="radiation_length must be above zero"):
        Medium(value, 10.0, 8.0, 74)
