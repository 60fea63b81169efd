"""A report survives its files: every record is read back as it was, and what JSON cannot hold costs nothing."""

import json
import math
from pathlib import Path

import hist
import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.report.about import About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.saving import plain, write_records
from caloforge.geometry import load_geometry


def histogram() -> hist.Hist:
    found = hist.Hist(
        hist.axis.StrCategory(["generated", "reference"], overflow=False),
        hist.axis.Variable([0.0, 1.0, 3.5], name="width_r_1", label="width in r, layer 1 [mm]"),
        storage=hist.storage.Int64(),
        metadata={"group": "widths", "family": "width_r", "layer": 1, "log": True},
    )
    found.fill("generated", [-1.0, 0.5, 2.0, 2.0, 9.0])
    found.fill("reference", [0.5, 0.7])
    return found


@pytest.fixture
def report() -> Report:
    geometry = load_geometry("ds1-photons")
    attributes = {"seed": 3, "particle": "gamma", "cut": 0.5}
    about = About(
        Sample("runs/generated.h5", 100, 2, attributes),
        Sample("geant4.h5", 200),
        geometry,
        geometry.name,
        1.0,
        BaselineSample("other.h5", 90, True),
        Spectrum(True, 0.01, 0.9, {"generated": 100, "reference": 200}),
        timing={"reading": 0.25},
    )
    metrics = [
        Metric("distance", "width_r_1", "width in r, layer 1", Estimate(0.1, 0.01, 0.05, 0.01, 0.12, 90), unit="mm"),
        Metric("distance", "width_r_1", "width in r, layer 1", Estimate(0.2), at="512 MeV", extra={"energy": 512.0}),
        Metric("distance", "constant", "a constant", Estimate(1.0, 0.0, 2.0, 0.0)),
        Metric("distance", "absent", "an absent one", None, reason="too few showers"),
        Metric("auc", "own", "own test", Estimate(0.6, 0.0, 0.5, 0.0, smallest_error=0.001), extra={"words": "a"}),
    ]
    sections = [Section("distance", "Distances", extra={"energy": "E_inc"}), Section("auc", "AUC", direction="nearer")]
    charts = [Chart("curve", "roc", "auc", "ROC", "Look.", {"fpr": [0.0, 1.0], "label": "own"})]
    hists = {"width_r_1": histogram()}
    return Report(about, metrics, hists, charts, {section.name: section for section in sections})


def write(report: Report, folder: Path) -> None:
    folder.mkdir()
    write_records(report, report.verdict.plain(), folder)


def test_a_report_is_read_back_as_it_was(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "out")
    for path in (tmp_path / "out", tmp_path / "out" / "report.json"):
        again = Report.load(path)
        assert again == report
        assert again.hists["width_r_1"].metadata == report.hists["width_r_1"].metadata
        assert again.hists["width_r_1"].axes[1].label == "width in r, layer 1 [mm]"
        assert again.hists["width_r_1"].values(flow=True).tolist() == [[1, 1, 2, 1], [0, 2, 0, 0]]


def test_each_metric_is_one_line_of_flat_json(report: Report, tmp_path: Path) -> None:
    write(report, tmp_path / "out")
    text = (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    first, _, constant, absent, own = json.loads(text)["metrics"]
    assert sum('"section"' in line for line in text.splitlines()) == 5
    assert first["pull"] == pytest.approx(0.07 / math.hypot(0.01, 0.01))
    assert constant["pull"] is None
    assert "pull_word" in constant
    assert absent["reason"] == "too few showers"
    assert "value" not in absent
    assert own["pull"] == pytest.approx(100)


def test_metrics_by_section_name_and_energy(report: Report) -> None:
    assert report["distance", "width_r_1"].estimate == Estimate(0.1, 0.01, 0.05, 0.01, 0.12, 90)
    assert report["distance", "width_r_1", "512 MeV"].extra == {"energy": 512.0}
    assert [m.name for m in report.section("distance")] == ["width_r_1", "width_r_1", "constant", "absent"]
    assert [m.at for m in report.section("distance", at="512 MeV")] == ["512 MeV"]
    with pytest.raises(KeyError, match="width_r_1"):
        report["distance", "width_r_2"]


def test_worse_is_positive_whichever_way_is_better() -> None:
    estimate = Estimate(0.5, 0.1, 0.8, 0.0)
    metrics = [Metric(section, "a", "a", estimate) for section in ("lower", "higher", "nearer", "unknown")]
    sections = {name: Section(name, name, direction=name) for name in ("lower", "higher", "nearer")}
    about = About(Sample("a", 1), Sample("b", 1), None, "own", 0.0)
    report = Report(about, metrics, sections=sections)
    assert [report.excess(m) for m in metrics] == pytest.approx([-3, 3, 3, -3])


def test_a_data_frame(report: Report) -> None:
    pytest.importorskip("pandas", reason="data frames need the extra notebook")
    frame = report.to_frame()
    assert frame.loc[("distance", "width_r_1", "")].value == 0.1
    assert len(frame) == 5
    assert report.to_frame("distance").loc[("distance", "width_r_1", "512 MeV")].energy == 512.0
    with pytest.raises(CaloforgeError, match=r"'none'.*distance"):
        report.to_frame("none")


def test_what_json_cannot_hold_becomes_text() -> None:
    long_double = np.longdouble(1) / 3
    odd = {"complex": 1j, "bytes": b"\xff\x00a", "long": long_double, "void": np.void(b"ab"), "surrogate": "a\udce9"}
    found = plain(odd | {"array": np.array([1.0, np.nan]), "whole": np.int8(3), "nested": {"x": [math.inf, True]}})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    json.dumps(found, ensure_ascii=False).encode()
    assert found["array"] == [1.0, None]
    assert found["whole"] == 3
    assert found["nested"] == {"x": [None, True]}
    assert found["complex"] == "1j"


@pytest.mark.parametrize("key", ["about", "sections", "metrics"])
def test_a_damaged_report_is_one_line(report: Report, tmp_path: Path, key: str) -> None:
    write(report, tmp_path / "out")
    file = tmp_path / "out" / "report.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    for wrong in (
        None,
        3,
        [3],
        {"a": 1},
        [{"section": 3}],
        [{"section": "a", "name": "b", "label": "c", "value": "x"}],
    ):
        file.write_text(json.dumps(document | {key: wrong}), encoding="utf-8")
        with pytest.raises(CaloforgeError) as caught:
            Report.load(file)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_not_a_report_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.json", b"\x89HDF\r\n"), ("b.json", b"[1]"), ("c.json", b"{"), ("d.json", b"\xff\xfe")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CaloforgeError, match=name):
            Report.load(tmp_path / name)
    with pytest.raises(CaloforgeError, match="absent"):
        Report.load(tmp_path / "absent")
