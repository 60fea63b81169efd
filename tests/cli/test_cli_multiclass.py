"""`caloforge multiclass` from the outside: the ranking, the file, and mistakes in one line."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from caloforge.cli import main
from caloforge.showers import Showers


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["caloforge", *map(str, words)])
    with pytest.raises(SystemExit) as found:
        main()
    return int(found.value.code or 0)


@pytest.fixture
def files(small_showers: Showers, tmp_path: Path) -> dict[str, Path]:
    """Thirds of one sample: the reference, a generator like it, and one with 30 % too much energy."""
    paths = {name: tmp_path / f"{name}.h5" for name in ("reference", "good", "hot")}
    for k, (name, path) in enumerate(paths.items()):
        part = small_showers[200 * k : 200 * (k + 1)]
        scale = np.float32(1.3 if name == "hot" else 1)
        Showers(part.energies, part.voxels * scale, part.geometry).write(path)
    return paths


def test_the_generator_like_geant4_wins(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    words = ("multiclass", f"hot={files['hot']}", f"good={files['good']}", "-r", files["reference"])
    assert run(monkeypatch, *words, "--classifier", "quick", "-o", out, "--seed", 3) == 0
    captured = capsys.readouterr()
    found = json.loads(out.read_text(encoding="utf-8"))
    good, hot = (found["generators"][name] for name in ("good", "hot"))
    assert good["value"] > hot["value"]
    assert good["assigned"] > 0.5
    assert found["guess"] == pytest.approx(-math.log(2))
    assert found["files"] == {"hot": str(files["hot"]), "good": str(files["good"])}
    assert found["seed"] == 3
    said = captured.out
    assert said.index("good ") < said.index("hot ")  # best first
    assert f"{100 * found['confusion'][0][0]:.0f}" in said
    assert str(out) in said
    assert "classifier quick, 2 generators" in captured.err


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("good={good}",), "two generators"),
        (("good={good}", "{hot}"), "NAME=FILE"),
        (("a={good}", "a={hot}"), "'a'"),
        (("a={good}", "b={hot}", "-c", "wizard"), "'wizard'"),
        (("a={good}", "b={hot}", "-c", "trees"), "'trees'"),
        (("a={good}", "b=absent.h5"), "absent.h5"),
        (("a={good}", "b={hot}", "-o", "{hot}"), "hot.h5"),
        (("a={good}", "b={other}"), "'ds1-photons'"),
        (("a={good}", "b={shifted}"), "Kolmogorov–Smirnov"),
    ],
)
def test_mistakes_are_one_line(
    files: dict[str, Path],
    small_showers: Showers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    line: str,
) -> None:
    from caloforge.geometry import load_geometry

    paths = {**files, "other": tmp_path / "other.h5", "shifted": tmp_path / "shifted.h5"}
    ds1 = load_geometry("ds1-photons")
    Showers(np.full(200, 100.0), np.ones((200, ds1.n_voxels), dtype=np.float32), ds1).write(paths["other"])
    Showers(small_showers.energies * 2, small_showers.voxels, small_showers.geometry).write(paths["shifted"])
    before = files["hot"].read_bytes()
    assert run(monkeypatch, "multiclass", *(word.format(**paths) for word in words), "-r", files["reference"]) == 2
    (said,) = [text for text in capsys.readouterr().err.splitlines() if text.startswith("caloforge: ")]
    assert line in said
    assert files["hot"].read_bytes() == before
