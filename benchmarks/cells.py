"""AUC of boosted trees in cells of energy and angle, with every shower judged (docs/conditions.md).

    python benchmarks/cells.py generated.h5 --reference test.h5 --baseline train.h5

`caloforge evaluate --by theta` judges a fifth of the showers, some 30 in a cell. Here the trees are those of
`caloforge.classifiers` (400 rounds, rate 0.06) on log E_inc, theta, the challenge's observables and the number of hits,
trained five times on four fifths of the showers and applied to the others, so that a cell has all of its showers.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from trees import table

from caloforge.classifiers.scores import auc
from caloforge.showers import Showers

FOLDS = 5
ENERGIES = (1000, 2000, 4000, 8000, 16000)
ANGLES = (0, 20, 40, 60)


def features(files: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, F) what the trees see, (N,) energies in MeV and (N,) theta in degrees, of all files together.

    Voxels below the threshold are left out.
    """
    rows, energies, angles = [], [], []
    for path in files:
        showers = Showers.read(path)
        hit = showers.voxels >= showers.geometry.threshold
        showers = Showers(showers.energies, showers.voxels * hit, showers.geometry, conditions=showers.conditions)
        theta = showers.conditions["theta"]
        rows.append(np.column_stack([table(showers)[1], theta]))
        energies.append(showers.energies)
        angles.append(np.degrees(theta))
    return np.concatenate(rows), np.concatenate(energies), np.concatenate(angles)


def scores(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) of showers that the trees were not trained on; ranks within a fold, so that folds can be compared."""
    fold, found = np.random.default_rng(0).permutation(len(labels)) % FOLDS, np.empty(len(labels))
    for k in range(FOLDS):
        inside = fold == k
        trees = HistGradientBoostingClassifier(
            max_iter=400, learning_rate=0.06, early_stopping=True, validation_fraction=0.25, random_state=k
        ).fit(x[~inside], labels[~inside])
        found[inside] = trees.decision_function(x[inside]).argsort().argsort() / inside.sum()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generated", nargs="+")
    parser.add_argument("--reference", nargs="+", required=True)
    parser.add_argument("--baseline", nargs="+", required=True, help="other reference showers, judged in the same way")
    chosen = parser.parse_args()
    reference = features(chosen.reference)
    judged = []
    for files in (chosen.generated, chosen.baseline):
        x, energies, angles = (np.concatenate(pair) for pair in zip(features(files), reference, strict=True))
        labels = np.repeat([0.0, 1.0], [len(x) - len(reference[0]), len(reference[0])])
        judged.append((scores(x, labels), labels, energies, angles))
    print("| |", " | ".join(f"{a} to {b}°" for a, b in pairwise(ANGLES)), "|\n" + "|---" * len(ANGLES) + "|")
    for low, high in [(0, math.inf), *pairwise(ENERGIES)]:
        cells = []
        for a, b in pairwise(ANGLES):
            values = []
            for found, labels, energies, angles in judged:
                inside = (energies >= low) & (energies < high) & (angles >= a) & (angles < b)
                values.append(auc(found[inside], labels[inside]))
            cells.append(f"{values[0][0]:.3f} ± {values[0][1]:.3f} ({values[1][0]:.3f})")
        name = f"{low / 1000:g} to {high / 1000:g} GeV" if low else "all"
        print(f"| {name} | {' | '.join(cells)} |")
    print("all:", "; ".join("{:.3f} ± {:.3f}".format(*auc(found, labels)) for found, labels, *_ in judged))


if __name__ == "__main__":
    main()
