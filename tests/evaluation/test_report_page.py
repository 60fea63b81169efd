"""The page, its tables and its files: every number that should be there is there, and nothing from outside."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from caloforge.evaluation import formatting
from caloforge.evaluation.further_tables import report_tables
from caloforge.evaluation.html import page_table, render, tiles
from caloforge.evaluation.labels import axis_label, describe, split_name
from caloforge.evaluation.metric_tables import separation_table
from caloforge.evaluation.old_report import Report, evaluate
from caloforge.evaluation.plots import pictures, report_style
from caloforge.evaluation.tables import Table, flatten, write_csv
from caloforge.geometry import CartesianLayer, Geometry, Layer
from caloforge.showers import Showers

ROC = {"fpr": [0.0, 0.4, 1.0], "tpr": [0.0, 0.6, 1.0]}
WEIGHTS = {
    "n": 100,
    "mean": 1.01,
    "ess": 71.25,
    "ess_share": 0.7125,
    "histogram": {"log10_edges": [-1, 0, 1], "generated": [30, 70], "reference": [50, 50]},
}
TEST = {
    "auc": 0.6125,
    "auc_std": 0.0125,
    "floor_auc": 0.5025,
    "floor_auc_std": 0.011,
    "jsd": 0.0321,
    "jsd_std": 0.0011,
    "n": 150,
    "n_parameters": 1234567,
    "seconds": 12.5,
    "repeats": 1,
    "roc": ROC,
    "weights": WEIGHTS,
}


def made_up(seed: int, geometry: Geometry, n: int = 300) -> Showers:
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 200.0, 400.0], n)
    shares = rng.dirichlet(np.full(geometry.n_voxels, 1.0), n)
    return Showers(energies, (shares * energies[:, None]).astype(np.float32), geometry, {"source": "<made & up>"})


@pytest.fixture(scope="module")
def geometry() -> Geometry:
    """One layer only: figures take as long as they have panels."""
    return Geometry("small", (Layer(1, (0, 10, 40), 4),), threshold=0.5)


@pytest.fixture(scope="module")
def report(geometry: Geometry) -> Report:
    found = evaluate(
        made_up(1, geometry), made_up(2, geometry), classifiers=[], per_energy=True, command="caloforge evaluate <x>"
    )
    found.data["classifier"] = {"challenge_high": TEST, "challenge_resnet": {"unavailable": "needs a regular geometry"}}
    return found


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
        if tag == "tr" and self._section:
            self.tables[self._section].append([])
        if tag in ("td", "th") and self._section:
            self.tables[self._section][-1].append("")

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
    assert "<made & up>" not in text
    assert any("<made & up>" in words for words in page.words)
    assert "caloforge evaluate <x>" in "".join(page.words)


def test_the_verdict_comes_first(page: Page, report: Report) -> None:
    words = "".join(page.words)
    verdict = report.data["verdict"]
    assert verdict["points"]
    places = [words.index(verdict["headline"]), words.index(verdict["points"][0]["text"]), words.index("Average")]
    assert places == sorted(places)


def test_every_separation_power_is_on_the_page(page: Page, report: Report) -> None:
    rows = {row[0]: row for row in page.tables["separation_power"]}
    entries = report.data["separation_power"]
    assert len(rows) == len(entries) + 1
    seen = 0
    for name, entry in entries.items():
        row = rows[describe(name)]
        if "unavailable" in entry:
            assert row[-1] == entry["unavailable"]
            continue
        seen += 1
        assert formatting.with_error(entry["value"], entry["error"]) in row
        assert formatting.with_error(entry["floor"], entry["floor_error"]) in row
        assert formatting.like(entry["value_at_n"], entry["error"]) in row
        assert formatting.number(entry["value_with_overflow"]) in row
        assert formatting.share(entry["outside"]["generated"]) in row
    assert seen > 5


def test_classifiers_are_on_the_page(page: Page) -> None:
    rows = page.tables["classifiers"]
    row = next(row for row in rows if row[0] == "challenge, high-level features")
    # (0.6125 − 0.5025) / sqrt(0.0125² + 0.011²) = 6.6; the floor's JSD is not in this report
    assert row[1:7] == ["0.613 ± 0.013", "0.502 ± 0.011", "+6.6 σ", "0.0321 ± 0.0011", "", "71 %"]
    assert "1\u202f234\u202f567" in row
    assert rows[-1] == ["challenge, 3D ResNet-18", "needs a regular geometry"]


def numbers_of(entry: object) -> list[float]:
    if isinstance(entry, dict):
        return [value for item in entry.values() for value in numbers_of(item)]
    if isinstance(entry, list):
        return [value for item in entry for value in numbers_of(item)]
    return [] if isinstance(entry, bool) or not isinstance(entry, (int, float)) else [float(entry)]


def test_no_number_of_the_report_is_missing_from_the_tables(folder: Path) -> None:
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    for test in data["classifier"].values():
        for drawn in ("roc", "weights"):  # curves are drawn
            test.pop(drawn, None)
    kept: set[float] = set()
    for path in (folder / "tables").glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                for cell in row:
                    kept |= {float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", cell)}
    wanted = {value for key in data for value in numbers_of(data[key]) if key not in ("verdict", "created")}
    assert len(wanted) > 200
    # A correlation of an observable with itself is 1, and that table holds each pair once.
    assert wanted - kept - {1.0} <= {v for v in wanted if abs(v - 1) < 1e-12 or abs(v) < 1e-12}


def test_csv_keeps_every_digit(tmp_path: Path) -> None:
    rows = [
        {"observable": "a, b", "value": 1 / 3, "n": 7},
        {"observable": 'quoted "x"', "unavailable": "no energy"},
    ]
    write_csv(Table("t", "further", "T", "", (), rows), tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert float(first["value"]) == 1 / 3
    assert first == {"observable": "a, b", "value": repr(1 / 3), "n": "7", "unavailable": ""}
    assert second["unavailable"] == "no energy"


def test_separation_csv_is_the_report(folder: Path, report: Report) -> None:
    with (folder / "tables" / "separation_power.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["observable"]: row for row in csv.DictReader(file)}
    for name, entry in report.data["separation_power"].items():
        if "value" in entry:
            assert float(rows[name]["value"]) == entry["value"]
            assert float(rows[name]["outside_reference"]) == entry["outside"]["reference"]


def test_each_figure_is_there_as_png_and_pdf_and_on_the_page(folder: Path, page: Page) -> None:
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names >= {
        "average-showers",
        "energies",
        "centres",
        "widths",
        "sparsity",
        "per-energy",
        "profiles",
        "response",
        "single-showers",
        "nearest-neighbours",
        "correlations-layers",
        "classifiers",
    }
    for name in names:
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (folder / "figures" / f"{name}.png").stat().st_size > 2000
        assert f"figure-{name}" in page.ids


def test_a_quick_report_says_what_was_left_out(
    geometry: Geometry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caloforge.evaluation.plots.pictures", lambda report: iter(()))
    quick = evaluate(made_up(3, geometry, 60), made_up(4, geometry, 60), classifiers=[], quick=True)
    page = Page(render(quick, tmp_path).read_text(encoding="utf-8"))
    assert "left out by --quick" in "".join(page.words)
    assert page.open == []
    assert {row[0] for row in page.tables["samples"]} >= {"Fréchet physics distance × 10³", "precision"}


def test_a_layer_without_energy_is_left_out_of_the_histograms_only(geometry: Geometry) -> None:
    layers = (*geometry.layers, CartesianLayer(7, (0, 5, 10), (0, 5, 10, 20)))
    geometry = Geometry("dark", layers, threshold=0.5)
    dark = [made_up(seed, geometry, 60) for seed in (5, 6)]
    for sample in dark:
        sample.voxels[:, geometry.slices[1]] = 0
    found = evaluate(*dark, classifiers=[], quick=True)
    assert "unavailable" in found.data["separation_power"]["e_layer_7"]
    with report_style():
        figures = {picture.name: picture.figure for picture in pictures(found)}
    panels = {name: len(figure.axes) for name, figure in figures.items()}
    assert panels["energies"] == 2 * 3  # the ratio, voxels and layer 1, each with a panel below
    (canvas,) = figures["average-showers"].axes
    assert len(canvas.collections) == 3 * 2 + 2  # no colour bars below the dark layer


def test_tiles_stand_at_equal_numbers_of_showers() -> None:
    mean = {"value": 0.001, "value_at_n": 0.0021, "floor": 0.002, "floor_error": 0.0001, "error": 0.0001, "pull": 0.7}
    (tile, auc) = tiles({"mean_separation_power": {"table1": mean}, "classifier": {"caloman": TEST}})
    assert (tile["value"], tile["floor"], tile["full"]) == ("0.0021", "floor 0.00200 ± 0.00010", "all showers 0.001")
    assert tile["level"] == "good"
    assert (auc["value"], auc["floor"], auc["level"]) == ("0.613", "floor 0.502 ± 0.011", "bad")


def test_the_response_has_a_tile_of_its_own() -> None:
    mean = {"value": 0.00987, "error": 0.00093, "pull": 10.6}
    (tile,) = tiles({"response": {"mean": mean}})
    assert (tile["value"], tile["floor"], tile["level"]) == ("+0.99 %", "± 0.093 %, +10.6 σ off 0", "bad")
    assert tiles({"response": {"mean": {"unavailable": "constant"}}}) == []


def test_bars_are_logarithmic() -> None:
    entry = {"value": 0.5, "value_at_n": 0.01, "error": 0.001, "floor": 1e-5, "floor_error": 1e-6, "pull": 80.0}
    table = separation_table({"separation_power": {"e_layer_2": entry, "ec_r_2": {"unavailable": "no energy"}}})
    first, second = page_table(table).rows
    assert (first[1].bar, first[1].mark, first[1].level) == (60.0, 0.0, "bad")
    assert second[1].text == "no energy"
    assert second[1].span == len(table.columns) - 1


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.00213, 0.00041, "0.00213 ± 0.00041"),
        (0.5, None, "0.5"),
        (0.5, 0, "0.5"),
        (123.4, 23.0, "123 ± 23"),
        (4.84e-6, 2.1e-6, "(4.8 ± 2.1)e-6"),
        (None, 0.1, ""),
        (-0.28, 0.15, "-0.28 ± 0.15"),
    ],
)
def test_values_carry_their_error(value: float | None, error: float | None, text: str) -> None:
    assert formatting.with_error(value, error) == text


@pytest.mark.parametrize(
    ("value", "error", "text", "alone"),
    [
        (0.00213, 0.00041, "0.00213(41)", "0.00213"),
        (0.1169, 0.0065, "0.1169(65)", "0.1169"),
        (0.05, 0.0123, "0.050(12)", "0.050"),
        (0.5, None, "0.5", "0.5"),
        (123.4, 23.0, "123(23)", "123"),
        (12.34, 2.3, "12.3(2.3)", "12.3"),
        (4.84e-6, 2.1e-6, "4.8(2.1)e-6", "4.8e-6"),
        (-0.28, 0.15, "-0.28(15)", "-0.28"),
        (None, 0.1, "", ""),
        ("word", None, "word", "word"),
    ],
)
def test_short_form_of_values(value: float | str | None, error: float | None, text: str, alone: str) -> None:
    assert formatting.compact(value, error) == text
    assert formatting.like(value, error) == alone


def test_an_infinite_pull_is_told_in_words_and_sorts_last() -> None:
    assert formatting.pull_of({"pull": None, "pull_word": "infinite: …"}) == ("∞ σ", "bad")
    assert formatting.pull_of({"pull": -0.5}) == ("-0.5 σ", "good")
    assert formatting.pull_of({}) == ("", "")
    entry = {"value": 1.0, "value_at_n": 1.0, "error": 0.0, "floor": 0.0, "floor_error": 0.0}
    table = separation_table({"separation_power": {"e_layer_0": {**entry, "pull": None, "pull_word": "infinite: …"}}})
    (row,) = page_table(table).rows
    (cell,) = [cell for cell in row if cell.kind == "pull"]
    assert (cell.text, cell.level, cell.sort) == ("∞ σ", "bad", "inf")


def test_response_stands_energy_by_energy(page: Page, report: Report) -> None:
    rows = {row[0]: row for row in page.tables["response"]}
    entry = report.data["response"]["mean"]
    assert rows["mean, all energies"][1] == formatting.with_error(entry["value"], entry["error"])
    assert rows["mean, all energies"][2] == formatting.pull(entry["pull"])
    assert {"mean, 100 MeV", "spread, 400 MeV"} <= set(rows)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (0.0, "0"),
        (1.0, "1"),
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
def test_numbers(value: object, text: str) -> None:
    assert formatting.number(value) == text


def test_shares_and_pulls() -> None:
    assert [formatting.share(v) for v in (0, 0.5, 0.00123, 1e-7, None)] == ["0", "50 %", "0.12 %", "< 0.001 %", ""]
    assert [formatting.pull_level(v) for v in (0, -2.9, 3, -4.9, 5, None)] == [
        "good",
        "good",
        "note",
        "note",
        "bad",
        "",
    ]
    assert [formatting.pull(v) for v in (1.26, -0.04, -2000.0, None)] == ["+1.3 σ", "+0.0 σ", "−> 999 σ", ""]


@pytest.mark.parametrize(
    ("name", "parts", "words"),
    [
        ("ec_eta_12", ("ec_eta", 12), "centre of energy in eta, layer 12"),
        ("e_tot_over_e_inc", ("e_tot_over_e_inc", None), "E_dep / E_inc"),
        ("my_own_3", ("my_own", 3), "my own, layer 3"),
        ("s_d", ("s_d", None), "shower depth s_d"),
    ],
)
def test_names_in_words(name: str, parts: tuple[str, int | None], words: str) -> None:
    assert split_name(name) == parts
    assert describe(name) == words


def test_axis_labels_carry_units() -> None:
    assert axis_label("width_r_2") == "width in r, layer 2 [mm]"
    assert axis_label("sparsity_0") == "sparsity, layer 0"


def test_flatten_writes_short_lists_out() -> None:
    assert flatten({"a": {"b": 1, "c": [1, 2]}, "long": list(range(99)), "deep": [[1]]}) == {"a_b": 1, "a_c": "1, 2"}


def test_unknown_sections_still_become_tables() -> None:
    tables = {
        table.name: table
        for table in report_tables(
            {"my_section": {"x": {"value": 1.5, "floor": 1.0}}, "loose": 3, "curve": {"a": [1, 2]}}
        )
    }
    assert [c.key for c in tables["my_section"].columns] == ["name", "value", "floor", "pull"]
    assert tables["settings"].rows == [{"quantity": "loose", "value": 3}]
    assert tables["curve_list"].rows == [{"a": 1}, {"a": 2}]
