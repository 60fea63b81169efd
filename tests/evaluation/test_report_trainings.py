"""Reports of several trainings as one: the mean and spread of each number, and pulls against Geant4."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caloforge import evaluate, sample
from caloforge.cli import main
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample
from caloforge.evaluation.report.compare import (
    ComparedReport,
    comparison_tables,
    load_reports,
    remarks,
    write_comparison,
)
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.saving import write_records
from caloforge.evaluation.report.trainings import ensemble, spread_in_words, spread_table, together
from caloforge.observables.binning import histogram

BINS, SHOWERS = 20, 2_000
EDGES = np.linspace(0.0, 1.0, BINS - 1)


def about(**changes: Any) -> About:
    samples = {"generated": Sample("g.h5", SHOWERS), "reference": Sample("r.h5", SHOWERS)}
    fields = {"geometry": None, "geometry_name": "ds1-photons", "threshold_mev": 1.0, "baseline": BaselineSample(n=50)}
    return About(**{**samples, **fields, **changes})


def counts(rng: np.random.Generator, shift: np.ndarray | float = 0.0) -> np.ndarray:
    law = np.full(BINS, 1.0) * np.clip(1 + shift, 0, None)
    return np.asarray(rng.multinomial(SHOWERS, law / law.sum()))


REFERENCE = counts(np.random.default_rng(0))


def training(rng: np.random.Generator, value: float = 0.1, shift: np.ndarray | float = 0.0, **changes: Any) -> Records:
    """A report of one number and two histograms."""
    number = Metric("power", "all", "mean over observables", Estimate(value, 0.01, 0.05, 0.002, None, 50))
    section = Section("power", "Mean power")
    hists = {
        name: histogram(EDGES, counts(rng, shift), REFERENCE, name=name, label=name, axis_label=name, metadata=more)
        for name, more in (("n_hits", {}), ("voxel_energy", {"counted": "voxels"}))
    }
    return Records(about(**changes), [number], hists, sections={"power": section})


def saved(folder: Path, *trainings: Records) -> Path:
    for k, each in enumerate(trainings, 1):
        (folder / f"seed-{k}").mkdir(parents=True)
        write_records(each, {}, folder / f"seed-{k}")
    return folder


def test_mean_and_spread_next_to_the_error_of_one() -> None:
    rng = np.random.default_rng(1)
    found = together("flow", [training(rng, value) for value in (0.10, 0.12, 0.14)])
    metric = found["power", "all"]
    assert metric.estimate is not None
    assert metric.estimate.value == pytest.approx(0.12)
    assert metric.estimate.error == pytest.approx(0.02)
    assert metric.estimate.pull == pytest.approx(0.07 / np.hypot(0.02, 0.002))
    assert metric.extra["error_of_one"] == pytest.approx(0.01)
    assert metric.extra["spread_over_error"] == pytest.approx(2.0)
    assert metric.extra["p_of_spread"] == pytest.approx(np.exp(-4))  # χ² = 8 with two degrees of freedom
    (row,) = spread_table("flow", found).rows
    cells = [cell.text for cell in row]
    assert cells == ["Mean power: mean over observables", "0.120 ± 0.020", "0.01", "2", "0.018"]


def test_trainings_of_one_law_differ_by_their_statistics() -> None:
    """The mean square of spread / error is 1, and p is below 0.05 in one of twenty numbers."""
    rng = np.random.default_rng(2)
    values = rng.normal(0.1, 0.01, (60, 5))
    found = [together("flow", [training(rng, v) for v in row])["power", "all"].extra for row in values]
    squares = [float(extra["spread_over_error"] or 0) ** 2 for extra in found]
    assert np.mean(squares) == pytest.approx(1, abs=4 * np.sqrt(2 / 4 / 60))
    assert sum(float(extra["p_of_spread"] or 0) < 0.05 for extra in found) <= 9


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.10, 0.11), "flow: 2 trainings differ by no more than the statistical error in all 1 numbers"),
        (
            (0.10, 0.20),
            "flow: 2 trainings differ by more than the statistical error (p < 0.01) in 1 of 1 numbers, most in Mean "
            "power: mean over observables (spread 7.1 times the error of one)",
        ),
    ],
)
def test_whether_they_differ_by_more_is_said(values: tuple[float, float], words: str) -> None:
    rng = np.random.default_rng(3)
    assert spread_in_words("flow", together("flow", [training(rng, value) for value in values])) == words


def test_a_number_that_one_training_lacks_has_no_mean() -> None:
    first, second = training(np.random.default_rng(1)), training(np.random.default_rng(2))
    second.metrics[0] = replace(second.metrics[0], estimate=None, reason="too few showers")
    metric = together("flow", [first, second])["power", "all"]
    assert (metric.estimate, metric.reason) == (None, "too few showers")


def test_an_ensemble_that_covers_its_difference_and_one_that_does_not() -> None:
    rng = np.random.default_rng(4)
    alike = ensemble("flow", [training(rng) for _ in range(5)])
    assert alike is not None
    assert list(alike.found) == ["n_hits"]  # not voxels
    assert alike.covers
    assert str(alike).startswith("flow: the spread over 5 trainings covers the difference to Geant4: pulls have a ")
    shift = 0.6 * np.resize([1.0, -1.0], BINS)
    biased = ensemble("flow", [training(rng, shift=shift) for _ in range(5)])
    assert biased is not None
    assert not biased.covers
    assert "agree better with each other than with Geant4" in str(biased)
    (row,) = biased.table().rows
    assert row[1].level == "note"


def test_a_single_systematic_that_moves_all_bins_is_no_false_alarm() -> None:
    """Pulls of one observable are then all alike: their width alone scatters as a single normal deviate."""
    rng, slope = np.random.default_rng(5), np.linspace(-0.5, 0.5, BINS)
    truths = [counts(rng, slope * rng.standard_normal()) for _ in range(60)]
    wrong = 0
    for truth in truths:
        trainings = [training(rng, shift=slope * rng.standard_normal()) for _ in range(4)]
        for each in trainings:
            each.hists["n_hits"].view(flow=True)[1] = truth
        found = ensemble("flow", trainings)
        assert found is not None
        wrong += not found.covers
    assert wrong <= 4


def test_a_folder_of_reports_is_one_generator(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    flow = saved(tmp_path / "flow", *(training(rng, value) for value in (0.10, 0.12, 0.11)))
    vae = saved(tmp_path / "vae", training(rng, 0.3))
    entries = load_reports([flow, vae / "seed-1"])
    assert [(entry.name, len(entry.trainings)) for entry in entries] == [("flow", 3), ("seed-1", 0)]
    (table,) = comparison_tables(entries)
    (row,) = table.rows
    assert [cell.text for cell in row[1:]] == [
        "0.110(10)",
        "0.0500(20)",
        "+5.9 σ",
        "0.300(10)",
        "0.0500(20)",
        "+24.5 σ",
        "flow",
    ]
    page = write_comparison(entries, None, tmp_path / "out")
    assert (page.parent / "figures" / "pulls_flow.png").stat().st_size > 1000
    text = page.read_text(encoding="utf-8")
    assert "the spread over 3 trainings covers the difference to Geant4" in text
    document = json.loads((page.parent / "compare.json").read_text())
    assert document["metrics"][0]["spread_over_error"] == pytest.approx(1.0)
    assert len(document["findings"]) == 2
    assert (page.parent / "tables" / "pulls_flow.csv").read_text().startswith("name,label,width,")
    write_comparison(entries[1:], None, tmp_path / "out")  # replaces the earlier one, figures included
    assert not (page.parent / "figures").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"geometry_name": "ds2"}, "need the same geometry, but seed-1 has ds1-photons and seed-2 ds2"),
        (
            {"generated": Sample("g.h5", SHOWERS, 0, {"recipe": "flow"})},
            "need the same recipe, but seed-1 has none and seed-2 flow",
        ),
        ({"threshold_mev": 0.5}, "need the same readout threshold, but seed-1 has 1 MeV and seed-2 0.5 MeV"),
        ({"reference": Sample("r.h5", 9)}, "same number of reference showers, but seed-1 has 2000 and seed-2 9"),
        ({"generated": Sample("g.h5", 9)}, "same number of generated showers, but seed-1 has 2000 and seed-2 9"),
        ({"baseline": BaselineSample(n=9)}, "same number of showers in the baseline, but seed-1 has 50 and seed-2 9"),
    ],
)
def test_reports_that_do_not_belong_together(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(CaloforgeError, match=words):
        load_reports([saved(tmp_path / "flow", training(rng), training(rng, **changes))])


def test_other_references_the_same_showers_twice_and_a_single_report(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    first, other = training(rng), training(rng)
    other.hists["n_hits"].view(flow=True)[1] = counts(rng)
    with pytest.raises(CaloforgeError, match="seed-1 and seed-2 have different reference showers; give both the same"):
        load_reports([saved(tmp_path / "a", first, other)])
    with pytest.raises(CaloforgeError, match="seed-1 and seed-2 are reports of the same generated showers"):
        load_reports([saved(tmp_path / "b", first, first)])
    twice = [training(rng, generated=Sample("g.h5", SHOWERS, 0, {"weights_sha256": "ab"})) for _ in range(2)]
    with pytest.raises(CaloforgeError, match="seed-1 and seed-2 are reports of the same training"):
        load_reports([saved(tmp_path / "d", *twice)])
    with pytest.raises(CaloforgeError, match=r"holds one report only \(seed-1\), and a spread needs"):
        load_reports([saved(tmp_path / "c", first)])


def test_geant4_against_itself_gives_pulls_of_width_one(only: Callable[..., None]) -> None:
    """Four parts of the package's showers in place of trainings, against a fifth."""
    only("separation")
    showers, reference = sample("train", stop=2400), sample("test", stop=600)
    parts = [showers[k : k + 600] for k in range(0, 2400, 600)]
    found = ensemble("geant4", [evaluate(part, reference) for part in parts])
    assert found is not None
    assert len(found.found) > 20
    assert found.width == pytest.approx(1, abs=0.12)
    assert all(width == pytest.approx(1, abs=0.12) for width in found.widths_of_trainings)
    assert found.covers


