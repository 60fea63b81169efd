"""Histograms of two samples: what is drawn is asserted on the artists, bin by bin."""

import hist
import numpy as np
import pytest

from caloforge import plots
from caloforge.plots.histograms import Counts, draw_histogram

EDGES = np.array([0.0, 1.0, 2.0, 3.0])


def filled(generated, reference, edges=EDGES, **metadata):
    """A `hist.Hist` as a report has it."""
    h = hist.Hist(
        hist.axis.StrCategory(["generated", "reference"], name="dataset", overflow=False),
        hist.axis.Variable(edges, name="x", label="x [mm]"),
        storage=hist.storage.Int64(),
        metadata=metadata,
    )
    h.fill("generated", generated)
    h.fill("reference", reference)
    return h


def counts(generated, reference, edges=EDGES, **more):
    return Counts(np.asarray(edges, float), np.asarray(generated, float), np.asarray(reference, float), **more)


def test_counts_of_a_hist_keep_label_scale_and_what_lies_outside():
    found = Counts.of(filled([-1, 0.5, 1, 3.5, 9], [2.5], log=True, counted="voxels"))
    assert found.edges.tolist() == EDGES.tolist()
    assert found.generated.tolist() == [1, 1, 1, 0, 2]
    assert found.reference.tolist() == [0, 0, 0, 1, 0]
    assert (found.label, found.log, found.counted) == ("x [mm]", True, "voxels")
    assert found.names == ("generated", "reference")


def test_axes_without_flow_bins_have_none():
    h = hist.Hist(
        hist.axis.StrCategory(["mine", "theirs"], overflow=False),
        hist.axis.Regular(2, 0, 2, name="y", underflow=False, overflow=False),
    )
    h.fill("mine", [0.5, 1.5, 7])
    found = Counts.of(h)
    assert found.generated.tolist() == [0, 1, 1, 0]
    assert (found.label, found.log, found.names) == ("y", False, ("mine", "theirs"))


@pytest.mark.parametrize("h", [hist.Hist.new.Reg(3, 0, 1).Double(), hist.Hist.new.StrCat(["a"]).Reg(3, 0, 1).Double()])
def test_other_histograms_raise(h):
    with pytest.raises(ValueError, match="two axes"):
        Counts.of(h)


def test_counts_need_flow_bins():
    with pytest.raises(ValueError, match="'generated' has 3"):
        counts([1, 2, 3], [0, 1, 2, 3, 0])


def test_trimming_loses_nothing():
    found = counts([0, 0, 0, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0], [0] * 6 + [3, 4] + [0] * 6, np.arange(13.0)).trimmed(1)
    assert found.edges.tolist() == [3, 4, 5, 6, 7, 8, 9, 10] or found.edges.tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert (found.generated.sum(), found.reference.sum()) == (8, 7)


def test_empty_bins_are_trimmed_except_next_to_a_flow_bin():
    edges = np.arange(101.0)
    peak = Counts.of(filled(np.full(10, 50.5), np.full(10, 50.5), edges)).trimmed()
    assert (peak.edges[0], peak.edges[-1]) == (48, 53)
    assert peak.reference.sum() == 10
    spilled = Counts.of(filled(np.full(10, 50.5), [50.5, 200], edges)).trimmed()
    assert spilled.edges[-1] == 100
    assert spilled.reference[-1] == 1


def test_fractions_ratio_and_flow_bins(panels):
    top, low = panels(2)
    drawn = draw_histogram(counts([1, 3, 1, 2, 1], [0, 2, 2, 0, 0]), ax=top, ratio_ax=low)
    # one bin below, three inside, one above; fractions of all showers
    assert drawn.generated == pytest.approx([1 / 8, 3 / 8, 1 / 8, 2 / 8, 1 / 8])
    assert drawn.reference == pytest.approx([0, 0.5, 0.5, 0, 0])
    assert drawn.ratio[1:3] == pytest.approx([0.75, 0.25])
    assert np.isnan(drawn.ratio[[0, 3, 4]]).all()
    assert drawn.steps[0].get_data().values == pytest.approx(drawn.generated)
    assert drawn.steps[1].get_data().values == pytest.approx(drawn.reference)
    bars = np.array([segment[:, 1] for segment in drawn.errors.lines[2][0].get_segments()])
    assert np.diff(bars)[:, 0] / 2 == pytest.approx(np.sqrt([1, 3, 1, 2, 1]) / 8)
    assert [len(shades) for shades in drawn.flow] == [2, 2]
    assert drawn.edges[0] < EDGES[0] < EDGES[-1] < drawn.edges[-1]
    assert drawn.points.lines[0].get_ydata() == pytest.approx([0.75, 0.25])


def test_no_flow_bin_where_nothing_lies_outside(panels):
    drawn = draw_histogram(counts([0, 1, 1, 1, 0], [0, 1, 1, 1, 0]), ax=panels(1)[0])
    assert drawn.edges.tolist() == EDGES.tolist()
    assert drawn.ratio == pytest.approx([1, 1, 1])
    assert drawn.points is None


def test_logarithmic_bins_get_a_logarithmic_axis(panels):
    values = np.geomspace(0.5, 900, 100)
    found = Counts.of(filled(values, values, np.geomspace(1, 1000, 31), log=True))
    assert found.log_x
    assert not counts([0] * 5, [0] * 5, EDGES + 1).log_x
    top, low = panels(2)
    drawn = draw_histogram(found, ax=top, ratio_ax=low)
    assert (top.get_xscale(), low.get_xscale(), top.get_yscale()) == ("log", "log", "log")
    # the flow bin is as wide on the axis as on a linear one
    assert np.log(drawn.edges[1] / drawn.edges[0]) == pytest.approx(0.06 * np.log(1000))


def test_ratios_beyond_the_panel_become_arrows(panels):
    top, low = panels(2)
    draw_histogram(counts([0, 900, 1000, 10, 0], [0, 100, 1000, 800, 0]), ax=top, ratio_ax=low)
    arrows = {line.get_marker(): line.get_xdata().tolist() for line in low.lines if line.get_marker() in "^v"}
    assert arrows == {"^": [0.5], "v": [2.5]}


def test_empty_samples_are_drawn_empty():
    outer = plots.histogram_grid([counts([0] * 5, [0] * 5, log=True)])
    outer.figure.canvas.draw()
    _, top = outer.child_axes
    assert top.patches[0].get_data().values.tolist() == [0, 0, 0]


def test_a_histogram_of_ones_own_axes_or_a_figure_with_its_ratio(panels):
    h = filled([0.5, 1.5], [0.5, 2.5])
    assert len(plots.histogram(h).child_axes) == 2
    (ax,) = panels(1)
    assert plots.histogram(h, ax=ax) is ax
    assert not ax.child_axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x [mm]", "fraction of showers")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["reference", "generated"]
    top, low = panels(2)
    plots.histogram(h, ax=top, ratio_ax=low)
    assert low.get_xlabel() == "x [mm]"
    assert len(low.containers) == 1


def test_a_grid_has_a_panel_and_a_ratio_each():
    outer = plots.histogram_grid([filled([0.5], [0.5]), filled([1.5], [1.5], counted="voxels")])
    labels = [ax.get_ylabel() for ax in outer.child_axes]
    assert sorted(labels) == ["", "fraction of showers", "fraction of voxels", "ratio"]
    assert outer.get_legend() is not None
