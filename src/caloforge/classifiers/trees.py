"""`trees`: boosted trees on the challenge's observables, which also say what they look at.

scikit-learn's histogram gradient boosting on log10 E_inc, further conditions that both samples have (such as an angle),
and the challenge's observables of a shower, trained on the first part (60 %) until a tenth of it, held back, no longer
gets better; calibrated on the second, tested on the third. Trees need no scaling, and half a minute. An observable's
importance is the loss of AUC on the third part when its values are permuted over the showers, which leaves its
distribution but takes away what it says of the shower; that of a pair when both are, each by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from caloforge import observables
from caloforge.classifiers.base import (
    ClassifierResult,
    ClassifierTest,
    ClassifierTraining,
    Epoch,
    EpochProgress,
    FoldScores,
    Importance,
    PairImportance,
    equally_many,
    register,
)
from caloforge.classifiers.fitting import part_sizes, split
from caloforge.classifiers.scores import Scores, auc
from caloforge.conditions import Columns
from caloforge.geometry import Geometry
from caloforge.observables.high_level import ENERGY
from caloforge.showers import Showers

PERMUTED, FEWEST_PERMUTED, PERMUTED_VALUES = 4000, 1000, 150_000
"""Importances are taken from so many showers of the third part, fewer (but at least 1 000) with many observables."""

PERMUTATIONS = 3
"""Behind each importance and its error."""

PAIRED = 6
"""The most important observables, of which all pairs are permuted."""

FeatureTable = dict[str, tuple[str, np.ndarray]]
"""Name of a feature → its label and (N,) values."""


@dataclass(frozen=True)
class TreeTest(ClassifierTest):
    """A test whose classifier is boosted trees.

    Args:
        name, title, summary: see `ClassifierTest`.
        max_iter: trees, at most.
        learning_rate: weight of each tree.
        names: of the observables that it sees, in a geometry.
        further: what else it sees of showers.
    """

    max_iter: int = 400
    learning_rate: float = 0.06
    names: Callable[[Geometry], list[str]] = observables.challenge_names
    further: Callable[[Showers], FeatureTable] | None = None

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
        """Train the trees and say how well they distinguish the samples (see `run_test`); on the CPU."""
        start = time.perf_counter()
        cut = equally_many(self, [generated, reference], seed)
        conditions = _shared_conditions(cut)
        labels_of, features = self._features(cut, conditions)
        names, words = list(labels_of), list(labels_of.values())
        n = len(cut[0])
        labels = np.repeat([0, 1], n)
        found: list[ClassifierTraining] = []
        fitted: list[Any] = []
        for repeat in range(1, repeats + 1):
            parts = split(n, 2, part_sizes(n), np.random.default_rng([seed, repeat]))
            trees = self._fitted(features[parts.train], labels[parts.train], seed + repeat)
            held, tested = (trees.decision_function(features[rows]) for rows in (parts.validate, parts.test))
            scores = Scores.of((held, labels[parts.validate]), (tested, labels[parts.test]))
            right = float(np.mean((held > 0) == labels[parts.validate]))
            found.append(ClassifierTraining(scores, right, trees.n_iter_, trees.n_iter_, parts.test))
            fitted.append(trees)
            if progress is not None:
                left = (repeats - repeat) * (time.perf_counter() - start) / repeat
                progress(Epoch(self.name, repeat, repeats, 1, 1, float(trees.train_score_[-1]), right, left))

        most = min(PERMUTED, max(FEWEST_PERMUTED, PERMUTED_VALUES // len(names)))
        rows = found[0].rows[np.random.default_rng([seed, 3]).permutation(len(found[0].rows))[:most]]
        permuted = Permuted(fitted[0].decision_function, features[rows], labels[rows], seed)

        def explain() -> tuple[Importance, ...]:
            used = {int(i) for (tree,) in fitted[0]._predictors for i in tree.nodes["feature_idx"]}
            drops = [permuted.loss(column) if column in used else (0.0, 0.0) for column in range(len(names))]
            columns = zip(names, words, drops, strict=True)
            return tuple(Importance(name, label, *drop) for name, label, drop in columns)

        def explain_pairs(importances: tuple[Importance, ...]) -> tuple[PairImportance, ...]:
            best = sorted(range(len(names)), key=lambda k: -importances[k].value)[:PAIRED]
            pairs = []
            for a, b in combinations([k for k in best if importances[k].value > 0], 2):
                one, other = importances[a], importances[b]
                loss = permuted.loss(a, b)
                features, labels = (one.feature, other.feature), (one.label, other.label)
                pairs.append(PairImportance(features, labels, *loss, one.value + other.value))
            return tuple(pairs)

        return ClassifierResult(
            test=self.name,
            title=self.title,
            summary=self.summary,
            n=n,
            n_features=len(names),
            n_parameters=sum(tree.get_n_leaf_nodes() for (tree,) in fitted[0]._predictors),
            settings={"max_iter": self.max_iter, "learning_rate": self.learning_rate},
            seed=seed,
            trainings=tuple(found),
            seconds=time.perf_counter() - start,
            energies=np.concatenate([showers.energies for showers in cut]),
            explain=explain,
            explain_pairs=explain_pairs,
            conditions=conditions,
        )

    def fold_scores(self, generated: Showers, reference: Showers, device: str = "cpu") -> FoldScores:
        """Trees for cross-fitting (see `ClassifierTest.fold_scores`)."""
        self.check(reference.geometry)
        samples = [generated, reference]
        features = self._features(samples, _shared_conditions(samples))[1]
        labels = np.repeat([0, 1], [len(generated), len(reference)])

        def scores(train: np.ndarray, scored: np.ndarray, seed: int) -> np.ndarray:
            trees = self._fitted(features[train], labels[train], seed)
            return np.asarray(trees.decision_function(features[scored]))

        return scores

    def _features(self, samples: list[Showers], conditions: Columns) -> tuple[dict[str, str], np.ndarray]:
        """Name → label of the features (F), and their values (K n, F)."""
        names = self.names(samples[0].geometry)
        tables: list[FeatureTable] = []
        for showers in samples:
            table: FeatureTable = {ENERGY: ("incident energy", np.log10(showers.energies))}
            for kind in conditions.kinds:
                table[kind.name] = kind.what or kind.name, kind.turned(showers.conditions[kind.name])
            for name, values in observables.compute(showers, names).items():
                table[name] = observables.find(showers.geometry, name).label, values
            tables.append(table | (self.further(showers) if self.further is not None else {}))
        rows = [np.stack([values for _, values in table.values()], axis=1, dtype=np.float32) for table in tables]
        return {name: label for name, (label, _) in tables[0].items()}, np.concatenate(rows)

    def _fitted(self, features: np.ndarray, labels: np.ndarray, seed: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(
            max_iter=self.max_iter, learning_rate=self.learning_rate, early_stopping=True, random_state=seed
        )
        return trees.fit(features, labels)


def _shared_conditions(samples: list[Showers]) -> Columns:
    """(K n,) conditions of all showers that all samples have."""
    first = samples[0].conditions
    shared = [name for name in first if all(name in each.conditions for each in samples)]
    return Columns.joined([each.conditions.only(shared) for each in samples])


class Permuted:
    """Losses of AUC when columns of the features are permuted over the showers.

    Args:
        score: of features (n, F), larger for label 1.
        features, labels: (n, F), (n,).
        seed: of the permutations.
    """

    def __init__(
        self, score: Callable[[np.ndarray], np.ndarray], features: np.ndarray, labels: np.ndarray, seed: int
    ) -> None:
        self._score, self._features, self._labels, self._seed = score, features, labels, seed
        self._whole = auc(score(features), labels)[0]

    def loss(self, *columns: int) -> tuple[float, float]:
        """Mean and standard error when each of the columns is permuted by itself."""
        rng = np.random.default_rng([self._seed, 4, *columns])
        losses = []
        for _ in range(PERMUTATIONS):
            changed = self._features.copy()
            for column in columns:
                changed[:, column] = rng.permutation(changed[:, column])
            losses.append(self._whole - auc(self._score(changed), self._labels)[0])
        return float(np.mean(losses)), float(np.std(losses, ddof=1) / np.sqrt(PERMUTATIONS))


register(
    TreeTest(
        "trees", "boosted trees, observables", "log10 E_inc and the challenge's observables; gradient-boosted trees"
    )
)
