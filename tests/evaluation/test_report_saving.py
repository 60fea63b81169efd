"""Reports that are not quite those that were saved."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.compare import comparison_tables, load_reports
from caloforge.evaluation.report.report import Report
from caloforge.showers import Showers


@pytest.mark.usefixtures("no_page")
def test_a_number_of_a_section_that_is_not_there_has_no_table(small_showers: Showers, tmp_path: Path) -> None:
    half = len(small_showers) // 2
    evaluate(small_showers[:half], small_showers[half:], quick=True).save(tmp_path / "report")
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    document["metrics"][0] |= {"section": "extra", "direction": None}
    (tmp_path / "report" / "report.json").write_text(json.dumps(document))
    assert Report.load(tmp_path / "report").section("extra")
    tables = comparison_tables(load_reports([tmp_path / "report", tmp_path / "report"]))
    assert "extra" not in [table.name for table in tables]
