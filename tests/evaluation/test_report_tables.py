"""One table for all metrics: what its cells say on the page, in the terminal and in CSV files."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table as RichTable

from caloforge import formatting
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.about import About, Sample
from caloforge.evaluation.report.compare import ComparedReport, comparison_tables
from caloforge.evaluation.report.page import key_table
from caloforge.evaluation.report.published import DATA_SETS, published_table
from caloforge.evaluation.report.records import Records, level_of
from caloforge.evaluation.report.tables import Table, flat, label_of, pairs, section_tables, write_csv
from caloforge.evaluation.report.terminal import rich_table, verdict_lines
from caloforge.evaluation.report.verdict import Point, Verdict
from caloforge.evaluation.report.verdict.observables import against_baseline

ABOUT = About(Sample("g.h5", 9), Sample("r.h5", 9), None, "own", 1.0)
SECTIONS = {
    "power": Section(
        "power", "Separation power", "Of histograms.", extra={"outside": "outside [%]"}, page="separation"
    ),
    "response": Section("response", "Response", direction="nearer", extra={"p": "p", "words": "words"}),
    "recall": Section("recall", "Recall", direction="higher"),
}
POWER = Estimate(0.009, 0.001, 1e-5, 1e-6, 0.01, 1000)


def records(*metrics: Metric) -> Records:
    used = {metric.section for metric in metrics}
    return Records(ABOUT, list(metrics), sections={k: v for k, v in SECTIONS.items() if k in used})


def table(*metrics: Metric) -> Table:
    found = records(*metrics)
    return section_tables(found, found.sections[metrics[0].section])[0]


def titles(found: Table) -> list[str]:
    return [column.title for column in found.columns]


def test_the_baseline_column_shows_what_the_pull_is_taken_from() -> None:
    """0.004 ± 0.001 where 0 is expected: +4 σ, whatever N against N reference showers gave."""
    response = Metric("response", "mean", "mean", Estimate(0.004, 0.001, 0.002, 0.003, n=50, expected=0.0))
    row = dict(zip(titles(found := table(response)), found.rows[0], strict=True))
    assert (row["baseline"].text, row["pull"].text) == ("0 (expected)", "+4.0 σ")
    assert str(response.estimate) == "0.0040 ± 0.0010 (expected 0, +4.0 σ)"
    assert against_baseline(response) == "0.004 (expected 0)"


def test_a_metric_of_ones_own_has_its_heading_among_the_key_numbers() -> None:
    section = Section("mean_hits", "Mean number of hits", direction="nearer")
    own = Metric("mean_hits", "n_hits", "number of hits", Estimate(0.004, 0.001, expected=0.0))
    found = Records(ABOUT, [own], sections={"mean_hits": section})
    compared = comparison_tables([ComparedReport("a", found), ComparedReport("b", found)])[0]
    for words in (key_table(found).rows[0][0].text, compared.rows[0][0].text):
        assert words == "Mean number of hits: number of hits"
    assert (
        label_of(Metric("prdc", "recall", "recall", POWER), Section("prdc", "Precision, recall and coverage"))
        == "recall"
    )


def test_value_and_baseline_at_equal_n_then_the_full_samples() -> None:
    found = table(Metric("power", "e_layer_2", "energy, layer 2", POWER, extra={"outside": 0.0123}))
    assert titles(found) == [
        "",
        "size",
        "value (1\u202f000 per sample)",
        "baseline",
        "pull",
        "value (full samples)",
        "outside [%]",
    ]
    (row,) = found.rows
    texts = [cell.text for cell in row]
    assert texts == [
        "energy, layer 2",
        "",
        "0.0100",
        "(1.00 ± 0.10)e-5",
        "+10.0 σ",
        "0.0090 ± 0.0010",
        "1.2",
    ]
    assert (row[1].bar, row[1].mark, row[1].level) == (60.0, 0.0, "bad")  # 10⁻² of 10⁻⁵ … 1
    assert row[4].level == "bad"
    assert row[2].sort == 0.01


def test_a_value_that_does_not_depend_on_n_stands_with_its_error() -> None:
    found = table(Metric("response", "mean", "mean", Estimate(-0.01, 0.001, expected=0.0), extra={"words": "some"}))
    assert titles(found) == ["", "value", "baseline", "pull", "words"]
    assert [cell.text for cell in found.rows[0]] == ["mean", "-0.0100 ± 0.0010", "0 (expected)", "-10.0 σ", "some"]
    assert found.rows[0][3].level == "bad"


def test_different_sizes_have_a_column_of_their_own() -> None:
    small, large = (Metric("recall", str(n), str(n), Estimate(0.5, 0.1, 0.5, 0.1, n=n)) for n in (10, 20))
    assert titles(table(small, large)) == ["", "value", "baseline", "pull", "N"]
    assert [row[-1].text for row in table(small, large).rows] == ["10", "20"]


def test_a_metric_without_a_number_says_why() -> None:
    found = table(Metric("power", "a", "a", POWER), Metric("power", "b", "b", None, reason="no energy"))
    assert [cell.text for cell in found.rows[1]] == ["b", "no energy"]
    only = table(Metric("power", "b", "b", None, reason="no energy"))
    assert len(only.columns) == len(only.rows[0]) == 2


@pytest.mark.parametrize(
    ("section", "pull", "level"),
    [
        ("power", -9, "good"),
        ("power", 4, "note"),
        ("recall", -9, "bad"),
        ("recall", 9, "good"),
        ("response", -4, "note"),
    ],
)
def test_levels_follow_the_direction(section: str, pull: float, level: str) -> None:
    found = table(Metric(section, "a", "a", Estimate(0.5 + 0.01 * pull, 0.01, 0.5, 0.0)))
    assert {cell.level for cell in found.rows[0] if cell.level} == {level}


def test_levels() -> None:
    assert [level_of(excess) for excess in (-9.0, 2.9, 3.1, 4.9, 5.1, math.inf, None)] == [
        "good",
        "good",
        "note",
        "note",
        "bad",
        "bad",
        "",
    ]


def test_an_infinite_pull_sorts_last() -> None:
    (row,) = table(Metric("power", "a", "a", Estimate(1.0, 0.0, 0.0, 0.0, 1.0, 5))).rows
    assert (row[4].text, row[4].level, row[4].sort) == ("∞ σ", "bad", math.inf)


def test_incident_energies_are_columns() -> None:
    at = [Metric("power", "a", "a", POWER, unit="mm", at=f"{k} GeV", extra={"energy": k}) for k in (1, 2, 4)]
    other = Metric("power", "b", "b", None, reason="too few", at="2 GeV")
    found = records(Metric("power", "a", "a", POWER), *at, other)
    whole, energies = section_tables(found, found.sections["power"])
    assert len(whole.rows) == 1
    assert titles(energies) == ["", "1 GeV", "2 GeV", "4 GeV"]
    assert [[cell.text for cell in row] for row in energies.rows] == [
        ["a [mm]", "0.0100(10)", "0.0100(10)", "0.0100(10)"],
        ["b", "", "–", ""],
    ]
    assert [row["at"] for row in energies.data] == ["1 GeV", "2 GeV", "4 GeV", "2 GeV"]


def test_key_numbers_are_those_of_short_sections() -> None:
    many = [Metric("power", str(k), str(k), POWER) for k in range(9)]
    recall = Metric("recall", "recall", "recall", POWER)
    found = key_table(records(*many, recall, Metric("response", "mean", "mean", POWER)))
    assert [row[0].text for row in found.rows] == ["Response: mean", "recall"]


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    third = Estimate(1 / 3, 0.1, 0.0, 0.0)
    metrics = [
        Metric("power", "a", "a, b", third, extra={"outside": 1e-17}),
        Metric("power", "b", 'quoted "x"', None, reason="no energy"),
    ]
    write_csv(flat(metrics), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert float(first["value"]) == 1 / 3
    assert float(first["outside"]) == 1e-17
    assert float(first["pull"]) == third.pull
    assert first["label"] == "a, b"
    assert (second["reason"], second["value"]) == ("no energy", "")


# --- numbers as people read them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error", "text", "short", "alone"),
    [
        (0.00213, 0.00041, "0.00213 ± 0.00041", "0.00213(41)", "0.00213"),
        (0.5, None, "0.5", "0.5", "0.5"),
        (0.5, 0.0, "0.5", "0.5", "0.5"),
        (1.0, 5.9e-17, "1", "1", "1"),  # rounding is not an error
        (123.4, 23.0, "123 ± 23", "123(23)", "123"),
        (12.34, 2.3, "12.3 ± 2.3", "12.3(2.3)", "12.3"),
        (4.84e-6, 2.1e-6, "(4.8 ± 2.1)e-6", "4.8(2.1)e-6", "4.8e-6"),
        (-0.28, 0.15, "-0.28 ± 0.15", "-0.28(15)", "-0.28"),
        (None, 0.1, "", "", ""),
        (math.nan, 0.1, "", "", ""),
    ],
)
def test_values_with_errors(value: float | None, error: float | None, text: str, short: str, alone: str) -> None:
    assert formatting.with_error(value, error) == text
    assert formatting.compact(value, error) == short
    assert formatting.like(value, error) == alone


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (130.2, 4.1, "130 ± 4"),
        (455.437, 1.61, "455.4 ± 1.6"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (-0.4, 0.03, "-0.40 ± 0.03"),
        (1234.0, 412.0, "1200 ± 400"),
        (-0.001, 0.3, "0.0 ± 0.3"),
        (12.3456, 0.0, "12.3"),
        (12.3456, math.inf, "12.3"),
    ],
)
def test_one_digit_of_the_error_or_two_if_it_begins_with_1(value: float, error: float, text: str) -> None:
    assert formatting.rounded(value, error) == text
    signed = text if text.startswith(("-", "0")) else f"+{text}"
    assert formatting.rounded(value, error, "+").removeprefix("+") == signed.removeprefix("+")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (0.0, "0"),
        (1234.5678, "1235"),
        (1e-7, "1.00e-7"),
        (12345, "12\u202f345"),
        (None, ""),
        ("word", "word"),
        (100.0, "100"),
        (True, "yes"),
        (2.5e7, "2.50e7"),
    ],
)
def test_numbers(value: float | str | None, text: str) -> None:
    assert formatting.number(value) == text


def test_fractions_and_pulls() -> None:
    assert [formatting.share(v) for v in (0, 0.5, 0.00123, 1e-7, None)] == ["0", "50 %", "0.12 %", "< 0.001 %", ""]
    assert [formatting.pull(v) for v in (1.26, -0.04, -2000.0, None)] == ["+1.3 σ", "+0.0 σ", "−> 999 σ", ""]


# --- the terminal -----------------------------------------------------------------------------------------------


def shown(found: RichTable, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, soft_wrap=True).print(found)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_in_the_terminal(width: int) -> None:
    wide = Estimate(0.11694, 0.00651, 0.0312, 0.0094, 0.12734, 1000)
    label = "classifier of a [rather] long name, normalised per layer"
    found = table(Metric("power", "a", label, wide), Metric("power", "b", "b", None, reason="no energy in the layer"))
    text = shown(rich_table(found, width), width)
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    assert "[rather]" in text
    assert "no energy in the layer" in text
    for cell in ("0.1273", "0.0312(94)", "+8.4 σ") + (("0.1169(65)",) if width == 120 else ()):
        assert cell in text


@pytest.mark.parametrize("geometry", DATA_SETS)
def test_published_numbers_fit(geometry: str) -> None:
    narrow, wide = (shown(rich_table(published_table(geometry), width), width) for width in (80, 200))
    assert "…" not in narrow + wide
    assert all(len(line) <= 80 for line in narrow.splitlines())
    assert "KPD" in wide
    assert "AUC, high-level" in narrow


def test_the_verdict_in_the_terminal() -> None:
    points = tuple(Point("bad" if k < 9 else "good", "t", f"Layer [{k}]", ("wrong", "more")) for k in range(10))
    lines = [line.plain for line in verdict_lines(Verdict("bad", "How good.", "Where.", points))]
    assert lines[:2] == ["How good.", " ✗ Layer [0]: wrong, more"]
    assert len(lines) == 10
    assert "2 more" in lines[-1]


def test_pairs_of_a_matrix() -> None:
    numbers = {"generated": [[1, 0.5], [0.5, 1]], "reference": [[1, 0.2], [0.2, 1]], "difference": [[0, 0.3], [0.3, 0]]}
    chart = Chart("correlations_x", "matrix", "correlations", "X", "", {"names": ["a", "b"], **numbers})
    assert pairs(chart) == [{"first": "a", "second": "b", "generated": 0.5, "reference": 0.2, "difference": 0.3}]
