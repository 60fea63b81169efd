"""`evaluate` on small samples of an analytic kind: baselines, corruptions found by name, bad inputs in one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers import get_test
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.report import Report
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.showers import Showers

GEOMETRY = Geometry(
    "toy",
    (
        Layer(0, (0.0, 20.0, 60.0), 1),
        Layer(1, (0.0, 5.0, 10.0, 20.0), 6),
        Layer(2, (0.0, 5.0, 15.0, 30.0), 6),
        Layer(12, (0.0, 50.0, 200.0), 1),
    ),
    threshold=1.0,
)


def make(n: int, seed: int, geometry: Geometry = GEOMETRY) -> Showers:
    """Showers that fluctuate in response, depth, position and width, so that no two are alike."""
    rng = np.random.default_rng(seed)
    energies = np.resize([1024.0, 4096.0, 16384.0], n)
    shares = rng.dirichlet(np.linspace(3, 9, geometry.n_layers), n)
    width = rng.uniform(5, 9, n)
    x, y = rng.normal(0, 1.5, (2, n))
    voxels = np.empty((n, geometry.n_voxels))
    for k, (layer, part) in enumerate(zip(geometry.layers, geometry.slices, strict=True)):
        d2 = (layer.eta - x[:, None]) ** 2 + (layer.phi - y[:, None]) ** 2
        weights = np.exp(-np.sqrt(d2) / width[:, None]) * rng.gamma(3.0, 1.0, d2.shape)
        voxels[:, part] = shares[:, k, None] * weights / weights.sum(axis=1, keepdims=True)
    response = rng.normal(0.95, 0.03, n)
    return Showers(energies, (voxels * (response * energies)[:, None]).astype(np.float32), geometry)


@pytest.fixture(scope="module")
def samples() -> tuple[Showers, Showers]:
    return make(2400, 1), make(2400, 2)


@pytest.fixture(scope="module")
def equal(samples: tuple[Showers, Showers]) -> Report:
    return evaluate(*samples, per_energy=True)


def changed(samples: tuple[Showers, Showers], change: Callable[[np.ndarray], None], **options: Any) -> Report:
    generated, reference = samples
    voxels, energies = generated.voxels.copy(), generated.energies.copy()
    change(voxels)
    return evaluate(Showers(energies, voxels, GEOMETRY), reference, **options)


def bad(report: Records, topic: str) -> str:
    """The verdict's bad points about `topic`, as one text."""
    verdict = report.verdict if isinstance(report, Report) else None
    assert verdict is not None
    return " | ".join(point.text for point in verdict.points if point.level == "bad" and point.topic == topic)


def found(report: Report, section: str, name: str, at: str = "") -> Estimate:
    estimate = report[section, name, at].estimate
    assert estimate is not None, report[section, name, at].reason
    return estimate


def unchanged(voxels: np.ndarray) -> None:
    pass


def test_equal_samples_agree_with_the_baseline(equal: Report) -> None:
    checked = 0
    for metric in equal.metrics:
        if metric.section in ("separation_power", "wasserstein", "fpd", "kpd") and not metric.at:
            assert metric.pull is not None, metric.key
            assert abs(metric.pull) < 3.5, metric.key
            checked += 1
    assert checked > 50
    assert not [point for point in equal.verdict.points if point.level == "bad"]
    assert (equal.about.baseline.n, equal.about.baseline.stratified) == (1200, True)


def test_every_section_is_there(equal: Report) -> None:
    names = {metric.section for metric in equal.metrics}
    assert names >= {
        *("separation_power", "kl", "mean_separation_power", "wasserstein", "w1_subsamples", "response", "profiles"),
        *("correlations", "fpd", "kpd", "prdc", "duplicates", "empty_voxels"),
    }
    assert names == set(equal.sections)
    assert {"outside_generated", "value_with_overflow", "bins"} <= set(equal["separation_power", "e_layer_12"].extra)
    assert {metric.name for metric in equal.section("prdc")} == {"precision", "recall", "density", "coverage"}
    assert len([metric for metric in equal.section("w1_subsamples") if not metric.at]) == 8
    charts = {chart.name: chart for chart in equal.charts}
    assert np.shape(charts["correlations_layers"].data["difference"]) == (4, 4)
    energies = list(dict.fromkeys(metric.at for metric in equal.section("separation_power") if metric.at))
    assert energies == ["1.024 GeV", "4.096 GeV", "16.38 GeV"]
    assert equal["mean_separation_power", "table1", "1.024 GeV"].extra["n_reference"] == 800
    assert {"reading", "separation", "fpd_kpd"} <= set(equal.about.timing)
    assert set(equal.hists) >= {"ec_eta_1", "e_layer_0", "n_hits", "voxel_energy"}
    json.dumps(equal.verdict.plain(), allow_nan=False)


