"""Data of the figures that need voxels or single showers: charts of kind `showers`, `profiles` and `response`.

The kinds and their fields are those of `caloforge.plots.charts`. Values are rounded to four digits, and only the layers
that are drawn are kept, so that a report stays small in a calorimeter of 40 000 voxels.

Single showers are compared at equal incident energy. The nearest neighbour of a reference shower is the generated one
at the smallest Euclidean distance d = ‖x − y‖₂ over all voxels (MeV), among the showers kept of the same incident
energy. A generator that repeats itself (mode collapse) gives different reference showers the same neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from caloforge.evaluation.metrics.base import Chart, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.geometry import AnyLayer, Geometry, Layer
from caloforge.plots.layers import choose_layers, select
from caloforge.showers import Showers
from caloforge.units import format_energy
from caloforge.viewer.nearest import nearest_rows

MOST_LAYERS = 6
"""Layers side by side; a calorimeter of more shows those at equal steps of the deposited energy."""

MOST_PROFILES = 8
"""Layers whose transverse profile is shown."""

N_ENERGIES = 3
"""Incident energies at which single showers are shown."""

EXAMPLES, EACH = 5, (4, 2, 1)
"""Incident energies at which whole showers are kept for the 3-D views, and how many at each, if they fit."""

MOST_HITS = 60_000
"""Hits of whole showers: 0.6 MB on the page."""

Array = np.ndarray


@metric(title="data of the figures", quick=True)
def figure_data(samples: SamplePair) -> Iterator[Chart]:
    """Average showers, profiles, response and single showers."""
    generated, reference = samples.generated, samples.reference
    means = generated.voxels.energy, reference.voxels.energy
    yield average_showers(samples.geometry, *means)
    yield profiles(samples.geometry, *means, generated.azimuthal.mean(axis=0), reference.azimuthal.mean(axis=0))
    name = "e_tot_over_e_inc"
    if name in generated.observables and name in reference.observables:
        yield response_map(*((sample.energies, sample.observables[name]) for sample in (generated, reference)))
    detector = str(reference.attributes.get("detector", ""))
    examples = generated.examples.showers, reference.examples.showers
    yield from single_showers(*examples, generated.sample.showers, reference.voxels.energy, detector)


def significant(values: Array, digits: int = 4) -> Array:
    """`values` rounded to so many significant digits."""
    found = np.asarray(values, dtype=np.float64)
    size = np.floor(np.log10(np.abs(found), out=np.zeros_like(found), where=(found != 0) & np.isfinite(found)))
    scale = 10.0 ** (digits - 1 - size)
    return np.asarray(np.round(found * scale) / scale)


def average_showers(geometry: Geometry, generated: Array, reference: Array) -> Chart:
    """Mean energy of each voxel (V,) of both samples, in MeV."""
    positions = choose_layers(geometry, reference, MOST_LAYERS)
    rows = [("generated", generated, ""), ("reference", reference, "")]
    return Chart(
        "average_showers",
        "showers",
        "showers",
        "Average showers",
        "Mean energy of each voxel, layer by layer, and the ratio of generated to reference: red is too much energy, "
        "blue too little, white right; grey voxels are empty in both."
        f"{_radii(geometry)}{selection(geometry, positions)}",
        gallery_data(geometry, positions, rows, "mean energy [MeV]") | {"ratio": True},
    )


def single_showers(
    generated: Showers, reference: Showers, sample: Showers, reference_mean: Array, detector: str = ""
) -> Iterator[Chart]:
    """Single showers of both samples, and nearest neighbours; nothing where no incident energy is common.

    Args:
        generated, reference: a few showers of each sample.
        sample: further generated showers, among which and `generated` neighbours are searched.
        reference_mean: (V,) mean energy of each voxel in MeV, by which the layers are chosen.
        detector: name of the reference's detector, which may tell the depths of the layers.
    """
    geometry = reference.geometry
    positions = choose_layers(geometry, reference_mean, MOST_LAYERS)
    rows: list[tuple[str, Array, str]] = []
    for energy, first, second in energy_groups(generated, reference, N_ENERGIES):
        name = format_energy(energy)
        rows.append((f"generated\n{name}", generated.voxels[first[0]], name))
        rows.append((f"reference\n{name}", reference.voxels[second[0]], name))
    if rows:
        yield Chart(
            "single_showers",
            "showers",
            "showers",
            "Single showers",
            "One shower of each sample at a few incident energies, not selected by hand. Look at the granularity: "
            "generated showers are often too smooth, or hit voxels too far from the axis."
            + selection(geometry, positions),
            gallery_data(geometry, positions, rows, "energy [MeV]") | whole_showers(generated, reference, detector),
        )
    kept = Showers(
        np.concatenate([generated.energies, sample.energies]),
        np.concatenate([generated.voxels, sample.voxels]),
        geometry,
    )
    rows = []
    for energy, candidates, second in energy_groups(kept, reference, N_ENERGIES):
        name = format_energy(energy)
        point = reference.voxels[second[0]]
        index, distance = nearest(point[None], kept.voxels[candidates])
        words = format_energy(float(distance[0])) if distance[0] else "0"
        rows.append((f"reference\n{name}", point, name))
        rows.append((f"nearest gen.\nd = {words}", kept.voxels[candidates[index[0]]], name))
    if rows:
        yield Chart(
            "nearest_neighbours",
            "showers",
            "showers",
            "Nearest neighbours",
            "A reference shower and the generated one nearest to it, at Euclidean distance d over all voxels, among "
            "the showers kept of that energy. Look for variety: the same generated shower every time is mode collapse."
            + selection(geometry, positions),
            gallery_data(geometry, positions, rows, "energy [MeV]"),
        )


def profiles(geometry: Geometry, generated: Array, reference: Array, *azimuthal: Array) -> Chart:
    """Longitudinal and transverse profiles from mean voxel energies (V,) in MeV.

    With `azimuthal`, mean energies in equal sectors of alpha of both samples, the azimuthal profile is the last.
    """
    positions = choose_layers(geometry, reference, MOST_PROFILES)
    first, second = (geometry.layer_sums(voxels) for voxels in (generated, reference))
    parts = [(geometry.layers[k], geometry.slices[k]) for k in positions]
    others = [transverse(layer, generated[part], reference[part]) for layer, part in parts]
    if azimuthal and len(azimuthal[0]):
        edges = significant(np.linspace(-np.pi, np.pi, len(azimuthal[0]) + 1))
        values = {name: significant(v) for name, v in zip(("generated", "reference"), azimuthal, strict=True)}
        others.append({"label": "azimuth α [rad]", "unit": "mean energy [MeV]", "edges": edges, **values})
    return Chart(
        "profiles",
        "profiles",
        "histograms",
        "Profiles",
        "Mean energy per layer, mean energy per area against the distance from the axis, and along the azimuth, with "
        "the ratio of generated to reference below. A ratio that falls with the distance means showers that are too "
        "narrow; an azimuthal profile that is not flat, while the reference's is, a direction that does not exist."
        + selection(geometry, positions),
        {
            "layers": list(geometry.layer_ids),
            "generated": significant(first, 6),
            "reference": significant(second, 6),
            "others": others,
        },
    )


def transverse(layer: AnyLayer, generated: Array, reference: Array) -> dict[str, Any]:
    """Transverse profile of a layer from its mean voxel energies (n_voxels,).

    Energy per area in rings of r where the layer is polar, energy per column of eta where it is Cartesian.
    """
    first, second = (voxels.reshape(layer.shape).sum(axis=0) for voxels in (generated, reference))
    if isinstance(layer, Layer):
        edges, label, unit = np.asarray(layer.r_edges), f"r, layer {layer.id} [mm]", "MeV / mm²"
        area = np.pi * (edges[1:] ** 2 - edges[:-1] ** 2)
        first, second = first / area, second / area
    else:
        edges, label, unit = np.asarray(layer.eta_edges), f"η, layer {layer.id} [mm]", "mean energy [MeV]"
    values = {"generated": significant(first), "reference": significant(second)}
    return {"label": label, "unit": unit, "edges": edges, **values}


def response_map(generated: tuple[Array, Array], reference: tuple[Array, Array]) -> Chart:
    """Deposited against incident energy; each sample is (E_inc (N,) in MeV, E_dep/E_inc (N,))."""
    edges = energy_bins(reference[0])
    low, high = np.quantile(np.concatenate([generated[1], reference[1]]), [0.0005, 0.9995])
    ratio_edges = np.linspace(low, high if high > low else low + 1e-3, 51)

    def binned(energies: Array, ratio: Array) -> dict[str, Array]:
        inside = np.clip(ratio, ratio_edges[0], ratio_edges[-1])
        counts, _, _ = np.histogram2d(energies, inside, [edges, ratio_edges])
        found = response(energies, ratio, edges)
        return {"counts": counts.astype(int)} | {key: significant(values, 6) for key, values in found.items()}

    return Chart(
        "response",
        "response",
        "histograms",
        "Deposited against incident energy",
        "Above: fraction of showers in bins of incident energy and response, on a logarithmic colour scale; the "
        "outermost bins hold what lies beyond. Below: mean response (linearity) and its relative width (resolution), "
        "then how far both differ from the reference, in per cent: dots should lie in the band, which is the "
        "reference's error.",
        {
            "edges": edges,
            "ratio_edges": significant(ratio_edges, 6),
            "generated": binned(*generated),
            "reference": binned(*reference),
        },
    )


def response(energies: Array, ratio: Array, edges: Array) -> dict[str, Array]:
    """Mean and relative width of `ratio` (N,) = E_dep/E_inc in bins of `energies` (N,), and their errors.

    The relative error of the width is √[(κ − 1)/(4n)] with the kurtosis κ. Bins with fewer than two showers are NaN.
    """
    index = np.searchsorted(edges, energies, side="right") - 1
    inside = (index >= 0) & (index < len(edges) - 1)
    size = len(edges) - 1
    n = np.bincount(index[inside], minlength=size)
    enough = n > 1
    safe = np.where(enough, n, 1)
    mean = np.bincount(index[inside], ratio[inside], size) / safe
    spread = ratio[inside] - mean[index[inside]]
    std = np.sqrt(np.bincount(index[inside], spread**2, size) / np.where(enough, n - 1, 1))
    width = np.divide(std, mean, out=np.full(size, np.nan), where=enough & (mean > 0))
    blank = np.where(enough, 0.0, np.nan)
    square = np.bincount(index[inside], spread**2, size) / safe
    fourth = np.bincount(index[inside], spread**4, size) / safe
    kurtosis = np.divide(fourth, square**2, out=np.ones(size), where=square > 0)
    error = width * np.sqrt(np.maximum(kurtosis - 1, 0) / (4 * safe))
    return {"mean": mean + blank, "error": std / np.sqrt(safe) + blank, "width": width, "width_error": error}


def energy_bins(energies: Array, n: int = 20) -> Array:
    """Edges of incident energy (MeV): one bin per value where there are few, else `n` of equal factor."""
    values = np.unique(energies)
    if len(values) == 1:
        return np.array([values[0] / 1.5, values[0] * 1.5])
    if len(values) <= 2 * n:
        middle = np.sqrt(values[1:] * values[:-1])
        return np.concatenate([[values[0] ** 2 / middle[0]], middle, [values[-1] ** 2 / middle[-1]]])
    return np.geomspace(values[0] * (1 - 1e-9), values[-1] * (1 + 1e-9), n + 1)


def energy_groups(generated: Showers, reference: Showers, n: int) -> list[tuple[float, Array, Array]]:
    """At most `n` incident energies at which both samples have showers, lowest to highest.

    Energies count as equal within 15 %. Returns (energy in MeV, rows of generated, rows of reference) each.
    """
    groups = []
    left = np.unique(reference.energies)
    while len(left):
        energy = float(left[0])
        first, second = (np.nonzero(abs(s.energies / energy - 1) <= 0.15)[0] for s in (generated, reference))
        left = left[left > 1.15 * energy]
        if len(first) and len(second):
            groups.append((energy, first, second))
    wanted = sorted({round(k) for k in np.linspace(0, len(groups) - 1, min(n, len(groups)))}) if groups else []
    return [groups[k] for k in wanted]


def nearest(points: Array, others: Array) -> tuple[Array, Array]:
    """(n,) index of and distance to the nearest of `others` (m, V) for each of `points` (n, V)."""
    index, distance = np.empty(len(points), dtype=int), np.empty(len(points))
    for row, point in enumerate(points):
        # Differences, not dot products: those cancel when two showers are nearly the same.
        apart = others - point
        squared = np.einsum("ij,ij->i", apart, apart, dtype=np.float64)
        index[row] = squared.argmin()
        distance[row] = np.sqrt(squared[index[row]])
    return index, distance


def gallery_data(
    geometry: Geometry, positions: list[int], rows: list[tuple[str, Array, str]], unit: str
) -> dict[str, Any]:
    """Data of a chart of kind `showers` from (title, voxels (V,), scale) of all layers."""
    kept, index = select(geometry, positions)
    return {
        "geometry": kept.to_dict(),
        "rows": [
            {"title": title, "voxels": significant(voxels[index]), "scale": scale} for title, voxels, scale in rows
        ],
        "unit": unit,
    }


def whole_showers(generated: Showers, reference: Showers, detector: str) -> dict[str, Any]:
    """Generated showers at a few energies with all their voxels, each beside the nearest reference shower.

    Returns {"whole": {"geometry", "detector", "generated", "reference"}}, the samples as `hits_of` gives them; nothing
    where single showers have too many hits, or there are none.
    """
    groups = energy_groups(generated, reference, EXAMPLES)
    for each in EACH:
        pairs = [(first[:each], second) for _, first, second in groups]
        beside = [second[nearest_rows(generated[first], reference[second])] for first, second in pairs]
        samples = {
            "generated": hits_of(generated[np.concatenate([first for first, _ in pairs])]),
            "reference": hits_of(reference[np.concatenate(beside)]),
        }
        if 0 < sum(len(sample["voxel"]) for sample in samples.values()) <= MOST_HITS:
            return {"whole": {"geometry": generated.geometry.to_dict(), "detector": detector, **samples}}
    return {}


def hits_of(showers: Showers) -> dict[str, Any]:
    """Showers by their hits: "incident" (N,) MeV, "start" (N + 1,), and "voxel", "energy" of all hits (MeV)."""
    rows, voxels = np.nonzero((showers.voxels > 0) & (showers.voxels >= showers.geometry.threshold))
    return {
        "incident": significant(showers.energies, 6),
        "start": np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(showers)))]),
        "voxel": voxels,
        "energy": significant(showers.voxels[rows, voxels], 6),
    }


def showers_of(hits: Mapping[str, Any], geometry: Geometry) -> Showers:
    """The showers that `hits_of` has described."""
    start, voxel = (np.asarray(hits[key], dtype=np.int64) for key in ("start", "voxel"))
    voxels = np.zeros((len(start) - 1, geometry.n_voxels), dtype=np.float32)
    voxels[np.repeat(np.arange(len(start) - 1), np.diff(start)), voxel] = np.asarray(hits["energy"])
    return Showers(np.asarray(hits["incident"], dtype=np.float64), voxels, geometry)


def _radii(geometry: Geometry) -> str:
    if not any(isinstance(layer, Layer) for layer in geometry.layers):
        return ""
    return " Radii are in mm; where the rings grow by large factors, the radius is drawn as its square root."


def selection(geometry: Geometry, positions: list[int]) -> str:
    if len(positions) == geometry.n_layers:
        return ""
    return f" {len(positions)} of {geometry.n_layers} layers are shown, at equal steps of the deposited energy."
