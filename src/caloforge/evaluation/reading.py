"""From shower files to a `Comparison`: which showers are compared, and one pass over each file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.evaluation import spectra
from caloforge.evaluation.binning import challenge_edges, same_voxels
from caloforge.evaluation.comparison import FEWEST, Comparison, Progress, Training
from caloforge.evaluation.neighbours import NearestSoFar
from caloforge.evaluation.resampling import make_plan
from caloforge.evaluation.sections.duplicates import QUERIES
from caloforge.evaluation.sections.neighbours import cut, sample_size
from caloforge.evaluation.summary import (
    CHUNK_VALUES,
    InMemory,
    Source,
    Summary,
    fingerprint,
    largest_voxel,
    open_source,
    summarise,
)
from caloforge.geometry import Geometry, load_geometry
from caloforge.showers import ShowerFile, Showers
from caloforge.units import count

AnySource = str | os.PathLike[str] | Showers

EXAMPLE_ENERGIES, EXAMPLES_EACH, EXAMPLE_VALUES = 5, 200, 8_000_000
"""Single showers for pictures: at so many energies, so many each, and no more voxel values in all."""

KEPT_VALUES = 64_000_000
"""A reference of up to so many voxel values (256 MB) is read once and kept while it is looked at twice."""


@dataclass(frozen=True)
class Request:
    """What `evaluate` was asked to compare (see there)."""

    generated: AnySource
    reference: AnySource
    floor: AnySource | None = None
    train: AnySource | None = None
    geometry: Geometry | str | None = None
    only_energies: spectra.EnergyChoice | None = None
    match_energies: bool = False
    seed: int = 1


class Opened:
    """The files of a request, open, of one geometry, with the rows that are to be compared.

    Use as a context manager. `remark` says where the geometry is not the files' own.

    Raises:
        CaloforgeError: a file is bad, the geometries differ, a wanted energy is absent, the incident-energy
            spectra differ and are not to be matched, or too few showers are left.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        with ExitStack() as stack:
            given = {
                key: source
                for key in ("generated", "reference", "floor", "train")
                if (source := getattr(request, key)) is not None
            }
            self.sources: dict[str, Source] = {}
            for key, given_source in given.items():
                self.sources[key] = open_source(given_source, request.geometry)
                stack.enter_context(self.sources[key])
            self.remark = ""
            self.geometry = self._common_geometry()
            self.threshold = self.geometry.threshold
            self.energies = {key: source.energies() for key, source in self.sources.items()}
            self.rows = {key: np.arange(len(e)) for key, e in self.energies.items() if key != "train"}
            self.spectrum: dict[str, Any] = {"matched": request.match_energies}
            self._choose_rows()
            self._stack = stack.pop_all()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def name(self, key: str) -> str:
        """What to call a file in a message."""
        path = str(self.sources[key].path)
        return f"the {key} sample" if isinstance(self.sources[key], InMemory) else path

    def _common_geometry(self) -> Geometry:
        reference = self.sources["reference"].geometry
        for key, source in self.sources.items():
            if not same_voxels(source.geometry, reference):
                raise CaloforgeError(
                    f"{self.name(key)} has geometry '{source.geometry.name}' ({source.geometry.n_voxels} voxels), "
                    f"{self.name('reference')} has '{reference.name}' ({reference.n_voxels} voxels); "
                    "give two files of one geometry"
                )
        chosen = settled(reference, self.request.geometry, self.name("reference"))
        if chosen != reference:
            self.remark = f"judged as '{chosen.name}', as given, while {self.name('reference')} says '{reference.name}'"
        return chosen

    def _choose_rows(self) -> None:
        rng = np.random.default_rng([self.request.seed, 1])
        if self.request.only_energies is not None:
            for key in self.rows:
                self.rows[key] = spectra.select(self.energies[key], self.request.only_energies, self.name(key))
        if self.request.match_energies:
            pair = spectra.match(self._chosen("generated"), self._chosen("reference"), rng)
            for key, kept in zip(("generated", "reference"), pair, strict=True):
                self.rows[key] = self.rows[key][kept]
            if "floor" in self.rows:
                kept = spectra.match(self._chosen("floor"), self._chosen("reference"), rng)[0]
                self.rows["floor"] = self.rows["floor"][kept]
        for key in self.rows:
            if key != "reference":
                chosen = self._chosen(key), self._chosen("reference")
                found = spectra.check_same(*chosen, self.name(key), self.name("reference"))
                if key == "generated":
                    self.spectrum |= {"distance": found[0], "probability": found[1]}
            self.spectrum[f"{key}_kept"] = len(self.rows[key])
        for key, least in (("generated", 2), ("reference", 2 if "floor" in self.rows else 4)):
            if len(self.rows[key]) < least:
                raise CaloforgeError(
                    f"{self.name(key)} has {count(len(self.rows[key]), 'shower')} to compare; at least {least} are "
                    f"needed ({FEWEST} for most metrics)"
                )

    def _chosen(self, key: str) -> np.ndarray:
        return self.energies[key][self.rows[key]]

    def compare(self, progress: Progress | None) -> Comparison:
        """Read every file and put the `Comparison` together."""
        rng = np.random.default_rng([self.request.seed, 2])
        floor = self._chosen("floor") if "floor" in self.rows else None
        plan = make_plan(self._chosen("generated"), self._chosen("reference"), floor, rng)
        report = _Reader(progress)
        self._keep_reference()
        reference = self.sources["reference"]
        largest = largest_voxel(reference, self.rows["reference"], report("looking at the reference", reference))
        edges = challenge_edges(self.geometry, "voxel_energy", np.array([largest]), self.threshold)
        m = sample_size(plan.n, self.geometry)
        wanted = {"generated": m, "reference": m if floor is not None else 2 * m, "floor": m}
        examples = self._example_energies()
        summaries: dict[str, Summary] = {}
        for key in self.rows:
            energies = self._chosen(key)
            summaries[key] = summarise(
                self.sources[key],
                self.rows[key],
                geometry=self.geometry,
                voxel_edges=edges,
                sample_rows=spectra.thin(energies, wanted[key], rng, plan.stratified),
                example_rows=self._example_rows(energies, examples),
                progress=report(f"reading the {key} showers", self.sources[key]),
            )
        comparison = Comparison(
            generated=summaries["generated"],
            reference=summaries["reference"],
            floor=summaries.get("floor"),
            plan=plan,
            threshold=self.threshold,
            seed=self.request.seed,
            progress=progress,
        )
        if "train" not in self.sources:
            return comparison
        training = self._training(comparison, report("reading the training showers", self.sources["train"]))
        return Comparison(**{**comparison.__dict__, "training": training})

    def _keep_reference(self) -> None:
        """Hold the reference in memory if it is small: it is read twice, as its largest voxel sets the bins."""
        source = self.sources["reference"]
        if isinstance(source, ShowerFile) and len(source) * self.geometry.n_voxels <= KEPT_VALUES:
            whole = source.read()
            self.sources["reference"] = InMemory(
                Showers(whole.energies, whole.voxels, whole.geometry, source.attributes)
            )
            self.sources["reference"].path = str(source.path)

    def _example_energies(self) -> np.ndarray:
        """Up to five incident energies of the reference, spread over its spectrum."""
        energies = spectra.rounded(self._chosen("reference"))
        distinct = np.unique(energies)
        if len(distinct) <= spectra.MANY_ENERGIES:
            picks = np.linspace(0, len(distinct) - 1, min(EXAMPLE_ENERGIES, len(distinct))).round().astype(int)
            return distinct[picks]
        return np.quantile(energies, [0.05, 0.25, 0.5, 0.75, 0.95])

    def _example_rows(self, energies: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        each = max(1, min(EXAMPLES_EACH, EXAMPLE_VALUES // self.geometry.n_voxels // len(wanted)))
        nearest = [np.argsort(np.abs(np.log(energies / e)), kind="stable")[:each] for e in wanted]
        return np.unique(np.concatenate(nearest))

    def _training(self, c: Comparison, progress: Any) -> Training:
        source = self.sources["train"]
        searches = [
            NearestSoFar(cut(s.sample.voxels[:: max(1, len(s.sample) // QUERIES)][:QUERIES], c.threshold))
            for s in (c.generated, c.reference)
        ]
        prints = []
        for chunk in source.chunks(max(1, CHUNK_VALUES // self.geometry.n_voxels)):
            prints.append(fingerprint(chunk.voxels))
            logs = cut(chunk.voxels, c.threshold)
            for search in searches:
                search.update(logs)
            if progress is not None:
                progress(len(chunk))
        return Training(str(source.path), np.concatenate(prints), searches[0].distances, searches[1].distances)

    def load(self, key: str) -> Showers:
        """The chosen showers of one file in memory, raw."""
        source, rows = self.sources[key], self.rows[key]
        whole = source.read()
        chosen = whole if len(rows) == len(whole) else whole[rows]
        return Showers(chosen.energies, chosen.voxels, self.geometry, {})


def settled(own: Geometry, given: Geometry | str | None, name: str) -> Geometry:
    """The geometry to judge with: the given one, which may name another threshold or depths, but no other voxels.

    Args:
        own: what the file `name` says, or what its voxel count tells.
        given: what was asked for, None for nothing.

    Raises:
        CaloforgeError: they have different voxels.
    """
    if given is None:
        return own
    wanted = given if isinstance(given, Geometry) else load_geometry(given)
    if not same_voxels(wanted, own):
        raise CaloforgeError(
            f"--geometry names '{wanted.name}' ({wanted.n_voxels} voxels), but the voxels of {name} are those of "
            f"'{own.name}' ({own.n_voxels}): leave --geometry out, or give the one that fits"
        )
    return wanted


class _Reader:
    """Turns showers read into progress."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress

    def __call__(self, section: str, source: Source) -> Any:
        if self._progress is None:
            return None
        done, total, tell = 0, len(source), self._progress

        def read(n: int) -> None:
            nonlocal done
            done += n
            tell(section, done, total)

        return read
