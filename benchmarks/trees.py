"""Boosted trees by group of observables: which part of a shower gives a generator away (docs/flagship.md).

    python benchmarks/trees.py generated.h5 test.h5 --baseline train.h5

Groups: log E_inc, the response and the layers' energies; these with sparsities, with centres, with widths; all. Then
all of them by incident energy. 80 % of the showers are trained on, a quarter of these for early stopping, the rest
judged; the mean over splits, and the statistical error of one. Below, the number of hits per shower: mean, spread, W₁.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from scipy.stats import wasserstein_distance
from sklearn.ensemble import HistGradientBoostingClassifier

from caloforge import observables
from caloforge.classifiers.scores import auc
from caloforge.showers import Showers

GROUPS = {
    "energies": ("e_",),
    "energies and sparsities": ("e_", "sparsity_"),
    "energies and centres": ("e_", "ec_"),
    "energies and widths": ("e_", "width_"),
    "energies, centres and widths": ("e_", "ec_", "width_"),
    "all": ("",),
}


def table(showers: Showers) -> tuple[list[str], np.ndarray]:
    """Names and values (N, F) of log E_inc, the challenge's observables and the number of hits."""
    names = [*observables.challenge_names(showers.geometry), "n_hits"]
    values = observables.compute(showers, names)
    columns = [np.log(showers.energies), *(values[name] for name in names)]
    return ["e_inc", *names], np.stack(columns, axis=1).astype(np.float32)


def judged(a: np.ndarray, b: np.ndarray, splits: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(rows of a and b together, labels, scores) of the showers judged, for each split."""
    features, labels = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    for split in range(splits):
        rows = np.random.default_rng(split).permutation(len(labels))
        train, test = np.split(rows, [round(0.8 * len(rows))])
        trees = HistGradientBoostingClassifier(
            max_iter=400, learning_rate=0.06, early_stopping=True, validation_fraction=0.25, random_state=split
        ).fit(features[train], labels[train])
        yield test, labels[test], trees.decision_function(features[test])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generated")
    parser.add_argument("reference")
    parser.add_argument("--baseline", help="other reference showers, judged in the same way")
    parser.add_argument("-n", type=int, help="showers of each file, at most")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--energies", default="", help="incident energies in MeV, or edges LOW-HIGH, with commas")
    chosen = parser.parse_args()
    files = {"generated": chosen.generated} | ({"baseline": chosen.baseline} if chosen.baseline else {})
    found = {which: table(Showers.read(file, stop=chosen.n)) for which, file in files.items()}
    names, reference = table(Showers.read(chosen.reference, stop=chosen.n))
    energies = np.exp(reference[:, 0])
    edges = [[float(edge) for edge in part.split("-")] for part in chosen.energies.split(",") if part]
    spread: dict[str, list[str]] = {}
    for _, values in found.values():
        both = np.concatenate([energies, np.exp(values[:, 0])])
        for group, prefixes in GROUPS.items():
            columns = [k for k, name in enumerate(names[:-1]) if name.startswith(prefixes)]
            cells: dict[str, list[tuple[float, float]]] = {}
            for rows, labels, scores in judged(reference[:, columns], values[:, columns], chosen.splits):
                cells.setdefault(group, []).append(auc(scores, labels))
                for low, *high in edges if group == "all" else []:
                    inside = both[rows] >= low if high else np.isclose(both[rows], low)
                    inside &= both[rows] < high[0] if high else True
                    label = f"all, {'-'.join(f'{edge:g}' for edge in (low, *high))} MeV"
                    cells.setdefault(label, []).append(auc(scores[inside], labels[inside]))
            for label, aucs in cells.items():
                value = f"{np.mean([area for area, _ in aucs]):.3f} ± {aucs[0][1]:.3f}"
                spread.setdefault(label, []).append(value)
        hits = values[:, -1], reference[:, -1]
        spread.setdefault("number of hits", []).append(f"{hits[0].mean():.1f} ± {hits[0].std():.1f}")
        spread.setdefault("W₁ of it", []).append(f"{wasserstein_distance(*hits):.2f}")
    print(f"| `trees` on | {' | '.join(found)} |\n|---|{'---|' * len(found)}")
    for name, row in spread.items():
        print(f"| {name} | {' | '.join(row)} |")
    print(f"reference: {reference[:, -1].mean():.1f} ± {reference[:, -1].std():.1f} hits")


if __name__ == "__main__":
    main()