def test_mean_is_the_mean_of_the_challenges_observables(equal: Report) -> None:
    mean = equal["mean_separation_power", "all"]
    challenge = [m for m in equal.section("separation_power") if not m.at and m.name not in OWN]
    powers = [m.estimate.value for m in challenge if m.estimate is not None and m.name.rpartition("_")[0] not in OWN]
    assert mean.extra["observables"] == len(powers)
    assert mean.estimate is not None
    assert mean.estimate.value == pytest.approx(np.mean(powers))


OWN = (
    *("n_hits", "max_voxel_fraction", "l_d", "s_d", "sigma_s_d", "mean_x", "mean_y", "mean_z"),
    *("fraction_layer", "brightest", "second_brightest", "e_ratio"),
)
"""Observables beyond the challenge's."""


def test_seed_decides_everything(samples: tuple[Showers, Showers]) -> None:
    first, second = (evaluate(*samples, quick=True, seed=5) for _ in range(2))
    assert first.metrics == second.metrics
    assert "fpd" not in {metric.section for metric in first.metrics}


def test_voxels_permuted_within_layer_2(samples: tuple[Showers, Showers]) -> None:
    part = GEOMETRY.slices[2]
    order = np.random.default_rng(3).permutation(part.stop - part.start)

    def permute(voxels: np.ndarray) -> None:
        voxels[:, part] = voxels[:, part][:, order]

    report = changed(samples, permute)
    assert "Layer 2" in report.verdict.headline + bad(report, "observables")
    assert (report["separation_power", "ec_r_2"].pull or 0) > 5
    assert (report["fpd", "fpd"].pull or 0) > 5
    for name in ("e_layer_2", "ec_r_1", "e_tot_over_e_inc"):
        assert (report["separation_power", name].pull or 0) < 3


def test_energies_scaled_by_five_per_cent(samples: tuple[Showers, Showers]) -> None:
    def scale(voxels: np.ndarray) -> None:
        voxels *= 1.05

    report = changed(samples, scale, quick=True)
    mean = found(report, "response", "mean")
    assert mean.value == pytest.approx(0.05, abs=0.005)
    assert mean.pull is not None
    assert mean.pull > 20
    assert "too high" in bad(report, "response")


def test_a_tenth_replaced_by_copies(samples: tuple[Showers, Showers]) -> None:
    def copy(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480]

    report = changed(samples, copy)
    within = found(report, "duplicates", "within")
    assert within.value == pytest.approx(0.1)
    assert within.baseline == 0
    assert (report["duplicates", "near"].pull or 0) > 5
    assert bad(report, "duplicates")
    assert not bad(report, "observables")


def test_near_copies_are_found_though_no_byte_agrees(samples: tuple[Showers, Showers]) -> None:
    def nearly(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480] * 1.001

    report = changed(samples, nearly)
    assert found(report, "duplicates", "within").value == 0
    assert found(report, "duplicates", "near").value > 0.1
    assert bad(report, "duplicates")


def test_layer_12_set_to_zero(samples: tuple[Showers, Showers]) -> None:
    def clear(voxels: np.ndarray) -> None:
        voxels[:, GEOMETRY.slices[3]] = 0

    report = changed(samples, clear)
    assert found(report, "separation_power", "e_layer_12").value == 1
    assert report["separation_power", "e_layer_12"].extra["outside_generated"] == 1.0
    empty = report["empty_voxels", "only_generated"]
    assert empty.extra["empty_layers"] == "12"
    assert found(report, "empty_voxels", "only_generated_12").value == empty.extra["certain"]
    assert "12" in bad(report, "empty_voxels")


def test_memorisation_of_the_training_data(samples: tuple[Showers, Showers]) -> None:
    training = make(1000, 9)

    def memorise(voxels: np.ndarray) -> None:
        voxels[:150] = training.voxels[:150]
        voxels[150:600] = training.voxels[150:600] * 1.0005

    clean = changed(samples, unchanged, train=training)
    assert found(clean, "duplicates", "of_training").value == 0
    assert not bad(clean, "duplicates")
    report = changed(samples, memorise, train=training)
    assert report["duplicates", "of_training"].extra["count"] == 150
    assert found(report, "duplicates", "near_training").value > 0.1
    assert bad(report, "duplicates")


