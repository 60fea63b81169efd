"""Weights of a classifier: calibration of known probabilities, tails of known density ratios, and their words."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from caloforge import evaluate
from caloforge.classifiers.scores import Reliability, Scores
from caloforge.evaluation.metrics.weight_tails import energies_in_words, in_tail
from caloforge.evaluation.report.report import Report
from caloforge.geometry import Geometry
from caloforge.plots import draw
from caloforge.showers import Showers


def test_calibrated_probabilities_have_the_calibration_error_of_chance() -> None:
    rng = np.random.default_rng(1)
    c = rng.uniform(0.05, 0.95, 20_000)
    right = Reliability.of(c, rng.random(20_000) < c)
    mean, spread = right.by_chance()
    assert abs(right.calibration_error - mean) < 4 * spread
    assert mean == pytest.approx(np.sqrt(2 / np.pi) * np.sqrt(0.2 / (20_000 / 12)), rel=0.1)  # C (1 − C) is 0.2 or so
    assert (np.abs(right.observed - right.predicted) < 4 * right.errors).all()


def test_sure_scores_have_the_calibration_error_by_hand() -> None:
    """C = 0.9 where 0.6 are Geant4's, and 0.2 where 0.3 are, equally often: (0.3 + 0.1) / 2."""
    c = np.repeat([0.9, 0.2], 1000)
    labels = np.concatenate([np.arange(1000) < 600, np.arange(1000) < 300])
    found = Reliability.of(c, labels)
    assert found.calibration_error == pytest.approx(0.2)
    assert found.n.tolist() == [1000, 1000]


def test_tails_by_hand() -> None:
    c = np.array([0.25, 0.26, 0.75, 0.74, 0.1, 0.9])  # w = 1/3, 0.35, 3, 2.8, 1/9, 9
    generated = np.array([True, True, False, False, False, True])
    assert in_tail(c, generated, "low").tolist() == [True, False, False, False, False, False]
    assert in_tail(c, generated, "high").tolist() == [False, False, True, False, False, False]


def test_energies_in_words() -> None:
    of_all = np.repeat([256.0, 512.0, 1024.0, 2048.0], 10)
    at = np.repeat([256.0, 512.0, 1024.0], [5, 4, 1])
    assert energies_in_words(at, of_all) == "256 to 512 MeV (90 %)"
    assert energies_in_words(at, of_all, 0.95) == "256 MeV to 1.024 GeV (100 %)"
    assert energies_in_words(np.repeat([256.0, 2048.0], 5), of_all) == "all"


def test_scores_keep_what_the_classifier_said() -> None:
    raw, labels = np.linspace(-1, 1, 40), np.tile([0, 1], 20)
    assert Scores.of((raw, labels), (raw, labels)).raw is raw


def showers(geometry: Geometry, n: int, seed: int, cluster: float = 0.0) -> Showers:
    """Made-up showers of two energies; a fraction of those at 400 MeV has three times the energy in the last layer."""
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 400.0], n)
    voxels = rng.gamma(4.0, 1.0, (n, geometry.n_voxels)) * energies[:, None] / 100
    voxels[(energies == 400) & (rng.random(n) < cluster), geometry.slices[-1].start :] *= 3
    return Showers(energies, voxels.astype(np.float32), geometry)


@pytest.fixture
def report(only: Callable[..., None], small_geometry: Geometry) -> Report:
    only("separation")
    generated, reference = (showers(small_geometry, 4000, seed, c) for seed, c in ((2, 0.2), (3, 0.0)))
    return evaluate(generated, reference, baseline=showers(small_geometry, 4000, 4), classifiers=["trees"])


def test_a_kind_of_shower_that_only_one_sample_has_is_named(report: Report) -> None:
    """A tenth of the generated showers, all at 400 MeV, is of a kind that Geant4 never makes."""
    tail = report["weights", "tail_low_trees"]
    assert tail.estimate is not None
    assert tail.estimate.value == pytest.approx(0.1, abs=0.02)
    assert tail.estimate.baseline == pytest.approx(0, abs=0.02)
    cluster = report["weight_tails", "low_1_trees"]
    assert str(cluster.extra["energies"]).startswith("400 MeV (")
    assert "layer 7 +" in str(cluster.extra["observables"])
    assert report["weights", "ess_trees"].estimate is not None
    assert (report["weights", "calibration_trees"].pull or 0) < 5
    [text] = [point.text for point in report.verdict.points if point.topic == "weights"]
    assert text.startswith("Weights: ")
    assert " of the generated showers are of a kind that is three times too frequent (baseline " in text
    assert "mostly at 400 MeV (" in text


def test_the_showers_least_like_geant4_are_shown(report: Report, small_geometry: Geometry) -> None:
    found = report.section("anomalies")
    assert [metric.label for metric in found] == [f"shower {k}" for k in range(1, 11)]
    generated = showers(small_geometry, 4000, 2, 0.2)
    part = generated.voxels[:, small_geometry.slices[-1].start :].sum(axis=1)
    rows = [int(metric.extra["row"] or 0) for metric in found]
    assert (generated.energies[rows] == 400).all()
    assert (part[rows] > np.quantile(part, 0.9)).all()
    charts = {chart.name: chart for chart in report.charts}
    assert any("C = " in text.get_text() for text in draw("showers", charts["anomalies_trees"].data).texts)
    points = draw("reliability", charts["reliability_trees"].data)
    assert points.get_xlabel() == "score C"
