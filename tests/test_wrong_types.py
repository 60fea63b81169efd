"""Values of the wrong type in the Python API: one error that names the argument and the type."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hist import Hist

import caloforge as cf
from caloforge.errors import CaloforgeError
from caloforge.evaluation.metrics.base import RegisteredMetric
from caloforge.inference import Batch, TorchEngine
from caloforge.sources.sample import sample_path

evaluate_module = importlib.import_module("caloforge.evaluation.evaluate")  # not the function of that name
SHOWERS = cf.sample("test", stop=40)
PATH = sample_path("test")
WEIGHTED = Hist.new.Reg(2, 0, 1).Weight().fill([0.2, 0.7], weight=0.5)
RUN = cf.train("caloman-demo", cf.sample("train", stop=60), training={"epochs": 1})

Call = Callable[[], Any]
WRONG: dict[str, tuple[Call, str]] = {
    "an array instead of showers": (lambda: cf.evaluate(SHOWERS.voxels, SHOWERS), "ndarray"),
    "None instead of showers": (lambda: cf.evaluate(SHOWERS, None), "NoneType"),
    "a number instead of a training set": (lambda: cf.train("caloman-demo", 3), "int"),
    "an array instead of a training set": (lambda: cf.train("caloman-demo", SHOWERS.voxels), "ndarray"),
    "numbers instead of files": (lambda: cf.train("caloman-demo", [3]), "int"),
    "None instead of a recipe": (lambda: cf.train(None, SHOWERS), "recipe.*NoneType"),
    "a number instead of a folder": (lambda: cf.Simulator.load(3), "folder of a run.*int"),
    "a number instead of a geometry": (lambda: cf.load_geometry(368), "geometry.*int"),
    "a number instead of a shower file": (lambda: cf.Showers.read(3), "shower file.*int"),
    "words that are not a spectrum": (lambda: RUN.generate("flat", n=3), "'flat' is not a valid energy spectrum"),
    "a spectrum of a file that is absent": (lambda: RUN.generate("like:none.h5"), "none.h5: no such file"),
    "a spectrum without a number": (lambda: RUN.generate("uniform:1GeV:2GeV"), "number of showers: give n"),
    "a number with energies": (lambda: RUN.generate([512.0], n=3), "n=3.*leave it out"),
    "a fraction of showers": (lambda: RUN.generate("uniform:1GeV:2GeV", n=1.5), "n must be an integer, not 1.5"),
    "no showers at all": (lambda: RUN.generate("uniform:1GeV:2GeV", n=0), "n must be at least 1, not 0"),
    "a list of conditions": (lambda: RUN.generate([512.0], conditions=[0.5]), "conditions must be a mapping.*list"),
    "angles that the run does not know": (lambda: RUN.generate([512.0], angles=0.5), "does not know.*theta"),
    "angles twice": (lambda: RUN.generate([512.0], angles=0.5, conditions={"theta": 0.5}), "angles.*theta.*one of"),
    "words that are not a law": (lambda: RUN.generate([512.0], angles="flat"), "'flat' is not a valid"),
    "truth instead of a seed": (lambda: RUN.generate([512.0], seed=True), "seed.*integer.*True"),
    "a spectrum for a shard": (
        lambda: cf.generate(RUN, "uniform:1GeV:2GeV", "x.h5", n=3, shard=1),
        "energies of a shard.*array",
    ),
    "nothing to read": (lambda: cf.read(None), "NoneType"),
    "a number to read": (lambda: cf.read(3), "int"),
    "a pattern without files": (lambda: cf.read("none*.h5"), r"no file matches 'none\*.h5'"),
    "a file that is absent": (lambda: cf.read("none.h5"), "none.h5: no such file"),
    "a negative row": (lambda: cf.read(PATH, start=-1), "start must be.*-1"),
    "a fraction of a row": (lambda: cf.read(PATH, stop=2.5), "stop must be.*2.5"),
    "rows beyond the end": (lambda: cf.read(PATH, start=9000, stop=9001), "9000 … .*it has 4,000"),
    "no rows": (lambda: cf.read(PATH, start=5, stop=5), "it has 4,000"),
    "another geometry": (lambda: cf.read(PATH, geometry="ds2"), "ds2"),
    "a mapping without a model": (lambda: cf.train({"name": "x"}, SHOWERS), "geometry.*missing|missing.*geometry"),
    "a recipe that is absent": (lambda: cf.train("flagshp", SHOWERS), "did you mean flagship"),
    "settings for a complete recipe": (
        lambda: cf.train(cf.load_recipe("caloman-demo"), SHOWERS, training={"epochs": 1}),
        "load_recipe",
    ),
    "a function as a callback": (
        lambda: cf.train("caloman-demo", SHOWERS, callbacks=[print]),
        "callbacks takes a list.*print",
    ),
    "one callback instead of a list": (lambda: cf.train("caloman-demo", SHOWERS, callbacks=cf.Callback()), "list"),
    "a model that is absent": (lambda: cf.load("flagship-w-s"), "did you mean flagship-w-si"),
    "no model": (lambda: cf.load(None), "run.*NoneType"),
    "an unknown observable": (lambda: cf.observables.histogram(SHOWERS, "ec_x"), "unknown observable 'ec_x'"),
    "an observable without its layer": (lambda: cf.observables.histogram(SHOWERS, "ec_eta"), "name a layer"),
    "no bins": (
        lambda: cf.observables.histogram(SHOWERS, "e_layer_0", threshold=1e9),
        "no bins for 'e_layer_0': none of the 40 showers",
    ),
    "a report that is absent": (lambda: cf.Report.load("none"), "none.*no such report"),
    "no energies": (lambda: RUN.generate([], seed=1), r"incident energies.*\(0,\)"),
    "a matrix of energies": (lambda: RUN.generate(np.ones((3, 2)), seed=1), r"incident energies.*\(3, 2\)"),
    "text instead of a seed": (lambda: RUN.generate([512.0], seed="a"), "seed.*integer.*'a'"),
    "a fraction instead of a seed": (lambda: RUN.generate([512.0], seed=1.5), "seed.*integer.*1.5"),
    "a number of evaluated energies": (lambda: cf.evaluate(SHOWERS, SHOWERS, only_energies=512), "list.*512"),
    "text for evaluated energies": (lambda: cf.evaluate(SHOWERS, SHOWERS, only_energies="512"), "list.*'512'"),
    "no evaluated energies": (lambda: cf.evaluate(SHOWERS, SHOWERS, only_energies=[]), "list"),
    "text instead of observables": (lambda: cf.evaluate(SHOWERS, SHOWERS, observables="n_hits"), r"\['n_hits'\]"),
    "a negative seed": (lambda: cf.evaluate(SHOWERS, SHOWERS, seed=-1), "seed.*-1"),
    "text instead of repeats": (lambda: cf.evaluate(SHOWERS, SHOWERS, repeats="2"), "repeats.*'2'"),
    "an energy to exclude": (lambda: cf.train("caloman-demo", SHOWERS, exclude_energies=512), "list.*512"),
    "text to exclude": (lambda: cf.train("caloman-demo", SHOWERS, exclude_energies=["1GeV"]), "list.*1GeV"),
    "a negative number of showers": (lambda: cf.sample("test", stop=-5), "stop.*-5"),
    "a fraction of a shower": (lambda: cf.sample("test", stop=3.5), "stop.*3.5"),
    "energies and voxels interchanged": (
        lambda: cf.Showers(SHOWERS.voxels, SHOWERS.energies, SHOWERS.geometry),
        r"energies, voxels, geometry.*\(40, 368\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_one_error_that_names_it(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(CaloforgeError, match=message):
        call()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (3, None, "one histogram per sample"),
        (np.histogram([0.5]), None, "one histogram per sample"),
        (np.histogram([0.5]), 3, "int is not a histogram of one axis"),
        (np.histogram([0.5], bins=3), np.histogram([0.5], bins=4), "different bins"),
        (np.histogram2d([0.5], [0.5]), np.histogram([0.5]), "one axis"),
        (cf.observables.histogram(SHOWERS, "ec_eta_1"), None, "one histogram per sample"),
        (WEIGHTED, np.histogram([0.5], bins=2, range=(0, 1)), "weighted"),
    ],
)
def test_what_cannot_be_drawn_as_histograms(a: Any, b: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cf.plots.histogram(a, b)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.ones(39, bool), IndexError, "mask has 39 values, but there are 40 showers"),
        ([0, 40], IndexError, "no shower 40; there are 40"),
        ([-41], IndexError, "no shower -41"),
        (40, IndexError, "no shower 40"),
        ("energies", CaloforgeError, "chosen by a number, a slice"),
        (SHOWERS.voxels > 3, CaloforgeError, "index showers.voxels"),
    ],
)
def test_showers_that_cannot_be_chosen(rows: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SHOWERS[rows]


def test_arrays_of_energies_are_taken() -> None:
    wanted = np.array([256.0, 512.0], dtype=np.float32)
    assert cf.evaluate(SHOWERS, cf.sample("train", stop=40), only_energies=wanted, quick=True).about.generated.n > 0
    cf.train("caloman-demo", cf.sample("train", stop=60), exclude_energies=np.array([512]), training={"epochs": 1})


@pytest.mark.parametrize("where", ["generated", "reference", "baseline", "train"])
def test_an_empty_sample_is_refused_by_name(where: str) -> None:
    given = {"generated": SHOWERS, "reference": SHOWERS[::-1], where: SHOWERS[:0]}
    with pytest.raises(CaloforgeError, match=rf"^the {where}(ing)? sample holds no showers$"):
        cf.evaluate(**given)


def test_a_learning_curve_needs_a_classifier() -> None:
    with pytest.raises(CaloforgeError, match=r"^learning_curve=True needs a classifier: give one with classifiers="):
        cf.evaluate(SHOWERS, SHOWERS, learning_curve=True)


def test_there_is_nothing_to_train_on_or_to_write(tmp_path: Path) -> None:
    empty = SHOWERS[:0]
    with pytest.raises(CaloforgeError, match=r"^the sample in memory holds no showers$"):
        cf.train("caloman-demo", empty)
    with pytest.raises(CaloforgeError, match=r"^the sample in memory holds no showers$"):
        cf.train("caloman-demo", SHOWERS, validation=empty)
    with pytest.raises(CaloforgeError, match=r"^there are no showers to write to "):
        empty.write(tmp_path / "empty.h5")
    with pytest.raises(CaloforgeError, match=r"^there are no showers of 7 MeV to exclude in the sample in memory$"):
        cf.train("caloman-demo", SHOWERS, exclude_energies=[7.0])


def test_a_geometry_by_name() -> None:
    assert cf.Showers(SHOWERS.energies, SHOWERS.voxels, "ds1-photons") == SHOWERS


def test_energies_of_shape_n_by_one_as_in_files() -> None:
    column = RUN.generate(np.array([[512.0], [1024.0]]), seed=1)
    assert column == RUN.generate([512.0, 1024.0], seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"axis": (20, 0)}, "bins, low, high"),
        ({"axis": (20, 5, 5)}, "low < high"),
        ({"axis": "x"}, "bins, low, high"),
        ({"per": "layers"}, "per 'layers'"),
        ({"group": "my/../group"}, "group"),
        ({"name": "my/observable"}, "my/observable"),
        ({"name": 3}, "3"),
    ],
)
def test_observables_that_cannot_be_registered(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cf.observable(**{"name": "impossible", **settings})(lambda view: view.energies)


def test_a_number_in_place_of_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_module, "REGISTRY", dict(evaluate_module.REGISTRY))
    section = cf.Section("bare_number", "Bare number")

    def bare(samples: Any) -> Any:
        yield cf.Metric("bare_number", "x", "x", 0.5)  # type: ignore[arg-type]

    entry = RegisteredMetric("bare", bare, (section,), False, "Bare number")
    monkeypatch.setitem(evaluate_module.REGISTRY, "bare", entry)
    with pytest.raises(CaloforgeError, match=r"'bare'.*float.*Estimate"):
        cf.evaluate(
            SHOWERS, cf.sample("train", stop=40), quick=True
        )  # one's own are computed in a quick evaluation too


def test_a_model_of_another_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RUN.transforms, "inverse", lambda x, c: (x[:, :5], None))
    with pytest.raises(CaloforgeError, match=r"CaloMan.*\(2, 5\).*has 368"):
        TorchEngine(RUN).generate(Batch(0, np.array([512.0, 1024.0]), 1))


def test_texts_of_results_are_short() -> None:
    report = cf.evaluate(SHOWERS, cf.sample("train", stop=40), quick=True)
    assert len(repr(report)) < 400
    assert "40 generated" in repr(report)
    assert repr(RUN).startswith("Simulator(CaloMan of ")
    with pytest.raises(CaloforgeError, match="section 'x'"):
        report.to_frame("x")
