"""`CloudSummary`: what one pass over a sample of point clouds leaves in memory; `CloudPair`: what is compared.

Of each shower its observables are kept, and histograms: of the energies of its hits, of its energy and hits over
layers, and of its energy over the distance from its axis. Of jets the clouds themselves are kept, which are small.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from caloforge.evaluation.estimates import FEWEST, Plan
from caloforge.evaluation.samples.pair import Progress
from caloforge.geometry.bins import bin_index
from caloforge.observables.of_clouds import CLOUD_OBSERVABLES, observables_of
from caloforge.observables.of_clouds.moments_of_showers import depth, distance_from_axis
from caloforge.points import JET, PointClouds, PointFiles
from caloforge.showers import matching_files

HIT_EDGES = np.geomspace(1e-4, 1e5, 181)
"""MeV; edges of the histogram of hit energies, 20 to a decade."""

RADIAL_BINS = 100

PER_LAYER = {"hits_layer": ("number of hits", ""), "e_layer": ("energy", "MeV")}
"""Observables of each layer: first part of the name → label and unit."""

AnyClouds = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | PointClouds
"""Clouds in memory, a file of points, or several files of one sample: a folder, a glob pattern, or a list of these."""


@dataclass(frozen=True)
class Shape:
    """What the histograms of a shower are taken over, from the reference.

    Args:
        noun: shower or jet.
        is_layered: whether points have a layer, not only a depth.
        depths: (L,) depths of the longitudinal profile; layers beyond the reference's are counted in the last.
        first: depth at which the first begins. width: of each.
        radii: (R + 1,) edges of the radial profile in mm; energy beyond is counted in the last.
        pitch: depth of a layer in mm, where the reference says.
    """

    noun: str
    is_layered: bool = False
    depths: np.ndarray = field(default_factory=lambda: np.empty(0))
    first: float = 0.0
    width: float = 1.0
    radii: np.ndarray = field(default_factory=lambda: np.empty(0))
    pitch: float | None = None


@dataclass(frozen=True)
class CloudSummary:
    """A sample of N showers or jets in short.

    Args:
        path: the file, or "memory". attributes: of it.
        energies: (N,) incident energies in MeV.
        observables: name → (N,) values.
        profiles: name → (N, B) weights of each shower in the bins of a histogram.
        clouds: the points; of showers only where a classifier sees them.
    """

    path: str
    attributes: Mapping[str, Any]
    energies: np.ndarray
    observables: dict[str, np.ndarray]
    profiles: dict[str, np.ndarray]
    clouds: PointClouds | None = None

    @property
    def n(self) -> int:
        """Number of showers."""
        return len(self.energies)

    @property
    def empty(self) -> int:
        """Number of showers without points."""
        name = "n_hits" if "n_hits" in self.observables else "n_particles"
        return int(np.count_nonzero(self.observables[name] == 0))


@dataclass(frozen=True)
class CloudPair:
    """Generated clouds and the reference's, with an independent reference where there is one, and the plan of subsets.

    Args:
        generated, reference, independent: the samples.
        shape: of the histograms.
        plan: see `estimates.Plan`.
        seed: of everything random.
        progress: told how far a section is.
    """

    generated: CloudSummary
    reference: CloudSummary
    independent: CloudSummary | None
    shape: Shape
    plan: Plan
    seed: int
    progress: Progress | None = None

    def pool(self, get: Callable[[CloudSummary], np.ndarray]) -> np.ndarray:
        """(n_r + n_i, …) what `get` takes from the reference, then from the independent reference if there is one."""
        if self.independent is None:
            return get(self.reference)
        return np.concatenate([get(self.reference), get(self.independent)])

    @property
    def unavailable(self) -> str:
        """Why no number with a baseline is available; else empty."""
        if self.plan.n < FEWEST:
            return f"needs at least {FEWEST} {self.shape.noun}s per sample, there are {self.plan.n}"
        if self.reference.empty == self.reference.n:
            return f"no {self.shape.noun} of the reference has any points"
        return ""

    def tell(self, section: str, done: int, total: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(section, done, total)

    def label(self, name: str) -> tuple[str, str]:
        """Label and unit of an observable."""
        known = CLOUD_OBSERVABLES.get(name)
        if known is not None:
            is_deep = known.unit == "layers" and not self.shape.is_layered
            return known.label, "mm" if is_deep else known.unit
        family, _, layer = name.rpartition("_")
        return f"{PER_LAYER[family][0]}, layer {layer}", PER_LAYER[family][1]


class CloudSource:
    """A sample, read by chunks from files (such as shards) or from memory.

    Args:
        given: a file, a folder, a glob pattern or a list of them; or clouds in memory.
        unit: of energies in files that do not state it; files may come in different formats.

    Raises:
        CaloforgeError: a file cannot be read, or has other columns than the first.
    """

    _clouds: PointClouds | None
    _files: PointFiles | None

    def __init__(self, given: AnyClouds, unit: str | None) -> None:
        if isinstance(given, PointClouds):
            self._clouds, self._files = given, None
            self.path, self.n, self.names = "memory", len(given), given.names
            self.attributes = dict(given.attributes)
        else:
            paths = matching_files([given] if isinstance(given, str | os.PathLike) else given)
            self._clouds, self._files = None, PointFiles(paths, unit, if_needed=True)
            self.path, self.n, self.names = self._files.path, len(self._files), self._files.names
            self.attributes = self._files.attributes
        self.noun = "jet" if set(JET) <= set(self.names) else "shower"

    def chunks(self) -> Iterator[PointClouds]:
        """All clouds, in order."""
        if self._files is not None:
            return self._files.chunks()
        assert self._clouds is not None
        return iter([self._clouds])

    def one(self, row: int) -> PointClouds:
        """One of the showers."""
        if self._files is not None:
            return self._files.one(row)
        assert self._clouds is not None
        return self._clouds[row]


def shape_of(source: CloudSource) -> Shape:
    """Histograms over the range of the reference."""
    if source.noun == "jet":
        return Shape("jet")
    low, high, far = np.inf, -np.inf, 1.0
    for chunk in source.chunks():
        if len(chunk.points):
            at = depth(chunk)
            low, high = min(low, float(at.min())), max(high, float(at.max()))
            far = max(far, float(distance_from_axis(chunk).max()))
    stored = source.attributes.get("layer_pitch_mm")
    pitch = float(stored) if isinstance(stored, int | float) else None
    low, high = (0.0, 0.0) if high < low else (low, high)
    radii = np.linspace(0.0, far, RADIAL_BINS + 1)
    if "layer" in source.names:
        depths = np.arange(int(low), int(high) + 1)
        return Shape("shower", True, depths.astype(float), float(depths[0]), 1.0, radii, pitch)
    width = max((high - low) / RADIAL_BINS, 1e-6)
    return Shape("shower", False, low + width * (np.arange(RADIAL_BINS) + 0.5), low, width, radii, pitch)


def summarise_clouds(
    source: CloudSource, shape: Shape, tell: Callable[[int, int], None], keep: bool = False
) -> CloudSummary:
    """Read a sample once, chunk by chunk; with `keep`, its points stay in memory."""
    energies, kept = [], []
    values: dict[str, list[np.ndarray]] = {}
    profiles: dict[str, list[np.ndarray]] = {}
    done = 0
    for part in source.chunks():
        chunk = _with_pitch(part, shape.pitch)
        energies.append(chunk.energies)
        for each in observables_of(chunk):
            values.setdefault(each.name, []).append(each(chunk))
        if keep or shape.noun == "jet":
            kept.append(chunk)
        if shape.noun == "shower":
            for name, found in _profiles(chunk, shape).items():
                profiles.setdefault(name, []).append(found)
        done += len(chunk)
        tell(done, source.n)
    joined = {name: np.concatenate(parts) for name, parts in profiles.items()}
    observables = {name: np.concatenate(parts) for name, parts in values.items()}
    if shape.is_layered:
        for k, layer in enumerate(shape.depths.astype(int)):
            observables[f"hits_layer_{layer}"] = joined["hits by depth"][:, k].astype(np.float64)
            observables[f"e_layer_{layer}"] = joined["energy by depth"][:, k].astype(np.float64)
    clouds = PointClouds.joined(kept) if kept else None
    return CloudSummary(source.path, source.attributes, np.concatenate(energies), observables, joined, clouds)


def _with_pitch(clouds: PointClouds, pitch: float | None) -> PointClouds:
    """The same with the reference's depth of a layer, so that both samples have the same axes; without conditions."""
    attributes = {} if pitch is None else {"layer_pitch_mm": pitch}
    return PointClouds.unchecked(clouds.energies, clouds.points, clouds.offsets, clouds.names, attributes)


