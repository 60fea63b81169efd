"""Data of the figures: profiles, response, single showers and nearest neighbours by hand."""

import json

import numpy as np
import pytest

from caloforge.evaluation.metrics import figure_data
from caloforge.evaluation.report.saving import plain
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.showers import Showers

POLAR = Layer(1, (0, 1, 2), n_alpha=3)
SMALL = Geometry("small", (Layer(0, (0, 1, 2)), POLAR))


def showers(energies, voxels):
    return Showers(np.asarray(energies, dtype=float), np.asarray(voxels, dtype=np.float32), SMALL)


def test_significant_digits():
    values = np.array([0, -123456, 0.00123456, 9.9999, np.nan, 1e-300])
    assert figure_data.significant(values)[:4].tolist() == [0, -123500, 0.001235, 10]
    assert np.isnan(figure_data.significant(values)[4])
    assert len(json.dumps(figure_data.significant(np.float32([0.1])).tolist())) == 5


def test_profiles_sum_layers_and_divide_rings_by_their_area():
    data = figure_data.profiles(SMALL, np.arange(8.0), np.ones(8), np.ones(3), np.full(3, 2.0)).data
    assert data["layers"] == [0, 1]
    assert data["generated"].tolist() == [1, 27]
    assert data["reference"].tolist() == [2, 6]
    *_, azimuthal = data["others"]
    assert azimuthal["edges"] == pytest.approx([-np.pi, -np.pi / 3, np.pi / 3, np.pi], rel=1e-3)
    assert (azimuthal["generated"].tolist(), azimuthal["reference"].tolist()) == ([1, 1, 1], [2, 2, 2])
    found = figure_data.transverse(POLAR, np.ones(6), np.arange(6.0))
    assert found["generated"] == pytest.approx([3 / np.pi, 3 / (3 * np.pi)], rel=1e-3)
    assert found["reference"] == pytest.approx([6 / np.pi, 9 / (3 * np.pi)], rel=1e-3)
    square = figure_data.transverse(CartesianLayer(0, (0, 1, 2), (-1, 0, 3)), np.arange(4.0), np.ones(4))
    assert square["generated"].tolist() == [2, 4]
    assert square["edges"].tolist() == [-1, 0, 3]


def test_response_by_hand():
    energies = np.array([1.0, 1, 1, 10, 10, 100])
    ratio = np.array([0.8, 1.0, 1.2, 0.9, 1.1, 1.0])
    found = figure_data.response(energies, ratio, np.array([0.5, 5, 50, 500]))
    assert found["mean"][:2] == pytest.approx([1, 1])
    assert found["width"][:2] == pytest.approx([0.2, np.sqrt(0.02)])
    assert found["error"][:2] == pytest.approx([0.2 / np.sqrt(3), 0.1])
    assert np.isnan([found[key][2] for key in found]).all()  # one shower has no spread


def test_the_error_of_the_width_is_the_textbooks():
    """Of n Gaussian values σ(s)/s = 1/√(2n); of two equally frequent values there is none."""
    ratio = np.random.default_rng(3).normal(1.0, 0.1, 40_000)
    found = figure_data.response(np.ones(40_000), ratio, np.array([0.5, 5]))
    assert found["width_error"] == pytest.approx(found["width"] / np.sqrt(80_000), rel=0.03)
    assert figure_data.response(np.ones(4), np.array([1.0, 1, 3, 3]), np.array([0.5, 5]))["width_error"] == [0.0]


@pytest.mark.parametrize("energies", [np.array([5.0]), np.array([1.0, 2, 4, 8]), np.linspace(1, 1000, 500)])
def test_energy_bins_hold_every_energy(energies):
    edges = figure_data.energy_bins(energies)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(energies, edges)[0].sum() == len(energies)
    if len(energies) < 10:
        assert (np.histogram(energies, edges)[0] == 1).all()


