"""`ClassifierTest`: what a test has to provide, what it gives, and the registry of tests by name.

A test of one's own is a subclass (or a `NetworkTest`) of which one instance is registered:

    settings = ClassifierSettings(learning_rate=1e-3, batch_size=500, epochs=20)
    register(NetworkTest("mine", "my test", "voxels / E_inc; MLP 2 × 64 (mine)", relative, build, settings))

Label 1 is Geant4 (the reference), 0 generated. Both samples are cut to the same number of showers, so that the
calibrated score C is the probability at equal odds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from caloforge.classifiers.scores import Scores
from caloforge.conditions import Columns
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers

MIN_SHOWERS = 100
"""Fewest showers of each kind that a classifier is trained on."""


@dataclass(frozen=True)
class Epoch:
    """What a progress callback is told after each epoch.

    Args:
        test: name of the classifier test.
        repeat, repeats: which training of how many, from 1.
        epoch, epochs: which epoch of at most how many, from 1.
        loss: mean training loss of the epoch in nats.
        accuracy: fraction of the second part that is classified correctly.
        seconds_left: time until all trainings are done if none stops early.
    """

    test: str
    repeat: int
    repeats: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    seconds_left: float


EpochProgress = Callable[[Epoch], None]


@dataclass(frozen=True)
class ClassifierTraining:
    """One training.

    Args:
        scores: on the third part.
        accuracy: on the second part.
        best_epoch, epochs: the epoch that was kept, and how many there were.
        rows: (m,) of the third part in the two samples, one after the other.
    """

    scores: Scores
    accuracy: float
    best_epoch: int
    epochs: int
    rows: np.ndarray


@dataclass(frozen=True)
class Importance:
    """Loss of AUC when one feature is permuted over the showers, and the standard error of that."""

    feature: str
    label: str
    value: float
    error: float


@dataclass(frozen=True)
class PairImportance:
    """Loss of AUC when two features are permuted over the showers, each by itself, and its standard error.

    `alone` is the sum of both losses when one is permuted: less than `value` where each makes up for the other, more
    where the classifier uses them together.
    """

    features: tuple[str, str]
    labels: tuple[str, str]
    value: float
    error: float
    alone: float


@dataclass(frozen=True)
class ClassifierResult:
    """What a test found.

    Args:
        test, title, summary: of the test.
        n: showers per sample.
        n_features, n_parameters: of the input and of the classifier.
        settings: of the training.
        seed: of everything random.
        trainings: one or more, each with its own split and initialisation.
        seconds: for all of it.
        energies: (2 n,) incident energies in MeV of generated and reference showers, one after the other.
        explain: gives importances of the features of the first training, where the test has them.
        explain_pairs: gives those of pairs of the most important features.
        conditions: further ones of the same showers, as far as the test was told of them.
    """

    test: str
    title: str
    summary: str
    n: int
    n_features: int
    n_parameters: int
    settings: Mapping[str, float | int | None]
    seed: int
    trainings: tuple[ClassifierTraining, ...]
    seconds: float
    energies: np.ndarray
    explain: Callable[[], tuple[Importance, ...]] = tuple
    explain_pairs: Callable[[tuple[Importance, ...]], tuple[PairImportance, ...]] = lambda importances: ()
    conditions: Columns = field(default_factory=lambda: Columns.none(0))

    @cached_property
    def importances(self) -> tuple[Importance, ...]:
        """Of the features of the first training; empty where the test has none. Computed when first asked for."""
        return self.explain()

    @cached_property
    def pairs(self) -> tuple[PairImportance, ...]:
        """Importances of pairs of the most important features; empty where the test has none."""
        return self.explain_pairs(self.importances)

    @property
    def first(self) -> ClassifierTraining:
        """The first training."""
        return self.trainings[0]

    @property
    def auc(self) -> float:
        """Mean area under the ROC curve."""
        return float(np.mean([each.scores.auc for each in self.trainings]))

    @property
    def auc_std(self) -> float:
        """Standard deviation over the trainings; of a single one, the statistical error of its third part."""
        return _deviation([(each.scores.auc, each.scores.auc_error) for each in self.trainings])

    @property
    def jsd(self) -> float:
        """Mean Jensen–Shannon divergence in bits."""
        return float(np.mean([each.scores.jsd for each in self.trainings]))

    @property
    def jsd_std(self) -> float:
        """As `auc_std`."""
        return _deviation([(each.scores.jsd, each.scores.jsd_error) for each in self.trainings])

    @property
    def error_from(self) -> str:
        """What the two errors are."""
        n = len(self.trainings)
        return f"standard deviation of {n} trainings" if n > 1 else "statistics of the third part"


def _deviation(found: Sequence[tuple[float, float]]) -> float:
    return float(np.std([value for value, _ in found], ddof=1)) if len(found) > 1 else found[0][1]


FoldScores = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""From rows to train on (n,), rows to score (m,) and a seed to raw scores (m,); see `ClassifierTest.fold_scores`."""


