"""The verdict names cause, place and size of what is wrong, and only that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pytest

from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.tables import section_tables
from caloforge.evaluation.report.verdict import telling, verdict
from caloforge.evaluation.report.verdict.words import MomentPair, difference
from caloforge.geometry import load_geometry

DIRECTIONS = {"prdc": "higher", "response": "nearer"}


def records(*metrics: Metric, empty: tuple[int, int] = (0, 0), **more: Any) -> Records:
    about = About(
        Sample("g.h5", 9, empty[0]), Sample("r.h5", 9, empty[1]), None, "own", 0.5, BaselineSample(n=77), **more
    )
    sections = {
        m.section: Section(m.section, m.section.capitalize(), direction=DIRECTIONS.get(m.section, "lower"))
        for m in metrics
    }
    return Records(about, list(metrics), sections=sections)


def power(name: str, pull: float, value: float = 0.2, label: str = "") -> Metric:
    """A separation power `pull` errors above its baseline of 0.1."""
    value = 0.05 if pull < 0 else value
    error = abs(value - 0.1) / abs(pull) if pull else 1.0
    estimate = Estimate(value, error, 0.1 if pull else value, 0.0, value, 77)
    return Metric("separation_power", name, label or name, estimate)


def distance(name: str, pull: float, moments: tuple[float, float, float, float], label: str) -> Metric:
    keys = ("mean_generated", "std_generated", "mean_reference", "spread")
    estimate = Estimate(pull + 1.0, 1.0, 1.0, 0.0, pull + 1.0, 77)
    return Metric("wasserstein", name, label, estimate, "mm", extra=dict(zip(keys, moments, strict=True)))


def simple(section: str, name: str, pull: float, **extra: float | str | None) -> Metric:
    return Metric(section, name, name, Estimate(0.5 + pull * 0.01, 0.01, 0.5, 0.0), extra=extra)


def topics(found: Records, level: str) -> list[str]:
    return [point.topic for point in verdict(found).points if point.level == level]


def texts(found: Records, topic: str) -> list[str]:
    return [point.text for point in verdict(found).points if point.topic == topic]


def test_findings_name_observables_in_words() -> None:
    pair = {"largest_first": "width_r_0", "largest_second": "n_mine_7", "largest_generated": 0.1}
    found = records(
        Metric(
            "correlations",
            "observables",
            "correlations of observables",
            Estimate(0.6, 0.01, 0.5, 0.0),
            extra={**pair, "largest_reference": 0.4},
        ),
        power("n_mine_7", 0, label="my hits, layer 7"),
    )
    found = replace(found, about=replace(found.about, geometry=load_geometry("ds1-photons")))
    (text,) = texts(found, "correlations")
    assert "most for width in r of layer 0 and my hits of layer 7: 0.10, reference 0.40" in text
    assert found.observable_in_words("anything") == "anything"
    (table,) = section_tables(found, Section("correlations", "Correlations", extra={"largest_first": "first"}))
    assert table.rows[0][-1].text == "width in r of layer 0"


def test_differences_have_the_unit_of_the_observable() -> None:
    """Separation powers have none, and are found first."""
    found = records(power("mean_y", 9, label="mean y"), distance("mean_y", 9, (-5.8, 1.0, 0.0, 1.0), "mean y"))
    assert texts(found, "observables") == ["Whole shower: mean y 5.8 mm too low"]


def test_an_observable_of_ones_own_is_summed_up_by_its_label() -> None:
    many = [power(f"n_mine_{k}", 9, label=f"my hits, layer {k}") for k in range(8)]
    (text,) = texts(records(*many), "observables")
    assert text.startswith("My hits: in 8 of 8 layers, most in layer")


MEAN = Metric("mean_separation_power", "all", "all", Estimate(0.01, 0.001, 0.0112, 0.001, 0.0117, 77))


@pytest.mark.parametrize(("pull", "level"), [(2.9, "good"), (3.1, "note"), (5.1, "bad"), (-4.0, "good")])
def test_the_pull_decides_the_level(pull: float, level: str) -> None:
    found = verdict(records(power("ec_r_2", pull), power("e_layer_1", 0.0), MEAN))
    assert found.level == level
    assert "0.0117 (baseline 0.0112)" in found.headline
    start = {"good": "Indistinguishable", "note": "Close to", "bad": "Distinguishable"}[level]
    assert found.headline.startswith(start)
    assert (found.headline.endswith("agrees with the baseline.")) == (level != "good")  # which is at its baseline
    assert bool(found.where.startswith("Main deviations: Layer 2")) == (level != "good")


@pytest.mark.parametrize(
    ("family", "unit", "moments", "words"),
    [
        ("width_phi", "mm", (8.6, 2.0, 10.0, 2.0), "14 % too narrow in phi"),
        ("width_phi", "mm", (45.0, 2.0, 10.0, 2.0), "too wide in phi by a factor of 4.5"),
        ("e_layer", "MeV", (103.0, 50.0, 100.0, 50.0), "3 % too much energy"),
        ("sparsity", "", (0.8, 0.05, 0.6, 0.05), "50 % too few voxels hit"),
        ("ec_eta", "mm", (1.2, 4.0, 0.0, 4.0), "it 1.2 mm too high"),
        ("ec_eta", "mm", (0.01, 5.0, 0.0, 4.0), "spread of it 25 % too large"),
        ("ec_eta", "mm", (0.01, 4.0, 0.0, 4.0), "it differs in shape, not in mean or spread"),
        ("mean_z", "mm", (110.0, 4.0, 100.0, 4.0), "it 10 mm too high"),
        ("s_d", "", (1.8, 0.5, 2.0, 0.5), "it 10 % too low"),
        ("own", "", (2.0, 0.0, 1.0, 0.0), "it 100 % too high"),
    ],
)
def test_direction_and_size_in_words(
    family: str, unit: str, moments: tuple[float, float, float, float], words: str
) -> None:
    assert difference(family, "it", unit, MomentPair(*moments)) == words


def test_a_layer_is_named_with_the_worst_of_each_kind() -> None:
    found = records(
        distance("width_phi_13", 400.0, (8.6, 2.0, 10.0, 2.0), "width in phi, layer 13"),
        distance("width_eta_13", 300.0, (9.1, 2.0, 10.0, 2.0), "width in eta, layer 13"),
        distance("n_hits", 9.0, (120.0, 30.0, 100.0, 30.0), "number of hits"),
    )
    layer, whole = (point for point in verdict(found).points if point.topic == "observables")
    assert layer.text == "Layer 13: 14 % too narrow in phi, and 9 % too narrow in eta"
    assert whole.text == "Whole shower: 20 % too many hits"
    assert verdict(found).where == "Main deviations: Layer 13: 14 % too narrow in phi."


def test_without_means_the_numbers_are_told() -> None:
    (text,) = texts(records(power("ec_r_2", 9.0, label="centre of energy in r, layer 2")), "observables")
    assert text == "Layer 2: centre of energy in r (separation power 0.2, baseline 0.1)"


def test_many_layers_are_summed_up_by_kind() -> None:
    metrics = [power(f"ec_r_{k}", 6.0 + k, 0.2 + k / 100) for k in range(45)]
    found = records(*metrics, *(power(f"e_layer_{k}", 0.0) for k in range(45)))
    (text,) = texts(found, "observables")
    assert text.startswith("Centres of energy: in 45 of 45 layers, most in layer 44")


def test_means_come_from_the_histogram_where_the_distance_has_none() -> None:
    found = records(power("width_r_1", 9.0, label="width in r, layer 1"))
    h = hist.Hist(
        hist.axis.StrCategory(["generated", "reference"], overflow=False),
        hist.axis.Variable(np.linspace(0, 20, 41), name="width_r_1", label="width"),
    )
    h.fill("generated", np.full(100, 5.1))
    h.fill("reference", np.full(100, 10.1))
    found.hists["width_r_1"] = h
    assert texts(found, "observables") == ["Layer 1: 49 % too narrow in r"]  # (5.25 / 10.25, the bins' centres)
    assert telling(found) == {"width_r_1": "Layer 1: 49 % too narrow in r"}


def test_what_tells_most_is_of_different_kinds_and_layers() -> None:
    names = ("width_r_1", "width_eta_1", "e_layer_1", "sparsity_2", "ec_r_3", "n_hits")
    found = records(*(power(name, 90.0 - k, 0.9 - 0.1 * k) for k, name in enumerate(names)))
    axis = hist.axis.Variable([0.0, 1.0], name="x", label="x")
    found.hists = {name: hist.Hist(hist.axis.StrCategory(["generated", "reference"]), axis) for name in names}
    assert list(telling(found)) == ["width_r_1", "sparsity_2", "ec_r_3"]
    del found.hists["ec_r_3"], found.hists["n_hits"]
    assert list(telling(found)) == ["width_r_1", "sparsity_2", "e_layer_1"]
    assert telling(records(MEAN)) == {}


@pytest.mark.parametrize(("value", "level"), [(0.5, ""), (0.52, ""), (0.545, "note"), (0.8, "bad"), (0.4, "")])
def test_a_classifier_counts_by_its_error(value: float, level: str) -> None:
    found = records(Metric("auc", "caloman", "CaloMan", Estimate(value, 0.01, 0.5, 0.0, smallest_error=1e-3)))
    assert topics(found, level or "bad") == (["auc"] if level else [])


def test_the_best_classifier_comes_first() -> None:
    found = records(
        *(Metric("auc", f"t{k}", f"t{k}", Estimate(a, 0.01, 0.5, 0.0)) for k, a in enumerate((0.7, 0.99, 0.8)))
    )
    (text,) = texts(found, "auc")
    assert [text.index(name) for name in ("t1", "t2", "t0")] == sorted(text.index(f"t{k}") for k in range(3))
    assert "AUC 0.990 (t1; baseline 0.500)" in verdict(found).headline


def test_losing_precision_is_bad_and_gaining_is_not() -> None:
    assert topics(records(simple("prdc", "precision", -6.0)), "bad") == ["prdc"]
    assert topics(records(simple("prdc", "precision", 6.0)), "bad") == []
    assert topics(records(simple("prdc", "density", -6.0)), "bad") == []


def test_a_metric_of_ones_own_counts_like_any_other() -> None:
    found = records(simple("own", "first", 9.0), simple("own", "second", 0.0))
    (text,) = texts(found, "own")
    assert text == "Own: first 0.59 (baseline 0.5)"
    assert verdict(found).where == "Main deviations: Own: first 0.59 (baseline 0.5)."


def response(value: float, error: float, probability: float = 0.5, largest: float = 0.0) -> Metric:
    extra = {"chi2": 61.2, "energies": 7, "probability": probability}
    at = {"largest_at": "512 MeV", "largest_value": largest or value, "largest_error": error}
    return Metric("response", "mean", "mean of E_dep / E_inc", Estimate(value, error, expected=0.0), extra=extra | at)


@pytest.mark.parametrize(
    ("mean", "level", "words"),
    [
        (response(0.01, 0.001), "bad", "1.00 ± 0.10 % too high (+10.0 σ), most significant: +1.00 ± 0.10 % at 512 MeV"),
        (response(-0.004, 0.001), "note", "0.40 ± 0.10 % too low"),
        (response(0.002, 0.001), "", ""),  # 2 σ
        (response(0.0008, 0.0001), "", ""),  # 8 σ of nothing that matters
        (response(0.0002, 0.001, 1e-9, 0.03), "bad", "off at single energies, +3.00 ± 0.10 % at 512 MeV"),
        (response(0.0002, 0.001, 1e-3, 0.03), "", ""),  # 3.3 σ once in a while
    ],
)
def test_the_response_counts_by_its_own_error_and_size(mean: Metric, level: str, words: str) -> None:
    found = [point for point in verdict(records(mean)).points if point.topic == "response"]
    assert [point.level for point in found] == ([level] if level else [])
    assert all(words in point.text for point in found)


def test_causes_come_before_their_consequences() -> None:
    lost = {"certain": 1, "empty_layers": "12", "energy_share": 0.1}
    found = records(
        simple("fpd", "fpd", 30.0),
        power("ec_r_2", 90.0),
        response(0.1, 0.01),
        simple("duplicates", "within", 7.0),
        simple("duplicates", "empty", 9.0),
        Metric("empty_voxels", "only_generated", "empty voxels", Estimate(1.0), extra=lost),
        Metric("empty_voxels", "only_generated_12", "empty voxels, layer 12", Estimate(1.0)),
    )
    expected = ["empty", "empty_voxels", "empty_voxels", "duplicates", "response", "observables", "fpd"]
    assert topics(found, "bad") == expected
    layer, voxels = texts(found, "empty_voxels")
    assert layer == "Layer 12: no energy in any generated shower"
    assert "1 voxel" in voxels
    assert "10 %" in voxels
    assert "1 in layer 12" in voxels


def test_what_is_missing_is_said_once_by_reason_and_is_not_a_fault() -> None:
    few = "needs at least 1000 showers per sample, there are 40"
    found = records(
        power("e_layer_1", 0.0),
        Metric("separation_power", "e_layer_12", "energy, layer 12", None, reason="no energy"),
        *(Metric(name, name, name, None, reason=few) for name in ("fpd", "kpd")),
        MEAN,
    )
    assert verdict(found).level == "good"
    assert verdict(found).headline.startswith("Indistinguishable")
    assert texts(found, "missing") == [
        "Not available: Separation_power of energy, layer 12 (no energy)",
        f"Not available: Fpd and Kpd ({few})",
    ]


def test_showers_outside_the_histograms_and_left_out_of_the_spectra_are_notes() -> None:
    outside = {"outside_generated": 0.094, "outside_reference": 0.008}
    power_with = Metric("separation_power", "e_layer_1", "energy, layer 1", Estimate(0.1, 0.1, 0.1, 0.0), extra=outside)
    found = records(power_with, MEAN, spectrum=Spectrum(True, kept={"generated": 40, "reference": 30}))
    assert topics(found, "note") == ["outside", "spectrum"]
    assert "9.4 % of generated showers (reference 0.8 %)" in texts(found, "outside")[0]
    assert "40 generated showers and 30 reference showers" in texts(found, "spectrum")[0]
    assert verdict(found).level == "good"


def test_samples_that_share_showers_are_suspected() -> None:
    found = records(*(power(name, -9.0, 0.05) for name in ("e_layer_1", "ec_r_1", "n_hits")), MEAN)
    assert topics(found, "note") == ["too_close"]


@pytest.mark.parametrize(
    ("empty", "level", "words"),
    [
        ((9, 9), "bad", "neither sample"),
        ((0, 9), "bad", "the reference does not have"),
        ((9, 0), "bad", "Distinguishable"),
        ((8, 0), "good", "Indistinguishable"),
    ],
)
def test_without_energy_there_is_nothing_to_compare(empty: tuple[int, int], level: str, words: str) -> None:
    found = verdict(records(power("ec_eta_1", 0.0), MEAN, empty=empty))
    assert found.level == level
    assert words in found.headline
    if 9 in empty:
        assert all(point.level == "bad" for point in found.points)


def test_nothing_at_all_is_not_praised() -> None:
    found = verdict(records())
    assert found.level == "note"
    assert found.headline.startswith("No verdict")


def test_a_verdict_as_json() -> None:
    plain = verdict(records(power("ec_r_2", 9.0), MEAN)).plain()
    assert set(plain) == {"level", "headline", "where", "points"}
    assert plain["points"][0] == {
        "level": "bad",
        "topic": "observables",
        "text": "Layer 2: ec_r_2 (separation power 0.2, baseline 0.1)",
    }
