"""What every section of a report works on: two summaries, the floor, and the plan of subsets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np

from caloforge.evaluation.resampling import Plan
from caloforge.evaluation.summary import Summary
from caloforge.geometry import Geometry

FEWEST = 20
"""Fewest showers a side for a floor: below, metrics are unavailable."""

Progress = Callable[[str, int, int], None]
"""Told (section, done, total)."""


@dataclass(frozen=True)
class Training:
    """What the training file leaves.

    Args:
        path: the file.
        fingerprints: (n,) of all its showers.
        from_generated, from_reference: (Q,) distance of Q generated and Q reference showers to the nearest
            training shower, all of them looked at (`neighbours.logarithms` of voxels).
    """

    path: str
    fingerprints: np.ndarray
    from_generated: np.ndarray
    from_reference: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Generated showers against the reference.

    Args:
        generated, reference: summaries over the same geometry and voxel-energy bins.
        floor: an independent reference sample, None if the reference is cut in two.
        plan: the subsets.
        threshold: readout threshold in MeV.
        training: for memorisation, None without a training file.
        seed: of everything random in the sections.
        progress: told how far a section is.
    """

    generated: Summary
    reference: Summary
    floor: Summary | None
    plan: Plan
    threshold: float
    training: Training | None = None
    seed: int = 1
    progress: Progress | None = None

    @property
    def geometry(self) -> Geometry:
        return self.reference.geometry

    def pool(self, get: Callable[[Summary], np.ndarray]) -> np.ndarray:
        """(n_r + n_f, …) what `get` takes from the reference, then from the floor file if there is one."""
        if self.floor is None:
            return get(self.reference)
        return np.concatenate([get(self.reference), get(self.floor)])

    @cached_property
    def refusal(self) -> dict[str, str] | None:
        """The entry of every metric with a floor where there can be none: too few showers, or a dark reference."""
        if self.plan.n < FEWEST:
            return unavailable(f"needs at least {FEWEST} showers a side, there are {self.plan.n}")
        return self.darkness

    @cached_property
    def darkness(self) -> dict[str, str] | None:
        """The entry of every metric where no reference shower has energy above the threshold, else None."""
        if self.reference.dark < self.reference.n:
            return None
        return unavailable(f"no reference shower has energy above the readout threshold ({self.threshold:g} MeV)")

    def tell(self, section: str, done: int, total: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(section, done, total)


def unavailable(reason: str) -> dict[str, Any]:
    """The entry of a metric that cannot be had."""
    return {"unavailable": reason}


def is_available(entry: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a report's entry holds numbers."""
    return isinstance(entry, dict) and "unavailable" not in entry