@dataclass(frozen=True)
class ClassifierTest(ABC):
    """A test.

    Args:
        name: its key.
        title: in a few words, for tables.
        summary: input, classifier and source in a line.
    """

    name: str
    title: str
    summary: str

    @abstractmethod
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
        """Train the classifier and say how well it distinguishes the samples (see `network_test.run_test`)."""

    def fold_scores(self, generated: Showers, reference: Showers, device: str = "cpu") -> FoldScores:
        """What trains the classifier on some showers and scores others, for cross-fitting.

        Rows are those of the generated showers and, after them, of the reference; features are computed once.

        Raises:
            CaloforgeError: the geometry does not suit the test, or it cannot score showers chosen by the caller.
        """
        raise CaloforgeError(
            f"the classifier test '{self.name}' cannot score showers chosen by the caller: choose another, as trees"
        )

    @property
    def epochs(self) -> int:
        """Epochs of a training, at most, for progress."""
        return 1

    def showers_used(self, n: int) -> int:
        """How many of `n` showers of a kind the test uses."""
        return n

    def check(self, geometry: Geometry) -> None:
        """Refuse a geometry that the test cannot be used on.

        Raises:
            CaloforgeError: with the reason.
        """
        if (reason := self.why_unsuitable(geometry)) is not None:
            raise CaloforgeError(
                f"the classifier test '{self.name}' {reason}; geometry '{geometry.name}' has none such: "
                "choose another test, as challenge_low"
            )

    def why_unsuitable(self, geometry: Geometry) -> str | None:
        """Why the test cannot be used on a geometry; None where it can."""
        return None


TESTS: dict[str, ClassifierTest] = {}
"""Name → test."""

Test = TypeVar("Test", bound=ClassifierTest)


def register(test: Test) -> Test:
    """Enter a test into `TESTS`.

    Raises:
        ValueError: there is one of that name.
    """
    if test.name in TESTS:
        raise ValueError(f"classifier test '{test.name}' exists already; choose another name")
    TESTS[test.name] = test
    return test


def get_test(test: str | ClassifierTest) -> ClassifierTest:
    """The test of that name, or the test itself.

    Raises:
        CaloforgeError: no test has this name.
    """
    if isinstance(test, ClassifierTest):
        return test
    if test not in TESTS:
        raise CaloforgeError(f"unknown classifier test '{test}': give one of {', '.join(TESTS)}, or none")
    return TESTS[test]


def equally_many(
    test: ClassifierTest, samples: Sequence[Showers], seed: int, also: Sequence[Showers] = ()
) -> list[Showers]:
    """Samples of one geometry, cut to one size at random.

    Args:
        test: which uses them.
        samples: one per kind.
        seed: of the thinning.
        also: further showers whose geometry has to agree.

    Raises:
        CaloforgeError: geometries that differ or do not suit the test, too few showers.
    """
    geometry = samples[0].geometry
    for other in (*samples[1:], *also):
        if other.geometry != geometry:
            raise CaloforgeError(
                f"showers of geometry '{geometry.name}' cannot be compared with '{other.geometry.name}'; "
                "give files of one geometry"
            )
    test.check(geometry)
    n = test.showers_used(min(len(sample) for sample in samples))
    if n < MIN_SHOWERS:
        raise CaloforgeError(f"a classifier test needs at least {MIN_SHOWERS} showers per sample, not {n}; give more")
    rows = thinned([len(sample) for sample in samples], n, seed)
    return [sample if len(sample) == n else sample[kept] for sample, kept in zip(samples, rows, strict=True)]


def thinned(sizes: Sequence[int], n: int, seed: int) -> list[np.ndarray]:
    """Rows (n,) of samples of `sizes` showers that are left when all are cut to `n` at random; they rise."""
    rng = np.random.default_rng([seed, 0])
    return [np.arange(n) if size == n else np.sort(rng.choice(size, n, replace=False)) for size in sizes]
