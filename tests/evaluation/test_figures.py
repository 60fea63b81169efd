"""Figures of a report: which there are, that they survive saving, and that a user's own observable appears."""

import hist
import numpy as np
import pytest

from caloforge import plots
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.metrics.figure_data import average_showers, profiles, response_map
from caloforge.evaluation.report.about import About, Sample
from caloforge.evaluation.report.figures import figures, plot
from caloforge.evaluation.report.report import Report
from caloforge.geometry import Geometry, Layer

ABOUT = About(Sample("g.h5", 10), Sample("r.h5", 10), None, "small", 0.0)
SMALL = Geometry("small", (Layer(0, (0, 1, 2)), Layer(1, (0, 1, 2), n_alpha=3)))


def histogram(name, group, layer=None, values=(0.5, 1.5)):
    family = name.rpartition("_")[0] if layer is not None else name
    h = hist.Hist(
        hist.axis.StrCategory(["generated", "reference"], overflow=False),
        hist.axis.Regular(3, 0, 3, name=name, label=f"{name} [mm]"),
        storage=hist.storage.Int64(),
        metadata={"group": group, "family": family, "layer": layer, "log": True},
    )
    h.fill("generated", values)
    h.fill("reference", [0.5, 0.7, 1.5])
    return h


def number(section, name, value=0.2, at="", **extra):
    return Metric(
        section, name, f"words of {name}", Estimate(value, 0.01, 0.1, 0.01, value / 2, 100), at=at, extra=extra
    )


def classifier_charts(test):
    return [
        Chart(f"roc_{test}", "roc", "auc", "", "", {"label": test, "fpr": [0, 1], "tpr": [0, 1], "auc": 0.5}),
        Chart(
            f"weights_{test}",
            "weights",
            "auc",
            "",
            "",
            {"label": test, "edges": [-1, 1], "generated": [3], "reference": [4]},
        ),
    ]


@pytest.fixture
def report():
    means = np.arange(8.0)
    return Report(
        ABOUT,
        [number("separation_power", "ec_r_0"), number("separation_power", "ec_r_1")],
        {
            "mine": histogram("mine", "my_group"),
            "ec_r_0": histogram("ec_r_0", "centres", 0),
            "ec_r_1": histogram("ec_r_1", "centres", 1),
            "e_layer_0": histogram("e_layer_0", "energies", 0),
        },
        [average_showers(SMALL, means, means + 1), profiles(SMALL, means, means + 1)],
        {"auc": Section("auc", "AUC", page="classifiers")},
    )


def named(report):
    return {figure.name: figure for figure in figures(report)}


def test_histograms_are_grouped_in_the_usual_order(report):
    found = named(report)
    assert list(found) == ["energies", "centres", "my_group", "average_showers", "profiles"]
    assert found["my_group"].title == "My group"
    assert found["centres"].page == "histograms"
    assert len(found["centres"].draw().child_axes) == 4  # two panels, each with its ratio


def test_every_figure_says_what_to_look_for(report):
    for figure in figures(report):
        assert len(figure.caption) > 40
        assert figure.title


def test_a_saved_report_has_the_same_figures(report, tmp_path):
    loaded = Report.load(report.save(tmp_path / "report"))
    assert list(named(loaded)) == list(named(report))
    assert named(loaded)["profiles"].caption == named(report)["profiles"].caption
    for name in ("my_group", "profiles"):
        first, second = (named(each)[name].draw().figure for each in (report, loaded))
        for figure in (first, second):
            figure.set_dpi(50)
            figure.canvas.draw()
        assert (np.asarray(first.canvas.buffer_rgba()) == np.asarray(second.canvas.buffer_rgba())).all()


