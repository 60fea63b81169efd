"""Reports next to each other, the published numbers apart."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Direction, Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample
from caloforge.evaluation.report.compare import (
    ComparedReport,
    comparison_tables,
    join,
    load_reports,
    remarks,
    write_comparison,
)
from caloforge.evaluation.report.published import DATA_SETS, FILE, choose_published, published_table
from caloforge.evaluation.report.records import Records
from caloforge.evaluation.report.saving import write_records
from caloforge.evaluation.report.terminal import comparison_table

OLD = Path(__file__).with_name("report_format_1.json")


def about(**changes: Any) -> About:
    fields = {"geometry": None, "geometry_name": "ds1-photons", "threshold_mev": 1.0}
    samples = {"generated": Sample("a.h5", 100), "reference": Sample("ref.h5", 100)}
    return About(**{**samples, **fields, "baseline": BaselineSample(n=50), **changes})


def records(*metrics: Metric, direction: Direction = "lower", **changes: Any) -> Records:
    sections = {m.section: Section(m.section, f"Section <{m.section}>", direction=direction) for m in metrics}
    return Records(about(**changes), list(metrics), sections=sections)


def power(value: float, error: float = 0.001, baseline: float = 0.002, at_n: float | None = None) -> Metric:
    return Metric(
        "power", "e_layer_0", "energy, layer 0", Estimate(value, error, baseline, 0.0005, at_n, 50), unit="MeV"
    )


def write(folder: Path, found: Records) -> Path:
    folder.mkdir(parents=True)
    write_records(found, {}, folder)
    return folder


def best(*found: Records) -> list[int]:
    (each,) = join([ComparedReport(f"r{k}", one) for k, one in enumerate(found)])
    return list(each.best)


def test_reports_are_named_by_as_little_of_their_path_as_it_takes(tmp_path: Path) -> None:
    a, b = write(tmp_path / "x" / "rep", records(power(0.1))), write(tmp_path / "y" / "rep", records(power(0.1)))
    c = write(tmp_path / "other", records(power(0.1)))
    assert [entry.name for entry in load_reports([a, c])] == ["rep", "other"]
    assert [entry.name for entry in load_reports([a, b / "report.json"])] == ["x/rep", "y/rep"]
    assert [entry.name for entry in load_reports([a, a])] == ["rep (1)", "rep (2)"]
    with pytest.raises(CaloforgeError):
        load_reports([])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0.010, 0.001), (0.020, 0.001)], [0]),
        ([(0.010, 0.001), (0.012, 0.001)], []),  # 2.8 errors would distinguish them
        ([(0.010, 0.001), (0.012, 0.001), (0.030, 0.001)], [0, 1]),
        ([(0.010, 0.001), (0.014, 0.001)], [0]),
        ([(0.010, 0.001), (0.020, 0.010)], []),
    ],
)
def test_best_is_better_by_more_than_the_errors(values: list[tuple[float, float]], expected: list[int]) -> None:
    assert best(*(records(power(*each)) for each in values)) == expected


def test_best_is_nearest_to_its_baseline_at_the_same_number_of_showers() -> None:
    """With four times the showers the second's value is smaller, but it lies farther above its baseline."""
    few, many = power(0.008, 0.001, 0.011, at_n=0.012), power(0.006, 0.0005, 0.003, at_n=0.0065)
    assert best(records(few), records(many)) == [0]


@pytest.mark.parametrize(("direction", "expected"), [("lower", 0), ("higher", 0), ("nearer", 0)])
def test_best_is_nearest_to_the_baseline(direction: Direction, expected: int) -> None:
    """A precision of 0.9 where Geant4 has 0.7 against itself is that of showers too alike."""
    low, high = (Metric("s", "a", "a", Estimate(value, 0.001, 0.7, 0.0)) for value in (0.69, 0.9))
    assert best(records(low, direction=direction), records(high, direction=direction)) == [expected]
    assert best(records(high, direction="nearer"), records(low, direction="nearer")) == [1]


def test_distances_below_the_baseline_are_as_good_as_at_it() -> None:
    below, at, above = (Metric("s", "a", "a", Estimate(value, 0.001, 0.7, 0.0)) for value in (0.6, 0.7, 0.8))
    assert best(records(below), records(at), records(above)) == [0, 1]
    recall = [records(each, direction="higher") for each in (below, at, above)]
    assert best(*recall) == [1]


def test_differences_from_an_expected_value_are_compared_by_size() -> None:
    low, high = (Metric("s", "a", "a", Estimate(value, 0.001, 0.3, 0.1, expected=0.0)) for value in (-0.05, 0.01))
    assert best(records(low, direction="nearer"), records(high, direction="nearer")) == [1]


def test_a_metric_that_only_one_report_has_keeps_its_row() -> None:
    other = Metric("auc", "own", "own", Estimate(0.6, 0.01, 0.5, 0.0))
    absent = Metric("auc", "none", "none", None, reason="too few")
    (table,) = comparison_tables(
        [ComparedReport("a", records(power(0.1), other)), ComparedReport("b", records(power(0.2), absent))]
    )
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows["Section <auc>: own"] == ["0.600(10)", "0.5", "+10.0 σ", "–", "", "", ""]
    assert rows["Section <auc>: none"] == ["too few"]
    assert rows["Section <power>: energy, layer 0 [MeV]"][-1] == "a"


