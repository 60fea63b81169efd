"""Figures of showers, histograms and all other plots of caloforge; usable on their own.

    from caloforge import plots

    plots.shower(geometry, voxels, energy)         # one shower, layer by layer
    plots.histogram(h)                             # a hist.Hist of two samples, with ratio panel
    plots.draw("roc", {"label": …, "fpr": …, "tpr": …})

>>> from caloforge import sample
>>> showers = sample("test", stop=1)
>>> ax = shower(showers.geometry, showers.voxels[0], showers.energies[0])
>>> [text.get_text() for text in ax.texts if text.get_text().startswith("layer")]
['layer 0', 'layer 1', 'layer 2', 'layer 3', 'layer 12']

All take the axes to draw on, `ax`, or create a figure, and return the axes; where there are several panels, these are
their `child_axes`. `draw_…` functions return the artists instead. Figures never enter pyplot's global state and need no
display: a notebook shows the returned axes, and `figure_of(ax).savefig(…)` saves them.
"""

from __future__ import annotations

import contextlib
import os
import sys


def _import_matplotlib() -> None:
    """Import matplotlib without MPLBACKEND: an unknown backend would fail on import, but no backend is used here."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):  # pyplot, if used, then chooses a backend itself
            matplotlib.rcParams["backend"] = backend


if "matplotlib" not in sys.modules:
    _import_matplotlib()

from caloforge.plots import (  # noqa: E402
    bars,  # noqa: F401
    classifiers,  # noqa: F401
    clouds_in_space,  # noqa: F401
    heatmaps,  # noqa: F401
    matrices,  # noqa: F401
    nulls,  # noqa: F401
    profiles,  # noqa: F401
    pulls,  # noqa: F401
    rejection,  # noqa: F401
    response,  # noqa: F401
)
from caloforge.plots.charts import DRAW, chart, draw  # noqa: E402
from caloforge.plots.histograms import histogram, histogram_grid  # noqa: E402
from caloforge.plots.showers import shower  # noqa: E402
from caloforge.plots.style import axes, figure_of, style  # noqa: E402

__all__ = ["DRAW", "axes", "chart", "draw", "figure_of", "histogram", "histogram_grid", "shower", "style"]
