"""Neighbours and topological clusters, against grids worked out by hand and the occupancy of Gaussian noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.geometry.adjacency import in_space, overlapping, pieces, within_layers
from caloforge.reconstruction import Reconstruction, Reconstructor
from caloforge.reconstruction.topoclusters import TopoClusters, local_maxima, topoclusters
from caloforge.showers import Showers

RING = Geometry("ring", (Layer(0, (5, 10, 20, 30), n_alpha=6),))
"""Voxel 3 a + r: alpha bin a, ring r."""

SQUARE = Geometry("square", (CartesianLayer(0, (0, 1, 2, 3), (0, 1, 2, 3, 4)),))


def clusters(geometry: Geometry, energies: dict[int, float]) -> TopoClusters:
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    for voxel, energy in energies.items():
        voxels[0, voxel] = energy
    return topoclusters(voxels, np.ones(geometry.n_voxels), in_space(geometry), 4, 2, 0)


def neighbours(geometry: Geometry, voxel: int) -> list[int]:
    return sorted(within_layers(geometry).around(np.array([voxel]))[1].tolist())


def test_neighbours_around_the_circle_and_at_the_edge() -> None:
    assert neighbours(RING, 1) == [0, 2, 3, 4, 5, 15, 16, 17]
    assert neighbours(RING, 2) == [1, 4, 5, 16, 17]
    assert neighbours(SQUARE, 0) == [1, 4, 5]
    assert neighbours(SQUARE, 5) == [0, 1, 2, 4, 6, 8, 9, 10]


def test_innermost_voxels_share_the_axis() -> None:
    at_axis = Geometry("axis", (Layer(0, (0, 10, 20), n_alpha=5),))
    assert neighbours(at_axis, 0) == [1, 2, 3, 4, 6, 8, 9]  # of the rings at 4, 6 and 8 the innermost only: all of them
    two = Geometry("two", (Layer(0, (0, 10), n_alpha=2),))
    assert within_layers(two).pairs.tolist() == [[0, 1]]


def test_layers_overlap_whatever_their_binning() -> None:
    ring, halves = Layer(0, (0, 10, 30)), Layer(1, (5, 20), n_alpha=2)
    assert overlapping(ring, halves).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    fine = Layer(0, (0, 1, 2), n_alpha=4)
    assert overlapping(fine, fine).tolist() == [[k, k] for k in range(8)]
    left, right = CartesianLayer(0, (0, 1), (0, 2, 4)), CartesianLayer(1, (0, 1), (0, 3, 4))
    assert overlapping(left, right).tolist() == [[0, 0], [1, 0], [1, 1]]
    # A quarter of the disc of 10 mm radius lies in each of these squares, none of it in the fifth.
    squares = CartesianLayer(1, (-10, 0, 10, 30), (-10, 0, 10))
    assert overlapping(Layer(0, (0, 10)), squares).tolist() == [[0, k] for k in range(4)]


@pytest.mark.parametrize("name", ["ds1-photons", "ds2", "calogan"])
def test_pieces_fill_their_voxels_evenly(name: str) -> None:
    layer = load_geometry(name).layers[1]
    voxel, x, y = pieces(layer)
    n = len(voxel) // layer.n_voxels
    np.testing.assert_array_equal(voxel, np.repeat(np.arange(layer.n_voxels), n))
    inside = np.abs(x) < 1e4, np.abs(y) < 1e4
    assert all(each.all() for each in inside)
    if layer.kind == "cartesian":
        np.testing.assert_allclose(x.reshape(-1, n).mean(axis=1), layer.phi, atol=1e-9)


def test_clusters_across_the_end_of_the_circle() -> None:
    """A seed in alpha bin 0 grows into bin 5, which lies on its other side."""
    found = clusters(RING, {1: 5.0, 16: 3.0, 14: 1.0, 9: 3.0})
    assert found.of_voxel[0].tolist() == [-1, 0, *[-1] * 12, 0, -1, 0, -1]
    np.testing.assert_allclose(found.energy, [9.0])  # the 3 MeV in voxel 9 touch no seed


def test_thresholds_4_2_0() -> None:
    assert len(clusters(SQUARE, {0: 3.9, 1: 3.9}).energy) == 0  # no seed
    assert len(clusters(SQUARE, {0: 4.0}).energy) == 0  # not above the threshold
    chain = {0: 4.1, 1: 1.9, 2: 3.0}  # what is not above 2 is taken in, but does not lead on
    assert clusters(SQUARE, chain).energy.tolist() == pytest.approx([6.0])
    two = clusters(SQUARE, {0: 5.0, 3: 5.0})
    assert (two.count().tolist(), two.largest().tolist()) == ([2], [5.0])
    joined = clusters(SQUARE, {0: 5.0, 1: 2.5, 2: 2.5, 3: 5.0})
    assert (joined.count().tolist(), joined.summed().tolist()) == ([1], [15.0])


def test_a_voxel_between_two_clusters_goes_to_the_more_significant_neighbour() -> None:
    found = clusters(SQUARE, {4: 9.0, 5: 1.0, 6: 8.0})
    assert sorted(found.energy.tolist()) == [8.0, 10.0]
    assert found.of_voxel[0, 5] == found.of_voxel[0, 4]


def test_negative_energies_are_taken_in_and_negative_clusters_dropped() -> None:
    found = clusters(SQUARE, {0: 5.0, 1: -1.0, 11: -6.0})
    assert found.energy.tolist() == [4.0]
    assert found.of_voxel[0, 11] == -1


def test_without_noise_every_hit_is_a_seed() -> None:
    voxels = np.array([[0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    found = topoclusters(voxels, np.zeros(12), in_space(SQUARE), 4, 2, 0)
    assert sorted(found.energy.tolist()) == [0.5, 2.0]


def test_showers_do_not_mix() -> None:
    """Many showers at once give what each gives by itself."""
    geometry = load_geometry("ds1-photons")
    voxels = np.random.default_rng(1).normal(0, 1, (40, geometry.n_voxels)).astype(np.float32) * 1.5
    noise, adjacency = np.ones(geometry.n_voxels), in_space(geometry)
    together = topoclusters(voxels, noise, adjacency, 4, 2, 0)
    alone = [topoclusters(row[None], noise, adjacency, 4, 2, 0) for row in voxels]
    assert together.count().tolist() == [len(each.energy) for each in alone]
    np.testing.assert_allclose(together.summed(), [each.summed()[0] for each in alone], rtol=1e-6)
    assert together.count().sum() > 20


def test_local_maxima() -> None:
    image = np.array([[5, 1, 0, 7], [1, 4, 0, 0], [0, 0, 0, 3.0]], dtype=np.float32).reshape(1, -1)
    found = local_maxima(image, image > 2, within_layers(SQUARE))
    assert np.flatnonzero(found).tolist() == [0, 3, 11]  # the 4 touches the 5 by a corner


def test_noise_alone_has_the_occupancy_of_a_gaussian() -> None:
    geometry = load_geometry("ds1-photons")
    recipe = Reconstruction(name="noise", noise_mev=dict(zip(geometry.layer_ids, (1, 2, 3, 4, 5), strict=True)))
    chain, n = Reconstructor(recipe, geometry), 2000
    empty = np.zeros((n, geometry.n_voxels), dtype=np.float32)
    noise = chain.with_noise(empty, np.random.default_rng(1))
    for part, sigma in zip(geometry.slices, (1, 2, 3, 4, 5), strict=True):
        assert noise[:, part].std() == pytest.approx(sigma, rel=0.05)
    for k in (2, 4):
        expected = 2 * norm.sf(k) * noise.size
        assert abs(np.sum(np.abs(noise) > k * chain.noise) - expected) < 4 * np.sqrt(expected)
    # Half of the seeds are positive; a cluster has one of them, hardly ever two.
    found = chain(Showers.unchecked(np.full(n, 1000.0), empty, geometry), np.random.default_rng(2))
    seeds = norm.sf(4) * noise.size
    assert 0.8 * seeds < found.variables["n_clusters"].sum() < 1.8 * seeds


def test_zero_suppression_leaves_what_exceeds_it() -> None:
    geometry = load_geometry("ds1-photons")
    chain = Reconstructor(Reconstruction(name="cut", noise_mev=2, suppression_sigma=3), geometry)
    left = chain.with_noise(np.zeros((500, geometry.n_voxels), dtype=np.float32), np.random.default_rng(1))
    assert np.abs(left[left != 0]).min() >= 6
    assert np.mean(left != 0) == pytest.approx(2 * norm.sf(3), rel=0.2)
