"""Mean and spread of E_dep/E_inc: errors as in the textbook, shifts found at the energy where they are."""

import numpy as np
import pytest

from caloforge.energies.agreement import groups
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric
from caloforge.evaluation.metrics.response import Moments, by_energy, combined

SLICES = groups(np.array([256.0, 512.0, 1024.0]))


def estimate_of(metric: Metric) -> Estimate:
    assert metric.estimate is not None, metric.reason
    return metric.estimate


def draw(rng: np.random.Generator, n: int, shift: float = 0.0, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Energies and responses: mean 0.9, spreads 0.16, 0.08, 0.04 at the three energies; `shift` at the second."""
    energies = np.resize([256.0, 512.0, 1024.0], n)
    spread = np.select([energies == 256, energies == 512], [0.16, 0.08], 0.04) * width
    return energies, rng.normal(0.9, spread) * np.where(energies == 512, 1 + shift, 1.0)


def test_moments_of_a_known_sample() -> None:
    assert Moments.of(np.array([1.0, 1.0, 3.0, 3.0])) == Moments(4, 2.0, 1.0, 1.0)
    constant = Moments.of(np.full(7, 0.1))
    assert (constant.spread, constant.kurtosis) == (0.0, 1.0)  # rounding alone does not make a spread


def test_errors_are_the_textbooks() -> None:
    """σ(mean) = s sqrt(2/n) / 0.9 at each energy, put together by 1/σ²; σ(spread) = sqrt(1/n) of a Gaussian."""
    rng = np.random.default_rng(1)
    found = by_energy(SLICES, draw(rng, 30_000), draw(rng, 30_000))
    assert [each.label for each in found] == ["256 MeV", "512 MeV", "1.024 GeV"]
    singles = np.array([0.16, 0.08, 0.04]) * np.sqrt(2 / 10_000) / 0.9
    np.testing.assert_allclose([each.differences["mean"][1] for each in found], singles, rtol=0.03)
    np.testing.assert_allclose([each.differences["spread"][1] for each in found], 0.01, rtol=0.05)
    assert estimate_of(combined(found, "mean")).error == pytest.approx((singles**-2).sum() ** -0.5, rel=0.03)


def test_equal_samples_pull_as_a_normal_variable_does() -> None:
    rng = np.random.default_rng(2)
    found = [by_energy(SLICES, draw(rng, 900), draw(rng, 900)) for _ in range(300)]
    for key in ("mean", "spread"):
        pulls = np.array([estimate_of(combined(each, key)).pull for each in found])
        assert abs(pulls.mean()) < 0.25
        assert 0.85 < pulls.std() < 1.2
        # probabilities of χ² are flat: about a tenth lies below 0.1
        assert 0.04 < np.mean([combined(each, key).extra["probability"] < 0.1 for each in found]) < 0.18


def test_a_shift_is_found_at_its_energy() -> None:
    rng = np.random.default_rng(3)
    found = combined(by_energy(SLICES, draw(rng, 6000, shift=0.03), draw(rng, 6000)), "mean")
    assert found.extra["largest_at"] == "512 MeV"
    assert found.extra["largest_value"] == pytest.approx(0.03, abs=0.007)
    assert found.extra["probability"] < 1e-10
    assert abs(estimate_of(found).value) < 0.02  # diluted by the others


def test_a_wider_response_is_found() -> None:
    rng = np.random.default_rng(4)
    found = by_energy(SLICES, draw(rng, 6000, width=1.2), draw(rng, 6000))
    assert estimate_of(combined(found, "spread")).value == pytest.approx(0.2, abs=0.05)
    assert estimate_of(combined(found, "spread")).pull > 8
    assert abs(estimate_of(combined(found, "mean")).pull) < 3


def test_without_spread() -> None:
    energies = np.full(50, 256.0)
    half, whole, varied = np.full(50, 0.5), np.ones(50), np.linspace(0, 2, 50)
    same = by_energy(SLICES, (energies, half), (energies, half))
    assert estimate_of(combined(same, "mean")).pull == 0
    assert combined(same, "spread").estimate is None
    assert "constant" in combined(same, "spread").reason
    apart = estimate_of(combined(by_energy(SLICES, (energies, half), (energies, whole)), "mean"))
    assert (apart.value, apart.pull) == (-0.5, -np.inf)
    narrow = estimate_of(combined(by_energy(SLICES, (energies, whole), (energies, varied)), "spread"))
    assert narrow.value == -1.0
    assert narrow.pull is not None
    assert narrow.pull < -3
    nothing = combined(by_energy(SLICES, (energies, half), (energies, 0 * half)), "mean")
    assert "without energy" in nothing.reason


def test_few_showers_an_energy_are_takencombined() -> None:
    rng = np.random.default_rng(5)
    assert [each.label for each in by_energy(SLICES, draw(rng, 45), draw(rng, 45))] == ["all energies"]
    energies, values = draw(rng, 90)
    kept = energies != 512
    found = by_energy(SLICES, (energies[kept], values[kept]), (energies, values))
    assert [each.label for each in found] == ["256 MeV", "1.024 GeV"]