def test_many_layers_are_selected_where_the_energy_is(report):
    deep = range(40)
    report.hists = {f"ec_r_{k}": histogram(f"ec_r_{k}", "centres", k) for k in deep}
    report.metrics = [number("separation_power", f"ec_r_{k}", 0.01 * (k + 1)) for k in deep]
    energies = [1.0 if 10 <= k < 14 else 0.0 for k in deep]
    data = {"layers": [*deep], "generated": energies, "reference": energies, "others": []}
    report.charts = [Chart("profiles", "profiles", "histograms", "", "", data)]
    found = named(report)
    assert "Layers 10, 11, 12, 13 of 40" in found["centres"].caption
    assert len(found["centres"].draw().child_axes) == 8
    (panel,) = found["separation_by_layer"].draw().child_axes
    assert panel.get_title() == "centre of energy in r"
    values, baseline = (line for line in panel.lines if len(line.get_xdata()) == 40)
    assert values.get_ydata() == pytest.approx([0.005 * (k + 1) for k in deep])  # at the baseline's sample size
    assert set(baseline.get_ydata()) == {0.1}


def test_numbers_per_energy_are_drawn_where_a_section_has_few(report):
    assert "by_energy" not in named(report)
    energies = {"1 GeV": 1000.0, "4 GeV": 4000.0}
    report.metrics = [number("mean_separation_power", "all", 0.2, at, energy=e) for at, e in energies.items()]
    report.metrics += [
        number("wasserstein", f"x{k}", 0.2, at, energy=e) for at, e in energies.items() for k in range(9)
    ]
    (panel,) = named(report)["by_energy"].draw().child_axes
    assert panel.get_title() == "mean separation power\nwords of all"
    assert panel.lines[0].get_xydata().tolist() == [[1, 0.1], [4, 0.1]]


def test_classifiers_share_a_figure(report):
    report.charts += [*classifier_charts("first"), *classifier_charts("second")]
    found = named(report)
    assert not {"roc_first", "weights_first"} & set(found)
    roc, weights = found["classifiers"].draw().child_axes
    assert [text.get_text() for text in roc.get_legend().get_texts()] == ["first, AUC 0.500", "second, AUC 0.500"]
    assert len(weights.get_legend().get_texts()) == 2
    assert len(plot(report, "roc_second").get_legend().get_texts()) == 1


def test_importances_are_sorted(report):
    report.metrics += [number("importance", n, v) for n, v in (("a", 0.1), ("zero", 0.0), ("b", 0.3))]
    ax = named(report)["importance"].draw()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["words of b", "words of a"]


def test_plot_by_name(report):
    assert len(plot(report, "mine").child_axes) == 2
    assert len(plot(report, "centres").child_axes) == 4
    ax = plots.axes()
    assert plot(report, "mine", ax=ax) is ax
    assert ax.get_xlabel() == "mine [mm]"
    assert plot(report, "centres", ax=(own := plots.axes())) is own
    assert len(own.child_axes) == 4
    with pytest.raises(CaloforgeError, match=r"'ec_r_2'.*ec_r_1"):
        plot(report, "ec_r_2")


def test_a_report_without_data_has_no_figures():
    empty = Report(ABOUT, [])
    assert figures(empty) == []
    with pytest.raises(CaloforgeError, match="no data of figures"):
        plot(empty, "ec_r_1")


def test_an_unknown_kind_of_chart_is_left_out_of_the_page_and_named_by_plot(report):
    report.charts.append(Chart("mine", "scatter", "auc", "", "", {}))
    report.hists = {}
    assert "mine" not in named(report)
    with pytest.raises(CaloforgeError, match="'scatter'"):
        plot(report, "mine")


def test_a_chart_of_a_section_goes_to_the_sections_page(report):
    report.charts = [Chart("b", "bars", "auc", "Bars", "Look.", {"names": ["x"], "values": [1]})]
    report.hists = {}
    assert [(figure.name, figure.page) for figure in figures(report)] == [("b", "classifiers")]


def test_response_of_one_energy_is_drawn():
    energies = np.full(50, 1000.0)
    chart = response_map((energies, np.ones(50)), (energies, np.ones(50)))
    plots.draw(chart.kind, chart.data).figure.canvas.draw()


def test_a_profile_with_errors_is_drawn_only_by_name(report):
    data = {"label": "r [mm]", "unit": "MeV", "positions": [1, 2]}
    data |= {key: [3.0, 4.0] for key in ("generated", "generated_error", "reference", "reference_error")}
    report.charts = [Chart("radial", "profile", "profiles", "Radial", "", data)]
    assert "radial" not in named(report)
    assert plot(report, "radial").get_xlabel() == "r [mm]"
