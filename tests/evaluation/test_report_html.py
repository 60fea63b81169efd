"""The page and the files next to it: every number that should be there is there, and nothing from outside."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import hist
import numpy as np
import pytest

from caloforge import formatting
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.about import About, Sample
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.saving import metric_to_plain
from caloforge.geometry import Geometry, Layer

NAMES = [f"{family}_{k}" for family in ("width_r", "e_layer", "sparsity") for k in range(5)]


def histogram(name: str, rng: np.random.Generator) -> hist.Hist:
    found = hist.Hist(
        hist.axis.StrCategory(["generated", "reference"], overflow=False),
        hist.axis.Variable(np.linspace(0, 10, 21), name=name, label=f"{name} [mm]"),
        metadata={"group": "widths", "family": name.rpartition("_")[0], "layer": int(name[-1]), "log": True},
    )
    for sample, mean in (("generated", 4.0), ("reference", 5.0)):
        found.fill(sample, rng.normal(mean, 1.0, 500))
    return found


@pytest.fixture(scope="module")
def report() -> Report:
    rng = np.random.default_rng(1)
    geometry = Geometry("small", tuple(Layer(k, (0, 5, 10), 1) for k in range(5)), threshold=0.5)
    attributes = {"source": "<made & up>", "recipe": "x" * 1000}
    about = About(Sample("a<b>/g.h5", 500, 0, attributes), Sample("r.h5", 500), geometry, "small", 0.5)
    about = About(**{**vars(about), "command": "caloforge evaluate <x>", "created": "2026-01-02T03:04:05+00:00"})
    powers = [
        Metric(
            "power", name, f"{name} <in words>", Estimate(0.2 + k / 97, 0.01, 0.05, 0.01, 0.21 + k / 89, 250), unit="mm"
        )
        for k, name in enumerate(NAMES)
    ]
    at = [Metric("power", NAMES[0], NAMES[0], Estimate(0.1 * k, 0.01, 0.05, 0.01), at=f"{k} GeV") for k in (1, 2)]
    separation = [Metric("separation_power", m.name, m.label, m.estimate) for m in powers]
    own = [Metric("own", "first", "a metric of one's own", Estimate(3.25, 0.5, 3.0, 0.5), extra={"cells": 17})]
    own.append(Metric("own", "absent", "an absent one", None, reason="too few showers"))
    sections = [
        Section("separation_power", "Separation power", page="separation"),
        Section("power", "Another distance", "With <notes>."),
        Section("own", "Section of one's own", extra={"cells": "cells"}, page="my_page"),
    ]
    chart = Chart("mine", "bars", "own", "Figure <of> one's own", "Look.", {"names": ["a"], "values": [1.0]})
    charts = [chart, Chart("unknown", "a kind that nobody registered", "own", "", "", {})]
    hists = {name: histogram(name, rng) for name in NAMES}
    metrics = [*separation, *powers, *at, *own]
    return Report(about, metrics, hists, charts, {section.name: section for section in sections})


@pytest.fixture(scope="module")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report.save(tmp_path_factory.mktemp("page") / "report")


class Page(HTMLParser):
    """Collects the cells of the tables, the text, and every attribute that could load something."""

    VOID = frozenset({"meta", "input", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.titles: dict[str, list[str]] = {}
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._section = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [str(found[key]) for key in ("src", "href", "srcset", "action") if key in found]
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "section" and found.get("class") == "table":
            self._section = str(found["id"])
            self.tables[self._section] = []
            self.titles[self._section] = []
        if tag == "tr" and self._section:
            self.tables[self._section].append([])
        if tag in ("td", "th") and self._section:
            self.tables[self._section][-1].append("")
        if tag == "td" and self._section:
            self.titles[self._section].append(str(found.get("data-k", "")))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._section and {"td", "th"} & set(self.open[-2:]) and self.tables[self._section]:
            self.tables[self._section][-1][-1] += data.strip()


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_well_formed_and_stands_alone(page: Page, folder: Path) -> None:
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.loads
    for target in page.loads:
        assert target.startswith(("data:image/png;base64,", "#")), target[:80]
        assert not target.startswith("#") or target[1:] in page.ids
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<link|<iframe", text)
    assert len(text) < 8e6


def test_text_from_files_is_escaped(page: Page, folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    for words in ("<made & up>", "<in words>", "<notes>", "Figure <of>", "a<b>", "evaluate <x>"):
        assert words not in text
        assert words in "".join(page.words)


def test_first_how_good_then_where_it_fails_then_three_figures(page: Page, report: Report, folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    words = "".join(page.words)
    verdict = report.verdict
    assert verdict.level == "bad"
    assert words.index(verdict.headline) < words.index(verdict.where) < words.index("Findings")
    first = text[text.index('class="first"') : text.index("<nav")]
    assert first.count("<img") == 3
    assert [name for name in page.ids if name.startswith("figure-observable_")] == [
        "figure-observable_sparsity_4",
        "figure-observable_e_layer_3",
        "figure-observable_width_r_2",
    ]
    assert all(point.place in words for point in verdict.points)


def test_every_metric_is_on_the_page_with_its_baseline_and_pull(page: Page, report: Report) -> None:
    for section in ("separation_power", "power"):
        rows = {row[0]: row for row in page.tables[section]}
        for metric in report.section(section, at=""):
            estimate = metric.estimate
            assert estimate is not None
            row = rows[f"{metric.label} [mm]" if metric.unit else metric.label]
            assert formatting.like(estimate.value_at_n, estimate.error) in row
            assert formatting.with_error(estimate.baseline, estimate.baseline_error) in row
            assert formatting.pull(estimate.pull) in row
            assert formatting.with_error(estimate.value, estimate.error) in row
    assert page.tables["power_per_energy"][1][1:] == ["0.100(10)", "0.200(10)"]


def test_a_section_of_ones_own_has_table_figure_and_part(page: Page) -> None:
    assert "part-my_page" in page.ids
    assert "figure-mine" in page.ids
    assert "figure-unknown" not in page.ids
    assert page.tables["own"][1:] == [
        ["a metric of one's own", "3.25 ± 0.50", "3.00 ± 0.50", "+0.4 σ", "17"],
        ["an absent one", "too few showers"],
    ]
    assert "Section of one's own: a metric of one's own" in [row[0] for row in page.tables["key_numbers"]]


def test_narrow_screens_have_every_column_title_in_its_cells(page: Page) -> None:
    assert set(page.titles["power"]) == {"value (250 per sample)", "baseline", "pull", "value (full samples)"}


def test_what_was_compared_is_on_the_page(page: Page) -> None:
    rows = {row[0]: row[1:] for row in page.tables["samples"]}
    assert rows["source"] == ["<made & up>", ""]
    assert rows["n"] == ["500", "500"]
    assert len(rows["recipe"][0]) < 400
    assert {row[0] for row in page.tables["settings"]} >= {"seed", "threshold_mev", "baseline source"}


def test_csv_tables_are_the_records(folder: Path, report: Report) -> None:
    for name in report.sections:
        with (folder / "tables" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row, metric in zip(rows, report.section(name), strict=True):
            plain = metric_to_plain(metric)
            extra = plain.pop("extra", {})
            for key, value in {**plain, **extra}.items():
                assert row[key] == str(value)


def test_each_figure_is_there_as_png_and_pdf_and_on_the_page(folder: Path, page: Page) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names >= {"mine", "widths"}
    for name in names:
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (folder / "figures" / f"{name}.png").stat().st_size > 2000
        assert f"figure-{name}" in page.ids


def test_numbers_are_kept_when_a_figure_fails(
    report: Report, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.plots.histogram", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        report.save(tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert stored["metrics"] == json.loads((folder / "report.json").read_text(encoding="utf-8"))["metrics"]
    assert (tmp_path / "out" / "tables" / "own.csv").exists()
    assert Report.load(tmp_path / "out") == report


def test_a_notebook_shows_verdict_and_key_numbers(report: Report) -> None:
    text = report._repr_html_()
    shown = Page(text)
    assert shown.open == []
    assert report.verdict.headline in "".join(shown.words)
    assert "a metric of one's own" in text.replace("&#39;", "'")
    assert not shown.loads


def test_a_figure_by_name(report: Report) -> None:
    assert len(report.plot("width_r_1").child_axes) == 2
    assert report.plot("mine").has_data()
    assert {"width_r_1", "mine"} < set(report.figures())
