"""`evaluate` on small samples of an analytic kind: baselines, corruptions found by name, bad inputs in one line."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.evaluate import evaluate
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


def evaluated(samples: tuple[Showers, Showers], change: Callable[[np.ndarray], None], **options: Any) -> Report:
    """The report of generated showers whose voxels are changed in place."""
    generated, reference = samples
    voxels, energies = generated.voxels.copy(), generated.energies.copy()
    change(voxels)
    return evaluate(Showers(energies, voxels, GEOMETRY), reference, **options)


def estimate(report: Report, section: str, name: str, at: str = "") -> Estimate:
    found = report[section, name, at].estimate
    assert found is not None
    return found


def pull(report: Report, section: str, name: str) -> float:
    found = report[section, name].pull
    assert found is not None
    return found


def bad(report: Report) -> set[str]:
    """Topics of the verdict's bad points."""
    return {point.topic for point in report.verdict.points if point.level == "bad"}


def test_equal_samples_lie_at_the_baseline(equal: Report) -> None:
    names = ("separation_power", "wasserstein", "fpd", "kpd")
    found = [metric for name in names for metric in equal.section(name, at="")]
    assert len(found) > 80
    for metric in found:
        assert metric.pull is not None
        assert abs(metric.pull) < 4, metric.key
    assert not bad(equal)
    assert (equal.about.baseline.is_split, equal.about.baseline.n, equal.about.baseline.stratified) == (
        True,
        1200,
        True,
    )


def test_every_section_is_there(equal: Report) -> None:
    sections = ("separation_power", "mean_separation_power", "kl", "wasserstein", "response", "w1_subsamples")
    sections += ("profiles", "correlations", "prdc", "fpd", "kpd", "duplicates", "empty_voxels")
    assert set(sections) <= set(equal.sections)
    names = {section: [metric.name for metric in equal.section(section, at="")] for section in sections}
    assert names["mean_separation_power"] == ["all", "table1"]
    assert names["prdc"] == ["precision", "recall", "density", "coverage"]
    assert names["profiles"] == ["longitudinal", "radial", "azimuthal"]
    assert names["correlations"] == ["layers", "observables", "directions"]
    assert names["response"] == ["mean", "spread"]
    assert len(names["w1_subsamples"]) == 8
    assert set(names["separation_power"]) == set(equal.hists) == {*names["wasserstein"], "voxel_energy"}
    assert not equal.section("auc")
    assert {"reading", "separation", "fpd_kpd", "per_energy"} <= set(equal.about.timing)
    for metric in equal.metrics:
        assert metric.label
        assert (metric.estimate is None) == bool(metric.reason), metric.key


def test_numbers_at_each_incident_energy(equal: Report) -> None:
    labels = ["1.024 GeV", "4.096 GeV", "16.38 GeV"]
    found = {label: equal["mean_separation_power", "table1", label] for label in labels}
    assert {label: metric.extra["n_reference"] for label, metric in found.items()} == dict.fromkeys(labels, 800)
    powers = {metric.name for metric in equal.section("separation_power", at=labels[1])}
    assert "ec_eta_1" in powers
    assert "sparsity_1" not in powers
    assert powers == {metric.name for metric in equal.section("wasserstein", at=labels[1])}
    mean = np.mean([estimate(equal, "separation_power", name, labels[1]).value for name in powers])
    assert estimate(equal, "mean_separation_power", "table1", labels[1]).value == pytest.approx(mean)


def test_the_mean_of_all_is_over_the_challenges_observables_and_voxels(equal: Report) -> None:
    challenge = ("e_", "ec_", "width_", "sparsity_", "voxel_energy")
    powers = [
        m.estimate.value
        for m in equal.section("separation_power", at="")
        if m.name.startswith(challenge) and m.estimate is not None and not m.name.startswith("e_ratio")
    ]
    assert estimate(equal, "mean_separation_power", "all").value == pytest.approx(np.mean(powers))
    assert equal["mean_separation_power", "all"].extra["observables"] == len(powers)


def test_seed_decides_everything(samples: tuple[Showers, Showers]) -> None:
    first, second = (evaluate(*samples, quick=True, seed=5) for _ in range(2))
    assert first.metrics == second.metrics
    assert not first.section("fpd")


