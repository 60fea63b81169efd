"""What the Python interface adds to the command line: reading, words for spectra, histograms, and texts of objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boost_histogram
import numpy as np
import pytest
from matplotlib.axes import Axes
from typer.testing import CliRunner

import caloforge as cf
from caloforge.cli import app
from caloforge.energies import IncidentLaw, parse_spectrum
from caloforge.errors import CaloforgeError
from caloforge.observables.binning import counts
from caloforge.showers import ShowerFiles
from caloforge.sources.sample import sample_path
from caloforge.zoo import find_run
from caloforge.zoo.model_card import Card

TEST, TRAIN = cf.sample("test", stop=60), cf.sample("train", stop=40)


@pytest.fixture(scope="module")
def report() -> cf.Report:
    return cf.evaluate(TEST, TRAIN, quick=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    TEST.write(tmp_path / "a.h5")
    TRAIN.write(tmp_path / "b.h5")
    return tmp_path


@pytest.mark.parametrize(
    "source",
    [
        lambda folder: folder,
        lambda folder: str(folder / "*.h5"),
        lambda folder: [folder / "a.h5", str(folder / "b.h5")],
        lambda folder: [folder / "a.h5", folder / "b*"],
    ],
)
def test_files_of_one_sample_are_read_together(source: Callable[[Path], Any], folder: Path) -> None:
    showers = cf.read(source(folder))
    assert len(showers) == 100
    assert showers[:60] == TEST
    assert showers[60:] == TRAIN
    assert cf.read(source(folder), start=50, stop=70) == showers[50:70]
    assert cf.read(source(folder), start=90, stop=1000) == showers[90:]


def test_a_file_and_showers_in_memory_are_read(folder: Path) -> None:
    assert cf.read(folder / "a.h5") == cf.read(TEST) == TEST
    assert cf.read(TEST, start=3, stop=5) == TEST[3:5]
    assert cf.read(folder / "a.h5", "ds1-photons").geometry.name == "ds1-photons"


def test_showers_that_do_not_fit_into_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*rows: int) -> cf.Showers:
        raise MemoryError

    monkeypatch.setattr("caloforge.showers.reading.ShowerFile.read", lambda self, *rows: full(*rows))
    with pytest.raises(CaloforgeError, match=r"60 showers of .*a\.h5 need 0\.0 GB of memory: read some with stop="):
        cf.read(folder / "a.h5")


def test_words_give_the_showers_of_the_command_line(folder: Path) -> None:
    # In this process: with another number of threads, sums may round differently.
    words = ["generate", "flagship-atlas-like", "--energies", "uniform:1GeV:16GeV", "-n", "30", "--seed", "7"]
    done = CliRunner().invoke(app, [*words, "-o", str(folder / "c.h5")])
    assert done.exit_code == 0, done.output
    run = cf.load("flagship-atlas-like")
    assert run.generate("uniform:1GeV:16GeV", n=30, seed=7) == cf.read(folder / "c.h5")
    cf.generate(run, "uniform:1GeV:16GeV", folder / "d.h5", n=30, seed=7)
    assert cf.read(folder / "d.h5") == cf.read(folder / "c.h5")
    like = run.generate(f"like:{folder / 'a.h5'}")
    assert (like.energies == TEST.energies).all()  # the seed is 1
    assert like == run.generate(TEST.energies, seed=1)


def test_an_observable_is_counted_in_the_challenges_bins(report: cf.Report) -> None:
    for name in ("ec_eta_1", "e_layer_2", "n_hits", "voxel_energy"):
        both = report.hists[name]
        reference = cf.observables.histogram(TRAIN, name)
        generated = cf.observables.histogram(TEST, name, like=reference)
        np.testing.assert_array_equal(reference.axes[0].edges, both.axes[1].edges)
        rows = np.stack([generated.values(flow=True), reference.values(flow=True)])
        np.testing.assert_array_equal(rows, both.values(flow=True))
        assert (reference.axes[0].label, reference.name) == (both.axes[1].label, name)
        assert cf.observables.histogram(TEST, name, like=both) == generated
    assert cf.observables.histogram(TEST, cf.observables.REGISTRY["n_hits"]).name == "n_hits"
    values = cf.observables.compute(TEST, ["n_hits"])["n_hits"]
    edges = cf.observables.histogram(TEST, "n_hits").axes[0].edges
    np.testing.assert_array_equal(cf.observables.histogram(TEST, "n_hits").values(flow=True), counts(values, edges))


class Counted:
    """A histogram that has what the PlottableHistogram protocol asks for, and nothing else."""

    kind = "COUNT"

    def __init__(self, contents: list[float]) -> None:
        edges = np.linspace(0, 1, len(contents) + 1)
        self._contents = np.array(contents)
        self.axes = (boost_histogram.axis.Variable(edges),)

    def values(self) -> np.ndarray:
        return self._contents

    def variances(self) -> np.ndarray:
        return self._contents

    def counts(self) -> np.ndarray:
        return self._contents


def test_histograms_of_any_library_are_drawn() -> None:
    boost = boost_histogram.Histogram(boost_histogram.axis.Regular(4, 0, 1))
    boost.fill([0.1, 0.1, 0.6])
    hists = [np.histogram([0.1, 0.1, 0.6], bins=4, range=(0, 1)), boost, Counted([2, 0, 1, 0])]
    drawn = []
    for h in hists:
        ax = cf.plots.histogram(h, Counted([1, 1, 1, 1]), ax=cf.plots.axes(), names=("mine", "theirs"))
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["theirs", "mine"]
        drawn.append([patch.get_data().values.tolist() for patch in ax.patches])
    assert drawn[0] == drawn[1] == drawn[2] == [[0.25] * 4, pytest.approx([2 / 3, 0, 1 / 3, 0])]


def test_flow_bins_of_a_hist_are_drawn() -> None:
    reference = cf.observables.histogram(TEST, "ec_eta_1")
    found = cf.plots.histograms.Counts.pair(reference, reference)
    np.testing.assert_array_equal(found.generated, reference.values(flow=True))
    assert found.label == "centre of energy in η, layer 1 [mm]"


def test_every_figure_of_a_report_is_drawn_on_axes_and_returns_them(report: cf.Report) -> None:
    names = report.figures()
    assert {"energies", "response", "ec_eta_1", "single_showers"} <= set(names)
    for name in ("energies", "response", "ec_eta_1", "single_showers"):
        ax = cf.plots.axes()
        assert report.plot(name, ax=ax) is ax
        assert ax.has_data() or any(panel.has_data() for panel in ax.child_axes)
        assert isinstance(report.plot(name), Axes)


def test_metrics_as_plain_mappings(report: cf.Report) -> None:
    rows = report.to_dicts()
    assert len(rows) == len(report.metrics)
    assert {"section", "name", "at", "label"} <= set(rows[0])
    assert "outside_generated" in report.to_dicts("separation_power")[0]
    frame = report.to_frame("separation_power")
    assert [row["value"] for row in report.to_dicts("separation_power")] == frame["value"].tolist()
    with pytest.raises(CaloforgeError, match="no section 'x'"):
        report.to_dicts("x")


def test_every_object_says_what_it_is_in_two_lines(report: cf.Report) -> None:
    run, recipe = cf.load("flagship-w-si"), cf.load_recipe("flagship")
    metric = report.metrics[0]
    things: dict[str, Any] = {
        "Showers(60 showers": TEST,
        "ShowerFiles(2 files, 12,000 showers": ShowerFiles([sample_path("train"), sample_path("test")]),
        "ShowerFile('photons-test.h5', 4,000 showers": cf.ShowerFile(sample_path("test")),
        "Geometry(6,480 voxels in 45 layers of 'ds2'": run.geometry,
        "Layer(0, 16 alpha × 9 r bins, r 0 … 41.85 mm)": run.geometry.layers[0],
        "CartesianLayer(0, 3 phi × 96 eta bins": cf.load_geometry("calogan").layers[0],
        "Simulator(Cascade of ": run,
        "Cascade(1,": run.model,
        "Compose(ReadoutThreshold": run.transforms,
        "ShowerStream(uniform:1GeV:2GeV, no end": cf.ShowerStream(run, "uniform:1GeV:2GeV", block=1),
        "Recipe('flagship', cascade, geometry 'file')": recipe,
        "Recipe('mine', cascade, geometry 'ds2')": recipe.model_copy(
            update={"name": "mine", "geometry": run.geometry.to_dict()}
        ),
        "Card('flagship-w-si', e- in w-si, 1 GeV … 16 GeV": Card.read(find_run("flagship-w-si")),
        "Observable('ec_eta_<layer>', centre of energy in eta [mm], per layer)": cf.observables.REGISTRY["ec_eta"],
        "Observable('n_hits'": cf.observables.REGISTRY["n_hits"],
        "BoundObservable('ec_eta_1', centre": cf.observables.find(TEST.geometry, "ec_eta_1"),
        "Report(60 generated and 40 reference showers": report,
        "Metric(separation_power, e_tot_over_e_inc: E_dep / E_inc: ": metric,
        "Estimate(": metric.estimate,
        "Section('separation_power', Separation powers, better: lower)": report.sections["separation_power"],
        "Verdict(": report.verdict,
        "About(Sample('memory', 60 showers) against": report.about,
        "EnergySpectrum('uniform:1GeV:2GeV')": parse_spectrum("uniform:1GeV:2GeV"),
        "IncidentLaw(list:1GeV, theta=0.5)": IncidentLaw.parse("list:1GeV", angles="0.5"),
        "Incident(1 particle, Columns(theta": IncidentLaw.parse("list:1GeV", angles="0.5").draw(1, 1),
    }
    for start, thing in things.items():
        text = repr(thing)
        assert text.startswith(start), text
        assert text.count("\n") <= 1
        assert len(text) <= 200
    for chart in report.charts:
        assert repr(chart).startswith(f"Chart('{chart.name}', ")
        assert len(repr(chart)) < 200
