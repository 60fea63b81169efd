"""Reports side by side, the published numbers apart, and which folders may be written to."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.compare import (
    PUBLISHED,
    PUBLISHED_FILE,
    Entry,
    choose_published,
    comparison_tables,
    load_reports,
    published_table,
    remarks,
    write_comparison,
)
from caloforge.evaluation.output import check_target


def data(value: float = 0.01, auc: float = 0.6, **changes: Any) -> dict[str, Any]:
    power = {"value": value, "error": 0.001, "floor": 0.002, "floor_error": 0.0005, "pull": 8.0}
    return {
        "caloforge_version": "1",
        "geometry": "ds1-photons",
        "threshold_mev": 1.0,
        "generated": {"path": "a.h5", "n": 100, "attributes": {}},
        "reference": {"path": "ref.h5", "n": 100, "attributes": {}},
        "floor": {"source": "split", "n": 50},
        "separation_power": {"e_layer_0": power, "ec_eta_1": {"unavailable": "no energy"}},
        "mean_separation_power": {"all": power},
        "prdc": {"precision": {"value": 0.9, "floor": 0.7}, "n": 40, "k": 5},
        "classifier": {"caloman": {"auc": auc, "auc_std": 0.01, "floor_auc": 0.5, "jsd": 0.1, "jsd_std": 0.01}},
        "verdict": {"headline": "Close <to> it.", "points": []},
        **changes,
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def row_of(entries: list[Entry], metric: str) -> dict[str, Any]:
    return next(row for table in comparison_tables(entries) for row in table.rows if row["metric"] == metric)


def test_reports_are_named_by_as_little_of_their_path_as_it_takes(tmp_path: Path) -> None:
    a, b = write(tmp_path / "x" / "rep", data()), write(tmp_path / "y" / "rep", data())
    c = write(tmp_path / "other", data())
    assert [entry.name for entry in load_reports([a, c])] == ["rep", "other"]
    assert [entry.name for entry in load_reports([a, b / "report.json"])] == ["x/rep", "y/rep"]
    assert [entry.name for entry in load_reports([a, a])] == ["rep (1)", "rep (2)"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such report"),
        ("{", "is no report of caloforge \\(not JSON\\): give folders"),
        ("\udcff", "is no report of caloforge \\(not text\\)"),
        ("[]", "is no report"),
        ('{"geometry": "x"}', "it lacks separation powers or samples"),
        ("\udc89HDF\r\n", "holds showers, not a report: judge it first \\(caloforge evaluate"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content, encoding="utf-8", errors="surrogateescape", newline="")
    with pytest.raises(CaloforgeError, match=words) as found:
        load_reports([tmp_path])
    assert "report.json" in str(found.value)
    assert "\n" not in str(found.value)


def test_nothing_to_compare() -> None:
    with pytest.raises(CaloforgeError, match="at least one report"):
        load_reports([])


def test_values_stand_beside_their_own_floors_and_the_best_is_named() -> None:
    entries = [Entry("flow", data(0.03, auc=0.45)), Entry("vae", data(0.01, auc=0.7))]
    power = row_of(entries, "e_layer_0")
    assert (power["flow"], power["vae"], power["flow floor"], power["best"]) == (0.03, 0.01, 0.002, "vae")
    # an AUC of 0.45 is nearer to a blind guess than 0.7, though it is not the larger one
    assert row_of(entries, "auc_caloman")["best"] == "flow"
    assert row_of(entries, "mean_separation_power_all")["best"] == "vae"


def powers(value: float, error: float, floor: float = 0.002, at_n: float | None = None) -> dict[str, Any]:
    entry = {"value": value, "error": error, "floor": floor, "floor_error": 0.0005, "pull": 1.0}
    return data(separation_power={"e_layer_0": entry if at_n is None else {**entry, "value_at_n": at_n}})


@pytest.mark.parametrize(
    ("values", "best", "marked"),
    [
        ([(0.010, 0.001), (0.020, 0.001)], "r0", {"r0"}),
        ([(0.010, 0.001), (0.012, 0.001)], "all alike", set()),  # 2.8 errors would tell them apart
        ([(0.010, 0.001), (0.012, 0.001), (0.030, 0.001)], "r0, r1", {"r0", "r1"}),
        ([(0.010, 0.001), (0.014, 0.001)], "r0", {"r0"}),
        ([(0.010, 0.001), (0.020, 0.010)], "all alike", set()),
    ],
)
def test_best_is_better_by_more_than_the_errors(values: list[tuple[float, float]], best: str, marked: set[str]) -> None:
    row = row_of([Entry(f"r{k}", powers(*each)) for k, each in enumerate(values)], "e_layer_0")
    assert row["best"] == best
    assert {key.split()[0] for key in row if key.endswith(" best")} == marked


def test_best_is_judged_above_the_floor_at_the_same_number_of_showers() -> None:
    """With four times the showers the second's value is the smaller one, but it lies farther above its floor."""
    few, many = powers(0.008, 0.001, floor=0.011, at_n=0.012), powers(0.006, 0.0005, floor=0.003, at_n=0.0065)
    row = row_of([Entry("few", few), Entry("many", many)], "e_layer_0")
    assert row["best"] == "few"
    assert (row["few at N"], row["few floor"], row["few"], row["few pull"]) == (0.012, 0.011, 0.008, 1.0)


def test_negative_divergences_are_explained() -> None:
    assert "falls below 0" in comparison_tables([Entry("a", data())])[0].note


