"""From shower files to a `SamplePair`: which showers are compared, and one pass over each file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from caloforge.conditions import Columns
from caloforge.distances.prdc import NearestSoFar, logarithms
from caloforge.energies import agreement
from caloforge.energies.weighted import accepted
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import FEWEST
from caloforge.evaluation.samples.agreeing_conditions import compared_conditions
from caloforge.evaluation.samples.pair import Progress, SamplePair, TrainingData
from caloforge.evaluation.samples.plan import make_plan
from caloforge.evaluation.samples.regions import regions
from caloforge.evaluation.samples.shared import check_baseline, remarks
from caloforge.evaluation.samples.summary import Summary, fingerprint, summarise
from caloforge.geometry import Geometry
from caloforge.observables import Observable, challenge, default, find, select
from caloforge.showers import Showers
from caloforge.showers.geometries import GivenGeometry
from caloforge.showers.inputs import (
    CHUNK_VALUES,
    AnySource,
    ChunkProgress,
    InMemory,
    Source,
    chunks_of,
    largest_voxel,
    open_source,
)
from caloforge.units import count

EXAMPLE_ENERGIES, EXAMPLES_EACH, EXAMPLE_VALUES = 5, 200, 8_000_000
"""Single showers for pictures: at so many energies, so many each, and no more voxel values in all."""

KEPT_VALUES = 64_000_000
"""A reference of up to so many voxel values (256 MB) is read once and kept while it is looked at twice."""

NEIGHBOURS, NEIGHBOUR_VALUES = 5000, 32_000_000
"""Showers per sample that are kept for nearest neighbours at most, and the voxel values in them."""

QUERIES = 1000
"""Showers per sample whose nearest training shower is looked for."""

NEEDED = (*challenge, "n_hits", "max_voxel_fraction", "s_d", "sigma_s_d", "mean_x", "mean_y", "mean_z")
"""Observables that the metrics work on, whichever ones the report lists."""


@dataclass(frozen=True)
class Request:
    """What `evaluate` was asked to compare (see there)."""

    generated: AnySource
    reference: AnySource
    baseline: AnySource | None = None
    train: AnySource | None = None
    observables: Sequence[str | Observable] | None = None
    geometry: GivenGeometry | None = None
    only_energies: agreement.EnergyChoice | None = None
    match_energies: bool = False
    seed: int = 1
    by: Sequence[str] = ()
    ignore_conditions: Sequence[str] = ()


@dataclass
class Agreement:
    """How the incident-energy spectra agree (Kolmogorov–Smirnov), and how many showers of each sample are compared."""

    distance: float
    probability: float
    kept: dict[str, int]


class Opened:
    """The files of a request, open, of one geometry, with the rows that are to be compared.

    Use as a context manager. `remark` says where the geometry is not the files' own and, once they have been
    read, what looks like a mistake in them; `agreement` how the spectra do.

    Raises:
        CaloforgeError: a file is bad, the geometries differ, a wanted energy is absent, the incident-energy
            spectra differ and are not to be matched, or too few showers are left.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        given = {"generated": request.generated, "reference": request.reference}
        given |= {k: s for k, s in (("baseline", request.baseline), ("train", request.train)) if s is not None}
        self._in_memory = {key for key, source in given.items() if isinstance(source, Showers)}
        with ExitStack() as stack:
            self.sources: dict[str, Source] = {}
            for key, source in given.items():
                self.sources[key] = open_source(source, request.geometry)
                stack.enter_context(self.sources[key])
                if len(self.sources[key]) == 0:
                    raise CaloforgeError(f"{self.name(key)} holds no showers")
            self.remark = ""
            self.geometry = self._common_geometry()
            self.threshold = self.geometry.threshold
            wanted = request.observables
            self.observables = default(self.geometry) if wanted is None else select(self.geometry, wanted)
            self.energies = {key: source.energies() for key, source in self.sources.items()}
            self.rows = {key: self._drawn(key) for key in self.energies if key != "train"}
            self.agreement = self._choose_rows()
            self.conditions = self._compared_conditions()
            self._stack = stack.pop_all()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def name(self, key: str) -> str:
        """What to call a file in a message."""
        if key in self._in_memory:
            return f"the {'training' if key == 'train' else key} sample"
        return str(self.sources[key].path)

    def _common_geometry(self) -> Geometry:
        source = self.sources["reference"]
        reference = source.geometry
        for key, other in self.sources.items():
            if not other.geometry.has_voxels_of(reference):
                raise CaloforgeError(
                    f"{self.name(key)} has geometry '{other.geometry.name}' ({other.geometry.n_voxels} voxels), "
                    f"{self.name('reference')} has '{reference.name}' ({reference.n_voxels} voxels); "
                    "give two files of one geometry"
                )
        own = source.own_geometry
        if own is not None and own != reference:
            self.remark = f"evaluated as '{reference.name}', as given, while {self.name('reference')} says '{own.name}'"
        return reference

    def _drawn(self, key: str) -> np.ndarray:
        """Rows of a sample: all, or of showers with weights those that are accepted by them."""
        weights, energies = self.sources[key].weights(), self.energies[key]
        if weights is None:
            return np.arange(len(energies))
        rows = accepted(weights, energies, self.request.seed)
        drawn = f"{self.name(key)} has weights: {len(rows):,} of {len(energies):,} showers were drawn by them"
        self.remark = "; ".join([*filter(None, [self.remark]), drawn])
        return rows

    def _choose_rows(self) -> Agreement:
        rng = np.random.default_rng([self.request.seed, 1])
        if self.request.only_energies is not None:
            for key in self.rows:
                self.rows[key] = agreement.select(self.energies[key], self.request.only_energies, self.name(key))
        if self.request.match_energies:
            pair = agreement.match(self._chosen("generated"), self._chosen("reference"), rng)
            for key, kept in zip(("generated", "reference"), pair, strict=True):
                self.rows[key] = self.rows[key][kept]
            if "baseline" in self.rows:
                kept = agreement.match(self._chosen("baseline"), self._chosen("reference"), rng)[0]
                self.rows["baseline"] = self.rows["baseline"][kept]
        fewest = {"generated": 2, "reference": 2 if "baseline" in self.rows else 4, "baseline": 2}
        for key in self.rows:
            if len(self.rows[key]) < fewest[key]:
                raise CaloforgeError(
                    f"{self.name(key)} has {count(len(self.rows[key]), 'shower')} to compare; at least {fewest[key]} "
                    f"are needed ({FEWEST} for most metrics)"
                )
        found = {
            key: agreement.check_same(
                self._chosen(key), self._chosen("reference"), self.name(key), self.name("reference")
            )
            for key in self.rows
            if key != "reference"
        }
        return Agreement(*found["generated"], {key: len(rows) for key, rows in self.rows.items()})

    def _compared_conditions(self) -> dict[str, Columns]:
        """The conditions, of the chosen rows, that all samples have and that agree."""
        chosen = {key: self.sources[key].conditions().take(rows) for key, rows in self.rows.items()}
        frame = str(self.sources["reference"].attributes.get("frame", ""))
        names = {key: self.name(key) for key in chosen}
        found = compared_conditions(chosen, names, frame, self.request.ignore_conditions)
        return {key: columns.only(found) for key, columns in chosen.items()}

    def _chosen(self, key: str) -> np.ndarray:
        return np.asarray(self.energies[key][self.rows[key]])

    def read(self, progress: Progress | None) -> SamplePair:
        """Read every file and put the `SamplePair` together."""
        rng = np.random.default_rng([self.request.seed, 2])
        independent = self._chosen("baseline") if "baseline" in self.rows else None
        plan = make_plan(self._chosen("generated"), self._chosen("reference"), independent, rng)
        self._keep_reference()
        reference = self.sources["reference"]
        tell = self._told(progress, "looking at the reference", "reference")
        largest = largest_voxel(reference, self.rows["reference"], tell)
        edges = find(self.geometry, "voxel_energy").edges(np.array([largest]), self.threshold)
        m = neighbour_sample(plan.n, self.geometry)
        wanted = {"generated": m, "reference": m if independent is not None else 2 * m, "baseline": m}
        examples = self._example_energies()
        needed = select(self.geometry, NEEDED)
        summaries: dict[str, Summary] = {}
        for key in self.rows:
            energies = self._chosen(key)
            summaries[key] = summarise(
                self.sources[key],
                self.rows[key],
                observables=[*self.observables, *needed],
                geometry=self.geometry,
                voxel_edges=edges,
                sample_rows=agreement.thin(energies, wanted[key], rng, plan.stratified),
                example_rows=self._example_rows(energies, examples),
                progress=self._told(progress, f"reading the {key} showers", key),
            )
            summaries[key] = replace(summaries[key], conditions=self.conditions[key])
        generated, reference_summary = summaries["generated"], summaries["reference"]
        names = {key: self.name(key) for key in self.sources}
        check_baseline(summaries, names)
        training = self._training(generated, reference_summary, progress) if "train" in self.sources else None
        prints = None if training is None else training.fingerprints
        self.remark = "; ".join([*filter(None, [self.remark]), *remarks(summaries, prints, names)])
        return SamplePair(
            generated=generated,
            reference=reference_summary,
            independent=summaries.get("baseline"),
            plan=plan,
            threshold=self.threshold,
            observables=self.observables,
            training=training,
            seed=self.request.seed,
            progress=progress,
            load=self.load,
            stream=self.stream,
            regions=regions(reference_summary.energies, reference_summary.conditions, self.request.by),
        )

    def _keep_reference(self) -> None:
        """Hold the reference in memory if it is small: it is read twice, as its largest voxel sets the bins."""
        source = self.sources["reference"]
        if not isinstance(source, InMemory) and len(source) * self.geometry.n_voxels <= KEPT_VALUES:
            whole = source.read()
            kept = Showers.unchecked(whole.energies, whole.voxels, whole.geometry, source.attributes, whole.conditions)
            self.sources["reference"] = InMemory(kept, str(source.path))

    def _example_energies(self) -> np.ndarray:
        """Up to five incident energies of the reference, spread over its spectrum."""
        energies = agreement.rounded(self._chosen("reference"))
        distinct = np.unique(energies)
        if len(distinct) <= agreement.MANY_ENERGIES:
            picks = np.linspace(0, len(distinct) - 1, min(EXAMPLE_ENERGIES, len(distinct))).round().astype(int)
            return np.asarray(distinct[picks])
        return np.asarray(np.quantile(energies, [0.05, 0.25, 0.5, 0.75, 0.95]))

    def _example_rows(self, energies: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        each = max(1, min(EXAMPLES_EACH, EXAMPLE_VALUES // self.geometry.n_voxels // len(wanted)))
        nearest = [np.argsort(np.abs(np.log(energies / e)), kind="stable")[:each] for e in wanted]
        return np.unique(np.concatenate(nearest))

    def _training(self, generated: Summary, reference: Summary, progress: Progress | None) -> TrainingData:
        source, tell = self.sources["train"], self._told(progress, "reading the training showers", "train")
        searches = []
        for sample in (generated.sample.showers, reference.sample.showers):
            queries = sample.voxels[:: max(1, len(sample) // QUERIES)][:QUERIES]
            searches.append(NearestSoFar(logarithms(queries, self.threshold)))
        prints = []
        for chunk in source.chunks(values=CHUNK_VALUES):
            prints.append(fingerprint(chunk.voxels))
            points = logarithms(chunk.voxels, self.threshold)
            for search in searches:
                search.update(points)
            if tell is not None:
                tell(len(chunk))
        energies, distances = self.energies["train"], (search.distances for search in searches)
        return TrainingData(str(source.path), energies, np.concatenate(prints), *distances)

    def load(self, key: str, chosen: np.ndarray) -> Showers:
        """Some of one file's showers that are compared, raw and in memory: `chosen` (n,), in that order."""
        source, order = self.sources[key], np.argsort(chosen, kind="stable")
        rows = self.rows[key][chosen[order]]
        voxels: np.ndarray | None = None
        for start, part in chunks_of(source, rows):
            if voxels is None:
                voxels = np.empty((len(rows), self.geometry.n_voxels), dtype=part.voxels.dtype)
            voxels[order[start : start + len(part)]] = part.voxels
        assert voxels is not None
        energies = self._chosen(key)[chosen]
        return Showers(energies, voxels, self.geometry, {}, self.conditions[key].take(chosen))

    def stream(self, key: str) -> Iterator[Showers]:
        """All of one file's showers that are compared, raw, by chunks."""
        for _, part in chunks_of(self.sources[key], self.rows[key]):
            yield Showers.unchecked(part.energies, part.voxels, self.geometry, {}, part.conditions)

    def _told(self, progress: Progress | None, section: str, key: str) -> ChunkProgress | None:
        """Turns the numbers of showers read from a file into progress."""
        if progress is None:
            return None
        done, total, tell = 0, len(self.sources[key]), progress

        def read(n: int) -> None:
            nonlocal done
            done += n
            tell(section, done, total)

        return read


def neighbour_sample(n: int, geometry: Geometry) -> int:
    """Showers per sample that are kept for nearest neighbours, out of n."""
    return max(1, min(n, NEIGHBOURS, NEIGHBOUR_VALUES // geometry.n_voxels))
