"""`caloforge view`: the page holds the showers, works in a browser without a network, and shows the right numbers."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from typer.testing import CliRunner

from browsing import run_in_browser
from caloforge.cli import app
from caloforge.cli.view import grid_of
from caloforge.conditions import KNOWN
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.geometry.layers import CartesianLayer, Layer
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.transforms.trained_conditions import TrainedCondition, TrainedConditions
from caloforge.units import format_energy
from caloforge.viewer import Gallery3D, render_view
from caloforge.viewer.depths import layer_depths
from caloforge.viewer.nearest import nearest_rows

MIXED = Geometry(
    "mixed",
    (
        Layer(0, (0, 10, 20), 8, z_edges=(0, 30)),
        Layer(1, (0, 20), 1, z_edges=(30, 50)),
        CartesianLayer(2, (-20, 0, 20), (-20, 0, 20), z_edges=(50, 70)),
    ),
    threshold=0.5,
)
"""16 + 1 + 4 voxels: sectors, a ring and cells."""


def mixed_showers(n: int = 3) -> Showers:
    rng = np.random.default_rng(3)
    voxels = np.where(rng.random((n, 21)) < 0.5, rng.exponential(20, (n, 21)), 0).astype(np.float32)
    voxels[:, 5], voxels[:, 6] = 123.4, 0.25  # the brightest, and one below the threshold
    return Showers(np.linspace(300, 500, n), voxels, MIXED)


def data_of(page: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_hits_above_the_threshold() -> None:
    showers = mixed_showers()
    sample = data_of(render_view([Gallery3D("mine", showers)], "mine"))["galleries"][0]["showers"]
    voxels = np.frombuffer(base64.b64decode(sample["voxel"]), "<u4")
    energies = np.frombuffer(base64.b64decode(sample["energy"]), "<f4")
    again = np.zeros_like(showers.voxels)
    for row, (start, stop) in enumerate(zip(sample["start"][:-1], sample["start"][1:], strict=True)):
        again[row, voxels[start:stop]] = energies[start:stop]
    np.testing.assert_array_equal(again, np.where(showers.voxels >= 0.5, showers.voxels, 0))
    assert sample["incident"] == [300, 400, 500]


def test_fifty_showers_of_ds2_take_less_than_10_mb() -> None:
    geometry = load_geometry("ds2")
    rng = np.random.default_rng(1)
    voxels = np.where(rng.random((50, 6480)) < 0.4, rng.exponential(1.0, (50, 6480)) + 0.1, 0).astype(np.float32)
    showers = Showers(np.full(50, 1e4), voxels, geometry)  # 40 % of the voxels, as at 1 TeV, and as many beside
    assert len(render_view([Gallery3D("a", showers, showers, "b")], "ds2")) < 10e6


def test_the_page_asks_for_nothing_and_takes_names_as_text() -> None:
    page = render_view([Gallery3D("</script><b>", mixed_showers(), None)], "<i>title</i>")
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'")
    assert not re.search(r"""(src|href)\s*=\s*["']?https?:|@import|url\(""", page)
    assert "<i>title" not in page
    assert "</script><b>" not in page
    assert data_of(page)["galleries"][0]["name"] == "</script><b>"


def test_depths_are_those_of_the_geometry_or_of_the_detector() -> None:
    assert layer_depths(MIXED) == ([(0, 30), (30, 50), (50, 70)], True)
    photons = load_geometry("ds1-photons")
    depths, known = layer_depths(photons, "atlas-like")
    assert known
    np.testing.assert_allclose(np.diff(depths, axis=1)[1:4, 0], [15 * 5.7, 54 * 5.7, 7 * 5.7])  # Pb 1.5 + LAr 4.2 mm
    for detector in ("", "calogan", "../etc/passwd"):
        depths, known = layer_depths(photons, detector)
        assert not known
        assert len({round(back - front, 6) for front, back in depths}) == 1


