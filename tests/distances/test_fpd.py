"""Fréchet and kernel physics distances of Gaussians, where the answer is known in closed form."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import chi2

from caloforge import observables
from caloforge.distances.fpd import TRIMMED, Trim, fpd, frechet, kernel_sum, kpd, minimum_showers, mmd, normalise
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.observables.high_level import feature_names, features
from caloforge.showers import Showers


def spd(rng: np.random.Generator, d: int) -> np.ndarray:
    a = rng.normal(size=(d, d))
    return a @ a.T / d + 0.1 * np.eye(d)


def test_frechet_equals_its_formula() -> None:
    rng = np.random.default_rng(1)
    a, b, m, n = spd(rng, 6), spd(rng, 6), rng.normal(size=6), rng.normal(size=6)
    expected = np.sum((m - n) ** 2) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet(m, a, n, b) == pytest.approx(expected, rel=1e-9)
    assert frechet(m, a, m, a) == pytest.approx(0, abs=1e-9)


def test_frechet_with_a_constant_feature() -> None:
    a, b = np.diag([1.0, 0.0]), np.diag([4.0, 0.0])
    assert frechet(np.zeros(2), a, np.array([0.0, 3.0]), b) == pytest.approx(9 + 1)


def test_fpd_of_gaussians_is_the_closed_form() -> None:
    rng = np.random.default_rng(2)
    mean, covariance = 0.2 * rng.normal(size=5), spd(rng, 5)
    x, y = rng.normal(size=(20000, 5)), rng.multivariate_normal(mean, covariance, 20000)
    expected = frechet(np.zeros(5), np.eye(5), mean, covariance)
    assert fpd(x, y) / 1e3 == pytest.approx(expected, rel=0.05)


def test_extrapolation_removes_the_bias() -> None:
    rng = np.random.default_rng(3)
    pairs = [(rng.normal(size=(1200, 10)), rng.normal(size=(1200, 10))) for _ in range(40)]
    found = np.array([fpd(x, y, seed) for seed, (x, y) in enumerate(pairs)])
    plain = np.array([1e3 * frechet(x.mean(0), np.cov(x.T), y.mean(0), np.cov(y.T)) for x, y in pairs])
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean()) < 4 * error
    assert plain.mean() > 10 * error


def test_outliers_move_the_plain_distance_and_not_the_trimmed_one() -> None:
    """Of a Gaussian in five dimensions and its copy with 12 of 4 000 showers at 100 standard deviations."""
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(4000, 5)), rng.normal(size=(4000, 5))
    x[:12] = 100.0
    trim = Trim.of(y)
    assert trim.cut == pytest.approx(chi2(5).ppf(1 - TRIMMED), rel=0.1)
    assert trim.inside(y).mean() == pytest.approx(1 - TRIMMED, abs=1e-3)
    assert not trim.inside(x)[:12].any()
    assert fpd(x, y) > 1e5
    assert abs(fpd(x[trim.inside(x)], y[trim.inside(y)])) < 5


def test_outliers_of_the_reference_do_not_hide_others() -> None:
    """Half a per cent of the reference far off makes its covariance large, but not that of its bulk."""
    rng = np.random.default_rng(13)
    y = rng.normal(size=(4000, 3))
    y[:20] = 300.0
    assert not Trim.of(y).inside(np.full((1, 3), 10.0)).any()


def test_features_that_are_sums_of_others_have_no_distance_of_their_own() -> None:
    rng = np.random.default_rng(14)
    y = rng.normal(size=(2000, 2))
    summed, constant = np.column_stack([y, y.sum(axis=1)]), np.column_stack([y, np.ones(2000)])
    for wider in (summed, constant):
        assert Trim.of(wider).cut == pytest.approx(Trim.of(y).cut, rel=1e-6)


def test_fpd_does_not_depend_on_the_order_of_showers() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3000, 3)), rng.normal(0.3, 1, size=(3000, 3))
    # Sorted samples, cut into parts without shuffling, would differ wildly from part to part.
    assert fpd(x[x[:, 0].argsort()], y[y[:, 0].argsort()]) == pytest.approx(fpd(x, y), rel=0.1)


def test_mmd_equals_double_loops() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(9, 3))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 4)

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    assert mmd(x, y) == pytest.approx(within_x + within_y - 2 * across)
    assert kernel_sum(x, x, tile=(2, 4)) == pytest.approx(kernel_sum(x, x.copy(), tile=(3, 2)), rel=1e-6)


def test_kpd_is_around_zero_for_equal_samples_and_sees_a_shift() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 1500, 4))
    value, error = kpd(x, y, rng)
    assert abs(value) < 5 * error
    assert error > 0
    shifted, error = kpd(x, y + 0.5, rng)
    assert shifted > 5 * error


def test_features_are_the_challenges() -> None:
    geometry = Geometry("two", (Layer(0, (0.0, 10.0), 1), Layer(1, (0.0, 2.0), 2)), 1.0)
    voxels = np.array([[20.0, 30.0, 10.0], [0.5, 0.0, 0.0]], dtype=np.float32)
    showers = Showers(np.array([100.0, 1000.0]), voxels, geometry)
    found = features(geometry, showers.energies, observables.compute(showers))
    # log10 E_inc, two layers, EC_eta, EC_phi, width_eta, width_phi, E_tot, two sparsities, two EC_r, two width_r
    expected = [2, np.log10(20), np.log10(40), 0, (-30 + 10) / 40 / 100, 0, np.sqrt(0.75) / 100, np.log10(60), 0, 0]
    expected += [0.05, 0.01, 0, 0]
    np.testing.assert_allclose(found[0], expected, atol=1e-7)
    energies = [k for k, name in enumerate(feature_names(geometry)) if name.startswith("e_")]
    np.testing.assert_allclose(found[1, energies], -8, atol=1e-6)


def test_fewest_showers() -> None:
    assert minimum_showers(len(feature_names(load_geometry("ds1-photons")))) == 1000
    assert minimum_showers(len(feature_names(load_geometry("ds2")))) == 2 * 4 * 362


def test_normalising_leaves_an_empty_feature_alone() -> None:
    reference = np.array([[1.0, 0.0], [-4.0, 0.0]])
    [found] = normalise(reference, np.array([[2.0, 3.0]]))
    assert found.tolist() == [[0.5, 3.0]]
