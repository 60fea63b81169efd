"""Kinds of chart: their registry, and figures that need neither pyplot nor a display."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from caloforge import plots
from caloforge.errors import CaloforgeError
from caloforge.plots.charts import DRAW, numbers
from caloforge.plots.style import StyledFigure, panel_grid, power_of_ten, style

PROFILE = {
    "label": "r [mm]",
    "unit": "MeV",
    "positions": [1, 2],
    "generated": [3, 4],
    "generated_error": [0.1, None],
    "reference": [3, 5],
    "reference_error": [0.1, 0.1],
}
SAMPLE = {"counts": [[1, 2], [0, 3]], "mean": [0.9, 1.0], "error": [0.1, 0.1], "width": [0.2, None]}
EXAMPLES = {
    "clouds": {
        "axes": ["layer", "x [mm]", "y [mm]"],
        "pairs": [
            {
                "generated": {"points": [[0, 1, 2], [3, 4, 5]], "weights": [1.0, 2.0]},
                "reference": {"points": [], "weights": []},
                "generated_title": "generated",
                "reference_title": "reference",
            }
        ],
    },
    "showers": {
        "geometry": {"name": "g", "layers": [{"id": 1, "r_edges": [0, 1, 2]}]},
        "rows": [{"title": "a", "voxels": [1.0, 0.0]}],
        "unit": "MeV",
    },
    "histograms": {
        "panels": [{"label": "x", "edges": [0, 1, 2], "generated": [0, 1, 2, 0], "reference": [1, 1, 1, 0]}],
        "log": True,
    },
    "profiles": {
        "layers": [0, 12],
        "generated": [1.0, 2.0],
        "reference": [1.0, 3.0],
        "others": [{"label": "r", "unit": "MeV / mm²", "edges": [0, 1, 100], "generated": [1, 1], "reference": [2, 1]}],
    },
    "profile": PROFILE,
    "response": {"edges": [1, 10, 100], "ratio_edges": [0.5, 1, 1.5], "generated": SAMPLE, "reference": SAMPLE},
    "matrix": {
        "names": ["a", "b"],
        "generated": [[1, 0.5], [0.5, 1]],
        "reference": [[1, None], [None, 1]],
        "difference": [[0, None], [None, 0]],
    },
    "heatmap": {
        "rows": ["a", "b"],
        "columns": ["x", "y", "z"],
        "values": [[0.01, 0.5, None], [1.0, 2.0, 0.001]],
        "texts": [["1", "50", ""], ["100", "200", "0"]],
        "label": "n",
        "limits": [0.001, 1.0],
        "log": True,
    },
    "nulls": {
        "rows": [
            {"name": "a", "value": 0.3, "low": -1.9, "high": 2.1, "text": "p = 0.4"},
            {"name": "b", "value": 640.0, "low": -1.5, "high": 2.5, "text": "p < 0.003"},
        ],
        "label": "σ",
    },
    "pulls": {"edges": [-2, -1, 0, 1, 2], "values": [1, 6, 7, 2], "others": [3, 9, 8, 3]},
    "rejection": {
        "curves": [
            {"label": "a", "efficiency": [0.2, 0.5, 1.0], "rejection": [900.0, 20.0, 1.0]},
            {"label": "b", "efficiency": [0.5, 1.0], "rejection": [15.0, 1.0]},
        ]
    },
    "roc": {"label": "t", "fpr": [0, 0.2, 1], "tpr": [0, 0.7, 1], "auc": 0.75},
    "weights": {"label": "t", "edges": [-1, 0, 1], "generated": [30, 10], "reference": [10, 10]},
    "reliability": {"label": "t", "predicted": [0.2, 0.8], "observed": [0.25, 0.7], "errors": [0.05, 0.04]},
    "learning_curve": {"label": "t", "n": [100, 200], "auc": [0.6, 0.7], "error": [0.1, 0.02]},
    "bars": {"names": ["x", "y"], "values": [0.2, 0.1], "errors": [0.01, 0.02], "label": "loss of AUC"},
}


def test_every_kind_has_an_example():
    assert set(EXAMPLES) == set(DRAW)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_is_drawn_from_json(kind):
    ax = plots.draw(kind, json.loads(json.dumps(EXAMPLES[kind])))
    assert isinstance(ax.figure, StyledFigure)
    ax.figure.canvas.draw()
    assert ax._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", EXAMPLES)
def test_own_axes_are_drawn_on(kind):
    figure = Figure()
    other, ax = figure.subplots(1, 2)
    assert plots.draw(kind, EXAMPLES[kind], ax=ax) is ax
    assert figure.axes == [other, ax]
    assert not other.has_data()
    assert not other.child_axes
    panels = ax.child_axes or [ax]
    assert any(panel.has_data() for panel in panels)
    figure.draw_without_rendering()
    inside = ax.get_window_extent().padded(1)
    assert all(inside.contains(*corner) for panel in panels for corner in panel.get_window_extent().corners())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_own_axes_keep_their_room_in_a_layout(kind):
    """Labels of panels are inside their frame: a layout engine must not make room for them a second time."""
    figure = Figure(figsize=(12, 6), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax in axes:
        plots.draw(kind, EXAMPLES[kind], ax=ax)
    figure.draw_without_rendering()
    assert all(ax.get_position(original=True).width > 0.3 for ax in axes)


@pytest.fixture
def _own_kind():
    yield
    DRAW.pop("own", None)


@pytest.mark.usefixtures("_own_kind")
def test_a_kind_of_ones_own():
    @plots.chart("own")
    def own(data, ax=None):
        ax = plots.axes(ax, width=2, height=1)
        ax.plot(data["x"])
        return ax

    drawn = plots.draw("own", {"x": [1, 2]})
    assert drawn.figure.get_size_inches().tolist() == [2, 1]
    assert drawn.lines[0].get_ydata().tolist() == [1, 2]
    with pytest.raises(ValueError, match="'own' already exists"):
        plots.chart("own")(own)


@pytest.mark.usefixtures("_own_kind")
def test_a_kind_of_ones_own_needs_no_axes_argument():
    @plots.chart("own")
    def own(data):
        return Figure(figsize=data["size"]).add_subplot() if data["size"] else None

    assert plots.draw("own", {"size": (3, 2)}).figure.get_figwidth() == 3
    with pytest.raises(CaloforgeError, match="'own' returned NoneType; it must return the axes"):
        plots.draw("own", {"size": None})


def test_unknown_kinds_and_missing_fields_are_named():
    with pytest.raises(CaloforgeError, match=r"'scatter'.*roc"):
        plots.draw("scatter", {})
    with pytest.raises(CaloforgeError, match="'roc' have no 'fpr'"):
        plots.draw("roc", {"label": "t"})


def test_missing_numbers_are_nan():
    assert np.isnan(numbers([1, None])).tolist() == [False, True]


def test_a_figure_keeps_its_style_and_leaves_the_callers_alone():
    before = dict(mpl.rcParams)
    figure = plots.draw("roc", EXAMPLES["roc"]).figure
    image = figure._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
    figure.canvas.draw()
    ticks = figure.axes[0].xaxis.get_major_ticks()
    with style():
        assert ticks[0].label1.get_fontfamily() == mpl.rcParams["font.family"]
        assert ticks[0].get_tickdir() == mpl.rcParams["xtick.direction"] != before["xtick.direction"]


@pytest.mark.parametrize("backend", ["nonsense", "module://nonsense"])
def test_the_backend_does_not_matter(backend, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", backend)
    program = (
        "import os, sys\n"
        "from caloforge import plots\n"
        "ax = plots.draw('bars', {'names': ['x'], 'values': [1]})\n"
        "assert ax._repr_png_().startswith(b'\\x89PNG')\n"
        "pyplot = sys.modules.get('matplotlib.pyplot')\n"
        "assert pyplot is None or not pyplot.get_fignums()\n"
        f"assert os.environ['MPLBACKEND'] == {backend!r}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_matplotlib_is_imported_through_plots():
    """Elsewhere for types only: `caloforge.plots` makes its import independent of MPLBACKEND."""
    source = Path(plots.__file__).parents[1]
    for path in source.rglob("*.py"):
        if path.parent.name != "plots":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for_types = {
                id(node)
                for block in ast.walk(tree)
                if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
                for node in block.body
            }
            for node in ast.walk(tree):
                words = ast.unparse(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else ""
                assert id(node) in for_types or not {"matplotlib", "mplhep"} & set(words.replace(".", " ").split()), (
                    path
                )


def test_panel_grid_does_not_overlap():
    outer, pairs = panel_grid(5)
    outer.figure.draw_without_rendering()  # puts the panels into their frame
    boxes = [ax.get_position() for pair in pairs for ax in pair]
    assert len(boxes) == len(outer.child_axes) == 10
    for k, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1
        for other in boxes[k + 1 :]:
            assert box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 or other.y1 <= box.y0


def test_powers_of_ten_are_plain_text():
    assert [power_of_ten(v) for v in (1e-3, 0.1, 1, 10, 1e5, 20)] == ["10⁻³", "10⁻¹", "1", "10", "10⁵", "20"]
