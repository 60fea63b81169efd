"""A metric, an observable of layers, one of showers and a classifier test of one's own, each in one file outside.

Nothing else changes: they appear in the report, on its page, in its tables and in comparisons.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from caloforge import observables
from caloforge.classifiers import TESTS
from caloforge.errors import CaloforgeError
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.metrics.base import REGISTRY, Metric, Section, metric
from caloforge.evaluation.report.compare import load_reports, write_comparison
from caloforge.evaluation.report.report import Report
from caloforge.geometry import Geometry, Layer
from caloforge.showers import Showers

OWN = '''
"""What I need for my calorimeter."""

from collections.abc import Iterator

import numpy as np

from caloforge.classifiers import ClassifierSettings, NetworkTest, register
from caloforge.classifiers.features import relative
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Found, Metric, Section, metric
from caloforge.observables import View, observable
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.networks.residual import mlp


@observable("skewness", per="layer", unit="mm", label="skewness in r", group="widths", where=lambda layer: layer.id > 0)
def skewness(view: View, position: int) -> np.ndarray:
    """(N,) mean radius minus half of the outermost, mm."""
    return view.sums(position, "r") / (view.layer_energy(position) + 1e-16) - view.geometry.layers[position].r.max() / 2


@observable("early", label="early fraction", axis=(20, 0.0, 1.0))
def early(view: View) -> np.ndarray:
    """(N,) fraction of the energy in the first layer."""
    return view.layer_energy(0) / (view.deposited + 1e-16)


@metric(Section("hits_ratio", "Ratio of hits", "Generated over reference, minus 1.", direction="nearer"))
def hits_ratio(samples: SamplePair) -> Iterator[Found]:
    """Mean number of hits."""
    first, second = (s.observables["n_hits"] for s in (samples.generated, samples.reference))
    error = np.hypot(first.std() / first.mean() / len(first) ** 0.5, second.std() / second.mean() / len(second) ** 0.5)
    value = float(first.mean() / second.mean() - 1)
    yield Metric("hits_ratio", "n_hits", "number of hits", Estimate(value, float(error), expected=0.0))


register(
    NetworkTest(
        "tiny",
        "tiny network",
        "voxels / E_inc; MLP 8 (mine)",
        relative,
        lambda geometry, n_in, n_out: mlp([n_in, 8, n_out]),
        ClassifierSettings(learning_rate=1e-3, batch_size=100, epochs=2),
    )
)
'''

GEOMETRY = Geometry("toy", (Layer(0, (0.0, 5.0, 20.0), 1), Layer(1, (0.0, 5.0, 10.0), 4)), threshold=1.0)


def showers(seed: int) -> Showers:
    voxels = np.random.default_rng(seed).gamma(2.0, 40.0, (300, GEOMETRY.n_voxels))
    return Showers(np.full(300, 1e3), voxels.astype(np.float32), GEOMETRY)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The file above, imported; what it registers is taken out again."""
    path = tmp_path_factory.mktemp("own") / "own.py"
    path.write_text(OWN)
    before = [(registry, dict(registry)) for registry in (observables.REGISTRY, REGISTRY, TESTS)]
    spec = importlib.util.spec_from_file_location("own", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


@pytest.fixture(scope="module")
def report(own: ModuleType) -> Report:
    return evaluate(showers(1), showers(2), classifiers=["tiny"])


@pytest.fixture(scope="module")
def folder(own: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    some = evaluate(showers(1), showers(2), observables=["early", "skewness"], classifiers=["tiny"])
    return some.save(tmp_path_factory.mktemp("saved") / "report")


@pytest.mark.parametrize(
    ("name", "unit", "label"), [("skewness_1", "mm", "skewness in r, layer 1"), ("early", "", "early fraction")]
)
def test_an_observable_has_numbers_and_a_histogram(report: Report, name: str, unit: str, label: str) -> None:
    for section in ("separation_power", "kl", "wasserstein"):
        found = report[section, name]
        assert found.estimate is not None
        assert found.label == label
    assert report["wasserstein", name].unit == unit
    assert report.hists[name].sum(flow=True) == 600
    assert report.hists[name].axes[1].label == (f"{label} [{unit}]" if unit else label)


def test_what_it_declares_is_used(report: Report) -> None:
    assert "skewness_0" not in report.hists
    assert report.hists["skewness_1"].metadata == {"group": "widths", "family": "skewness", "layer": 1, "log": True}
    np.testing.assert_allclose(report.hists["early"].axes[1].edges, np.linspace(0, 1, 21))
    challenge = len(observables.challenge_names(GEOMETRY)) + 1
    assert report["mean_separation_power", "all"].extra["observables"] == challenge


def test_a_metric_and_a_classifier_are_in_the_report(report: Report) -> None:
    assert report["hits_ratio", "n_hits"].pull is not None
    assert report.sections["hits_ratio"].title == "Ratio of hits"
    assert report["auc", "tiny"].label == "tiny network"


def test_page_tables_and_figures(report: Report, folder: Path) -> None:
    page = (folder / "report.html").read_text()
    for words in ("skewness in r, layer 1", "early fraction", "Ratio of hits", "tiny network"):
        assert words in page
    tables = "".join(path.read_text() for path in (folder / "tables").glob("*.csv"))
    for name in ("skewness_1", "early", "n_hits", "tiny"):
        assert name in tables
    assert report.plot("skewness_1") is not None


def test_comparison(folder: Path, tmp_path: Path) -> None:
    others = evaluate(showers(3), showers(2), observables=["early", "skewness"], classifiers=["tiny"])
    reports = load_reports([folder, others.save(tmp_path / "others")])
    page = write_comparison(reports, None, tmp_path / "both").read_text()
    for words in ("skewness in r, layer 1", "early fraction", "number of hits", "tiny network"):
        assert words in page


def test_a_saved_report_needs_none_of_it(folder: Path, report: Report) -> None:
    loaded = Report.load(folder)
    assert loaded.sections["hits_ratio"].title == "Ratio of hits"
    kept, known = (each["separation_power", "skewness_1"].estimate for each in (loaded, report))
    assert kept is not None
    assert known is not None
    assert kept.value == pytest.approx(known.value)


def test_objects_do_as_well_as_names(own: ModuleType) -> None:
    found = evaluate(showers(1), showers(2), observables=[*observables.challenge, own.early], quick=True)
    assert list(found.hists)[-1] == "early"
    assert "skewness_1" not in found.hists


def test_names_that_exist_are_refused() -> None:
    for name, per in (("n_hits", "shower"), ("ec_eta_1", "shower"), ("n", "layer"), ("sparsity", "layer")):
        known = dict(observables.REGISTRY)
        if name == "n":
            observables.observable("n_7")(lambda view: view.energies)
        with pytest.raises(ValueError, match=name):
            observables.observable(name, per=per)(lambda view: view.energies)  # type: ignore[arg-type]
        observables.REGISTRY.pop("n_7", None)
        assert known == observables.REGISTRY
    with pytest.raises(ValueError, match="prdc"):
        metric(Section("prdc", "Mine"))(lambda samples: [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "metric 'faulty' returned int; it must yield Metric"),
        (None, "metric 'faulty' returned NoneType"),
        ([5], "metric 'faulty' yielded int; it must yield Metric"),
        ([Metric("other", "x", "x", None)], "metric 'faulty' .* section 'other', which its @metric does not declare"),
    ],
)
def test_a_faulty_metric_is_one_line(given: object, message: str) -> None:
    known = dict(REGISTRY)
    metric(Section("faulty", "Faulty"))(lambda samples: given)
    try:
        with pytest.raises(CaloforgeError, match=message.replace("'faulty'", "'[^']*'")):
            evaluate(showers(1), showers(2), observables=["n_hits"], quick=False)
    finally:
        REGISTRY.clear()
        REGISTRY.update(known)
    with pytest.raises(ValueError, match="direction 'sideways' of section 'faulty'"):
        Section("faulty", "Faulty", direction="sideways")  # type: ignore[arg-type]
    with pytest.raises(CaloforgeError, match=r"as in \['trees'\]"):
        evaluate(showers(1), showers(2), classifiers="trees")
