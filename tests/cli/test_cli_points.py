"""`caloforge check` on files of points: what it says of good ones, and of those whose numbers are hardly meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.points import JET, PointClouds, write_points

GOOD = PointClouds(
    [1000, 2000, 1000],
    [[0, 5, 0, 30], [-5, 5, 1, 40], [0, 0, 2, 8], [1, 0, 2, 9]],
    [0, 2, 3, 4],
    conditions={"theta": [0.1, 0.2, 0.3]},
)


def check(clouds: PointClouds, folder: Path, *words: str) -> tuple[str, str]:
    write_points(clouds, folder / "p.h5")
    result = CliRunner().invoke(app, ["check", str(folder / "p.h5"), *words])
    assert result.exit_code == 0, result.exception
    return result.stdout, " ".join(result.stderr.split())


def test_a_good_file(tmp_path: Path) -> None:
    out, notes = check(GOOD, tmp_path)
    assert notes == ""
    rows = {line[:20].strip(): line[21:] for line in out.splitlines()}
    assert rows["file"].endswith("p.h5 (points format)")
    assert rows["showers"] == "3"
    assert rows["incident energy"] == "1 GeV … 2 GeV  (1 GeV, 2 GeV)"
    assert rows["theta"].startswith("5.73 deg … 17.19 deg")
    assert rows["points"] == "4 of x, y, layer, energy; 1 … 2 per shower, mean 1.333"
    assert rows["E_dep / E_inc"] == "mean 0.0277, 0.0040 … 0.0700"
    assert rows["layers"] == "3 (0, 1, 2)"
    assert rows["x of points"] == "-5 … 1 mm"
    assert rows["energy of points"] == "8 MeV … 40 MeV"
    assert "good: every value is finite and in range" in out


def test_jets(tmp_path: Path) -> None:
    jets = PointClouds([1e6, 9e5], [[0, 0.1, 0.5], [0.1, 0, 0.5], [0, 0, 0.9]], [0, 2, 3], JET)
    out, notes = check(jets, tmp_path)
    assert notes == ""
    assert "transverse momentum  900 GeV … 1 TeV" in out
    assert "sum of ptrel         mean 0.9500" in out


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: PointClouds(c.energies / 1000, c.points, c.offsets), "below 1 MeV: is the unit right?"),
        (lambda c: PointClouds(c.energies, c.points * [1, 1, 1, 1000], c.offsets), "in the same unit?"),
        (lambda c: c.with_points(np.zeros(4, dtype=bool)), "no shower has any points"),
        (lambda c: c.with_points(np.arange(4) < 3), "1 of 3 showers have no points"),
        (lambda c: PointClouds(c.energies, c.points * [1, 1, 1, 0], c.offsets), "4 points have no energy"),
    ],
    ids=["unit", "scale", "no points", "some without", "zeros"],
)
def test_odd_numbers_are_noted_but_read(
    change: Callable[[PointClouds], PointClouds], note: str, tmp_path: Path
) -> None:
    out, notes = check(change(GOOD), tmp_path)
    assert note in notes
    assert "readable, but see the notes" in out


def test_options_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    write_points(GOOD, tmp_path / "p.h5")
    result = CliRunner().invoke(app, ["check", str(tmp_path / "p.h5"), "-g", "ds2"])
    assert "holds points, which have no geometry: leave out --geometry ds2" in str(result.exception)
