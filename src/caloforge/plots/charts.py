"""Kinds of chart: the data that each needs, and the function that draws it.

A chart of an evaluation (`caloforge.evaluation.metrics.base.Chart`) has a `kind` and plain `data`: numbers, text, lists
or numpy arrays. The data are complete, so a report that was saved and loaded draws the same figures. Lengths are in mm,
energies in MeV; a missing number is nan or None.

`showers`: layers as images, one column per layer and one row per shower or sample.
    geometry    `Geometry.to_dict()` of the drawn layers only
    rows        list of {"title", "voxels" (V of these layers), optional "scale"}; rows of one scale share colours
    unit        label of the colour bar, e.g. "energy [MeV]"
    ratio       optional; true adds a row, row 0 over row 1
    whole       optional; showers with all voxels for the page's 3-D views: {"geometry", "detector", "generated",
                "reference"}, see `caloforge.evaluation.metrics.figure_data.whole_showers`
`histograms`: panels of an observable, each with its ratio.
    panels      list of {"label" (with unit), "edges" (B+1), "generated", "reference" (B+2 counts, flow bins included)}
    log         optional; if true, the fractions of showers are drawn on a logarithmic scale
`profiles`: longitudinal profile, and others such as transverse ones.
    layers, generated, reference    (L) ids and mean energies
    others      list of {"label", e.g. "r, layer 1 [mm]", "unit", e.g. "MeV / mm²", "edges" (B+1), "generated" (B),
                "reference" (B)}
`profile`: one profile with errors.
    label       label of the horizontal axis, with unit
    unit        unit of the values
    positions, generated, generated_error, reference, reference_error    (P)
`response`: deposited against incident energy.
    edges       (B+1) of E_inc;  ratio_edges (R+1) of E_dep/E_inc
    generated, reference    each {"counts" (B × R), "mean", "error", "width", "width_error" (B), None with fewer
                than two showers; "width_error" is optional}
    ratio       optional; label of the response, by default E_dep/E_inc
`matrix`: a matrix of both samples and their difference.
    names       (K) names
    generated, reference, difference    (K × K)
`heatmap`: numbers in rows and columns.
    rows, columns    (R), (C) names
    values      (R × C);  texts (R × C) in the cells
    label, limits, log, map    of the colour scale: its title, ends, whether it is logarithmic, and its colours
`nulls`: statistics of tests beside their null distributions.
    rows        list of {"name", "value", "low", "high" (ends of 95 % of the null distribution), "text"}
    label       of the axis
`pulls`: pulls over N(0, 1).
    edges       (B+1);  values, optional others (B counts)
`rejection`: identification of particles.
    curves      list of {"label", "efficiency", "rejection" (P)}
`roc`: label, fpr, tpr, optional auc.
`weights`: label, edges (B+1) of log10 w, generated, reference (B counts).
`learning_curve`: label, n (showers per sample), auc, error.
`bars`: names, values, optional errors; label (of the axis).
`clouds`: single point clouds, each above its nearest in the reference.
    axes        labels of two or three axes
    pairs       list of {"generated", "reference", each {"points" (P × axes), "weights" (P)}, "generated_title",
                "reference_title"}

Charts of kind `roc`, `weights` and `learning_curve` contain one classifier each; the report page draws them together. A
chart of kind `profile` is shown as a table there.
`showers`, `profiles` and `response` are built by `caloforge.evaluation.metrics.figure_data`, the others by their
metric.

Histograms of observables are not charts but `hist.Hist` (`Report.hists`): axis 0 is a `StrCategory` with "generated"
and "reference" (without overflow), axis 1 the observable with its `name` and `label` (mathtext, with unit) and flow
bins. (hist reserves the name "sample", so no axis can have it.) `Hist.metadata` is a mapping:

    {"group": "centres", "family": "ec_eta", "layer": 1 or None, "log": True}

`group` is the figure that contains it, `family` the observable without its layer, `log` whether fractions of showers
are drawn on a logarithmic scale. Histograms of voxels instead of showers have `"counted": "voxels"`.

To add a kind, register one function, which draws on `ax`, or on those of a new figure, and returns them:

    from caloforge import plots

    @plots.chart("scatter")
    def scatter(data, ax=None):
        ax = plots.axes(ax, width=4, height=3)
        ax.plot(data["x"], data["y"], ".")
        return ax
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes

from caloforge.errors import CaloforgeError
from caloforge.plots.style import styled

Data = Mapping[str, Any]
"""Data of a chart: numbers, text, lists and arrays under the names above."""

DrawFunction = TypeVar("DrawFunction", bound=Callable[..., Axes])

DRAW: dict[str, Callable[..., Axes]] = {}
"""Kind → function (data, ax=None) → axes."""


def chart(kind: str) -> Callable[[DrawFunction], DrawFunction]:
    """Register a function (data, ax=None) → axes for charts of `kind`.

    Raises:
        ValueError: the kind already has a function.
    """

    def register(function: DrawFunction) -> DrawFunction:
        if kind in DRAW:
            raise ValueError(f"chart kind '{kind}' already exists; choose another name")
        DRAW[kind] = styled(function)
        return function

    return register


def draw(kind: str, data: Data, *, ax: Axes | None = None) -> Axes:
    """Draw a chart.

    >>> ax = draw("bars", {"names": ["width", "depth"], "values": [0.2, 0.1]})
    >>> [text.get_text() for text in ax.get_yticklabels()]
    ['width', 'depth']

    Args:
        kind: kind of chart.
        data: its fields (see the module docstring).
        ax: axes to draw on; None creates a figure.

    Returns:
        the axes; those of several panels contain them as `child_axes`.

    Raises:
        CaloforgeError: the kind is unknown, a field is missing, or the kind's function does not return axes.
    """
    function = DRAW.get(kind)
    if function is None:
        raise CaloforgeError(
            f"unknown chart kind '{kind}' (known: {', '.join(DRAW)}): import the module that registers "
            "it with @caloforge.plots.chart"
        )
    try:
        drawn: object = function(data) if ax is None else function(data, ax=ax)
    except KeyError as error:
        raise CaloforgeError(f"the data of a chart of kind '{kind}' have no {error}") from error
    if not isinstance(drawn, Axes):
        raise CaloforgeError(
            f"the function of charts of kind '{kind}' returned {type(drawn).__name__}; it must return the axes that it "
            "drew on"
        )
    return drawn


def numbers(values: Any) -> np.ndarray:
    """`values`, such as lists from JSON, as a float array; None becomes NaN."""
    return np.asarray(values, dtype=float)
