"""Figures: what is drawn is asserted on the artists, bin by bin."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from caloforge.evaluation.plots import classifiers, galleries, layers, matrices, profiles, report_style
from caloforge.evaluation.plots.histograms import Histogram, common_range, draw_histograms
from caloforge.evaluation.plots.observables import (
    FAMILIES,
    automatic_edges,
    histogram_figure,
    members,
    panel_grid,
    separation_by_layer,
    unfamiliar,
)
from caloforge.evaluation.plots.style import power_of_ten
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.showers import Showers


@pytest.fixture(autouse=True)
def _style():
    with report_style():
        yield


def axes(n=1):
    figure = Figure()
    found = [figure.add_subplot(1, n, k + 1) for k in range(n)]
    return found[0] if n == 1 else found


EDGES = np.array([0.0, 1.0, 2.0, 3.0])


def test_counts_keep_what_lies_outside():
    histogram = Histogram.fill(np.array([-1, -0.1, 0, 0.5, 1, 3, 3.5]), EDGES)
    assert histogram.counts.tolist() == [2, 1, 1]  # the last edge belongs to the last bin
    assert (histogram.under, histogram.over, histogram.n) == (2, 1, 7)


def test_trimming_loses_nothing():
    histogram = Histogram.fill(np.array([-1, 0.5, 1.5, 1.6, 2.5, 9]), EDGES)
    cut = histogram.trimmed(1, 1)
    assert cut.edges.tolist() == [1, 2]
    assert cut.under + cut.counts.sum() + cut.over == histogram.n


def test_common_range_cuts_empty_bins_but_not_beside_a_flow_bin():
    edges = np.arange(101.0)
    peak = Histogram.fill(np.full(10, 50.5), edges)
    mine, theirs = common_range(peak, peak)
    assert mine.edges[0] == 48
    assert mine.edges[-1] == 53
    assert theirs.counts.sum() == 10
    spilled = Histogram.fill(np.array([50.5, 200.0]), edges)
    _, theirs = common_range(peak, spilled)
    assert theirs.edges[-1] == 100
    assert theirs.over == 1


def test_shares_ratio_and_flow_bins():
    generated = Histogram.fill(np.array([-5, 0.5, 0.5, 0.5, 1.5, 2.5, 2.5, 9]), EDGES)
    reference = Histogram.fill(np.array([0.5, 0.5, 1.5, 1.5]), EDGES)
    top, low = axes(2)
    plot = draw_histograms(generated, reference, ax=top, ratio_ax=low)
    # one bin below, three inside, one above; shares of all showers
    assert plot.generated == pytest.approx([1 / 8, 3 / 8, 1 / 8, 2 / 8, 1 / 8])
    assert plot.reference == pytest.approx([0, 0.5, 0.5, 0, 0])
    assert plot.ratio[1:3] == pytest.approx([0.75, 0.25])
    assert np.isnan(plot.ratio[[0, 3, 4]]).all()
    stairs = plot.artists["generated"][0].stairs
    assert stairs.get_data().values == pytest.approx(plot.generated)
    assert [len(shades) for shades in plot.artists["flow"]] == [2, 2]
    assert plot.edges[0] < EDGES[0]
    assert plot.edges[-1] > EDGES[-1]
    drawn = plot.artists["ratio"].lines[0].get_ydata()
    assert drawn == pytest.approx([0.75, 0.25])


def test_no_flow_bin_where_nothing_lies_outside():
    inside = Histogram.fill(np.array([0.5, 1.5, 2.5]), EDGES)
    plot = draw_histograms(inside, inside, ax=axes())
    assert plot.edges.tolist() == EDGES.tolist()
    assert plot.ratio == pytest.approx([1, 1, 1])


def test_logarithmic_bins_get_a_logarithmic_axis():
    edges = np.geomspace(1, 1000, 31)
    histogram = Histogram.fill(np.geomspace(0.5, 900, 100), edges)
    assert histogram.logarithmic
    assert not Histogram.fill(np.array([1.0]), EDGES + 1).logarithmic
    top, low = axes(2)
    plot = draw_histograms(histogram, histogram, ax=top, ratio_ax=low, log_y=True)
    assert (top.get_xscale(), low.get_xscale(), top.get_yscale()) == ("log", "log", "log")
    # the flow bin is as wide on the axis as on a linear one
    assert np.log(plot.edges[1] / plot.edges[0]) == pytest.approx(0.06 * np.log(1000))


def test_different_edges_are_refused():
    with pytest.raises(ValueError, match="share their edges"):
        draw_histograms(Histogram.fill(EDGES, EDGES), Histogram.fill(EDGES, EDGES * 2), ax=axes())


def test_empty_samples_are_drawn_empty():
    nothing = Histogram.fill(np.array([]), EDGES)
    plot = draw_histograms(nothing, nothing, ax=axes(), log_y=True)
    assert plot.generated.tolist() == [0, 0, 0]
    histogram_figure([("e_layer_0", nothing, nothing)]).canvas.draw()


@pytest.mark.parametrize(
    ("reference", "edges"),
    [
        (np.full(5, 3.0), [2.5, 3.5]),
        (np.zeros(4), [-0.5, 0.5]),
        (np.arange(10.0), np.arange(-0.5, 10)),
    ],
)
def test_automatic_edges(reference, edges):
    assert automatic_edges(reference, reference) == pytest.approx(np.asarray(edges))


def test_whole_numbers_get_bins_of_whole_width():
    counts = np.random.default_rng(1).poisson(300, 5000).astype(float)
    edges = automatic_edges(counts, counts)
    assert len(edges) - 1 <= 52
    assert np.diff(edges) == pytest.approx(np.round(np.diff(edges)))
    assert edges[0] % 1 == 0.5


def test_families_hold_each_observable_once():
    names = ["ec_r_12", "ec_eta_1", "e_tot_over_e_inc", "width_r_0", "sparsity_1", "n_hits", "my_own"]
    found = [name for family in FAMILIES for name in members(family, names, [0, 1, 12])]
    assert sorted(found) == sorted(set(names) - {"my_own"})
    assert unfamiliar(names) == ["my_own"]
    assert members(FAMILIES[1], names, [0]) == []


def test_panel_grid_does_not_overlap():
    figure, pairs = panel_grid(5)
    boxes = [ax.get_position() for pair in pairs for ax in pair]
    assert len(boxes) == 10
    for k, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
        for other in boxes[k + 1 :]:
            assert box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0
    assert figure.axes


def test_separation_by_layer_draws_values_and_floors():
    entries = {f"e_layer_{k}": {"value": 0.01 * (k + 1), "floor": 0.001} for k in range(3)}
    entries["ec_r_0"] = {"unavailable": "no energy"}
    geometry = Geometry("g", tuple(Layer(k, (0, 1)) for k in range(3)))
    figure = separation_by_layer(geometry, entries, ["e_layer", "ec_r"])
    assert len(figure.axes) == 1
    value, floor = figure.axes[0].lines
    assert value.get_ydata().tolist() == pytest.approx([0.01, 0.02, 0.03])
    assert np.asarray(floor.get_ydata()).tolist() == [0.001] * 3
    assert separation_by_layer(geometry, {}, ["e_layer"]) is None


def test_powers_of_ten_are_plain_text():
    assert [power_of_ten(v) for v in (1e-3, 0.1, 1, 10, 1e5, 20)] == ["10⁻³", "10⁻¹", "1", "10", "10⁵", "20"]


# --- layers -----------------------------------------------------------------------------------------------------

POLAR = Layer(1, (0, 1, 2), n_alpha=3)


UNIT = layers.Frame(0, 0, 1)


def draw(layer, voxels, norm, frame=UNIT):
    figure = Figure(figsize=(4, 4))
    canvas = layers.canvas(figure)
    return layers.draw_layer(layer, voxels, ax=canvas, frame=frame, norm=norm)


def test_polar_layer_shows_each_voxel_in_its_sector():
    voxels = np.arange(1.0, 7)  # alpha slowest, r fastest
    mesh = draw(POLAR, voxels, LogNorm(1, 6), layers.Frame(1, 2, 2))
    drawn = mesh.get_array()
    assert drawn.shape == (2, 60)  # rings, and 3 sectors of 20 pieces
    assert drawn[0, [0, 20, 40]].tolist() == [1, 3, 5]
    assert drawn[1, [19, 39, 59]].tolist() == [2, 4, 6]
    # A frame of 2 inches from (1, 2): its centre is (2, 3), the outermost ring has a radius of 1.
    x, y = np.moveaxis(mesh.get_coordinates() - [2, 3], -1, 0)
    assert np.hypot(x, y)[:, 7] == pytest.approx([0, 0.5, 1])
    assert np.arctan2(y[2, 1:-1], x[2, 1:-1]) == pytest.approx(np.linspace(-np.pi, np.pi, 61)[1:-1])
    assert (x[2, 0], y[2, 0]) == pytest.approx((-1, 0))


def test_wide_rings_are_drawn_with_the_root_of_the_radius():
    assert layers.drawn_radii(Layer(0, (0, 4, 100, 400))) == pytest.approx([0, 0.1, 0.5, 1])
    assert layers.drawn_radii(POLAR) == pytest.approx([0, 0.5, 1])


def test_voxels_without_energy_are_masked():
    mesh = draw(POLAR, np.array([0, 1, np.nan, 2, 3, 4]), LogNorm(1, 4))
    assert mesh.get_array().mask.sum() == 2 * 20


def test_cartesian_layer_is_an_image_of_eta_against_phi():
    layer = CartesianLayer(0, phi_edges=(0, 10, 20), eta_edges=(0, 1, 2, 4))
    mesh = draw(layer, np.arange(1.0, 7), LogNorm(1, 6))
    assert mesh.get_array().tolist() == [[1, 2, 3], [4, 5, 6]]
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 0.25, 0.5, 1]
    assert mesh.get_coordinates()[:, 0, 1].tolist() == [0, 0.5, 1]


def test_colour_bar_runs_over_the_scale():
    mesh = draw(POLAR, np.arange(1.0, 7), LogNorm(1, 100))
    layers.draw_colours(mesh.axes, mesh, (1.0, 0.5, 2.0, 0.1), {1.0: "one", 10.0: "ten"})
    bar = mesh.axes.collections[-1]
    colours = bar.get_array().ravel()
    assert (np.diff(colours) > 0).all()
    assert 1 < colours[0] < 1.05
    assert 95 < colours[-1] < 100
    places = {text.get_text(): text.get_position()[0] for text in mesh.axes.texts}
    assert places["one"] == pytest.approx(1.0)
    assert places["ten"] == pytest.approx(2.0)  # half of two decades


def test_ratio_is_blank_only_where_neither_has_energy():
    found = layers.ratio(np.array([2.0, 0, 1, 0]), np.array([1.0, 1, 0, 0]))
    assert found[:3].tolist() == [2, 1e-3, 1e3]
    assert np.isnan(found[3])


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.0, 1.0, 100.0], 1, 100), ([0.0, 0.0], 0.1, 1), ([5.0], 0.5, 5), ([1e-9, 1e3], 1e-2, 1e3)],
)
def test_energy_norm(values, low, high):
    norm = layers.energy_norm(np.array(values))
    assert (norm.vmin, norm.vmax) == pytest.approx((low, high))


def test_layers_are_chosen_where_the_energy_is():
    geometry = load_geometry("ds2")
    means = np.zeros(geometry.n_voxels)
    means[geometry.slices[10].start : geometry.slices[20].stop] = 1.0
    chosen = layers.choose_layers(geometry, means, 8)
    assert len(chosen) <= 8
    assert (min(chosen), max(chosen)) == (10, 20)
    assert layers.choose_layers(geometry, means * 0, 4) == [0, 15, 29, 44]
    assert layers.choose_layers(load_geometry("ds1-photons"), np.ones(368), 8) == [0, 1, 2, 3, 4]


SMALL = Geometry("small", (Layer(0, (0, 1, 2)), POLAR))


def showers(energies, voxels):
    return Showers(np.asarray(energies, dtype=float), np.asarray(voxels, dtype=np.float32), SMALL)


def test_average_showers_share_a_scale_and_show_the_ratio():
    reference = np.arange(1.0, 9)
    figure, meshes = galleries.average_showers(SMALL, [0, 1], 2 * reference, reference)
    assert meshes[0][0].norm.vmax == meshes[1][0].norm.vmax == 4
    assert meshes[0][0].norm.vmin == meshes[1][0].norm.vmin == 1
    assert np.unique(meshes[2][1].get_array()).tolist() == [2]
    figure.canvas.draw()


def test_single_showers_pair_equal_energies():
    mine = showers([100, 200, 400], np.eye(3, 8) + 0.5)
    theirs = showers([200, 400, 800], np.eye(3, 8) + 1)
    groups = galleries.energy_groups(mine, theirs, 5)
    assert [energy for energy, _, _ in groups] == [200, 400]
    figure, meshes = galleries.single_showers(mine, theirs, [0, 1])
    assert len(meshes) == 4
    assert meshes[0][0].get_array()[:, 0].tolist() == [0.5, 1.5]  # the generated shower of 200 MeV
    (canvas,) = figure.axes
    assert len(canvas.collections) == 4 * 2 + 2 * 2  # pictures, and a colour bar per column and energy
    assert galleries.single_showers(mine, showers([9000], np.ones((1, 8))), [0]) is None


def test_nearest_neighbour_is_the_nearest_of_the_same_energy():
    points = np.array([[0.0, 0, 0], [3, 4, 0]])
    index, distance = galleries.nearest(points, np.array([[0, 0, 1.0], [3, 4, 0]]))
    assert index.tolist() == [0, 1]
    assert distance.tolist() == [1, 0]
    voxels = np.ones((3, 8))
    voxels[1] += 0.1
    voxels[2] = 5
    theirs = showers([100], np.full((1, 8), 5.0))
    _, meshes = galleries.nearest_neighbours(showers([100, 100, 700], voxels), theirs, [1])
    # the copy of 700 MeV does not count, the closer of the other two does
    assert meshes[1][0].get_array().max() == pytest.approx(1.1)


# --- profiles, matrices, classifiers ----------------------------------------------------------------------------


def test_longitudinal_profile_sums_layers():
    top, low = axes(2)
    drawn = profiles.longitudinal(SMALL, np.arange(8.0), np.ones(8), ax=top, ratio_ax=low)
    assert drawn["generated"].tolist() == [1, 27]
    assert drawn["reference"].tolist() == [2, 6]


def test_radial_profile_is_a_density():
    top, low = axes(2)
    drawn = profiles.transverse(POLAR, np.ones(6), np.arange(6.0), ax=top, ratio_ax=low)
    assert drawn["generated"] == pytest.approx([3 / np.pi, 3 / (3 * np.pi)])
    assert drawn["reference"] == pytest.approx([6 / np.pi, 9 / (3 * np.pi)])


def test_profile_ratio_is_clipped_to_its_panel():
    top, low = axes(2)
    drawn = profiles.draw_pair(EDGES, np.array([2.0, 1, 0]), np.array([1.0, 1, 0]), ax=top, ratio_ax=low)
    values = drawn["ratio"].get_data().values
    assert values[:2].tolist() == [1.5, 1]
    assert np.isnan(values[2])


def test_response_by_hand():
    energies = np.array([1.0, 1, 1, 10, 10, 100])
    ratio = np.array([0.8, 1.0, 1.2, 0.9, 1.1, 1.0])
    found = profiles.response(energies, ratio, np.array([0.5, 5, 50, 500]))
    assert found["mean"][:2] == pytest.approx([1, 1])
    assert found["width"][:2] == pytest.approx([0.2, np.sqrt(0.02)])
    assert found["error"][:2] == pytest.approx([0.2 / np.sqrt(3), 0.1])
    assert np.isnan([found[key][2] for key in found]).all()  # one shower has no spread


@pytest.mark.parametrize("energies", [np.array([5.0]), np.array([1.0, 2, 4, 8]), np.linspace(1, 1000, 500)])
def test_energy_bins_hold_every_energy(energies):
    edges = profiles.energy_bins(energies)
    assert (np.diff(edges) > 0).all()
    assert np.histogram(energies, edges)[0].sum() == len(energies)
    if len(energies) < 10:
        assert (np.histogram(energies, edges)[0] == 1).all()


def test_deposited_against_incident_keeps_every_shower():
    edges, ratio_edges = np.array([1.0, 10, 100]), np.array([0.5, 1.0, 1.5])
    mesh = profiles.deposited_against_incident(
        np.array([2.0, 20, 20, 20]), np.array([0.7, 0.7, 9.0, -1]), ax=axes(), edges=edges, ratio_edges=ratio_edges
    )
    assert mesh.get_array().sum() == pytest.approx(1)  # what is off the axis stands in its outermost bin


def test_matrix_and_its_scale():
    values = np.array([[1.0, -0.5], [np.nan, 1]])
    image = matrices.draw_matrix(["a", "b"], values, ax=axes(), title="t")
    assert image.get_array().mask.tolist() == [[False, False], [True, False]]
    assert sorted(text.get_text() for text in image.axes.texts) == ["-0.50", "1.00", "1.00"]
    assert matrices.difference_limit(np.array([[0.0, -0.04]])) == 0.05
    assert matrices.difference_limit(np.array([[np.nan]])) == 1


def test_roc_weights_and_learning_curve():
    lines = classifiers.draw_roc({"test": ([0, 0.2, 1], [0, 0.7, 1])}, ax=axes())
    assert lines["test"].get_ydata().tolist() == [0, 0.7, 1]
    assert lines["guess"].get_xdata().tolist() == [0, 1]
    steps = classifiers.draw_weights({"test": ([-1, 0, 1], [30, 10], [10, 10])}, ax=axes())
    assert steps["test"].get_data().values.tolist() == [0.75, 0.25]
    curve = classifiers.draw_auc_against_size({"test": ([100, 200], [0.6, 0.7], [0.1, 0.02])}, ax=axes())
    line, _, (bars,) = curve["test"].lines
    assert line.get_xdata().tolist() == [100, 200]
    assert np.concatenate(bars.get_segments())[:, 1] == pytest.approx([0.5, 0.7, 0.68, 0.72])