def test_voxels_permuted_within_layer_2(samples: tuple[Showers, Showers]) -> None:
    part = GEOMETRY.slices[2]
    order = np.random.default_rng(3).permutation(part.stop - part.start)

    def permute(voxels: np.ndarray) -> None:
        voxels[:, part] = voxels[:, part][:, order]

    report = evaluated(samples, permute)
    for section, name in (("separation_power", "ec_r_2"), ("wasserstein", "width_r_2"), ("fpd", "fpd")):
        assert pull(report, section, name) > 5
    for name in ("e_layer_2", "ec_r_1", "e_tot_over_e_inc"):
        assert pull(report, "separation_power", name) < 3
    assert "observables" in bad(report)


def test_energies_scaled_by_five_per_cent(samples: tuple[Showers, Showers]) -> None:
    def scale(voxels: np.ndarray) -> None:
        voxels *= 1.05

    report = evaluated(samples, scale, quick=True)
    assert estimate(report, "response", "mean").value == pytest.approx(0.05, abs=0.005)
    assert pull(report, "response", "mean") > 20
    assert pull(report, "separation_power", "e_tot_over_e_inc") > 5
    assert "response" in bad(report)


def test_a_tenth_replaced_by_copies(samples: tuple[Showers, Showers]) -> None:
    def copy(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480]

    report = evaluated(samples, copy)
    within = estimate(report, "duplicates", "within")
    assert within.value == pytest.approx(0.1)
    assert within.baseline == 0
    assert report["duplicates", "within"].extra["count"] == 240
    assert pull(report, "duplicates", "near") > 5
    assert bad(report) == {"duplicates"}


def test_near_copies_are_found_though_no_byte_agrees(samples: tuple[Showers, Showers]) -> None:
    def nearly(voxels: np.ndarray) -> None:
        voxels[:240] = voxels[240:480] * 1.001

    report = evaluated(samples, nearly)
    assert estimate(report, "duplicates", "within").value == 0
    assert estimate(report, "duplicates", "near").value > 0.1
    assert "duplicates" in bad(report)


def test_layer_12_set_to_zero(samples: tuple[Showers, Showers]) -> None:
    def clear(voxels: np.ndarray) -> None:
        voxels[:, GEOMETRY.slices[3]] = 0

    report = evaluated(samples, clear)
    assert estimate(report, "separation_power", "e_layer_12").value == 1
    extra = report["separation_power", "e_layer_12"].extra
    assert extra["outside_generated"] == 1
    assert extra["outside_reference"] == pytest.approx(0, abs=0.01)
    empty = report["empty_voxels", "only_generated"].extra
    assert empty["empty_layers"] == "12"
    assert estimate(report, "empty_voxels", "only_generated_12").value == empty["certain"] > 0
    assert "empty_voxels" in bad(report)


def test_memorisation_of_the_training_file(samples: tuple[Showers, Showers]) -> None:
    training = make(1000, 9)

    def memorise(voxels: np.ndarray) -> None:
        voxels[:150] = training.voxels[:150]
        voxels[150:600] = training.voxels[150:600] * 1.0005

    clean = evaluated(samples, lambda voxels: None, train=training)
    assert estimate(clean, "duplicates", "of_training").value == 0
    assert not bad(clean)
    report = evaluated(samples, memorise, train=training)
    assert report["duplicates", "of_training"].extra["count"] == 150
    assert estimate(report, "duplicates", "near_training").value > 0.1
    assert "duplicates" in bad(report)


def test_independent_reference(samples: tuple[Showers, Showers]) -> None:
    report = evaluated(samples, lambda voxels: None, baseline=make(2400, 7), quick=True)
    assert report.about.baseline.n == 2400
    assert abs(pull(report, "separation_power", "e_layer_1")) < 4
    shifted = make(2400, 8)
    shifted = replace(shifted, voxels=shifted.voxels * np.float32(1.1))
    report = evaluated(samples, lambda voxels: None, baseline=shifted, quick=True)
    assert (estimate(report, "separation_power", "e_tot_over_e_inc").baseline or 0) > 0.3


def test_files_and_energy_choice(tmp_path: Path, samples: tuple[Showers, Showers]) -> None:
    for name, sample in zip(("g.h5", "r.h5"), samples, strict=True):
        sample.write(tmp_path / name)
    report = evaluate(tmp_path / "g.h5", tmp_path / "r.h5", quick=True, only_energies=[4096.0])
    generated = report.about.generated
    assert (generated.path, generated.n, generated.without_energy) == (str(tmp_path / "g.h5"), 800, 0)
    assert {metric.at for metric in report.section("response")} == {"", "4.096 GeV"}


