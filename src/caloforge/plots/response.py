"""Deposited against incident energy.

Response (linearity): mean of E_dep/E_inc in bins of E_inc. Width (resolution): its standard deviation over its mean.
Below both, the difference of generated and reference in per cent, with the reference's error as a band.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.container import ErrorbarContainer

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import (
    ENERGY_MAP,
    GENERATED,
    REFERENCE,
    REFERENCE_FILL,
    draw_samples,
    logarithmic,
    panel_grid,
)

RATIO = r"$E_{dep}\,/\,E_{inc}$"
"""Label of the response, unless a chart has its own."""


def draw_response(
    edges: np.ndarray,
    samples: Mapping[str, Mapping[str, np.ndarray]],
    *,
    ax: Axes,
    width_ax: Axes,
    ratio: str = RATIO,
) -> dict[str, ErrorbarContainer]:
    """Draw the response on `ax` and the width on `width_ax`.

    Args:
        edges: (B + 1,) of E_inc in MeV.
        samples: "generated", "reference" → {"mean", "error", "width"} (B,), NaN in empty bins.
        ax, width_ax: axes to draw on.
        ratio: label of the response.

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
    ax.set_ylabel(f"mean {ratio}")
    width_ax.set_ylabel(f"width / mean of {ratio}")
    return artists


def draw_difference(
    edges: np.ndarray,
    generated: tuple[np.ndarray, np.ndarray],
    reference: tuple[np.ndarray, np.ndarray],
    *,
    ax: Axes,
    label: str,
) -> ErrorbarContainer:
    """Draw generated over reference minus 1, in per cent, with the reference's error as a band around 0.

    Args:
        edges: (B + 1,) of E_inc in MeV.
        generated, reference: values and their errors, (B,) each.
        ax: axes to draw on.
        label: what is compared.
    """
    (values, errors), (others, other_errors) = generated, reference
    with np.errstate(divide="ignore", invalid="ignore"):
        difference, error, band = (100 * x / others for x in (values - others, errors, other_errors))
    ax.stairs(band, edges / 1e3, baseline=-band, fill=True, color=REFERENCE_FILL)
    ax.axhline(0, color=REFERENCE, linewidth=0.8)
    centres = np.sqrt(edges[1:] * edges[:-1]) / 1e3
    points = ax.errorbar(centres, difference, error, fmt="o", markersize=3, color=GENERATED)
    logarithmic(ax, "x")
    ax.set_xlim(edges[0] / 1e3, edges[-1] / 1e3)
    reach = np.nanmax(np.abs(np.concatenate([difference, band])), initial=0.0)
    margin = np.nanmedian(np.concatenate([error, band])) if np.isfinite(band).any() else 0.0
    ax.set_ylim(*(np.array([-1.15, 1.15]) * max(reach + margin, 0.05)))
    ax.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(f"{label}, gen. / ref. − 1 [%]")
    return points


def draw_response_map(
    edges: np.ndarray, ratio_edges: np.ndarray, counts: np.ndarray, *, ax: Axes, ratio: str = RATIO
) -> QuadMesh:
    """Draw fractions of showers in bins of E_inc (B, MeV) and response (R) from `counts` (B, R), on a log scale."""
    fractions = np.ma.masked_equal(counts / max(counts.sum(), 1), 0)
    low, high = fractions.min(), fractions.max()
    norm = LogNorm(low, high) if fractions.count() and low < high else None
    mesh = ax.pcolormesh(edges / 1e3, ratio_edges, fractions.T, norm=norm, cmap=ENERGY_MAP, rasterized=True)
    logarithmic(ax, "x")
    ax.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(ratio)
    return mesh


@chart("response")
def response(data: Data, ax: Axes | None = None) -> Axes:
    """Maps of both samples above, response and width below, then how far both differ."""
    edges, ratio_edges = numbers(data["edges"]), numbers(data["ratio_edges"])
    samples = {
        name: {key: numbers(values) for key, values in data[name].items()} for name in ("generated", "reference")
    }
    ratio = str(data.get("ratio", RATIO))
    outer, pairs = panel_grid(6, columns=2, ratio=False, ax=ax)
    for (name, found), (panel, _) in zip(samples.items(), pairs[:2], strict=True):
        draw_response_map(edges, ratio_edges, found["counts"], ax=panel, ratio=ratio)
        panel.set_title(name)
    draw_response(edges, samples, ax=pairs[2][0], width_ax=pairs[3][0], ratio=ratio)
    pairs[2][0].legend(frameon=False)
    unknown = np.zeros(len(edges) - 1)  # reports of earlier versions have no errors of the width
    for (panel, _), key, error, label in zip(
        pairs[4:], ("mean", "width"), ("error", "width_error"), ("response", "resolution"), strict=True
    ):
        both = [(found[key], found.get(error, unknown)) for found in samples.values()]
        draw_difference(edges, both[0], both[1], ax=panel, label=label)
    return outer
