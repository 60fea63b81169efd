"""Shower profiles and energies: how deep, how wide, and how the deposited energy follows the incident one.

Longitudinal: mean energy per layer. Radial, for a polar layer: mean energy per area (MeV/mm²) against r, summed
over alpha; for a Cartesian layer: mean energy per column of eta. Response: mean of E_dep/E_inc, and resolution:
its standard deviation over its mean, against E_inc.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from caloforge.evaluation.plots.style import ENERGY_MAP, GENERATED, REFERENCE, REFERENCE_FILL, logarithmic
from caloforge.geometry import AnyLayer, Geometry, Layer


def longitudinal(
    geometry: Geometry, generated: np.ndarray, reference: np.ndarray, *, ax: Axes, ratio_ax: Axes
) -> dict[str, np.ndarray]:
    """Mean energy per layer from mean voxel energies (V,); returns what was drawn, by name."""
    mine, theirs = (np.array([voxels[part].sum() for part in geometry.slices]) for voxels in (generated, reference))
    names = [str(i) for i in geometry.layer_ids]
    edges = np.arange(len(names) + 1) - 0.5
    draw_pair(edges, mine, theirs, ax=ax, ratio_ax=ratio_ax)
    step = max(1, len(names) // 12)
    ratio_ax.set_xticks(range(0, len(names), step), names[::step])
    ratio_ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ax.tick_params(axis="x", which="minor", bottom=False, top=False)
    ratio_ax.set_xlabel("layer")
    ax.set_ylabel("mean energy [MeV]")
    return {"generated": mine, "reference": theirs}


def transverse(
    layer: AnyLayer, generated: np.ndarray, reference: np.ndarray, *, ax: Axes, ratio_ax: Axes
) -> dict[str, np.ndarray]:
    """Transverse profile of one layer from its mean voxel energies (n_voxels,); returns what was drawn."""
    images = [voxels.reshape(layer.shape).sum(axis=0) for voxels in (generated, reference)]
    if isinstance(layer, Layer):
        edges = np.asarray(layer.r_edges)
        area = np.pi * (edges[1:] ** 2 - edges[:-1] ** 2)
        mine, theirs = images[0] / area, images[1] / area
        ratio_ax.set_xlabel(f"r, layer {layer.id} [mm]")
        ax.set_ylabel("MeV / mm²")
        if edges.max() > 20 * edges[1]:
            for panel in (ax, ratio_ax):
                panel.set_xscale("symlog", linthresh=edges[1])
    else:
        edges = np.asarray(layer.eta_edges)
        mine, theirs = images
        ratio_ax.set_xlabel(f"η, layer {layer.id} [mm]")
        ax.set_ylabel("mean energy [MeV]")
    draw_pair(edges, mine, theirs, ax=ax, ratio_ax=ratio_ax)
    return {"generated": mine, "reference": theirs}


def draw_pair(
    edges: np.ndarray, generated: np.ndarray, reference: np.ndarray, *, ax: Axes, ratio_ax: Axes
) -> dict[str, Any]:
    """Two profiles (B,) over `edges` (B+1,) on a logarithmic scale, and their ratio; returns the artists."""
    positive = np.concatenate([generated[generated > 0], reference[reference > 0]])
    artists: dict[str, Any] = {}
    floor = 0.5 * positive.min() if len(positive) else 1.0
    artists["reference"] = ax.stairs(
        np.maximum(reference, floor / 10),
        edges,
        baseline=floor / 10,
        fill=True,
        color=REFERENCE_FILL,
        label="reference",
        edgecolor=REFERENCE,
        linewidth=0.7,
    )
    artists["generated"] = ax.stairs(
        np.maximum(generated, floor / 10), edges, baseline=floor / 10, color=GENERATED, label="generated"
    )
    logarithmic(ax, "y")
    ax.set_ylim(floor, 2 * positive.max() if len(positive) else 10)
    ax.set_xlim(edges[0], edges[-1])
    ax.tick_params(labelbottom=False)
    ratio = np.divide(generated, reference, out=np.full(len(reference), np.nan), where=reference > 0)
    artists["ratio"] = ratio_ax.stairs(np.clip(ratio, 0.5, 1.5), edges, baseline=None, color=GENERATED)
    ratio_ax.axhline(1, color=REFERENCE, linewidth=0.7)
    ratio_ax.set_xlim(edges[0], edges[-1])
    ratio_ax.set_ylim(0.5, 1.5)
    ratio_ax.set_yticks([0.75, 1.0, 1.25])
    return artists


def energy_bins(energies: np.ndarray, n: int = 20) -> np.ndarray:
    """Edges of incident energy (MeV): one bin per value where there are few, else `n` of equal factor."""
    values = np.unique(energies)
    if len(values) == 1:
        return np.array([values[0] / 1.5, values[0] * 1.5])
    if len(values) <= 2 * n:
        middle = np.sqrt(values[1:] * values[:-1])
        return np.concatenate([[values[0] ** 2 / middle[0]], middle, [values[-1] ** 2 / middle[-1]]])
    return np.geomspace(values[0] * (1 - 1e-9), values[-1] * (1 + 1e-9), n + 1)


def response(energies: np.ndarray, ratio: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, its error and relative width of `ratio` (N,) = E_dep/E_inc in bins of `energies` (N,).

    Bins with fewer than two showers are NaN.
    """
    place = np.searchsorted(edges, energies, side="right") - 1
    inside = (place >= 0) & (place < len(edges) - 1)
    size = len(edges) - 1
    n = np.bincount(place[inside], minlength=size)
    enough = n > 1
    safe = np.where(enough, n, 1)
    mean = np.bincount(place[inside], ratio[inside], size) / safe
    spread = ratio[inside] - mean[place[inside]]
    std = np.sqrt(np.bincount(place[inside], spread**2, size) / np.where(enough, n - 1, 1))
    width = np.divide(std, mean, out=np.full(size, np.nan), where=enough & (mean > 0))
    blank = np.where(enough, 0.0, np.nan)
    return {"mean": mean + blank, "error": std / np.sqrt(safe) + blank, "width": width}