def test_the_nearest_shower_has_the_energy_first_and_then_the_profile() -> None:
    geometry = Geometry("two", (Layer(0, (0, 1)), Layer(1, (0, 1))))
    reference = Showers(np.repeat([100.0, 1000.0], 60), np.tile([[1.0, 0.0]], (120, 1)), geometry)
    voxels = reference.voxels * reference.energies[:, None]
    voxels[7], voxels[71] = [0, 100], [0, 1000]
    reference = Showers(reference.energies, voxels, geometry)
    showers = Showers([102.0, 990.0, 990.0], [[0, 90], [0, 900], [500, 490]], geometry)
    assert nearest_rows(showers, reference)[:2].tolist() == [7, 71]
    assert nearest_rows(showers, reference)[2] in range(60, 120)


def test_what_cannot_be_shown_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    showers = mixed_showers()
    with pytest.raises(CaloforgeError, match="nothing to show"):
        render_view([Gallery3D("empty", Showers([1.0], np.zeros((1, 21)), MIXED))], "")
    other = Showers([1.0], [[1.0] * 6480], load_geometry("ds2"))
    with pytest.raises(CaloforgeError, match="b has the geometry 'ds2' and a has 'mixed'"):
        render_view([Gallery3D("a", showers), Gallery3D("b", other)], "")
    monkeypatch.setattr("caloforge.viewer.document.MOST_HITS", 3)
    with pytest.raises(CaloforgeError, match="show fewer showers"):
        render_view([Gallery3D("a", showers)], "")


def invoke(*words: object) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])


def test_command(tmp_path: Path) -> None:
    file, out = tmp_path / "a.h5", tmp_path / "view.html"
    mixed_showers(9).write(file, {"detector": "toy"})
    assert "wrote" in invoke("view", file, "--reference", file, "-n", 4, "-o", out).stdout
    gallery = data_of(out.read_text(encoding="utf-8"))["galleries"][0]
    assert gallery["showers"] == gallery["beside"]  # the nearest shower of the same file is the shower itself
    assert gallery["beside_name"] == "nearest shower of a.h5"
    assert len(gallery["showers"]["incident"]) == 4
    for words, message in (
        ((file, "-o", out), "view.html exists"),
        (("-o", tmp_path / "b.html"), "give a file of showers, or --run RUN"),
        (("--run", "nothing-like-it", "-o", tmp_path / "b.html"), "no run and no model"),
        ((tmp_path / "none.h5", "-o", tmp_path / "b.html"), "no such file"),
    ):
        assert message in str(invoke("view", *words).exception)
    assert not (tmp_path / "b.html").exists()


def test_a_run_is_shown_at_a_grid_of_energies(tmp_path: Path) -> None:
    done = invoke("view", "--run", "flagship-w-si", "-o", tmp_path / "run.html")
    assert done.exit_code == 0, done.output
    gallery = data_of((tmp_path / "run.html").read_text(encoding="utf-8"))["galleries"][0]
    (axis,) = gallery["grid"]
    assert (axis["name"], len(axis["labels"])) == ("incident energy", 13)
    assert len(gallery["showers"]["incident"]) == 52
    assert math.isclose(gallery["showers"]["incident"][0], 1000, rel_tol=1e-2)
    assert format_energy(gallery["showers"]["incident"][0]) == axis["labels"][0]


def stranger(**conditions: TrainedCondition) -> Simulator:
    """What `grid_of` asks of a run."""
    known = TrainedConditions(tuple(conditions.values()))
    return cast(Simulator, SimpleNamespace(energy_range=(100.0, 1600.0), conditions=known))


def test_a_run_that_knows_angles_is_shown_at_a_grid_of_both() -> None:
    theta, x = TrainedCondition(KNOWN["theta"], 0.0, math.pi / 3), TrainedCondition(KNOWN["x"], -5.0, 5.0)
    axes, energies, conditions = grid_of(stranger(theta=theta, x=x), "run", {"x": 3.0})
    assert [axis.name for axis in axes] == ["incident energy", "theta"]
    assert axes[0].labels[4] == "400 MeV"  # the geometric middle
    assert axes[1].labels == [f"{10 * k} deg" for k in range(7)]
    np.testing.assert_allclose(energies.reshape(9, 7, 2)[4], 400)
    angles = conditions["theta"].reshape(9, 7, 2)
    assert (angles == angles[:1, :, :1]).all()
    np.testing.assert_allclose(np.degrees(angles[3, :, 1]), range(0, 70, 10), atol=1e-9)
    assert (conditions["x"] == 3).all()
    axes, energies, conditions = grid_of(stranger(theta=theta), "run", {"theta": 0.5})
    assert (len(axes), len(energies), set(conditions["theta"])) == (1, 52, {0.5})
    with pytest.raises(CaloforgeError, match=r"trained with x \(-5 mm … 5 mm\): give --condition x=VALUE"):
        grid_of(stranger(theta=theta, x=x), "run", {})