def test_response_map_keeps_every_shower():
    rng = np.random.default_rng(1)
    sample = (rng.choice([100.0, 1000.0], 500), rng.normal(1, 0.1, 500))
    data = figure_data.response_map(sample, (sample[0], np.append(sample[1][:-1], 50.0))).data
    assert data["generated"]["counts"].sum() == data["reference"]["counts"].sum() == 500


def test_single_showers_pair_equal_energies():
    generated = showers([100, 200, 400], np.eye(3, 8) + 0.5)
    reference = showers([200, 400, 800], np.eye(3, 8) + 1)
    groups = figure_data.energy_groups(generated, reference, 5)
    assert [energy for energy, _, _ in groups] == [200, 400]
    single, near = figure_data.single_showers(generated, reference, generated[:0], np.ones(8))
    rows = single.data["rows"]
    assert [row["title"] for row in rows[:2]] == ["generated\n200 MeV", "reference\n200 MeV"]
    assert rows[0]["voxels"].tolist() == [0.5, 1.5, *[0.5] * 6]
    assert rows[0]["scale"] == rows[1]["scale"] != rows[2]["scale"]
    assert len(near.data["rows"]) == 4
    assert not [*figure_data.single_showers(generated, showers([9000], np.ones((1, 8))), generated, np.ones(8))]


def test_nearest_neighbour_is_the_nearest_of_the_same_energy():
    points = np.array([[0.0, 0, 0], [3, 4, 0]])
    index, distance = figure_data.nearest(points, np.array([[0, 0, 1.0], [3, 4, 0]]))
    assert index.tolist() == [0, 1]
    assert distance.tolist() == [1, 0]
    voxels = np.ones((3, 8))
    voxels[1] += 0.1
    voxels[2] = 5
    reference = showers([100], np.full((1, 8), 5.0))
    kept = showers([100, 100, 700], voxels)
    _, near = figure_data.single_showers(kept[:1], reference, kept[1:], np.ones(8))
    # the copy of 700 MeV does not count, the closer of the other two does
    assert near.data["rows"][1]["voxels"].tolist() == [1.1] * 8


def test_only_drawn_layers_are_kept():
    geometry = load_geometry("ds3")
    means = np.random.default_rng(1).exponential(size=geometry.n_voxels)
    chart = figure_data.average_showers(geometry, means, means)
    assert len(chart.data["geometry"]["layers"]) == 6
    assert "6 of 45 layers" in chart.caption
    assert len(json.dumps(plain(chart.data))) < 150_000


def test_whole_showers_come_back_beside_the_nearest_reference_shower():
    generated = showers(
        [100, 100, 400], [[8, 0, 0, 0, 2, 0, 0, 0], [1, 0, 0, 9, 0, 0, 0, 0], [0, 40, 0, 0, 0, 0, 0, 0.3]]
    )
    reference = showers(
        [100, 100, 401], [[0, 1, 9, 0, 0, 0, 0, 0], [0, 7, 0, 3, 0, 0, 0, 0], [0, 0, 0, 30, 0, 0, 0, 0]]
    )
    whole = figure_data.whole_showers(generated, reference, "toy")["whole"]
    geometry = Geometry.from_dict(whole["geometry"])
    back = figure_data.showers_of(json.loads(json.dumps(plain(whole["generated"]))), geometry)
    np.testing.assert_allclose(back.voxels, generated.voxels, rtol=1e-5)
    assert back.energies.tolist() == [100, 100, 400]
    beside = figure_data.showers_of(whole["reference"], geometry)
    assert beside.voxels.tolist() == reference.voxels[[1, 0, 2]].tolist()
    assert whole["detector"] == "toy"


def test_whole_showers_are_fewer_where_they_have_many_hits(monkeypatch):
    many = showers([100] * 6, np.ones((6, 8)))
    for most, kept in ((64, 4), (63, 2), (31, 1)):
        monkeypatch.setattr(figure_data, "MOST_HITS", most)
        assert len(figure_data.whole_showers(many, many, "")["whole"]["generated"]["incident"]) == kept
    monkeypatch.setattr(figure_data, "MOST_HITS", 15)
    assert figure_data.whole_showers(many, many, "") == {}
