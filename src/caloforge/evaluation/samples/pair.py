"""`SamplePair`: what every metric works on: two summaries, the independent reference, and the plan of subsets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from hist import Hist

from caloforge.evaluation.estimates import FEWEST, Plan
from caloforge.evaluation.samples.plan import make_plan
from caloforge.evaluation.samples.regions import Region
from caloforge.evaluation.samples.summary import Summary
from caloforge.geometry import Geometry
from caloforge.observables import BoundObservable
from caloforge.observables.binning import bin_numbers, histogram
from caloforge.showers import Showers

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Told (section, done, total)."""


@dataclass(frozen=True)
class TrainingData:
    """Training data used by the memorisation tests.

    Args:
        path: the file.
        energies: (n,) incident energies of all its showers in MeV.
        fingerprints: (n,) of all its showers.
        from_generated, from_reference: (Q,) distance of Q generated and Q reference showers to the nearest of all
            training showers (of `distances.prdc.logarithms` of the voxels).
    """

    path: str
    energies: np.ndarray
    fingerprints: np.ndarray
    from_generated: np.ndarray
    from_reference: np.ndarray


@dataclass(frozen=True)
class Binned:
    """An observable of both samples in the bins of its histogram.

    Args:
        edges: (B + 1,).
        generated, pool: (n, …) what `count` takes subsets of: bin numbers of showers (0 below, B + 1 above), or
            each shower's own counts of voxels (n, B + 2).
    """

    edges: np.ndarray
    generated: np.ndarray
    pool: np.ndarray

    def count(self, part: np.ndarray) -> np.ndarray:
        """(B + 2,) counts of a subset: below, the B bins, above."""
        if part.ndim == 2:
            return np.asarray(part.sum(axis=0, dtype=np.int64))
        return np.bincount(part, minlength=len(self.edges) + 1)


@dataclass(frozen=True)
class SamplePair:
    """Generated showers and the reference's, read and made comparable.

    Args:
        generated, reference: summaries over the same geometry and voxel-energy bins.
        independent: an independent reference sample, None if the reference is split in two.
        plan: the subsets behind errors and baselines.
        threshold: readout threshold in MeV.
        observables: those of the report, in order.
        training: for memorisation, None without a training file.
        seed: of everything random in the metrics.
        progress: told how far a section is.
        load: reads some of the compared showers of "generated", "reference" or "baseline" into memory, raw.
        stream: reads all of them by chunks, raw, in their order.
        regions: of energy and further conditions in which numbers are repeated.
    """

    generated: Summary
    reference: Summary
    independent: Summary | None
    plan: Plan
    threshold: float
    observables: Sequence[BoundObservable]
    training: TrainingData | None = None
    seed: int = 1
    progress: Progress | None = None
    load: Callable[[str, np.ndarray], Showers] | None = None
    stream: Callable[[str], Iterator[Showers]] | None = None
    regions: Sequence[Region] = ()
    _shared: dict[Callable[[SamplePair], object], object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def geometry(self) -> Geometry:
        """Of all samples."""
        return self.reference.geometry

    def once(self, work: Callable[[SamplePair], T]) -> T:
        """`work(self)`, done at the first call and remembered: what several metrics share."""
        if work not in self._shared:
            self._shared[work] = work(self)
        return self._shared[work]  # type: ignore[return-value]

    def pool(self, get: Callable[[Summary], np.ndarray]) -> np.ndarray:
        """(n_r + n_i, …) what `get` takes from the reference, then from the independent reference if there is one."""
        if self.independent is None:
            return get(self.reference)
        return np.concatenate([get(self.reference), get(self.independent)])

    @cached_property
    def unavailable(self) -> str:
        """Why no metric with a baseline is available: too few showers, or `empty_reference`; else empty."""
        if self.plan.n < FEWEST:
            return f"needs at least {FEWEST} showers per sample, there are {self.plan.n}"
        return self.empty_reference

    @cached_property
    def empty_reference(self) -> str:
        """Says so if no reference shower has energy above the threshold; else empty."""
        if self.reference.below_threshold < self.reference.n:
            return ""
        return f"no reference shower has energy above the readout threshold ({self.threshold:g} MeV)"

    def tell(self, section: str, done: int, total: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(section, done, total)

    def take(self, low: float, high: float, draws: int, rng: np.random.Generator) -> SamplePair:
        """The pair of showers with low ≤ E_inc < high (MeV), with a plan of its own (see `make_plan`)."""
        return self.part(lambda sample: (sample.energies >= low) & (sample.energies < high), draws, rng)

    def part(self, inside: Callable[[Summary], np.ndarray], draws: int, rng: np.random.Generator) -> SamplePair:
        """The pair of some of the showers, with a plan of its own.

        Args:
            inside: sample → (N,) which of its showers.
            draws: subsets of each kind (see `make_plan`).
            rng: source of randomness.
        """
        generated, reference, independent = (
            None if sample is None else sample.take(np.flatnonzero(inside(sample)))
            for sample in (self.generated, self.reference, self.independent)
        )
        assert generated is not None
        assert reference is not None
        energies = None if independent is None else independent.energies
        plan = make_plan(generated.energies, reference.energies, energies, rng, draws)
        return replace(
            self,
            generated=generated,
            reference=reference,
            independent=independent,
            plan=plan,
            load=None,
            stream=None,
            _shared={},
        )

    def binned(self, observable: BoundObservable) -> Binned | str:
        """An observable in the bins of its histogram, or why there is none."""
        name = observable.name
        if observable.observable.per == "voxel":
            if not self.reference.voxel_counts[1:-1].any():
                return f"no voxel of the reference exceeds the threshold ({self.threshold:g} MeV)"
            return Binned(self.reference.voxel_edges, self.generated.voxel_rows, self.pool(lambda s: s.voxel_rows))
        values = self.pool(lambda s: s.observables[name])
        reference = self.reference.observables[name]
        edges = observable.edges(reference, self.threshold)
        if edges is None:
            largest = f"{float(reference.max()):g}{f' {observable.unit}' if observable.unit else ''}"
            return f"the reference's maximum ({largest}) does not exceed the threshold ({self.threshold:g} MeV)"
        return Binned(edges, bin_numbers(self.generated.observables[name], edges), bin_numbers(values, edges))

    def histogram(self, observable: BoundObservable, binned: Binned) -> Hist[Any]:
        """The histogram of both samples that separation powers and figures are taken from."""
        layer = observable.layer
        return histogram(
            binned.edges,
            binned.count(binned.generated),
            binned.count(binned.pool[: self.plan.n_reference]),
            name=observable.name,
            label=observable.label,
            axis_label=observable.axis_label,
            metadata={
                "group": observable.observable.group,
                "family": observable.observable.name,
                "layer": None if layer is None else layer.id,
                "log": observable.observable.log,
                **({"counted": "voxels"} if observable.observable.per == "voxel" else {}),
            },
        )
