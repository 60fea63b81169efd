"""`NetworkTest`, and `run_test`: can a classifier tell generated showers from Geant4's?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from caloforge.classifiers.architectures import n_parameters
from caloforge.classifiers.base import (
    ClassifierResult,
    ClassifierTest,
    ClassifierTraining,
    Epoch,
    EpochProgress,
    FoldScores,
    equally_many,
    get_test,
)
from caloforge.classifiers.features import FeatureFunction, Scaling, feature_matrix
from caloforge.classifiers.fitting import ClassifierSettings, Fit, Parts, fit, part_sizes, predict, split
from caloforge.classifiers.scores import Scores
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers

NetworkBuilder = Callable[[Geometry, int, int], nn.Module]
"""From geometry, number of features and number of logits to an untrained network."""


@dataclass(frozen=True)
class NetworkTest(ClassifierTest):
    """A test whose classifier is a neural network.

    Args:
        name, title, summary: see `ClassifierTest`.
        features: from showers to (N, F) float32 (module `features`).
        network: builds the network.
        settings: how it is trained.
        standardise: whether features are brought to mean 0 and variance 1 over both samples.
        published_n: showers per sample that are split 80 000 / 20 000 / 21 000, where the test has such a rule
            (on ds1-photons); any other number is split 60 / 20 / 20 %.
        max_showers: at most so many showers of each kind are used; None for all.
        unsuitable: from a geometry to the reason why the test cannot be used on it, or None.
    """

    features: FeatureFunction
    network: NetworkBuilder
    settings: ClassifierSettings
    standardise: bool = False
    published_n: int | None = None
    max_showers: int | None = None
    unsuitable: Callable[[Geometry], str | None] = lambda geometry: None

    @property
    def epochs(self) -> int:
        """Epochs of a training, at most."""
        return self.settings.epochs

    def showers_used(self, n: int) -> int:
        """How many of `n` showers of a kind the test uses."""
        return n if self.max_showers is None else min(n, self.max_showers)

    def why_unsuitable(self, geometry: Geometry) -> str | None:
        """Why the test cannot be used on a geometry; None where it can."""
        return self.unsuitable(geometry)

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
        """Train the network and say how well it distinguishes the samples (see `run_test`)."""
        start = time.perf_counter()
        task = prepare(self, [generated, reference], seed)
        found, size = [], 0
        for fitted, parts in fits(task, repeats=repeats, seed=seed, progress=progress, device=device):
            held, tested = (_scores(task, fitted, rows) for rows in (parts.validate, parts.test))
            scores = Scores.of(held, tested)
            found.append(ClassifierTraining(scores, fitted.accuracy, fitted.best_epoch, fitted.epochs_run, parts.test))
            size = n_parameters(fitted.network)
        return ClassifierResult(
            test=self.name,
            title=self.title,
            summary=self.summary,
            n=task.n,
            n_features=task.features.shape[1],
            n_parameters=size,
            settings=asdict(self.settings),
            seed=seed,
            trainings=tuple(found),
            seconds=time.perf_counter() - start,
            energies=task.energies,
        )

    def fold_scores(self, generated: Showers, reference: Showers, device: str = "cpu") -> FoldScores:
        """Networks for cross-fitting (see `ClassifierTest.fold_scores`); a fifth of the showers chooses the epoch."""
        self.check(reference.geometry)
        rows = feature_matrix(self.features, [generated, reference])
        if self.standardise:
            Scaling.fit(rows).apply(rows)
        features = torch.from_numpy(rows)
        labels = torch.arange(2).repeat_interleave(torch.tensor([len(generated), len(reference)]))

        def scores(train: np.ndarray, scored: np.ndarray, seed: int) -> np.ndarray:
            own, of_batches = (int(s) for s in np.random.SeedSequence(seed).generate_state(2))
            mixed = np.random.default_rng([seed, 1]).permutation(train)
            held, rest = np.split(mixed, [len(mixed) // 5])
            parts = Parts(rest, held, scored)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(own)
                network = self.network(reference.geometry, features.shape[1], 1).to(device)
            fit(network, features, labels, parts, self.settings, of_batches)
            return predict(network, features, scored, self.settings.pass_size)[:, 0].double().numpy()

        return scores


def run_test(
    test: str | ClassifierTest,
    generated: Showers,
    reference: Showers,
    *,
    repeats: int = 1,
    seed: int = 1,
    progress: EpochProgress | None = None,
    device: str = "cpu",
) -> ClassifierResult:
    """Train a classifier `repeats` times and report how well it tells the samples apart.

    Args:
        test: one of `TESTS`, or a test of one's own.
        generated: showers to be tested; the larger of the two samples is thinned at random to the smaller.
        reference: Geant4's, in the same geometry.
        repeats: trainings, each with its own split and initialisation.
        seed: decides everything random; the same seed, machine and number of threads give the same result.
        progress: told after each epoch.
        device: where to train, as torch names it.

    Raises:
        CaloforgeError: unknown test, geometries that differ or do not suit the test, too few showers.
    """
    if repeats < 1:
        raise CaloforgeError(f"the number of repeats must be at least 1, not {repeats}")
    known = get_test(test)
    return known.run(generated, reference, repeats=repeats, seed=seed, progress=progress, device=device)


@dataclass(frozen=True)
class Task:
    """A classifier's data: K samples of n showers each, sample k in rows k n … (k + 1) n.

    Args:
        test: the test that they are made for.
        geometry: of all samples.
        features: (K n, F) float32.
        labels: (K n,) int64, 0 … K - 1.
        energies: (K n,) incident energies in MeV.
        n: showers per sample.
        scaling: what standardised the features, None where the test does not.
    """

    test: NetworkTest
    geometry: Geometry
    features: Tensor
    labels: Tensor
    energies: np.ndarray
    n: int
    scaling: Scaling | None


def prepare(test: NetworkTest, samples: Sequence[Showers], seed: int, also: Sequence[Showers] = ()) -> Task:
    """Cut samples to one size at random and compute their features (see `base.equally_many`)."""
    cut = equally_many(test, samples, seed, also)
    rows = feature_matrix(test.features, cut)
    scaling = Scaling.fit(rows) if test.standardise else None
    if scaling is not None:
        scaling.apply(rows)
    n = len(cut[0])
    labels = torch.arange(len(samples)).repeat_interleave(n)
    energies = np.concatenate([showers.energies for showers in cut])
    return Task(test, samples[0].geometry, torch.from_numpy(rows), labels, energies, n, scaling)


def fits(
    task: Task, *, repeats: int, seed: int, progress: EpochProgress | None, device: str
) -> Iterator[tuple[Fit, Parts]]:
    """Independent trainings, each with its own split and initialisation."""
    test, kinds, n_features = task.test, int(task.labels[-1]) + 1, task.features.shape[1]
    sizes = part_sizes(task.n, test.published_n if task.geometry.name == "ds1-photons" else None)
    total = repeats * test.settings.epochs
    start, done = time.perf_counter(), 0
    for repeat in range(1, repeats + 1):
        first_seed, second_seed = (int(s) for s in np.random.SeedSequence([seed, repeat]).generate_state(2))
        parts = split(task.n, kinds, sizes, np.random.default_rng([seed, repeat]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(first_seed)
            network = test.network(task.geometry, n_features, 1 if kinds == 2 else kinds)

        def on_epoch(epoch: int, loss: float, accuracy: float, repeat: int = repeat) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                epochs = test.settings.epochs
                left = (total - (repeat - 1) * epochs - epoch) * (time.perf_counter() - start) / done
                progress(Epoch(test.name, repeat, repeats, epoch, epochs, loss, accuracy, left))

        network = network.to(device)
        yield fit(network, task.features, task.labels, parts, test.settings, second_seed, on_epoch), parts


def _scores(task: Task, fitted: Fit, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) raw scores and labels of `rows`."""
    logits = predict(fitted.network, task.features, rows, task.test.settings.pass_size)
    return logits[:, 0].double().numpy(), task.labels[torch.from_numpy(rows)].numpy()
