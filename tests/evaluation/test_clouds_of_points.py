"""Evaluation of points: equal samples agree with the baseline, changed ones do not, and JetNet's numbers by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import caloforge as cf
from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.evaluation.clouds_of_points.deep_sets_test import DeepSetsClassifier, deep_sets_test
from caloforge.evaluation.clouds_of_points.jet_distances import w1_of_batches
from caloforge.evaluation.report.report import Report
from caloforge.points import JET, PointClouds, write_points
from caloforge.points.clouds import offsets_of


def showers(n: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> PointClouds:
    """n made-up showers of 30 ± 5 hits in 6 layers."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(30, n)
    total = int(counts.sum())
    x, y = rng.normal(shift, 10, total), rng.normal(0, 10, total)
    points = np.column_stack([x, y, rng.integers(0, 6, total), scale * rng.exponential(1, total)])
    return PointClouds(np.full(n, 1000.0), points, offsets_of(counts), attributes={"layer_pitch_mm": 4.0})


def jets(n: int, seed: int, wide: float = 1.0) -> PointClouds:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.normal(0, 0.1 * wide, (10 * n, 2)), rng.uniform(0.05, 0.15, 10 * n)])
    return PointClouds(rng.uniform(8e5, 1e6, n), points, 10 * np.arange(n + 1), JET)


def test_equal_samples_agree_with_the_baseline() -> None:
    report = cf.evaluate(showers(600, 1), showers(600, 2), classifiers=["trees"])
    assert report.verdict.level == "good"
    pulls = [metric.pull for metric in report.metrics if metric.pull is not None]
    assert len(pulls) > 30
    assert max(pulls) < 5
    assert abs(report["auc", "trees"].estimate.value - 0.5) < 0.12  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "quantity"),
    [
        ({"scale": 1.3}, "E_vis / E_inc"),
        ({"scale": 1.5}, "hit energy"),
        ({"shift": 3.0}, "first moment x"),
    ],
)
def test_a_change_shows_in_its_quantity(change: dict[str, float], quantity: str) -> None:
    report = cf.evaluate(showers(600, 1, **change), showers(600, 2))
    changed = report["w1_subsamples", quantity]
    assert changed.pull is not None
    assert changed.pull > 3
    other = report["w1_subsamples", "number of hits"]
    assert other.pull is not None
    assert abs(other.pull) < 3
    assert report.verdict.level == "bad"


def test_distances_are_those_of_the_observables() -> None:
    """A shift of every hit by 3 mm moves the first moment by 3 mm: the Wasserstein distance of the same showers."""
    clouds = showers(200, 1)
    moved = PointClouds(clouds.energies, clouds.points + np.float32([3, 0, 0, 0]), clouds.offsets)
    report = cf.evaluate(moved, clouds)
    assert report["wasserstein", "mean_x"].estimate.value == pytest.approx(3, rel=1e-4)  # type: ignore[union-attr]
    for name in ("mean_y", "n_hits", "sphericity", "e_layer_3", "hits_layer_0"):
        assert report["wasserstein", name].estimate.value == pytest.approx(0, abs=1e-5)  # type: ignore[union-attr]


def test_all_observables_together() -> None:
    same = cf.evaluate(showers(2000, 1), showers(2000, 2))
    for name in ("fpd", "kpd", "sliced"):
        assert abs(same["together", name].pull or 0) < 5
    moved = cf.evaluate(showers(2000, 1, shift=2.0), showers(2000, 2))
    for name in ("fpd", "kpd", "sliced"):
        assert (moved["together", name].pull or 0) > 5


def test_profiles_are_means_per_shower() -> None:
    clouds = PointClouds(
        np.full(60, 100.0), np.tile([[0, 0, 1, 2], [0, 0, 3, 4]], (60, 1)).astype(float), 2 * np.arange(61)
    )
    report = cf.evaluate(clouds, clouds[:50])
    data = next(chart.data for chart in report.charts if chart.name == "profiles")
    assert data["layers"] == [1, 2, 3]
    assert data["generated"] == [2, 0, 4]
    assert data["others"][0]["reference"] == [1, 0, 1]
    assert sum(data["others"][1]["generated"]) == pytest.approx(6)
    assert sum(data["others"][2]["generated"]) == pytest.approx(2)


