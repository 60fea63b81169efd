"""`strong`: the best of three: boosted trees on observables, on these and all rings, and a network on voxels too.

A generator may be given away by any of them. All are trained; the one that is right more often on the second part of
the showers is used, so that the AUC, from the third part, is not the largest of several fluctuations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from caloforge.classifiers.base import ClassifierResult, ClassifierTest, EpochProgress, get_test, register
from caloforge.geometry import Geometry
from caloforge.showers import Showers


@dataclass(frozen=True)
class StrongestTest(ClassifierTest):
    """The best of several tests, by their accuracy on the second part.

    Args:
        name, title, summary: see `ClassifierTest`.
        candidates: names of tests.
    """

    candidates: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """Epochs of a training of each candidate, at most."""
        return sum(get_test(name).epochs for name in self.candidates)

    def showers_used(self, n: int) -> int:
        """How many of `n` showers of a kind the candidates use, all of them alike."""
        return min(get_test(name).showers_used(n) for name in self.candidates)

    def why_unsuitable(self, geometry: Geometry) -> str | None:
        """Why a candidate cannot be used on a geometry; None where all can."""
        reasons = (get_test(name).why_unsuitable(geometry) for name in self.candidates)
        return next((reason for reason in reasons if reason is not None), None)

    def run(
        self,
        generated: Showers,
        reference: Showers,
        *,
        repeats: int = 1,
        seed: int = 1,
        progress: EpochProgress | None = None,
        device: str = "cpu",
    ) -> ClassifierResult:
        """Run all candidates and return the result of the most accurate one under this name (see `run_test`)."""
        found = [
            get_test(name).run(generated, reference, repeats=repeats, seed=seed, progress=progress, device=device)
            for name in self.candidates
        ]
        best = max(found, key=lambda result: np.mean([training.accuracy for training in result.trainings]))
        return replace(
            best,
            test=self.name,
            title=self.title,
            summary=f"{self.summary}: {best.test}",
            seconds=sum(result.seconds for result in found),
        )


register(
    StrongestTest(
        "strong",
        "the strongest of three",
        "observables, rings, log voxels; the best of trees, rings and everything, by the second part (not published)",
        ("trees", "rings", "everything"),
    )
)