def draw_response(
    samples: dict[str, tuple[np.ndarray, np.ndarray]], edges: np.ndarray, *, ax: Axes, width_ax: Axes
) -> dict[str, Any]:
    """Response on `ax`, resolution on `width_ax`; `samples`: reference, generated → (energies, E_dep/E_inc)."""
    centres = np.sqrt(edges[1:] * edges[:-1]) / 1e3
    artists = {}
    # The reference's open squares leave the generated dots visible where both agree.
    looks: dict[str, dict[str, Any]] = {
        "reference": {"color": REFERENCE, "marker": "s", "markersize": 6, "markerfacecolor": "none"},
        "generated": {"color": GENERATED, "marker": "o", "markersize": 3},
    }
    for name, look in looks.items():
        got = response(*samples[name], edges)
        artists[name] = ax.errorbar(centres, got["mean"], got["error"], linestyle="", label=name, **look)
        width_ax.plot(centres, got["width"], linestyle="", label=name, **look)
    for panel in (ax, width_ax):
        logarithmic(panel, "x")
        panel.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(r"mean $E_{dep}\,/\,E_{inc}$")
    width_ax.set_ylabel(r"width / mean of $E_{dep}\,/\,E_{inc}$")
    return artists


def deposited_against_incident(
    energies: np.ndarray, ratio: np.ndarray, *, ax: Axes, edges: np.ndarray, ratio_edges: np.ndarray
) -> Any:
    """Share of showers in bins of E_inc and E_dep/E_inc as a picture; returns the `QuadMesh`."""
    counts, _, _ = np.histogram2d(energies, np.clip(ratio, ratio_edges[0], ratio_edges[-1]), [edges, ratio_edges])
    shares = np.ma.masked_equal(counts / max(len(energies), 1), 0)
    norm = LogNorm(shares.min(), shares.max()) if shares.count() and shares.min() < shares.max() else None
    mesh = ax.pcolormesh(edges / 1e3, ratio_edges, shares.T, norm=norm, cmap=ENERGY_MAP, rasterized=True)
    logarithmic(ax, "x")
    ax.set_xlabel(r"$E_{inc}$ [GeV]")
    ax.set_ylabel(r"$E_{dep}\,/\,E_{inc}$")
    return mesh