@pytest.mark.parametrize("make", [showers, jets])
def test_the_nearest_of_the_same_sample_is_the_shower_itself(make: Callable[[int, int], PointClouds]) -> None:
    clouds = make(100, 1)
    report = cf.evaluate(clouds, clouds, quick=True)
    data = next(chart.data for chart in report.charts if chart.name == "single_clouds")
    assert len(data["pairs"]) == 3
    for pair in data["pairs"]:
        assert pair["generated"] == pair["reference"]
        assert len(pair["generated"]["points"]) == len(pair["generated"]["weights"]) > 5
    other = cf.evaluate(clouds, make(100, 2), quick=True)
    pairs = next(chart.data for chart in other.charts if chart.name == "single_clouds")["pairs"]
    assert all(pair["generated"] != pair["reference"] for pair in pairs)


def test_an_independent_baseline_and_a_round_trip_of_the_report(tmp_path: Path, no_page: None) -> None:
    report = cf.evaluate(showers(300, 1), showers(300, 2), baseline=showers(300, 3), classifiers=["trees"])
    assert report.about.baseline.n == 300
    report.save(tmp_path / "report")
    back = Report.load(tmp_path / "report")
    assert [metric.key for metric in back.metrics] == [metric.key for metric in report.metrics]
    assert back.about.geometry is None