def test_baseline_file(samples: tuple[Showers, Showers]) -> None:
    report = changed(samples, unchanged, baseline=make(2400, 7), quick=True)
    assert report.about.baseline.n == 2400
    assert abs(report["separation_power", "e_layer_1"].pull or 0) < 4
    shifted = make(2400, 8)
    report = changed(samples, unchanged, baseline=replace(shifted, voxels=shifted.voxels * 1.1), quick=True)
    assert (found(report, "separation_power", "e_tot_over_e_inc").baseline or 0) > 0.3


def test_files_and_energy_choice(tmp_path: Path, samples: tuple[Showers, Showers]) -> None:
    for name, sample in zip(("g.h5", "r.h5"), samples, strict=True):
        sample.write(tmp_path / name)
    report = evaluate(tmp_path / "g.h5", tmp_path / "r.h5", quick=True, only_energies=[4096.0])
    about = report.about.generated
    assert (about.path, about.n, about.without_energy) == (str(tmp_path / "g.h5"), 800, 0)


def test_different_spectra_are_refused_or_matched(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    fewer = generated[generated.energies < 10000]
    with pytest.raises(CaloforgeError, match="--match-energies"):
        evaluate(fewer, reference)
    report = evaluate(fewer, reference, quick=True, match_energies=True)
    assert report.about.spectrum.matched
    assert report.about.generated.n == report.about.reference.n == 1600


def test_too_few_showers_give_reasons(samples: tuple[Showers, Showers]) -> None:
    report = evaluate(samples[0][:12], samples[1][:12])
    power = report["separation_power", "e_layer_0"]
    assert power.estimate is None
    assert "20" in power.reason
    assert "6" in power.reason
    assert "1000" in report["fpd", "fpd"].reason
    assert report.verdict.level == "note"
    assert report.verdict.headline.startswith("No verdict")
    with pytest.raises(CaloforgeError, match="has 1 shower to compare"):
        evaluate(samples[0][:1], samples[1], match_energies=True)


def test_layers_without_energy_and_constant_observables_have_a_reason() -> None:
    def dead(seed: int) -> Showers:
        showers = make(600, seed)
        showers.voxels[:, GEOMETRY.slices[3]] = 0
        showers.voxels[:, GEOMETRY.slices[0]] = 5.0
        return showers

    report = evaluate(dead(1), dead(2))
    assert "threshold" in report["separation_power", "e_layer_12"].reason
    assert found(report, "separation_power", "e_layer_0").value == 0
    constant = str(report["correlations", "layers"].extra["constant"])
    assert set(constant.split(", ")) == {"e_layer_0", "e_layer_12"}


def test_one_per_cent_of_energy_is_named_though_the_histograms_cannot_see_it() -> None:
    """At 2 000 showers per sample, that is: the mean's error is 0.03 / sqrt(1000), the shift ten of it."""
    generated, reference = make(2000, 3), make(2000, 4)
    equal = evaluate(generated, reference, quick=True)
    assert abs(equal["response", "mean"].pull or 0) < 3
    assert not bad(equal, "response")
    scaled = evaluate(replace(generated, voxels=generated.voxels * np.float32(1.01)), reference, quick=True)
    assert bad(scaled, "response")


@pytest.mark.parametrize("which", ["generated", "reference", "both"])
def test_showers_without_any_energy(samples: tuple[Showers, Showers], which: str) -> None:
    empty = replace(samples[0], voxels=np.zeros_like(samples[0].voxels))
    generated = empty if which != "reference" else samples[0]
    reference = empty if which != "generated" else samples[1]
    report = evaluate(generated, reference)
    assert report.verdict.level == "bad"
    if which == "generated":
        assert found(report, "separation_power", "e_tot_over_e_inc").value == 1
        return
    assert "threshold" in report["fpd", "fpd"].reason
    assert all(metric.estimate is None for metric in report.section("separation_power"))
    assert report["mean_separation_power", "all"].estimate is None


def test_a_given_geometry_may_change_the_threshold_but_not_the_voxels(samples: tuple[Showers, Showers]) -> None:
    cut = replace(GEOMETRY, name="cut", threshold=20.0)
    generated, reference = (sample[:200] for sample in samples)
    plain = evaluate(generated, reference, quick=True, geometry=GEOMETRY)
    assert not plain.about.remark
    report = evaluate(generated, reference, quick=True, geometry=cut)
    assert (report.about.geometry_name, report.about.threshold_mev) == ("cut", 20.0)
    assert "'cut'" in report.about.remark
    assert "'toy'" in report.about.remark
    with pytest.raises(CaloforgeError, match=r"'ds1-photons' \(368 voxels\).*'toy' \(40\)"):
        evaluate(generated, reference, geometry="ds1-photons")


def test_geometries_must_agree(samples: tuple[Showers, Showers]) -> None:
    other = load_geometry("ds1-photons")
    showers = Showers(np.full(10, 1e3), np.ones((10, other.n_voxels), dtype=np.float32), other)
    with pytest.raises(CaloforgeError, match=r"'ds1-photons' \(368 voxels\).*'toy' \(40 voxels\)"):
        evaluate(showers, samples[1])


def test_unknown_classifier_is_named(samples: tuple[Showers, Showers]) -> None:
    with pytest.raises(CaloforgeError, match="'magic'"):
        evaluate(*samples, classifiers=["magic"])


def test_unknown_observable_is_named(samples: tuple[Showers, Showers]) -> None:
    with pytest.raises(CaloforgeError, match="'magic'"):
        evaluate(*samples, observables=["magic"])


def test_classifier_has_a_baseline(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    report = evaluate(generated[:900], reference[:900], quick=True, classifiers=["quick"])
    auc = found(report, "auc", "quick")
    assert auc.baseline is not None
    assert abs(auc.value - auc.baseline) < 0.2
    assert report["jsd", "quick"].estimate is not None


def test_trees_find_what_was_changed_and_name_it(samples: tuple[Showers, Showers]) -> None:
    def widen(voxels: np.ndarray) -> None:
        voxels[:, GEOMETRY.slices[2]] = voxels[:, GEOMETRY.slices[2]][:, ::-1]

    report = changed(samples, widen, quick=True, classifiers=["trees"])
    assert found(report, "auc", "trees").value > 0.9
    assert abs((found(report, "auc", "trees").baseline or 0) - 0.5) < 0.1
    lost = {metric.name: metric.estimate.value for metric in report.section("importance") if metric.estimate}
    assert max(lost, key=lambda name: lost[name]).rpartition("/")[2].endswith("_2")
    energies = [metric.at for metric in report.section("auc") if metric.at]
    assert energies == ["1.024 GeV", "4.096 GeV", "16.38 GeV"]


def test_trees_see_nothing_in_equal_samples(samples: tuple[Showers, Showers]) -> None:
    result = get_test("trees").run(*samples)
    assert result.auc == pytest.approx(0.5, abs=4 * result.auc_std)


def test_learning_curve_ends_in_the_test_itself(samples: tuple[Showers, Showers]) -> None:
    told: list[tuple[str, int, int]] = []
    report = evaluate(
        *(sample[:420] for sample in samples),
        quick=True,
        classifiers=["quick"],
        learning_curve=True,
        progress=lambda *step: told.append(step),
    )
    (curve,) = (chart.data for chart in report.charts if chart.kind == "learning_curve")
    assert list(curve["n"]) == [105, 210, 420]  # an eighth would be too few
    assert curve["auc"][-1] == found(report, "auc", "quick").value
    assert all(0 <= auc <= 1 for auc in curve["auc"])
    sections = list(dict.fromkeys(section for section, _, _ in told if section.startswith("classifier")))
    assert len(sections) == 4
    assert told[[section for section, _, _ in told].index(sections[0])][1] == 0  # announced before its first epoch


def test_two_independent_geant4_files_agree(real: Callable[[str], Path]) -> None:
    files = (real(f"photons-atlas-like/{part}.h5") for part in ("test", "train"))
    generated, reference = (Showers.read(file, stop=4200) for file in files)
    report = evaluate(generated, reference)
    assert report.about.baseline.n == 2100
    for metric in [*report.section("separation_power"), *report.section("fpd")]:
        assert metric.pull is not None, metric.key
        assert metric.pull < 3.5, metric.key
    assert found(report, "mean_separation_power", "all").value < 0.01
    assert not [point for point in report.verdict.points if point.level == "bad"]
