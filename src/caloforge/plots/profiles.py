"""Shower profiles: longitudinal (mean energy per layer) and transverse (mean energy per area against distance)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import StepPatch
from matplotlib.ticker import FuncFormatter

from caloforge.plots.charts import Data, chart, numbers
from caloforge.plots.style import (
    GENERATED,
    REFERENCE,
    REFERENCE_FILL,
    axes,
    draw_samples,
    draw_steps,
    label_legend,
    logarithmic,
    panel_grid,
    power_of_ten,
)


@dataclass(frozen=True)
class ProfileArtists:
    """Artists drawn by `draw_profile`."""

    generated: StepPatch
    reference: StepPatch
    ratio: StepPatch


def draw_profile(
    edges: np.ndarray, generated: np.ndarray, reference: np.ndarray, *, ax: Axes, ratio_ax: Axes
) -> ProfileArtists:
    """Draw two profiles (B,) over `edges` (B+1,) on a logarithmic scale, and their ratio."""
    positive = np.concatenate([generated[generated > 0], reference[reference > 0]])
    lowest = 0.5 * positive.min() if len(positive) else 1.0
    filled = draw_steps(
        ax,
        np.maximum(reference, lowest / 10),
        edges,
        baseline=lowest / 10,
        facecolor=REFERENCE_FILL,
        edgecolor=REFERENCE,
        linewidth=0.7,
        label="reference",
    )
    step = draw_steps(
        ax, np.maximum(generated, lowest / 10), edges, baseline=lowest / 10, edgecolor=GENERATED, label="generated"
    )
    logarithmic(ax, "y")
    ax.set_ylim(lowest, 2 * positive.max() if len(positive) else 10)
    ratio = np.divide(generated, reference, out=np.full(len(reference), np.nan), where=reference > 0)
    line = draw_steps(ratio_ax, np.clip(ratio, 0.5, 1.5), edges, baseline=None, edgecolor=GENERATED)
    ratio_ax.axhline(1, color=REFERENCE, linewidth=0.7)
    ratio_ax.set_ylim(0.5, 1.5)
    ratio_ax.set_yticks([0.75, 1.0, 1.25])
    for panel in (ax, ratio_ax):
        panel.set_xlim(edges[0], edges[-1])
        # Ring widths grow by large factors: the core would be invisible on a linear axis.
        if edges[0] >= 0 and edges[-1] > 20 * edges[1]:
            panel.set_xscale("symlog", linthresh=edges[1])
            panel.xaxis.set_major_formatter(FuncFormatter(power_of_ten))
    ax.tick_params(labelbottom=False)
    return ProfileArtists(step, filled, line)


def draw_longitudinal(
    layers: Sequence[int], generated: np.ndarray, reference: np.ndarray, *, ax: Axes, ratio_ax: Axes
) -> ProfileArtists:
    """Draw the mean energies (L,), in MeV, of the layers with these ids."""
    names = [str(number) for number in layers]
    artists = draw_profile(np.arange(len(names) + 1) - 0.5, generated, reference, ax=ax, ratio_ax=ratio_ax)
    step = max(1, len(names) // 12)
    ratio_ax.set_xticks(range(0, len(names), step), names[::step])
    for panel in (ax, ratio_ax):
        panel.tick_params(axis="x", which="minor", bottom=False, top=False)
    ratio_ax.set_xlabel("layer")
    ax.set_ylabel("mean energy [MeV]")
    return artists


@chart("profiles")
def profiles(data: Data, ax: Axes | None = None) -> Axes:
    """Longitudinal profile, followed by the other profiles."""
    others = data["others"]
    outer, pairs = panel_grid(1 + len(others), ax=ax)
    first, first_ratio = pairs[0]
    draw_longitudinal(
        data["layers"], numbers(data["generated"]), numbers(data["reference"]), ax=first, ratio_ax=first_ratio
    )
    for part, (panel, ratio_ax) in zip(others, pairs[1:], strict=True):
        edges, *samples = (numbers(part[key]) for key in ("edges", "generated", "reference"))
        draw_profile(edges, *samples, ax=panel, ratio_ax=ratio_ax)
        panel.set_ylabel(part["unit"])
        ratio_ax.set_xlabel(part["label"])
    first_ratio.set_ylabel("ratio")
    label_legend(outer, first)
    return outer


def draw_points(data: Data, *, ax: Axes) -> dict[str, ErrorbarContainer]:
    """Draw one profile with errors, from the data of a chart of kind `profile`; logarithmic if it spans decades."""
    values = {name: numbers(data[name]) for name in ("generated", "reference")}
    errors = {name: numbers(data[f"{name}_error"]) for name in values}
    artists = draw_samples(ax, numbers(data["positions"]), values, errors, linewidth=0.8)
    both = np.concatenate([*values.values()])
    if (both > 0).any() and both.max() > 50 * both[both > 0].min():
        logarithmic(ax, "y")
    else:
        ax.set_ylim(bottom=0)
    ax.set_xlabel(data["label"])
    ax.set_ylabel(f"mean energy [{data['unit']}]")
    return artists


@chart("profile")
def profile(data: Data, ax: Axes | None = None) -> Axes:
    """One profile of both samples with errors."""
    ax = axes(ax)
    draw_points(data, ax=ax)
    ax.legend(frameon=False)
    return ax