@pytest.mark.slow  # draws the figures of every observable
def test_the_page(tmp_path: Path) -> None:
    cf.evaluate(showers(300, 1), showers(300, 2), classifiers=["trees"]).save(tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "1-Wasserstein distances over ten samples" in page
    assert (tmp_path / "report" / "figures" / "shower.png").exists()


def test_w1_of_batches_of_points_is_the_distance() -> None:
    """All values of one sample are 2, all of the other 5: every batch gives 3, without a spread."""
    means, deviations = w1_of_batches(
        lambda rows: [np.full(len(rows), 2.0)],
        10,
        lambda rows: [np.full(len(rows), 5.0)],
        10,
        50,
        np.random.default_rng(1),
    )
    assert means == pytest.approx([3])
    assert deviations == pytest.approx([0], abs=1e-9)


def test_jets_wider_than_the_reference_have_a_larger_mass() -> None:
    same, wide = (cf.evaluate(jets(600, 1, w), jets(600, 2)) for w in (1.0, 1.3))
    for name in ("w1m", "w1p", "w1efp", "w1p_etarel", "w1p_phirel"):
        estimates = [report["jetnet", name].estimate for report in (same, wide)]
        assert estimates[0] is not None
        assert estimates[1] is not None
        assert estimates[1].value > 3 * estimates[0].value
        assert estimates[0].value < 4 * (estimates[0].baseline or 0)
    pt = wide["jetnet", "w1p_ptrel"]
    assert pt.pull is not None
    assert pt.pull < 4


def test_w1m_is_the_distance_of_masses() -> None:
    """A jet of two particles at ±φ of half the p_T has mass sin φ: all batches give the difference of the sines."""

    def pairs(phi: float) -> PointClouds:
        return PointClouds(
            np.full(100, 1e6), np.tile([[0, phi, 0.5], [0, -phi, 0.5]], (100, 1)), 2 * np.arange(101), JET
        )

    report = cf.evaluate(pairs(0.3), pairs(0.2))
    found = report["jetnet", "w1m"].estimate
    assert found is not None
    assert found.value == pytest.approx(np.sin(0.3) - np.sin(0.2), rel=1e-4)
    assert found.error == pytest.approx(0, abs=1e-6)
    means = [report["jetnet", f"w1p_{name}"].estimate.value for name in JET]  # type: ignore[union-attr]
    assert means == pytest.approx([0, 0.1, 0], abs=1e-6)
    assert report["jetnet", "w1p"].estimate.value == pytest.approx(0.1 / 3, rel=1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reference": jets(50, 1)}, "holds showers, memory jets"),
        ({"reference": cf.sample("test", stop=50)}, "the generated sample holds points, the reference sample does not"),
        ({"per_energy": True}, "per_energy=… is for voxels"),
        ({"observables": ["n_hits"]}, "observables=… is for voxels"),
        (
            {"classifiers": ["challenge_low"]},
            "no classifier test 'challenge_low' of points; there are trees, deep_sets",
        ),
        ({"reference": showers(100, 2)[:0]}, "memory has 0 showers to compare; at least 4"),
        ({"unit": "erg", "generated": "file"}, "'erg' is not a unit"),
    ],
)
def test_mistakes_are_one_line(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_points(showers(100, 1), tmp_path / "p.h5")
    given: dict[str, Any] = {"generated": showers(100, 1), "reference": showers(100, 2), **arguments}
    if given["generated"] == "file":
        given["generated"] = tmp_path / "p.h5"
    with pytest.raises(CaloforgeError, match=message) as raised:
        cf.evaluate(**given)
    assert "\n" not in str(raised.value)


def test_few_or_empty_showers_give_reasons() -> None:
    few = cf.evaluate(showers(30, 1), showers(30, 2))
    assert {metric.reason for metric in few.metrics} == {"needs at least 20 showers per sample, there are 15"}
    empty = showers(100, 2)
    report = cf.evaluate(showers(100, 1), empty.with_points(np.zeros(len(empty.points), dtype=bool)))
    assert "no shower of the reference has any points" in {metric.reason for metric in report.metrics}


def test_several_files_are_one_sample(tmp_path: Path) -> None:
    whole, other = showers(200, 1), showers(200, 2)
    for k, layout in enumerate(("points", "showerdata", "points")):
        part = whole[[0, 90, 150, 200][k] : [0, 90, 150, 200][k + 1]]
        (tmp_path / "parts").mkdir(exist_ok=True)
        write_points(part, tmp_path / "parts" / f"{k}.h5", layout=layout)
    found = cf.evaluate(tmp_path / "parts", other, quick=True)
    expected = cf.evaluate(whole, other, quick=True)
    for metric in expected.metrics:
        same = found[metric.key].estimate
        assert (same is None) == (metric.estimate is None)
        if same is not None and metric.estimate is not None:
            assert same.value == pytest.approx(metric.estimate.value, rel=1e-4, abs=1e-6), metric
    write_points(whole.without(["layer"]).with_column("z", np.zeros(len(whole.points))), tmp_path / "parts" / "9.h5")
    with pytest.raises(
        CaloforgeError, match=r"9\.h5 has points with the columns x, y, energy, z, not x, y, layer, energy"
    ):
        cf.evaluate(tmp_path / "parts", other)


def test_the_command_prints_the_table(tmp_path: Path, no_page: None) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        write_points(showers(300, seed), tmp_path / f"{name}.h5", layout="showerdata", unit="GeV")
    words = ["evaluate", str(tmp_path / "a.h5"), "-r", str(tmp_path / "b.h5"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*words, "--classifiers", "none"])
    assert result.exit_code == 0, result.exception
    assert "1-Wasserstein distances over ten samples" in result.stdout
    assert "longitudinal profile" in result.stdout


def test_real_photons_agree_with_photons_of_another_seed(real: Callable[[str], Path]) -> None:
    train, test = (cf.read_points(real(f"photons-w-si-points/{part}.h5"), stop=800) for part in ("train", "test"))
    assert cf.evaluate(train, test, quick=True).verdict.level == "good"


def test_deep_sets_do_not_depend_on_the_order_of_points() -> None:
    clouds = showers(40, 1)
    order = np.lexsort((np.random.default_rng(3).random(len(clouds.points)), clouds.rows))
    mixed = PointClouds(clouds.energies, clouds.points[order], clouds.offsets)
    most = int(clouds.counts.max())
    test = deep_sets_test(clouds, most)
    rows = [torch.from_numpy(test.features(SimpleNamespace(clouds=each))) for each in (clouds, mixed)]  # type: ignore[arg-type]
    network = DeepSetsClassifier(1, 4, 1, most).double()
    first, second = (network(each.double()) for each in rows)
    assert not torch.equal(rows[0], rows[1])
    torch.testing.assert_close(first, second)


def test_deep_sets_see_what_observables_of_layers_do_not() -> None:
    """Hits of one sample lie on a diagonal in each layer; those of the other at independent x and y."""

    def turned(seed: int, share: float) -> PointClouds:
        rng = np.random.default_rng(seed)
        x, z = rng.normal(0, 10, (2, 250 * 20))
        y = share * x + np.sqrt(1 - share**2) * z
        points = np.column_stack([x, y, np.tile(np.arange(4), 1250), np.ones(5000)])
        return PointClouds(np.full(250, 1e3), points, 20 * np.arange(251))

    report = cf.evaluate(turned(1, 0.95), turned(2, 0.0), classifiers=["deep_sets"], quick=True)
    area = report["auc", "deep_sets"].estimate
    assert area is not None
    assert area.value > 0.9
    assert abs((area.baseline or 0) - 0.5) < 0.2
