"""Showers put where a particle enters: frames, spots in voxels, and sums, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caloforge.geometry.bins import bin_index, voxel_index
from caloforge.sources.geant4.detector import Detector, detector_from_plain, load_detector
from caloforge.sources.geant4.fast import SPOT, entering, fast_seed, place, spots
from caloforge.sources.geant4.incidence import Incidence


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("phi", [0.0, 2.0, -3.0])
def test_out_of_the_frame_is_the_inverse_of_into_it(theta: float, phi: float) -> None:
    points = np.random.default_rng(1).normal(0, 50, (20, 3))
    way = Incidence(theta, phi, 3.0, -2.0)
    assert way.in_frame(way.from_frame(points)) == pytest.approx(points)
    assert way.from_frame(np.array([[0, 0, 7.0]]))[0] == pytest.approx(
        np.array([3.0, -2.0, 0]) + 7 * np.array(way.direction)
    )


def test_where_a_particle_enters_by_hand() -> None:
    at_45 = entering((1.0, 2.0, -10.0), (math.sqrt(0.5), 0.0, math.sqrt(0.5)), 100.0)
    assert at_45 is not None
    assert (at_45.theta, at_45.phi, at_45.x, at_45.y) == pytest.approx((math.pi / 4, 0, 11, 2))
    assert entering((1.0, 2.0, -0.01), (0.0, 0.0, 1.0), 100.0) == Incidence(0.0, 0.0, 1.0, 2.0)
    assert entering((1.0, 2.0, 0.01), (0.0, 0.0, 1.0), 100.0) is None  # born inside
    assert entering((1.0, 2.0, -0.01), (0.0, 0.0, -1.0), 100.0) is None  # flies away
    assert entering((99.0, 0.0, -10.0), (math.sqrt(0.5), 0.0, math.sqrt(0.5)), 100.0) is None  # passes by


def sandwich() -> Detector:
    """Two layers of 10 mm, polar and Cartesian."""
    layers = [
        {"id": 0, "r_edges": [0, 10, 30, 100], "n_alpha": 4},
        {"id": 1, "phi_edges": [-100, -20, 0, 20, 100], "eta_edges": [-50, 0, 50]},
    ]
    pair = [{"material": "G4_Pb", "thickness": 4}, {"material": "G4_lAr", "thickness": 6, "active": True}]
    plain = {
        "name": "sandwich",
        "geometry": {"name": "sandwich", "layers": layers},
        "sampling_fraction": 0.5,
        "slabs": [{"repeat": 2, "layer": 0, "layer_step": 1, "slabs": pair}],
    }
    return detector_from_plain(plain, "sandwich")


@pytest.mark.parametrize("detector", [sandwich(), load_detector("atlas-like"), load_detector("calogan")])
def test_spots_lie_in_their_voxels_and_keep_their_energy(detector: Detector) -> None:
    geometry, rng = detector.geometry, np.random.default_rng(2)
    for hit in rng.choice(geometry.n_voxels, 12, replace=False):
        shower = np.zeros(geometry.n_voxels)
        shower[hit] = 35.0
        energies, points = spots(detector, shower, rng)
        assert energies.tolist() == [35.0 / 9] * 9
        assert energies.max() <= SPOT
        position = next(k for k, part in enumerate(geometry.slices) if part.start <= hit < part.stop)
        assert (bin_index(tuple(detector.layer_edges), points[:, 2]) == position).all()
        index = voxel_index(geometry.layers[position], points[:, 0], points[:, 1])
        assert (index + geometry.slices[position].start == hit).all()


def test_spots_fill_a_ring_evenly() -> None:
    shower = np.zeros(20)
    shower[2] = SPOT * 4000  # r 30 … 100 mm, the first quarter of the first layer
    _, points = spots(sandwich(), shower, np.random.default_rng(3))
    r2 = (points[:, :2] ** 2).sum(axis=1)
    alpha = np.arctan2(points[:, 1], points[:, 0])
    flat = [(r2, 900, 10_000), (alpha, -math.pi, -math.pi / 2), (points[:, 2], 0, 10)]
    for values, low, high in flat:
        assert low <= values.min() < values.max() <= high
        error = (high - low) / math.sqrt(12 * len(values))
        assert abs(values.mean() - (low + high) / 2) < 4 * error


def test_showers_are_moved() -> None:
    detector, shower = sandwich(), np.zeros(20)
    shower[[0, 12]] = 20.0, 8.0  # innermost, third quadrant; x -100 … -20, y -50 … 0 in the second layer
    assert place(detector, shower, None, np.random.default_rng(4)) is shower
    there = place(detector, shower, Incidence(x=150.0), np.random.default_rng(4))
    # 140 … 150 mm is beyond the rings; 50 … 130 mm is in the last strip, or beyond it.
    assert there[:12].sum() == 0
    assert there[18] in (0.0, 4.0, 8.0)
    assert there.sum() == there[18]
    near = place(detector, shower, Incidence(x=20.0, y=50.0), np.random.default_rng(4))
    # x 10 … 20 and y 40 … 50 mm is in the outer ring of the fourth quarter from -pi: the first quadrant.
    assert np.flatnonzero(near[:12]).tolist() == [8]
    assert near.sum() == pytest.approx(28)
    assert near[12:][[1, 3]].sum() == pytest.approx(8)


def test_turned_showers_change_layers() -> None:
    """At 60 degrees, what lies 10 … 20 mm along the axis is 5 … 10 mm deep: in the first layer."""
    layers = [{"id": k, "r_edges": [0, 1e-6, 100]} for k in (0, 1)]
    detector = detector_from_plain({**sandwich().source, "geometry": {"name": "needle", "layers": layers}}, "needle")
    turned = place(detector, np.array([0, 0, 12.0, 0]), Incidence(math.radians(60)), np.random.default_rng(5))
    assert turned.tolist() == [0, 12, 0, 0]


def test_seeds_of_events_differ() -> None:
    assert len({fast_seed(seed, event) for seed in range(20) for event in range(20)}) == 400
