"""The report and the page of `caloforge view` in a browser: showers in 3-D, keyboard, a phone's width, axe-core.

axe-core (https://github.com/dequelabs/axe-core) is not part of the test environment: `npm install axe-core` in the
repository, or set AXE_CORE to the path of its axe.min.js.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import caloforge as cf
from browsing import run_in_browser
from caloforge.evaluation.metrics import figure_data
from caloforge.evaluation.report.about import About, Sample
from caloforge.evaluation.report.report import Report
from caloforge.units import format_energy
from caloforge.viewer import Gallery3D, GridAxis, render_view

ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
STYLES = sorted(ROOT.glob("src/caloforge/**/templates/*.css"))


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a report with single showers and nothing else."""
    test, train = cf.sample("test")[:400], cf.sample("train")[:400]
    means = test.voxels.mean(axis=0)
    chart = next(figure_data.single_showers(train, test, train[:0], means, "atlas-like"))
    about = About(Sample("generated.h5", 400), Sample("reference.h5", 400), test.geometry, "ds1-photons", 1.0)
    report = Report(about, [], {}, [chart])
    folder = report.save(tmp_path_factory.mktemp("page") / "report")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole_report_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an evaluation."""
    test, train = cf.sample("test"), cf.sample("train")
    report = cf.evaluate(test[:300], train[:300], quick=True, per_energy=True)
    folder = report.save(tmp_path_factory.mktemp("page") / "report")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def view_page() -> str:
    showers = cf.sample("test")[:8]
    grid = (GridAxis("incident energy", ["1 GeV", "2 GeV"]), GridAxis("theta", ["0 deg", "30 deg"]))
    galleries = [Gallery3D("a file", showers, showers[::-1], "others"), Gallery3D("a run", showers, grid=grid)]
    return render_view(galleries, "showers", "atlas-like")


LAZY = """
const found = { before: typeof THREE, hidden: document.querySelector(".showers-3d").hidden };
setTimeout(() => {
  const viewer = drawShowers();
  found.after = typeof THREE;
  found.shown = viewer.views.map((view) => view.voxels.length);
  found.total = viewer.$("shower").max;
  found.captions = [0, 1].map((k) => viewer.$(`caption-${k}`).textContent);
  found.wide = document.documentElement.scrollWidth - window.innerWidth;
  found.zoom = [viewer.views[0].controls.enableZoom];
  viewer.views[0].canvas.focus();
  found.zoom.push(viewer.views[0].controls.enableZoom);
  const at = viewer.views[0].camera.position.toArray();
  viewer.views[0].canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft" }));
  found.turned = Math.hypot(...viewer.views[0].camera.position.toArray().map((x, k) => x - at[k]));
  found.together = viewer.views[1].camera.position.distanceTo(viewer.views[0].camera.position);
  const far = viewer.views[0].camera.position.distanceTo(viewer.views[0].controls.target);
  viewer.views[0].canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
  found.nearer = viewer.views[0].camera.position.distanceTo(viewer.views[0].controls.target) / far;
  report(found);
}, 50);"""


def test_the_report_draws_its_showers_in_3d_when_they_come_near(report_page: str, tmp_path: Path) -> None:
    found = run_in_browser(report_page, LAZY, tmp_path, width=400)
    assert (found["before"], found["hidden"], found["after"]) == ("undefined", True, "object")
    assert min(found["shown"]) > 0
    assert found["total"] == "19"  # 4 showers at each of 5 energies
    energies = [re.search(r"E_inc ([\d.]+ \w+)", caption)[1] for caption in found["captions"]]  # type: ignore[index]
    assert energies[0] == energies[1]
    assert found["wide"] <= 0
    assert found["zoom"] == [False, True]  # the wheel scrolls the page until the canvas has the focus
    assert found["turned"] > 0
    assert found["together"] == 0
    assert found["nearer"] == pytest.approx(0.9)


def test_the_report_has_one_copy_of_the_library(report_page: str) -> None:
    assert report_page.count("function mountViewer") == 1
    assert report_page.count("Three.js Authors") == 1
    assert len(report_page) < 8e6


SLIDERS = """
const { $ } = viewer, rows = [];
$("gallery").value = "1"; $("gallery").dispatchEvent(new Event("change"));
const sliders = [...$("grid").querySelectorAll("input")];
for (const [k, value] of [[0, 0], [1, 1], [0, 1], [1, 0]]) {
  sliders[k].value = value; sliders[k].dispatchEvent(new Event("input"));
  rows.push([$("caption-0").textContent.match(/E_inc ([\\d.]+ .eV)/)[1], $("grid").textContent]);
}
report({ rows, names: sliders.map((slider) => slider.parentNode.textContent), most: $("shower").max });"""


def test_sliders_choose_a_point_of_the_grid(view_page: str, tmp_path: Path) -> None:
    found = run_in_browser(view_page, SLIDERS, tmp_path)
    energies = [format_energy(float(energy)) for energy in cf.sample("test").energies[:8]]
    chosen = [row[0] for row in found["rows"]]
    assert chosen == [energies[k] for k in (0, 2, 6, 4)]  # points (0, 0), (0, 1), (1, 1), (1, 0) of two showers each
    assert found["rows"][2][1] == "incident energy 2 GeVtheta 30 deg"
    assert found["most"] == "1"


FRAMED = """
const framed = () => viewer.views.map((view) => { // energy in voxels wholly within the view, as a fraction
  const corner = view.mesh.geometry.attributes.position, seen = new THREE.Vector3();
  let start = 0, total = 0, within = 0;
  view.voxels.forEach((voxel, k) => {
    let inside = true;
    for (let i = 3 * start; i < 3 * view.faces[k]; i++) {
      seen.fromBufferAttribute(corner, i).project(view.camera);
      inside = inside && Math.abs(seen.x) < 1 && Math.abs(seen.y) < 1;
    }
    start = view.faces[k];
    total += voxel.energy;
    within += inside ? voxel.energy : 0;
  });
  return within / total;
});
const far = () => viewer.views[0].camera.position.length(), { canvas } = viewer.views[0];
const { $ } = viewer, said = ["shower-name", "caption-0", "least-value"].map((part) => $(part).textContent);
const found = { first: framed(), narrow: null, kept: null, said };
document.querySelector(".showers-3d").style.width = "180px";
setTimeout(() => {
  found.narrow = framed();
  canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "+" }));
  const before = far();
  document.querySelector(".showers-3d").style.width = "";
  setTimeout(() => { found.kept = far() / before; report(found); }, 300);
}, 300);"""


@pytest.mark.parametrize("width", [390, 1200])
def test_the_first_view_holds_the_whole_shower(view_page: str, width: int, tmp_path: Path) -> None:
    """Also after the page has changed its size, unless the reader has moved the camera. Showers are counted alike."""
    found = run_in_browser(view_page, FRAMED, tmp_path, width=width)
    assert min(*found["first"], *found["narrow"]) > 0.98
    assert found["kept"] == pytest.approx(1)
    count, caption, least = found["said"]
    assert count == "shower 1 of 8"
    assert caption.startswith("a file, shower 1 (row 0 of the file)")
    assert re.fullmatch(r"[\d.]+ [kM]eV", least)  # the lowest energy of a voxel


def test_sizes_of_type_are_of_one_scale() -> None:
    assert len(STYLES) >= 3
    for path in STYLES:
        text = path.read_text(encoding="utf-8").partition("@media print")[0]
        sizes = set(re.findall(r"font-size: ([^;]+);", text))
        assert sizes <= {"1rem", "var(--small)", "var(--large)", "var(--title)", "var(--page)"}, path


RUN_AXE = """
document.querySelectorAll("details").forEach((details) => { details.open = true; });
const widget = document.querySelector(".showers-3d");
if (widget.hidden) drawShowers();
setTimeout(() => axe.run({ resultTypes: ["violations"] }).then(({ violations }) => report({
  wide: document.documentElement.scrollWidth - window.innerWidth,
  width: window.innerWidth,
  background: getComputedStyle(document.body).backgroundColor,
  checked: document.querySelectorAll("canvas").length,
  found: violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html.slice(0, 200)]),
})), 500);"""


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1240])
@pytest.mark.parametrize("name", ["whole_report_page", "view_page"])
def test_axe_finds_nothing(name: str, width: int, dark: bool, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if not AXE.exists():
        pytest.skip(f"needs axe-core: npm install axe-core, or set AXE_CORE (no {AXE})")
    page = request.getfixturevalue(name)
    script = AXE.read_text(encoding="utf-8") + RUN_AXE
    found = run_in_browser(page, script, tmp_path, width=width, dark=dark, seconds=60)
    assert found["checked"] > 2
    assert found["width"] == width
    assert (sum(map(int, re.findall(r"\d+", found["background"]))) < 200) == dark
    assert found["found"] == []
    assert found["wide"] <= 0


def test_axe_would_find_something(view_page: str, tmp_path: Path) -> None:
    """The test above can fail: an image without a text."""
    if not AXE.exists():
        pytest.skip(f"needs axe-core: npm install axe-core, or set AXE_CORE (no {AXE})")
    page = view_page.replace("<main>", '<main><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">')
    found = run_in_browser(page, AXE.read_text(encoding="utf-8") + RUN_AXE, tmp_path, seconds=30)
    assert ["critical", "image-alt"] in [entry[:2] for entry in found["found"]]