def test_different_spectra_are_refused_or_matched(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    fewer = generated[generated.energies < 10000]
    with pytest.raises(CaloforgeError, match="match_energies=True"):
        evaluate(fewer, reference)
    about = evaluate(fewer, reference, quick=True, match_energies=True).about
    assert about.spectrum.matched
    assert about.spectrum.kept == {"generated": 1600, "reference": 1600}
    assert about.generated.n == about.reference.n == 1600


def test_too_few_showers_give_reasons(samples: tuple[Showers, Showers]) -> None:
    report = evaluate(samples[0][:12], samples[1][:12], per_energy=True)
    assert "at least 20" in report["separation_power", "e_layer_0"].reason
    assert "at least 1000" in report["fpd", "fpd"].reason
    assert "at least 20" in report["mean_separation_power", "table1", "1.024 GeV"].reason
    assert all(metric.estimate or metric.reason for metric in report.metrics)
    assert report.hists["e_layer_1"].sum(flow=True) == 24
    with pytest.raises(CaloforgeError, match="1 shower to compare; at least 2"):
        evaluate(samples[0][:1], samples[1], match_energies=True)


def test_layers_without_energy_and_constant_observables_have_a_word_why() -> None:
    def dead(seed: int) -> Showers:
        showers = make(600, seed)
        showers.voxels[:, GEOMETRY.slices[3]] = 0
        showers.voxels[:, GEOMETRY.slices[0]] = 5.0
        return showers

    report = evaluate(dead(1), dead(2))
    assert "does not exceed the threshold" in report["separation_power", "e_layer_12"].reason
    assert "e_layer_12" not in report.hists
    assert estimate(report, "separation_power", "e_layer_0").value == 0
    assert report["correlations", "layers"].extra["constant"] == "e_layer_0, e_layer_12"
    matrix = next(chart for chart in report.charts if chart.name == "correlations_layers").data["reference"]
    assert np.isnan(matrix[0][1])
    assert np.isfinite(matrix[1][2])


def test_one_per_cent_of_energy_is_named_though_the_histograms_cannot_see_it() -> None:
    """At 2 000 showers per sample, that is: the mean's error is 0.03 / sqrt(1000), the shift ten of it."""
    generated, reference = make(2000, 3), make(2000, 4)
    equal = evaluate(generated, reference, quick=True)
    assert abs(pull(equal, "response", "mean")) < 3
    scaled = evaluate(replace(generated, voxels=generated.voxels * np.float32(1.01)), reference, quick=True)
    assert pull(scaled, "response", "mean") > 5
    assert "response" in bad(scaled)


@pytest.mark.parametrize("which", ["generated", "reference", "both"])
def test_showers_without_any_energy(samples: tuple[Showers, Showers], which: str) -> None:
    empty = replace(samples[0], voxels=np.zeros_like(samples[0].voxels))
    generated = empty if which != "reference" else samples[0]
    reference = empty if which != "generated" else samples[1]
    report = evaluate(generated, reference)
    assert report.about.generated.is_empty == (which != "reference")
    assert report.about.reference.is_empty == (which != "generated")
    assert report.verdict.level == "bad"
    if which == "generated":
        assert estimate(report, "separation_power", "e_tot_over_e_inc").value == 1
        return
    assert "no reference shower has energy" in report["fpd", "fpd"].reason
    assert all(metric.estimate is None for metric in report.section("separation_power"))
    assert report["mean_separation_power", "all"].estimate is None


def test_a_given_geometry_may_change_the_threshold_but_not_the_voxels(samples: tuple[Showers, Showers]) -> None:
    cut = replace(GEOMETRY, name="cut", threshold=20.0)
    generated, reference = (sample[:200] for sample in samples)
    plain = evaluate(generated, reference, quick=True, geometry=GEOMETRY)
    assert plain.about.remark == ""
    report = evaluate(generated, reference, quick=True, geometry=cut)
    assert (report.about.geometry_name, report.about.threshold_mev) == ("cut", 20.0)
    assert "'cut'" in report.about.remark
    assert "'toy'" in report.about.remark
    values = [float(each["response", "mean"].extra["reference"] or 0) for each in (report, plain)]
    assert values[0] < values[1]
    with pytest.raises(CaloforgeError, match=r"'toy' \(40 voxels\).*geometry='ds1-photons' \(368 voxels\)"):
        evaluate(generated, reference, geometry="ds1-photons")


def test_geometries_must_agree(samples: tuple[Showers, Showers]) -> None:
    other = load_geometry("ds1-photons")
    showers = Showers(np.full(10, 1e3), np.ones((10, other.n_voxels), dtype=np.float32), other)
    with pytest.raises(CaloforgeError, match=r"'ds1-photons' \(368 voxels\).*'toy' \(40 voxels\)"):
        evaluate(showers, samples[1])


def test_mistakes_are_found_before_anything_is_read() -> None:
    with pytest.raises(CaloforgeError, match="'magic'"):
        evaluate("absent.h5", "absent.h5", classifiers=["magic"])
    with pytest.raises(CaloforgeError, match="at least 1, not 0"):
        evaluate("absent.h5", "absent.h5", repeats=0)


def test_unknown_observable_is_named(samples: tuple[Showers, Showers]) -> None:
    with pytest.raises(CaloforgeError, match="'magic'"):
        evaluate(*samples, observables=["e_layer", "magic"])


def test_chosen_observables_only(samples: tuple[Showers, Showers]) -> None:
    report = evaluate(*samples, observables=["n_hits", "ec_eta_1", "width_r"])
    names = ["n_hits", "ec_eta_1", "width_r_0", "width_r_1", "width_r_2", "width_r_12"]
    assert [metric.name for metric in report.section("separation_power")] == list(report.hists) == names
    assert [metric.name for metric in report.section("wasserstein")] == names
    assert report["mean_separation_power", "all"].extra["observables"] == 5
    assert report["fpd", "fpd"].estimate is not None


def test_a_classifier_has_a_baseline(samples: tuple[Showers, Showers]) -> None:
    generated, reference = samples
    report = evaluate(generated[:900], reference[:900], quick=True, classifiers=["quick"])
    area, divergence = estimate(report, "auc", "quick"), estimate(report, "jsd", "quick")
    assert (area.n, report["auc", "quick"].extra["n"]) == (450, 900)
    assert abs(area.value - (area.baseline or 0)) < 0.2
    assert divergence.baseline is not None
    assert {chart.name for chart in report.charts} >= {"roc_quick", "weights_quick"}
    few = evaluate(generated[:150], reference[:150], quick=True, classifiers=["quick"])
    assert estimate(few, "auc", "quick").expected == 0.5
    assert "100" in str(few["auc", "quick"].extra["baseline_unavailable"])


def test_trees_say_what_they_look_at_and_how_each_energy_fares(samples: tuple[Showers, Showers]) -> None:
    def scale(voxels: np.ndarray) -> None:
        voxels *= 1.05

    report = evaluated(samples, scale, quick=True, classifiers=["trees"])
    assert pull(report, "auc", "trees") > 5
    most = max(report.section("importance"), key=lambda metric: metric.estimate.value if metric.estimate else 0)
    assert most.name == "e_tot_over_e_inc"
    energies = [metric.at for metric in report.section("auc") if metric.at]
    assert energies == ["1.024 GeV", "4.096 GeV", "16.38 GeV"]
    assert all(estimate(report, "auc", "trees", at).value > 0.7 for at in energies)


def test_learning_curve_ends_in_the_test_itself(samples: tuple[Showers, Showers]) -> None:
    told: list[tuple[str, int, int]] = []
    report = evaluate(
        *(sample[:420] for sample in samples),
        quick=True,
        classifiers=["quick"],
        learning_curve=True,
        progress=lambda *step: told.append(step),
    )
    curve = next(chart for chart in report.charts if chart.kind == "learning_curve").data
    assert curve["n"] == [105, 210, 420]  # an eighth would be too few
    assert curve["auc"][-1] == estimate(report, "auc", "quick").value
    assert curve["error"][-1] == estimate(report, "auc", "quick").error
    assert all(0 <= auc <= 1 for auc in curve["auc"])
    sections = list(dict.fromkeys(section for section, _, _ in told if section.startswith("classifier")))
    assert sections == [f"classifier quick{label}" for label in ("", " (baseline)", " (105 showers)", " (210 showers)")]
    assert ("classifier quick", 0, 20) in told  # announced before its first epoch is over


def test_two_independent_geant4_files_lie_at_the_baseline(real: Callable[[str], Path]) -> None:
    files = (real(f"photons-atlas-like/{part}.h5") for part in ("test", "train"))
    generated, reference = (Showers.read(file, stop=4200) for file in files)
    report = evaluate(generated, reference)
    assert report.about.baseline.n == 2100
    for section in ("separation_power", "fpd"):
        for metric in report.section(section):
            assert metric.pull is not None
            assert abs(metric.pull) < 4, metric.key
    assert estimate(report, "mean_separation_power", "all").value < 0.01
    assert not bad(report)
    assert math.isfinite(pull(report, "prdc", "recall"))
