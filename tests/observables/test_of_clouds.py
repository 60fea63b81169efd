"""Observables of point clouds: small clouds worked out by hand, symmetries, energy-flow polynomials by definition."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from caloforge.observables.of_clouds import CLOUD_OBSERVABLES, GRAPHS, cloud_observable, energy_flow, observables_of
from caloforge.points import JET, PointClouds

PAIR = PointClouds(
    [100.0, 50.0],
    [[0, 0, 2, 1], [4, 0, 2, 1], [0, 3, 5, 2]],
    [0, 3, 3],
    attributes={"layer_pitch_mm": 2.0},
)
"""A shower of three hits in layers 2, 2 and 5 with 1, 1 and 2 MeV, and one without any."""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("n_hits", 3),
        ("e_vis_over_e_inc", 0.04),
        ("mean_hit_energy", 4 / 3),
        ("largest_hit_share", 0.5),
        ("mean_x", 1),
        ("mean_y", 1.5),
        ("mean_depth", 3.5),
        ("width_x", np.sqrt(3)),
        ("width_y", 1.5),
        ("width_depth", 1.5),
        ("mean_radius", (np.hypot(1, 1.5) + np.hypot(3, 1.5) + 2 * np.hypot(1, 1.5)) / 4),
        ("share_within_10mm", 1),
        ("start", 2),
        ("maximum", 2),  # as much in layer 5: the first counts
    ],
)
def test_by_hand(name: str, expected: float) -> None:
    found = CLOUD_OBSERVABLES[name](PAIR)
    assert found[0] == pytest.approx(expected)
    assert found[1] == 0


def test_shares_within_a_radius() -> None:
    clouds = PointClouds([1], [[-15, 0, 0, 1], [15, 0, 0, 1], [0, 0, 0, 2]], [0, 3])
    found = [CLOUD_OBSERVABLES[f"share_within_{r}mm"](clouds)[0] for r in (10, 20, 50)]
    assert found == [0.5, 1, 1]


def test_the_start_ignores_a_first_hit_of_little_energy() -> None:
    clouds = PointClouds([1, 1], [[0, 0, 7, 50], [0, 0, 1, 0.5], [0, 0, 9, 50], [0, 0, 3, 1]], [0, 3, 4])
    assert CLOUD_OBSERVABLES["start"](clouds).tolist() == [7, 3]


def test_principal_axes_of_a_line_and_of_a_ball() -> None:
    """A line along (0, 3, 4): no sphericity, at an angle of atan(3 / 4). Six points on the axes: a ball."""
    line = [[0, 3 * k, 4 * k, 1] for k in range(5)]
    ball = [[s * (axis == 0), s * (axis == 1), 10 + s * (axis == 2), 1] for axis in range(3) for s in (-2, 2)]
    clouds = PointClouds([1, 1], [*line, *ball], [0, 5, 11], ("x", "y", "z", "energy"))
    assert CLOUD_OBSERVABLES["sphericity"](clouds) == pytest.approx([0, 1], abs=1e-9)
    assert CLOUD_OBSERVABLES["axis_angle"](clouds)[0] == pytest.approx(np.arctan2(3, 4))
    assert CLOUD_OBSERVABLES["elongation"](clouds)[1] == pytest.approx(1)


def test_the_pitch_turns_layers_into_depths() -> None:
    layered = PointClouds([1], [[0, k, k, 1] for k in range(4)], [0, 4], attributes={"layer_pitch_mm": 3.0})
    deep = PointClouds([1], [[0, k, 3 * k, 1] for k in range(4)], [0, 4], ("x", "y", "z", "energy"))
    for name in ("sphericity", "axis_angle"):
        assert CLOUD_OBSERVABLES[name](layered) == pytest.approx(CLOUD_OBSERVABLES[name](deep))
    assert CLOUD_OBSERVABLES["axis_angle"](layered)[0] == pytest.approx(np.arctan2(1, 3))


def random_clouds(jets: bool, n: int = 12, seed: int = 4) -> PointClouds:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, n)
    total = int(counts.sum())
    columns = [rng.normal(0, 0.3, (total, 2))] if jets else [rng.normal(0, 20, (total, 2)), rng.integers(0, 30, total)]
    points = np.column_stack([*columns, rng.exponential(0.1, total)])
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return PointClouds(rng.uniform(1, 2, n), points, offsets, JET if jets else ("x", "y", "layer", "energy"))


@pytest.mark.parametrize("jets", [True, False], ids=["jets", "showers"])
def test_the_order_of_points_does_not_matter(jets: bool) -> None:
    clouds, rng = random_clouds(jets), np.random.default_rng(1)
    order = np.lexsort((rng.random(len(clouds.points)), clouds.rows))
    mixed = PointClouds(clouds.energies, clouds.points[order], clouds.offsets, clouds.names)
    assert len(observables_of(clouds)) >= 6
    for each in observables_of(clouds):
        np.testing.assert_allclose(each(mixed), each(clouds), rtol=1e-6, atol=1e-9, err_msg=each.name)
    if jets:
        np.testing.assert_allclose(energy_flow(mixed), energy_flow(clouds), rtol=1e-9)


def test_jets_by_hand() -> None:
    """Two massless particles back to back in phi by π/2, each of half the p_T: m² = p_T² / 2."""
    jets = PointClouds([1e6], [[0, np.pi / 4, 0.5], [0, -np.pi / 4, 0.5]], [0, 2], JET)
    assert CLOUD_OBSERVABLES["mass"](jets)[0] == pytest.approx(np.sqrt(0.5), rel=1e-6)
    assert CLOUD_OBSERVABLES["ptrel_sum"](jets)[0] == pytest.approx(np.sqrt(0.5), rel=1e-6)
    assert CLOUD_OBSERVABLES["girth"](jets)[0] == pytest.approx(np.pi / 4, rel=1e-6)
    assert CLOUD_OBSERVABLES["eta_of_sum"](jets)[0] == pytest.approx(0)
    forward = PointClouds([1e6], [[1.3, 0, 0.7]], [0, 1], JET)
    assert CLOUD_OBSERVABLES["eta_of_sum"](forward)[0] == pytest.approx(1.3, rel=1e-6)
    assert CLOUD_OBSERVABLES["mass"](forward)[0] == pytest.approx(0, abs=1e-6)


EDGES = {
    "path, end edge doubled": [(0, 1), (0, 1), (1, 2), (2, 3)],
    "path, middle edge doubled": [(0, 1), (1, 2), (1, 2), (2, 3)],
    "star, one edge doubled": [(0, 1), (0, 1), (0, 2), (0, 3)],
    "square": [(0, 1), (1, 2), (2, 3), (3, 0)],
    "triangle with tail": [(0, 1), (1, 2), (2, 0), (0, 3)],
}


def test_energy_flow_is_the_sum_over_all_quadruples() -> None:
    jets = random_clouds(True, n=4)
    found = energy_flow(jets)
    for row, jet in enumerate(jets):
        eta, phi, z = (jet[name].astype(float) for name in JET)
        theta = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
        for column, graph in enumerate(GRAPHS):
            total = sum(
                z[list(four)].prod() * np.prod([theta[four[k], four[m]] for k, m in EDGES[graph]])
                for four in product(range(len(z)), repeat=4)
            )
            assert found[row, column] == pytest.approx(total, rel=1e-6)


def test_energy_flow_is_that_of_the_package() -> None:
    """Numbers of energyflow 1.4.0 with the settings in the module's docstring, in the order of `GRAPHS`."""
    particles = [[0.10, -0.20, 0.40], [-0.15, 0.05, 0.30], [0.00, 0.30, 0.20], [0.25, 0.10, 0.06], [-0.05, -0.35, 0.04]]
    expected = [
        0.008443862029535482,
        0.008563225791164355,
        0.008930507644003672,
        0.006560304384356916,
        0.004687274950506644,
    ]
    assert energy_flow(PointClouds([1e6], particles, [0, 5], JET))[0] == pytest.approx(expected, rel=1e-6)


def test_energy_flow_goes_round_the_circle() -> None:
    here = PointClouds([1], [[0, 3.1, 0.5], [0.1, -3.1, 0.5]], [0, 2], JET)
    there = PointClouds([1], [[0, 0, 0.5], [0.1, 2 * np.pi - 6.2, 0.5]], [0, 2], JET)
    np.testing.assert_allclose(energy_flow(here), energy_flow(there), rtol=1e-5)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="n_hits"):
        cloud_observable("n_hits", "again")