def test_the_command_says_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(9)
    flow = saved(tmp_path / "flow", *(training(rng, value) for value in (0.10, 0.12, 0.11)))
    monkeypatch.setattr(sys, "argv", ["caloforge", "compare", str(flow), "--published", "none"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    told = capsys.readouterr().out
    for words in ("0.110(10)", "Spread over trainings: flow", "Pulls against Geant4: flow", "covers the difference"):
        assert words in told


@pytest.mark.parametrize(("seeds", "said"), [((1, 1), True), ((1, 2), False)])
def test_showers_from_the_same_noise_are_remarked_on(seeds: tuple[int, int], said: bool) -> None:
    rng = np.random.default_rng(10)
    each = tuple(training(rng, generated=Sample("g.h5", SHOWERS, 0, {"seed": seed})) for seed in seeds)
    found = remarks([ComparedReport("flow", together("flow", each), each)])
    assert [text[:74] for text in found] == [
        "The showers of all trainings of flow were generated with seed 1: from the "
    ] * said


def test_one_report_alone_stays_as_it_was(tmp_path: Path) -> None:
    folder = saved(tmp_path, training(np.random.default_rng(1)))
    (entry,) = load_reports([folder / "seed-1"])
    assert entry == ComparedReport("seed-1", entry.records)
