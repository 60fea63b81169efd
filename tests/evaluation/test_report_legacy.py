"""Reports of format 1 are read: no number of theirs is lost, and each stays what it was."""

from __future__ import annotations

import bisect
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.report.legacy import LEFT_OUT, is_format_1, records_from_format_1
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.saving import metric_to_plain, write_records

FILE = Path(__file__).with_name("report_format_1.json")


@pytest.fixture(scope="module")
def old() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def report() -> Report:
    return Report.load(FILE)


def numbers(entry: object, in_text: bool = False) -> Iterator[float]:
    """Every number in nested mappings and lists; with `in_text` also those inside words."""
    if isinstance(entry, dict):
        for value in entry.values():
            yield from numbers(value, in_text)
    elif isinstance(entry, (list, tuple)):
        for value in entry:
            yield from numbers(value, in_text)
    elif isinstance(entry, str) and in_text:
        yield from map(float, re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", entry))
    elif isinstance(entry, (int, float)) and not isinstance(entry, bool):
        yield float(entry)


def test_no_number_is_lost(old: dict[str, Any], report: Report) -> None:
    records = [metric_to_plain(metric) for metric in report.metrics]
    charts = [dict(chart.data) for chart in report.charts]
    kept = sorted(numbers([records, charts, asdict(report.about)], in_text=True))

    def is_kept(value: float) -> bool:
        k = bisect.bisect_left(kept, value)
        return any(math.isclose(each, value, rel_tol=1e-9) for each in kept[max(0, k - 1) : k + 1])

    wanted = list(numbers(old))
    assert len(wanted) > 1500
    assert [value for value in wanted if not is_kept(value)] == []


def test_metrics_are_what_they_were(old: dict[str, Any], report: Report) -> None:
    n = old["floor"]["n"]
    for section in ("separation_power", "kl", "wasserstein"):
        for name, entry in old[section].items():
            keys = ("value", "error", "floor", "floor_error", "value_at_n")
            metric = report[section, name]
            assert metric.estimate == Estimate(*(entry[key] for key in keys), n)
            assert metric.pull == pytest.approx(entry["pull"], rel=1e-9)
    for name in ("precision", "recall", "density", "coverage"):
        assert report["prdc", name].pull == pytest.approx(old["prdc"][name]["pull"], rel=1e-9)
    for name in ("mean", "spread"):
        assert report["response", name].pull == pytest.approx(old["response"][name]["pull"], rel=1e-9)
        at = report["response", name, "100 MeV"]
        assert at.estimate is not None
        assert at.estimate.value == old["response"]["by_energy"]["100 MeV"][name]
    test = old["classifier"]["quick"]
    auc = report["auc", "quick"]
    assert auc.estimate == Estimate(
        test["auc"],
        test["auc_std"],
        test["floor_auc"],
        test["floor_auc_std"],
        n=test["floor_n"],
        smallest_error=1e-3,
    )
    assert auc.extra["weights_ess_share"] == test["weights"]["ess_share"]
    assert auc.extra["settings_epochs"] == test["settings"]["epochs"]
    assert "binning" in report["auc", "challenge_resnet"].reason
    here = old["per_energy"]["400 MeV"]["separation_power"]["e_layer_1"]
    estimate = report["separation_power", "e_layer_1", "400 MeV"].estimate
    assert estimate is not None
    assert (estimate.value, estimate.n) == (here["value"], old["per_energy"]["400 MeV"]["n"])


def test_what_was_compared(old: dict[str, Any], report: Report) -> None:
    about = report.about
    assert (about.generated.n, about.reference.n) == (1200, 1200)
    assert about.geometry is None
    assert about.geometry_name == "small"
    assert about.baseline.n == old["floor"]["n"]
    assert about.spectrum.kept["baseline"] == old["spectrum"]["floor_kept"]
    assert about.generated.attributes == {"particle": "gamma", "seed": 1}


def test_arrays_are_charts(old: dict[str, Any], report: Report) -> None:
    charts = {chart.name: chart for chart in report.charts}
    profile, roc = charts["profile_longitudinal"], charts["roc_quick"]
    assert (profile.kind, profile.data["generated"]) == ("profile", old["profiles"]["longitudinal"]["generated"])
    assert (roc.kind, roc.data["fpr"]) == ("roc", old["classifier"]["quick"]["roc"]["fpr"])
    assert roc.data["runs"] == old["classifier"]["quick"]["runs"]
    matrix = old["correlations"]["layers"]["difference"]
    assert charts["correlations_layers"].data["difference"] == matrix


def test_it_is_saved_as_a_report_of_today(report: Report, tmp_path: Path) -> None:
    write_records(report, report.verdict.plain(), tmp_path)
    assert Report.load(tmp_path) == report
    assert report.verdict.level == "bad"


def test_what_was_not_asked_for_or_had_no_number(old: dict[str, Any]) -> None:
    few = {"unavailable": "needs at least 20 showers a side, there are 4"}
    sections = ("prdc", "fpd", "kpd", "profiles", "correlations", "duplicates", "always_zero_voxels", "lecture_w1")
    quick = records_from_format_1(old | dict.fromkeys(sections, LEFT_OUT) | {"response": few}, "x")
    assert {metric.section for metric in quick.metrics} >= {"separation_power", "response"}
    assert not {"prdc", "fpd", "profiles", "correlations"} & set(quick.sections)
    assert quick["response", "mean"].reason == few["unavailable"]
    reasons = records_from_format_1(old | {"prdc": few, "fpd": few, "lecture_w1": few}, "x")
    for key in (("prdc", "recall"), ("fpd", "fpd"), ("w1_subsamples", "all")):
        assert reasons[key].estimate is None
        assert reasons[key].reason == few["unavailable"]


@pytest.mark.parametrize(
    "section", ["separation_power", "response", "classifier", "per_energy", "correlations", "prdc"]
)
def test_a_damaged_one_is_one_line(old: dict[str, Any], section: str) -> None:
    for wrong in (3, [1], "word"):
        with pytest.raises(CaloforgeError, match=r"file\.json"):
            records_from_format_1(old | {section: wrong}, "file.json")


def test_which_format_a_document_has(old: dict[str, Any]) -> None:
    assert is_format_1(old)
    assert not is_format_1({"format": 2, **old})
    assert not is_format_1({"geometry": "x"})