def test_precision_is_best_at_its_floor_not_at_one() -> None:
    near = data(prdc={"precision": {"value": 0.72, "floor": 0.7}, "n": 40, "k": 5})
    assert row_of([Entry("a", data()), Entry("b", near)], "precision")["best"] == "b"


def test_a_metric_that_only_one_report_has_keeps_its_row() -> None:
    other = data()
    del other["classifier"]
    row = row_of([Entry("a", data()), Entry("b", other)], "auc_caloman")
    assert (row["a"], row["b"], row["best"]) == (0.6, None, None)
    names = [row["metric"] for table in comparison_tables([Entry("a", data())]) for row in table.rows]
    assert "ec_eta_1" not in names  # no report has a number for it


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"geometry": "ds2"}, "different geometries: ds1-photons, ds2"),
        ({"threshold_mev": 0.5}, "different readout thresholds: 1.0, 0.5"),
        ({"reference": {"path": "/x/new.h5", "n": 9}}, "different references: new.h5 (9 showers), ref.h5"),
        ({"floor": {"source": "split", "n": 10}}, "different numbers of showers: a 50, b 10"),
    ],
)
def test_what_makes_reports_incomparable_is_said(changes: dict[str, Any], words: str) -> None:
    assert remarks([Entry("a", data()), Entry("b", data())]) == []
    (remark,) = remarks([Entry("a", data()), Entry("b", data(**changes))])
    assert words in remark


def test_published_numbers_are_complete_and_apart() -> None:
    with PUBLISHED_FILE.open(newline="", encoding="utf-8") as file:
        raw = list(csv.DictReader(file))
    assert sum(len(published_table(name).rows) for name in PUBLISHED) == len(raw) == 63
    table = published_table("ds1-photons")
    rows = {row["submission"]: row for row in table.rows}
    assert rows["CaloMan"]["auc_low"] == 0.9997
    assert rows["CaloMan"]["cpu_ms_b1"] == 186.455
    assert rows["GEANT4"]["parameters"] is None
    assert "auc_resnet" not in [column.key for column in table.columns]  # none on this data set
    assert "auc_resnet" in [column.key for column in published_table("ds2").columns]
    assert "official data" in table.note
    assert "2410.21611" in table.note


def test_which_published_numbers_are_shown() -> None:
    entries = [Entry("a", data())]
    chosen = choose_published(entries, None)
    assert chosen is not None
    assert chosen.title.endswith("ds1-photons")
    assert choose_published(entries, "none") is None
    assert choose_published([Entry("a", data(geometry="calogan"))], None) is None
    assert choose_published([*entries, Entry("b", data(geometry="ds2"))], None) is None
    with pytest.raises(CaloforgeError, match="no published numbers for 'ds9'"):
        choose_published(entries, "ds9")


def test_the_comparison_page(tmp_path: Path) -> None:
    entries = [Entry("flow", data(0.03)), Entry("vae", data(0.01, threshold_mev=2.0))]
    page = write_comparison(entries, published_table("ds1-photons"), tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "Close &lt;to&gt; it." in text
    ours, published = text.split('id="published-block"')
    assert "not measured here" in published
    assert "CaloDiffusion" in published
    assert "CaloDiffusion" not in ours
    assert "0.0300 ± 0.0010" in ours
    assert "different readout thresholds" in ours
    assert "http" not in text
    assert ours.count("number best") >= 2
    with (tmp_path / "out" / "tables" / "compare.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["auc_caloman"]["flow"]) == 0.6
    stored = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert {row["metric"]: row["vae"] for row in stored["compare_separation_power"]} == {"e_layer_0": 0.01}


# --- where output may go ----------------------------------------------------------------------------------------


def test_a_new_an_empty_and_an_earlier_folder_may_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    earlier = write(tmp_path / "earlier", data())
    (earlier / "tables").mkdir()
    for name in ("new", "empty", "earlier"):
        assert check_target(tmp_path / name, [], overwrite=False) == tmp_path / name


@pytest.mark.parametrize("marker", [None, "not json", "[]", '{"mine": 1}'])
def test_any_other_folder_is_refused_until_asked_for(tmp_path: Path, marker: str | None) -> None:
    if marker is None:
        write(tmp_path / "f", data())
        (tmp_path / "f" / "notes.md").touch()
    else:
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "report.json").write_text(marker, encoding="utf-8")
    with pytest.raises(CaloforgeError, match=r"no earlier report.*--overwrite"):
        check_target(tmp_path / "f", [], overwrite=False)
    assert check_target(tmp_path / "f", [], overwrite=True)


def test_where_nothing_can_be_written_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaloforgeError, match=r"cannot write .*file/below/rep: .*file is a file; give another path"):
        check_target(tmp_path / "file" / "below" / "rep", [], overwrite=False)
    assert check_target(tmp_path / "new" / "below" / "rep", [], overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # nothing is left of the attempt

    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("caloforge.evaluation.output.tempfile.TemporaryDirectory", refuse)
    with pytest.raises(CaloforgeError, match=f"cannot write into {tmp_path}: Permission denied"):
        check_target(tmp_path / "new", [], overwrite=False)


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    earlier = write(tmp_path / "rep", data())
    with pytest.raises(CaloforgeError, match="which is to be read"):
        check_target(earlier, [earlier / "report.json"], overwrite=True)
    with pytest.raises(CaloforgeError, match="which is to be read"):
        check_target(earlier, [earlier], overwrite=True)
    with pytest.raises(CaloforgeError, match="is a file"):
        check_target(earlier / "report.json", [], overwrite=True)
