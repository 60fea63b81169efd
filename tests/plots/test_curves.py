"""Profiles, response, matrices, classifiers, bars, dimension and timing, asserted on their artists."""

from types import SimpleNamespace

import numpy as np
import pytest

from caloforge.plots import bars, classifiers, matrices, profiles, response
from caloforge.plots.dimension import dimension_grid, draw_dimension
from caloforge.plots.timing import draw_times


def test_longitudinal_profile_names_the_layers(panels):
    top, low = panels(2)
    drawn = profiles.draw_longitudinal([0, 12], np.array([1.0, 27]), np.array([2.0, 6]), ax=top, ratio_ax=low)
    assert drawn.generated.get_data().values.tolist() == [1, 27]
    assert drawn.reference.get_data().values.tolist() == [2, 6]
    assert drawn.ratio.get_data().values.tolist() == [0.5, 1.5]  # clipped to its panel
    assert [text.get_text() for text in low.get_xticklabels()] == ["0", "12"]


def test_profile_ratio_is_blank_without_a_reference(panels):
    top, low = panels(2)
    drawn = profiles.draw_profile(np.arange(4.0), np.array([2.0, 1, 0]), np.array([1.0, 1, 0]), ax=top, ratio_ax=low)
    values = drawn.ratio.get_data().values
    assert values[:2].tolist() == [1.5, 1]
    assert np.isnan(values[2])
    assert top.get_xscale() == "linear"


def test_wide_rings_get_an_axis_that_shows_the_core(panels):
    for edges, scale in (([0, 1, 100], "symlog"), ([-50, 1, 100], "linear")):
        top, low = panels(2)
        profiles.draw_profile(np.array(edges, float), np.ones(2), np.ones(2), ax=top, ratio_ax=low)
        assert (top.get_xscale(), low.get_xscale()) == (scale, scale)


def test_response_points_are_at_the_middle_of_their_bins(panels):
    samples = {
        name: {"mean": np.array([1.0, 0.9]), "error": np.array([0.1, 0.2]), "width": np.array([0.3, np.nan])}
        for name in ("generated", "reference")
    }
    ax, width_ax = panels(2)
    drawn = response.draw_response(np.array([1e3, 4e3, 16e3]), samples, ax=ax, width_ax=width_ax)
    assert drawn["generated"].lines[0].get_xydata() == pytest.approx(np.array([[2, 1.0], [8, 0.9]]))
    assert [len(drawn) for drawn in (drawn, width_ax.containers)] == [2, 2]


def test_differences_of_the_response_are_in_per_cent_with_the_references_band(panels):
    [ax] = panels(1)
    generated = np.array([1.1, 0.9]), np.array([0.02, 0.03])
    reference = np.array([1.0, 0.9]), np.array([0.01, np.nan])
    points = response.draw_difference(np.array([1e3, 4e3, 16e3]), generated, reference, ax=ax, label="response")
    assert points.lines[0].get_xydata() == pytest.approx(np.array([[2, 10.0], [8, 0.0]]))
    assert ax.patches[0].get_data().values[0] == pytest.approx(1.0)
    assert ax.get_ylim()[1] > 10


def test_response_map_shows_fractions_of_all_showers(panels):
    mesh = response.draw_response_map(
        np.array([1.0, 10, 100]), np.array([0.5, 1.0, 1.5]), np.array([[1.0, 0], [2, 1]]), ax=panels(1)[0]
    )
    assert mesh.get_array().sum() == pytest.approx(1)
    assert mesh.get_array().mask.sum() == 1


def test_matrix_and_its_scale(panels):
    values = np.array([[1.0, -0.5], [np.nan, 1]])
    image = matrices.draw_matrix(["a", "b"], values, ax=panels(1)[0], title="t")
    assert image.get_array().mask.tolist() == [[False, False], [True, False]]
    assert sorted(text.get_text() for text in image.axes.texts) == ["-0.50", "1.00", "1.00"]
    image = matrices.draw_matrix([str(k) for k in range(45)], np.eye(45), ax=image.axes)
    assert len(image.axes.get_yticks()) == 23
    assert matrices.difference_limit(np.array([[0.0, -0.04]])) == 0.05
    assert matrices.difference_limit(np.array([[np.nan]])) == 1