def _profiles(clouds: PointClouds, shape: Shape) -> dict[str, np.ndarray]:
    """Name → (n, B) weights per shower; what lies outside the bins counts in the nearest."""
    rows, energy, n = clouds.rows, clouds["energy"], len(clouds)
    layer = np.floor((depth(clouds) - shape.first) / shape.width).astype(np.int64).clip(0, len(shape.depths) - 1)
    ring = bin_index(shape.radii, distance_from_axis(clouds))
    ring = np.where(ring < 0, len(shape.radii) - 2, ring)
    size = (np.searchsorted(HIT_EDGES, energy, side="right") - 1).clip(0, len(HIT_EDGES) - 2)

    def table(index: np.ndarray, weights: np.ndarray | None, width: int) -> np.ndarray:
        sums = np.bincount(rows * width + index, weights, n * width).reshape(n, width)
        return sums.astype(np.float32)

    return {
        "hit energy": table(size, None, len(HIT_EDGES) - 1),
        "hits by depth": table(layer, None, len(shape.depths)),
        "energy by depth": table(layer, energy, len(shape.depths)),
        "energy by radius": table(ring, energy, len(shape.radii) - 1),
    }


def part_of(summary: CloudSummary, rows: np.ndarray) -> CloudSummary:
    """Some of the showers: `rows` (n,)."""
    return replace(
        summary,
        energies=summary.energies[rows],
        observables={name: values[rows] for name, values in summary.observables.items()},
        profiles={name: table[rows] for name, table in summary.profiles.items()},
        clouds=None if summary.clouds is None else summary.clouds[rows],
    )
