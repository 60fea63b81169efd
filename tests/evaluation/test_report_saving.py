"""Reading reports: what is inconsistent is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.report import Report
from caloforge.showers import Showers


def test_a_number_of_a_section_that_is_not_there(small_showers: Showers, tmp_path: Path) -> None:
    half = len(small_showers) // 2
    evaluate(small_showers[:half], small_showers[half:], quick=True).save(tmp_path / "good")
    assert Report.load(tmp_path / "good")
    shutil.copytree(tmp_path / "good", tmp_path / "bad")
    document = json.loads((tmp_path / "bad" / "report.json").read_text())
    document["metrics"][0]["section"] = "extra"
    (tmp_path / "bad" / "report.json").write_text(json.dumps(document))
    with pytest.raises(CaloforgeError, match=r"report.json is not a valid report: .* section 'extra', which it lacks"):
        Report.load(tmp_path / "bad")