def test_roc_weights_and_learning_curve(panels):
    roc_ax, weights_ax, curve_ax = panels(3)
    curves = [{"label": "a", "fpr": [0, 0.2, 1], "tpr": [0, 0.7, 1], "auc": 0.75}, {"label": "b", "fpr": [], "tpr": []}]
    first, _ = classifiers.draw_roc(curves, ax=roc_ax)
    assert first.get_ydata().tolist() == [0, 0.7, 1]
    assert [text.get_text() for text in roc_ax.get_legend().get_texts()] == ["a, AUC 0.750", "b"]
    histogram = {"label": "a", "edges": [-1, 0, 1], "generated": [30, 10], "reference": [10, 10]}
    [(generated, reference)] = classifiers.draw_weights([histogram], ax=weights_ax)
    assert generated.get_data().values.tolist() == [0.75, 0.25]
    assert reference.get_data().values.tolist() == [0.5, 0.5]
    points = {"label": "a", "n": [100, 200], "auc": [0.6, 0.7], "error": [0.1, 0.02]}
    line, _, (errors,) = classifiers.draw_learning_curves([points], ax=curve_ax)[0].lines
    assert line.get_xdata().tolist() == [100, 200]
    assert np.concatenate(errors.get_segments())[:, 1] == pytest.approx([0.5, 0.7, 0.68, 0.72])


def test_bars_go_down_from_the_first(panels):
    (ax,) = panels(1)
    drawn = bars.draw_bars(["first", "second"], np.array([0.2, 0.1]), ax=ax, label="loss")
    assert [bar.get_width() for bar in drawn] == [0.2, 0.1]
    (_, y_first), (_, y_second) = ax.transData.transform([(0, 0), (0, 1)])
    assert y_first > y_second
    assert [text.get_text() for text in ax.get_yticklabels()] == ["first", "second"]


def point(k, value, error):
    return SimpleNamespace(k=k, value=value, error=error)


def test_dimension_returns_its_curves(panels):
    curves = {"raw": [point(5, 21.0, 0.5), point(10, 19.0, 0.4)], "logit": [point(5, 60.0, 1.0)]}
    raw, logit = draw_dimension(curves, ax=panels(1)[0])
    assert raw.lines[0].get_xydata().tolist() == [[5, 21], [10, 19]]
    assert raw.lines[2][0].get_segments()[0].tolist() == [[5, 20.5], [5, 21.5]]
    assert logit.lines[0].get_xydata().tolist() == [[5, 60]]
    assert [text.get_text() for text in raw.lines[0].axes.get_legend().get_texts()] == ["raw", "logit"]


def test_dimension_grid_has_a_panel_per_title():
    outer = dimension_grid({f"{k} GeV": {"raw": [point(5, 20.0, 1.0)]} for k in range(5)})
    assert [ax.get_title() for ax in outer.child_axes] == [f"{k} GeV" for k in range(5)]


def test_times_are_medians_with_quartiles(panels):
    (ax,) = panels(1)
    spreads = [SimpleNamespace(median=2.0, lower=1.0, upper=3.0), SimpleNamespace(median=0.2, lower=0.1, upper=0.3)]
    (line,) = draw_times([1, 100], {"torch": spreads}, title="one thread", ax=ax)
    assert line.get_xydata().tolist() == [[1, 2], [100, 0.2]]
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert [*corners.min(axis=0), *corners.max(axis=0)] == pytest.approx([1, 0.1, 100, 3])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


@pytest.mark.parametrize(("values", "scale"), [([3.0, 4.0], "linear"), ([3.0, 400.0], "log")])
def test_points_of_a_profile_are_logarithmic_over_decades(panels, values, scale):
    data = {"label": "r [mm]", "unit": "MeV", "positions": [1, 2], "generated": values, "reference": values}
    data |= {"generated_error": [0.1, None], "reference_error": [0.1, 0.1]}
    (ax,) = panels(1)
    drawn = profiles.draw_points(data, ax=ax)
    assert drawn["generated"].lines[0].get_xydata().tolist() == [[1, values[0]], [2, values[1]]]
    assert ax.get_yscale() == scale
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("r [mm]", "mean energy [MeV]")