def test_what_no_report_has_is_one_line_with_its_reason() -> None:
    absent = Metric("w1", "all", "all quantities", None, reason="needs at least 200 showers")
    entries = [ComparedReport(name, records(power(0.1), absent)) for name in "ab"]
    (table,) = comparison_tables(entries)
    out = io.StringIO()
    Console(file=out, width=100).print(comparison_table(table, entries))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert "– Section <w1>: all quantities: needs at least 200 showers" in lines
    assert sum("all quantities" in line for line in lines) == 1


def test_each_column_appears_once_and_best_is_the_last() -> None:
    entries = [ComparedReport(name, records(power(value))) for name, value in (("flow", 0.03), ("vae", 0.01))]
    (table,) = comparison_tables(entries)
    assert [column.title for column in table.columns] == [
        "",
        "flow",
        "baseline",
        "pull",
        "vae",
        "baseline",
        "pull",
        "best",
    ]
    (row,) = table.rows
    assert [cell.text for cell in row if cell.level == "best"] == ["0.0100(10)"]
    assert row[-1].text == "vae"
    (alone,) = comparison_tables(entries[:1])
    assert [column.title for column in alone.columns] == ["", "flow", "baseline", "pull"]


def test_long_sections_have_tables_of_their_own() -> None:
    many = [Metric("long", str(k), str(k), Estimate(0.1)) for k in range(9)]
    at = Metric("long", "0", "0", Estimate(0.1), at="1 GeV")
    tables = comparison_tables([ComparedReport("a", records(power(0.1), *many, at))])
    assert [(table.name, len(table.rows)) for table in tables] == [("key_numbers", 1), ("long", 9)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"geometry_name": "ds2"}, ("geometries", "ds1-photons", "ds2")),
        ({"threshold_mev": 0.5}, ("thresholds", "1 MeV", "0.5 MeV")),
        ({"reference": Sample("/x/new.h5", 9)}, ("references", "new.h5 (9 showers)", "ref.h5")),
        ({"baseline": BaselineSample(n=10)}, ("numbers of showers", "a 50", "b 10")),
    ],
)
def test_what_makes_reports_incomparable_is_said(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    first = ComparedReport("a", records())
    assert remarks([first, ComparedReport("b", records())]) == []
    (remark,) = remarks([first, ComparedReport("b", records(**changes))])
    assert all(word in remark for word in words)


def test_published_numbers_are_complete() -> None:
    with FILE.open(newline="", encoding="utf-8") as file:
        raw = list(csv.DictReader(file))
    assert sum(len(published_table(name).rows) for name in DATA_SETS) == len(raw) == 63
    table = published_table("ds1-photons")
    rows = {row["submission"]: row for row in table.data}
    assert rows["CaloMan"]["auc_low"] == 0.9997
    assert rows["CaloMan"]["cpu_ms_b1"] == 186.455
    assert rows["GEANT4"]["parameters"] is None
    assert "AUC, ResNet" not in [column.title for column in table.columns]  # none on this data set
    assert "AUC, ResNet" in [column.title for column in published_table("ds2").columns]
    assert "2410.21611" in table.note


def test_which_published_numbers_are_shown() -> None:
    chosen = choose_published({"ds1-photons"}, None)
    assert chosen is not None
    assert chosen.title.endswith("ds1-photons")
    assert choose_published({"ds1-photons"}, "none") is None
    other = choose_published({"ds1-photons", "ds2"}, "ds2")
    assert other is not None
    assert other.note.startswith("Reports of ds1-photons cannot be compared with numbers of ds2.")
    assert choose_published({"calogan"}, None) is None
    assert choose_published({"ds1-photons", "ds2"}, None) is None
    with pytest.raises(CaloforgeError, match="ds9"):
        choose_published({"ds1-photons"}, "ds9")


def test_the_comparison_page_and_its_files(tmp_path: Path) -> None:
    entries = [
        ComparedReport("<flow>", records(power(0.03))),
        ComparedReport("vae", records(power(0.01), threshold_mev=2.0)),
    ]
    page = write_comparison(entries, published_table("ds1-photons"), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    ours, published = text.split('id="published-block"')
    assert "&lt;flow&gt;" in ours
    assert "<flow>" not in text
    assert "CaloDiffusion" in published
    assert "CaloDiffusion" not in ours
    assert "0.0300(10)" in ours
    assert "2 MeV" in ours
    assert "http" not in text
    with (tmp_path / "out" / "tables" / "key_numbers.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["report"]: row for row in csv.DictReader(file)}
    assert (float(rows["vae"]["value"]), rows["vae"]["best"]) == (0.01, "True")
    stored = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert [(row["report"], row["value"]) for row in stored["metrics"]] == [("<flow>", 0.03), ("vae", 0.01)]


def test_reports_of_both_formats_are_joined(tmp_path: Path) -> None:
    (old,) = load_reports([OLD])
    new = write(tmp_path / "new", old.records)
    entries = load_reports([OLD, new])
    for each in join(entries):
        first, second = each.metrics
        assert first == second
        assert each.best == ()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_terminal_fits_any_number_of_reports(n: int) -> None:
    entries = [ComparedReport(f"report-[{k}]", records(power(0.11694 + 0.1 * k, 0.00651, 0.0312))) for k in range(n)]
    (table,) = comparison_tables(entries)
    out = io.StringIO()
    Console(file=out, width=80, soft_wrap=True).print(comparison_table(table, entries))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    row = next(line for line in lines if "report-[0]" in line)
    assert row.split() == ["report-[0]", "0.1169(65)", "0.03120(50)", "+13.1", "σ"] + ["*"] * (n > 1)
    assert out.getvalue().count("*") == (n > 1)
