"""Deposited against incident energy.

Response: mean of E_dep/E_inc in bins of E_inc. Width: its standard deviation over its mean (resolution).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from caloforge.plots.charts import Data, chart, numbers, refuse_axes
from caloforge.plots.style import ENERGY_MAP, draw_samples, logarithmic, panel_grid


def draw_response(
    edges: np.ndarray, samples: Mapping[str, Mapping[str, np.ndarray]], *, ax: Axes, width_ax: Axes
) -> dict[str, ErrorbarContainer]:
    """Draw the response on `ax` and the width on `width_ax`.

    Args:
        edges: (B + 1,) of E_inc in MeV.
        samples: "generated", "reference" → {"mean", "error", "width"} (B,), NaN in empty bins.
        ax, width_ax: axes to draw on.

    Returns:
        the points of the response for each sample.
    """
    centres = np.sqrt(edges[1:] * edges[:-1]) / 1e3
    mean, error, width = ({name: samples[name][key] for name in samples} for key in ("mean", "error", "width"))
    artists = draw_samples(ax, centres, mean, error, linestyle="")
    draw_samples(width_ax, centres, width, linestyle="")
    for panel in (ax, width_ax):
        logarithmic(panel, "x")
        panel.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(r"mean $E_{dep}\,/\,E_{inc}$")
    width_ax.set_ylabel(r"width / mean of $E_{dep}\,/\,E_{inc}$")
    return artists


def draw_response_map(edges: np.ndarray, ratio_edges: np.ndarray, counts: np.ndarray, *, ax: Axes) -> QuadMesh:
    """Draw fractions of showers in bins of E_inc (B, MeV) and E_dep/E_inc (R) from `counts` (B, R), on a log scale."""
    fractions = np.ma.masked_equal(counts / max(counts.sum(), 1), 0)
    low, high = fractions.min(), fractions.max()
    norm = LogNorm(low, high) if fractions.count() and low < high else None
    mesh = ax.pcolormesh(edges / 1e3, ratio_edges, fractions.T, norm=norm, cmap=ENERGY_MAP, rasterized=True)
    logarithmic(ax, "x")
    ax.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(r"$E_{dep}\,/\,E_{inc}$")
    return mesh


@chart("response")
def response(data: Data, ax: Axes | None = None) -> Figure:
    """Maps of both samples above, response and width below."""
    refuse_axes("response", ax)
    edges, ratio_edges = numbers(data["edges"]), numbers(data["ratio_edges"])
    samples = {
        name: {key: numbers(values) for key, values in data[name].items()} for name in ("generated", "reference")
    }
    figure, pairs = panel_grid(4, columns=2, ratio=False)
    for (name, found), (panel, _) in zip(samples.items(), pairs[:2], strict=True):
        draw_response_map(edges, ratio_edges, found["counts"], ax=panel)
        panel.set_title(name)
    draw_response(edges, samples, ax=pairs[2][0], width_ax=pairs[3][0])
    pairs[2][0].legend(frameon=False)
    return figure
