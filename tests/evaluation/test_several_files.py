"""A sample in several files is evaluated like the same sample in one file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from caloforge import cli
from caloforge.cli.evaluate import sample_name
from caloforge.errors import CaloforgeError, CaloforgeWarning
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.samples.opening import Opened, Request
from caloforge.showers import ShowerFiles, Showers, inputs, matching_files, reading


@pytest.fixture
def shards(small_showers: Showers, tmp_path: Path) -> Path:
    """300 showers in three shards, next to the same in one file, and 300 others as a reference."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        facts = {"shard": number, "shards": 3, "seed": 1, "energies": "list:100,200,400"}
        small_showers[100 * number : 100 * (number + 1)].write(folder / f"shard-{number}-of-3.h5", facts)
    small_showers[:300].write(tmp_path / "whole.h5")
    small_showers[300:].write(tmp_path / "reference.h5")
    return folder


def test_the_numbers_are_those_of_one_file(shards: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference.h5"
    whole = evaluate(tmp_path / "whole.h5", reference, quick=True)
    for given in (shards, str(shards / "*.h5"), sorted(shards.iterdir())):
        report = evaluate(given, reference, quick=True)
        assert [metric.key for metric in report.metrics] == [metric.key for metric in whole.metrics]
        for metric in whole.metrics:
            if metric.estimate is not None:
                found = report[metric.key].estimate
                assert found is not None
                assert found.value == pytest.approx(metric.estimate.value, rel=1e-9, abs=1e-12)
    assert "shard-2-of-3.h5" in report.about.generated.path
    assert report.about.generated.n == 300


def test_a_reference_in_several_files(shards: Path, tmp_path: Path) -> None:
    report = evaluate(tmp_path / "reference.h5", shards, train=shards, quick=True)
    assert report.about.reference.n == 300


def test_compared_showers_are_loaded_in_the_order_asked_for(
    shards: Path, small_showers: Showers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows count among the showers of the energies that are compared; the file is read in small pieces."""
    monkeypatch.setattr(reading, "CHUNK_VALUES", 50 * 13)
    monkeypatch.setattr(inputs, "CHUNK_VALUES", 50 * 13)
    reference, chosen = small_showers[300:], np.array([5, 2, 60, 9, 80])
    among = np.flatnonzero(reference.energies == 200)
    with Opened(Request(shards, tmp_path / "reference.h5", only_energies=[200])) as opened:
        found = opened.load("reference", chosen)
    assert np.array_equal(found.voxels, reference.voxels[among[chosen]])
    assert (found.energies == 200).all()


def test_shards_that_do_not_belong_together(shards: Path, small_showers: Showers, tmp_path: Path) -> None:
    facts = {"shard": 1, "shards": 3, "seed": 2, "energies": "list:100,200,400"}
    small_showers[:100].write(tmp_path / "other.h5", facts)
    first = shards / "shard-0-of-3.h5"
    with (
        pytest.raises(CaloforgeError, match=r"different samples: seed differs"),
        ShowerFiles([first, tmp_path / "other.h5"]),
    ):
        pass
    small_showers[:100].write(tmp_path / "other.h5", {**facts, "seed": 1, "shard": 0})
    with (
        pytest.raises(CaloforgeError, match=r"other\.h5 and .*shard-0-of-3\.h5 are the same shard"),
        ShowerFiles([first, tmp_path / "other.h5"]),
    ):
        pass
    (shards / "shard-1-of-3.h5").unlink()
    with (
        pytest.warns(CaloforgeWarning, match="1 of 3 shards are missing"),
        ShowerFiles(matching_files([shards])) as files,
    ):
        assert len(files) == 200
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaloforgeError, match="no shower files"):
        matching_files([tmp_path / "empty"])


def test_the_command(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("caloforge.evaluation.report.figures.figures", lambda records: [])
    monkeypatch.setattr("caloforge.evaluation.report.page.telling", lambda records: {})

    def run(*words: object) -> None:
        monkeypatch.setattr(sys, "argv", ["caloforge", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert left.value.code == 0

    run("evaluate", shards, "--reference", "reference.h5", "--quick", "--classifiers", "none")
    assert (tmp_path / "shards-report" / "report.json").exists()
    run(
        "evaluate",
        *sorted(shards.iterdir()),
        "--reference",
        "reference.h5",
        "--quick",
        "--classifiers",
        "none",
        "-o",
        "b",
    )
    texts = [(tmp_path / name / "tables").glob("*.csv") for name in ("shards-report", "b")]
    first, second = ({path.name: path.read_text() for path in files} for files in texts)
    assert first
    assert first == second


def test_names_of_samples(shards: Path) -> None:
    assert sample_name([Path("a/b.h5")]) == "b"
    assert sample_name([shards]) == "shards"
    assert sample_name([shards / "*.h5"]) == "shards"
    assert sample_name(sorted(shards.iterdir())) == "shards"