def test_the_nearest_shower_has_the_angle_before_the_profile() -> None:
    geometry = Geometry("two", (Layer(0, (0, 1)), Layer(1, (0, 1))))
    theta = np.repeat([0.0, 1.0], 60)
    voxels = np.tile([[60.0, 40.0]], (120, 1))
    voxels[100] = [50.0, 50.0]  # at the other angle, and nearer in profile
    reference = Showers(np.full(120, 100.0), voxels, geometry, {}, {"theta": theta})
    showers = Showers([100.0, 100.0], [[50.0, 50.0]] * 2, geometry, {}, {"theta": [0.1, 0.9]})
    first, second = nearest_rows(showers, reference)
    assert first < 60
    assert second == 100


# In a browser

PROBE = """
const found = { policy: 0 };
document.addEventListener("securitypolicyviolation", () => { found.policy += 1; });
function pixels(view) {
  const gl = view.renderer.getContext(), [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
  const all = new Uint8Array(4 * w * h);
  gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, all);
  let other = 0;
  for (let k = 0; k < all.length; k += 4) other += all[k] !== all[0] || all[k + 1] !== all[1] || all[k + 2] !== all[2];
  return other / (w * h);
}
const { $, page } = viewer;
function hover(voxel) {
  const [x, y] = viewer.views[0].seenAt(voxel), { left, top } = viewer.views[0].canvas.getBoundingClientRect();
  const at = { clientX: left + x, clientY: top + y, pointerType: "mouse" };
  viewer.views[0].canvas.dispatchEvent(new PointerEvent("pointermove", at));
  return $("tip").hidden ? "" : $("tip").textContent;
}
window.addEventListener("load", () => setTimeout(() => {
  found.drawn = viewer.views.map(pixels);
  found.tip = hover(5);
  $("layer").value = "2"; $("layer").dispatchEvent(new Event("change"));
  const cells = Array.from(viewer.hitsOf(page.galleries[0].showers, 0).voxel).filter((v) => v >= 17);
  found.cells = cells.map((v) => [v, hover(v)]);
  $("layer").value = "-1"; $("layer").dispatchEvent(new Event("change"));
  $("next").click();
  found.caption = $("caption-0").textContent;
  $("least").value = 100; $("least").dispatchEvent(new Event("input"));
  found.kept = viewer.views[0].voxels.length;
  found.wide = document.documentElement.scrollWidth - window.innerWidth;
  found.requests = performance.getEntriesByType("resource").length;
  report(found);
}, 100));"""


@pytest.mark.parametrize("width", [400, 1200])
def test_in_a_browser(tmp_path: Path, width: int) -> None:
    showers = mixed_showers()
    page = render_view([Gallery3D("mine", showers, showers, "the same")], "mine")
    found = run_in_browser(page, PROBE, tmp_path, width=width)
    assert min(found["drawn"]) > 0.02  # of the canvas
    assert found["tip"].startswith("123.4 MeV (layer 0, r 10 … 20 mm, alpha bin 2)")
    assert found["cells"]
    for voxel, tip in found["cells"]:
        assert tip.startswith(f"{float(f'{showers.voxels[0, voxel]:.4g}'):g} MeV (layer 2, phi "), (voxel, tip)
    deposited = float(showers.voxels[1][showers.voxels[1] >= 0.5].sum())
    assert f"E_inc 400 MeV; E_dep {float(f'{deposited:.4g}'):g} MeV" in found["caption"]
    assert found["kept"] == 1  # the brightest
    assert found["wide"] <= 0  # nothing to scroll sideways
    assert (found["requests"], found["policy"]) == (0, 0)
