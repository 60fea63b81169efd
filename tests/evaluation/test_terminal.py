"""What the terminal shows: every number whole within 80 columns, like beside like, and the worst first."""

import io
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from caloforge.evaluation.compare import PUBLISHED, Entry, comparison_tables, published_table
from caloforge.evaluation.observables import table1_names
from caloforge.evaluation.terminal import comparison_table, rich_table, verdict_lines, verdict_table
from caloforge.geometry import load_geometry

NAMES = table1_names(load_geometry("ds1-photons"))
LONGEST = "caloflow_dnn_normalised", "challenge_low_normalised"


def power(value: float = 0.11694) -> dict[str, Any]:
    """A generator far off with few showers: numbers as wide as they get."""
    entry = {"value": value, "error": 0.00651, "value_at_n": value + 0.0104, "floor": 0.0312, "floor_error": 0.0094}
    return {**entry, "pull": 15.5, "outside": {"generated": 0.00153, "reference": 0.00252}}


def classifier() -> dict[str, Any]:
    return {"auc": 0.99871, "auc_std": 0.00234, "floor_auc": 0.5013, "floor_auc_std": 0.0112, "n": 9, "floor_n": 5}


def data(*tests: str) -> dict[str, Any]:
    means = {"all": power(), "table1": {**power(), "error": 0.00085, "floor_error": 0.00077}}
    powers = {name: power() for name in NAMES} | {"e_layer_12": {"unavailable": "the reference has no energy there"}}
    return {
        "floor": {"n": 1000},
        "separation_power": powers,
        "mean_separation_power": means,
        "classifier": {name: classifier() for name in tests},
        "generated": {},
        "reference": {},
    }


def text(table: Table, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, soft_wrap=True).print(table)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("tests", [(), LONGEST])
def test_nothing_is_cut(width: int, tests: tuple[str, ...]) -> None:
    shown = text(verdict_table(data(*tests), NAMES, width), width)
    assert "…" not in shown
    assert all(len(line) <= width for line in shown.splitlines())
    for name in (*NAMES, *tests, "mean of all"):
        assert name in shown
    row = next(line for line in shown.splitlines() if line.startswith("e_layer_1 "))
    # at N, its floor, how far off, all showers; the shares where there is room
    cells = ["e_layer_1", "0.1273", "0.0312(94)", "+15.5", "σ", "0.1169(65)"]
    assert row.split() == cells + (["0.15", "|", "0.25"] if width == 120 or not tests else [])
    assert "N = 1000 showers a side" in shown


def test_a_metric_without_a_number_says_why() -> None:
    shown = text(verdict_table(data(), NAMES, 80), 80)
    assert next(line for line in shown.splitlines() if line.startswith("e_layer_12")).split() == ["e_layer_12", "—"]
    assert "— e_layer_12: the reference has no energy there" in shown


@pytest.mark.parametrize("n", [1, 2, 5])
def test_reports_side_by_side_fit(n: int) -> None:
    entries = [Entry(f"report-{k}", data(*LONGEST) | {"geometry": "ds1-photons"}) for k in range(n)]
    entries[0].data["mean_separation_power"] = {"all": power(0.0005)}
    shown = text(comparison_table(comparison_tables(entries)[0], [entry.name for entry in entries]), 80)
    assert "…" not in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    lines = shown.splitlines()
    first = lines.index(next(line for line in lines if line.startswith("mean separation power"))) + 2
    assert lines[first].split() == ["report-0", "0.0109", "0.0312(94)", "+15.5", "σ", "0.0005(65)"] + ["*"] * (n > 1)
    assert shown.count("*") == (n > 1)  # elsewhere all are alike


@pytest.mark.parametrize("geometry", PUBLISHED)
def test_published_numbers_fit(geometry: str) -> None:
    keys = ("submission", "mean_separation", "auc_low", "auc_high", "fpd_e3", "auc_resnet", "kpd_e3")
    narrow, wide = (text(rich_table(published_table(geometry), keys, width), width) for width in (80, 130))
    assert "…" not in narrow + wide
    assert all(len(line) <= 80 for line in narrow.splitlines()[1:])
    assert "KPD" in wide
    assert "AUC, high-level" in narrow


def test_the_worst_of_each_metric_and_how_many_more() -> None:
    points = [
        {"level": "bad", "metric": "separation_power", "text": "layer 2"},
        {"level": "bad", "metric": "separation_power", "text": "layer 1"},
        {"level": "bad", "metric": "fpd", "text": "FPD"},
        {"level": "note", "metric": "separation_power", "text": "outside"},
        {"level": "good", "metric": "duplicates", "text": "none"},
    ]
    lines = [line.plain for line in verdict_lines({"verdict": {"headline": "Told apart.", "points": points}})]
    assert lines == ["Told apart.", " ✗ layer 2", " ✗ FPD", " ✓ none", "   and 2 more in the report"]
    lines = [line.plain for line in verdict_lines({"verdict": {"headline": "At the floor.", "points": points[-1:]}})]
    assert lines == ["At the floor.", " ✓ none"]
