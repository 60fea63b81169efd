"""Intrinsic dimension and density on a manifold, against answers known by hand or by analysis."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.manifold import (
    decoder_jacobian,
    dimension_from_distances,
    distinct_points,
    intrinsic_dimension,
    levina_bickel,
    local_pca_dimension,
    log_density_on_manifold,
    manifold_log_prob,
    nearest_neighbours,
    two_nn,
)
from caloforge.showers import Showers

# torch compiles a few formulas with its own deprecated compiler when forward-mode differentiation starts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def embedded_gaussian(n: int, d: int, ambient: int = 120, seed: int = 0) -> np.ndarray:
    """(n, ambient) points of a d-dimensional standard Gaussian, turned into a larger space."""
    rng = np.random.default_rng(seed)
    frame, _ = np.linalg.qr(rng.normal(size=(ambient, d)))
    return rng.normal(size=(n, d)) @ frame.T


def brute_force_dimension(x: np.ndarray, k: int) -> float:
    """The estimator as printed, by a loop over points and sums of squared differences."""
    total = 0.0
    for i in range(len(x)):
        distances = np.sort(np.sqrt(((x - x[i]) ** 2).sum(axis=1)))[1 : k + 1]
        total += sum(math.log(distances[k - 1] / distances[j]) for j in range(k - 1))
    return 1.0 / (total / (len(x) * (k - 1)))


EIGHT = np.random.default_rng(0).normal(size=(8, 3))


# The estimator


@pytest.mark.parametrize(
    ("positions", "k", "ratios"),
    [
        ([0, 1, 3], 2, [3 / 1, 2 / 1, 3 / 2]),
        # distances from 0: 1 3 7; from 1: 1 2 6; from 3: 2 3 4; from 7: 4 6 7
        ([0, 1, 3, 7], 3, [7 / 1, 7 / 3, 6 / 1, 6 / 2, 4 / 2, 4 / 3, 7 / 4, 7 / 6]),
    ],
)
def test_points_on_a_line_by_hand(positions, k, ratios):
    x = np.array(positions, dtype=float)[:, None]
    estimate = intrinsic_dimension(x, k)
    assert estimate.value == pytest.approx(len(ratios) / sum(math.log(r) for r in ratios), rel=1e-12)
    assert (estimate.k, estimate.n_points, estimate.n_duplicates) == (k, len(positions), 0)


@pytest.mark.parametrize("d", [2, 5, 10])
def test_embedded_gaussians_within_ten_per_cent(d):
    for estimate in intrinsic_dimension(embedded_gaussian(5000, d, seed=d), [5, 10]):
        assert estimate.value == pytest.approx(d, rel=0.1)


def test_twenty_dimensions_run_low_as_the_independent_computation_says():
    x = embedded_gaussian(1200, 20)
    estimate = intrinsic_dimension(x, 10)
    assert estimate.value == pytest.approx(brute_force_dimension(x, 10), rel=1e-10)
    assert 13 < estimate.value < 17  # the documented bias, far beyond the statistical error
    assert estimate.error < 0.4


def test_rotation_scale_shift_and_constants_change_nothing():
    x = embedded_gaussian(600, 4, ambient=30)
    expected = intrinsic_dimension(x, 8).value
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))
    assert intrinsic_dimension(x @ rotation, 8).value == pytest.approx(expected, rel=1e-10)
    assert intrinsic_dimension(x * 1e-7, 8).value == pytest.approx(expected, rel=1e-10)
    assert intrinsic_dimension(np.pad(x, [(0, 0), (0, 3)], constant_values=5.0), 8).value == pytest.approx(expected)
    # Without centring, |a|² + |b|² - 2ab would have lost all digits here.
    assert intrinsic_dimension(x + 1e8, 8).value == pytest.approx(expected, rel=1e-5)


def test_several_k_are_the_single_ones_and_fall_with_k():
    x = embedded_gaussian(1000, 10)
    several = intrinsic_dimension(x, [20, 5, 10])
    assert [each.k for each in several] == [20, 5, 10]
    for each in several:
        single = intrinsic_dimension(x, each.k)
        assert (each.value, each.error) == pytest.approx((single.value, single.error), rel=1e-10)
    assert several[1].value > several[2].value > several[0].value


def test_torch_and_numpy_single_and_double_agree():
    x = embedded_gaussian(400, 3).astype(np.float32)
    assert intrinsic_dimension(torch.from_numpy(x)) == intrinsic_dimension(x.astype(np.float64))


def test_repeated_points_are_left_out_and_counted():
    x = embedded_gaussian(500, 3, ambient=10)
    alone = intrinsic_dimension(x, 10)
    doubled = intrinsic_dimension(np.concatenate([x, x[:200], x[:50]]), 10)
    assert (doubled.n_points, doubled.n_duplicates) == (500, 250)
    assert (doubled.value, doubled.error) == (alone.value, alone.error)


def test_subsample_is_seeded_and_bounded():
    x = embedded_gaussian(1000, 3)
    first, again = (intrinsic_dimension(x, max_points=300, seed=4) for _ in range(2))
    assert first == again
    assert first.n_points == 300
    assert first.value != intrinsic_dimension(x, max_points=300, seed=5).value
    assert intrinsic_dimension(x, max_points=5000) == intrinsic_dimension(x)


def test_bootstrap_error_matches_the_spread_of_repeated_samples():
    rng = np.random.default_rng(3)
    estimates = [intrinsic_dimension(rng.normal(size=(400, 5)), 10) for _ in range(60)]
    spread = np.std([each.value for each in estimates], ddof=1)
    stated = np.mean([each.error for each in estimates])
    # The spread is known to 1/sqrt(2 · 59) = 9 %. Points share neighbours, which the bootstrap cannot see.
    assert 0.6 < stated / spread < 1.4


@pytest.mark.parametrize(
    ("x", "arguments", "message"),
    [
        (
            np.random.default_rng(0).normal(size=(8, 3)),
            {"k": 8},
            "k = 8 neighbours need at least 9 distinct",
        ),
        (np.repeat(np.eye(3), 9, axis=0), {"k": 5}, "there are 3"),
        (np.ones((50, 4)), {"k": 2}, "there are 1"),
        (EIGHT, {"k": 1}, "at least 2, not 1"),
        (EIGHT, {"k": []}, "at least one"),
        (EIGHT, {"k": 3, "n_bootstrap": 1}, "bootstrap samples"),
        (np.arange(6.0), {"k": 2}, r"shape \(n, F\), not \(6,\)"),
        (np.array([[0.0], [np.nan], [1.0]]), {"k": 2}, "point 1 "),
        (np.array([[0.0], [1.0], [np.inf]]), {"k": 2}, "point 2 "),
        (np.eye(12), {"k": 4}, "at the same distance"),
    ],
)
def test_mistakes_are_named(x, arguments, message):
    with pytest.raises(CaloforgeError, match=message):
        intrinsic_dimension(x, **arguments)


def test_zero_distances_are_refused_not_turned_into_infinity():
    distances, _ = nearest_neighbours(np.array([[0.0], [0.0], [1.0], [3.0]]), 2)
    with pytest.raises(CaloforgeError, match="distinct_points"):
        levina_bickel(distances, 2)
    with pytest.raises(CaloforgeError, match=r"needs distances of shape \(n, 3\)"):
        dimension_from_distances(distances, [3])


# Cross-checks


def test_two_nn_reads_the_slope_off_exact_quantiles():
    n, d = 1000, 7.0
    quantiles = np.arange(1, n + 1) / n
    mu = (1 - np.minimum(quantiles, 1 - 1e-9)) ** (-1 / d)
    assert two_nn(torch.tensor(np.stack([np.ones(n), mu], axis=1))) == pytest.approx(d, rel=1e-9)


def test_two_nn_and_local_pca_on_a_gaussian():
    x, _ = distinct_points(embedded_gaussian(3000, 5))
    distances, indices = nearest_neighbours(x, 50)
    assert two_nn(distances) == pytest.approx(5, rel=0.15)
    assert local_pca_dimension(x, indices, max_points=100) == pytest.approx(5, abs=1e-12)
    # With two neighbours a point spans a plane, whatever its neighbourhood holds.
    assert local_pca_dimension(x, indices[:, :2], threshold=1e-9) == pytest.approx(2, abs=1e-12)
    with pytest.raises(CaloforgeError, match="between 0 and 1"):
        two_nn(distances, kept=1.0)


# Density on the manifold


def standard_normal(z: torch.Tensor) -> torch.Tensor:
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)


def test_linear_decoder_gives_the_degenerate_gaussian():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    log_p = manifold_log_prob(standard_normal, lambda code: code @ matrix.T + 2.0, z)
    # x - 2 is Gaussian with the singular covariance A Aᵀ: pseudo-inverse and pseudo-determinant.
    covariance, x = matrix @ matrix.T, z @ matrix.T
    log_pdet = torch.linalg.eigvalsh(covariance)[-3:].log().sum()
    mahalanobis = torch.einsum("bi,ij,bj->b", x, torch.linalg.pinv(covariance, rtol=1e-10), x)
    expected = -0.5 * (mahalanobis + log_pdet + 3 * math.log(2 * math.pi))
    torch.testing.assert_close(log_p, expected)


def test_uniform_density_on_the_sphere():
    def sphere(z):
        theta, phi = z[:, 0], z[:, 1]
        return 2.5 * torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], dim=1)

    z = torch.rand(50, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3.0 + 0.05
    log_p = manifold_log_prob(lambda code: (code[:, 0].sin() / (4 * math.pi)).log(), sphere, z)
    torch.testing.assert_close(log_p, torch.full_like(log_p, -math.log(4 * math.pi * 2.5**2)))


def test_density_on_a_curve_integrates_to_one_along_its_length():
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]

    def parabola(code):
        return torch.cat([code, code**2, code.sin()], dim=1)

    density = manifold_log_prob(standard_normal, parabola, z, chunk_size=500).exp()
    length = (parabola(z).diff(dim=0)).norm(dim=1)
    assert float(((density[1:] + density[:-1]) / 2 * length).sum()) == pytest.approx(1.0, abs=1e-4)


def test_square_decoder_is_the_ordinary_change_of_variables():
    z = torch.randn(30, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    log_p = manifold_log_prob(standard_normal, lambda code: torch.exp(0.5 * code), z)
    expected = torch.distributions.LogNormal(0.0, 0.5).log_prob(torch.exp(0.5 * z)).sum(dim=1)
    torch.testing.assert_close(log_p, expected)


def test_jacobian_of_a_network_is_autograds():
    torch.manual_seed(0)
    decoder = torch.nn.Sequential(torch.nn.Linear(3, 16), torch.nn.ReLU(), torch.nn.Linear(16, 11)).eval()
    z = torch.randn(6, 3)
    by_row = torch.stack([torch.autograd.functional.jacobian(decoder, row) for row in z])
    jacobian = decoder_jacobian(decoder, z)
    torch.testing.assert_close(jacobian, by_row)
    torch.testing.assert_close(decoder_jacobian(decoder, z, chunk_size=4), by_row)
    assert torch.equal(decoder_jacobian(lambda code: torch.ones(len(code), 4), z), torch.zeros(6, 4, 3))
    expected = standard_normal(z) - 0.5 * torch.logdet(by_row.mT @ by_row)
    torch.testing.assert_close(log_density_on_manifold(standard_normal(z), jacobian), expected, rtol=1e-4, atol=1e-4)


def test_a_badly_conditioned_jacobian_keeps_its_digits_in_single_precision():
    jacobian = torch.zeros(1, 5, 2)
    jacobian[0, :2] = torch.tensor([[1.0, 1.0], [0.0, 1e-5]])  # det(Jᵀ J) = 1e-10, below the rounding of Jᵀ J
    log_p = log_density_on_manifold(torch.zeros(1), jacobian)
    assert float(log_p) == pytest.approx(5 * math.log(10), abs=0.02)


def test_lost_rank_is_an_infinite_density_and_gradients_flow_elsewhere():
    assert log_density_on_manifold(torch.zeros(1), torch.zeros(1, 4, 2)).item() == math.inf
    jacobian = torch.tensor([[[2.0], [0.0]]], requires_grad=True)
    log_density_on_manifold(torch.zeros(1), jacobian).sum().backward()
    torch.testing.assert_close(jacobian.grad, torch.tensor([[[-0.5], [0.0]]]))  # d(-log|J|)/dJ = -J/|J|²


@pytest.mark.parametrize(
    ("log_p_z", "jacobian", "message"),
    [
        (torch.zeros(2), torch.zeros(3, 4, 2), "Jacobian"),
        (torch.zeros(2), torch.zeros(2, 4), "Jacobian"),
        (torch.zeros(2), torch.ones(2, 2, 4), "from 4 to 2 dimensions"),
    ],
)
def test_density_refuses_what_does_not_fit(log_p_z, jacobian, message):
    with pytest.raises(CaloforgeError, match=message):
        log_density_on_manifold(log_p_z, jacobian)


# Real showers


def test_geant4_photons_look_like_the_papers_figure(real: Callable[[str], Path]):
    showers = Showers.read(real("photons-atlas-like/train.h5"), stop=1000)
    fractions = showers.voxels / (1.5 * showers.energies[:, None])
    preprocessed = np.append(fractions, fractions.sum(axis=1, keepdims=True), axis=1)
    logit = np.log(preprocessed + 1e-6) - np.log1p(-preprocessed)
    curves = [[each.value for each in intrinsic_dimension(x, [5, 10, 20])] for x in (preprocessed, logit)]
    for values in curves:
        assert values == sorted(values, reverse=True)
    assert all(after > 1.3 * before for before, after in zip(*curves, strict=True))
    # A manifold far below the 369 dimensions that the showers are written in.
    assert 15 < curves[0][1] < 40
