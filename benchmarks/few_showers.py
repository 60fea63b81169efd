"""What a run learnt from few showers is worth: sliced Wasserstein distance and boosted trees (docs/conditions.md).

    python benchmarks/few_showers.py test.h5 --baseline train.h5 scratch=scratch.h5 carried=carried.h5

Features are log E_inc, the challenge's observables and the number of hits; all files have the energies of the first,
shower by shower, except the baseline. The distance is that of `caloforge.distances.sliced` of normal scores among the
reference, so that a few showers far out do not decide; its error is the spread over halves of the showers. Trees are
those of `benchmarks/trees.py`.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.special import ndtri
from trees import judged, table

from caloforge.classifiers.scores import auc
from caloforge.distances.sliced import sliced_wasserstein
from caloforge.showers import Showers

SUBSETS = 8


def normal_scores(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(N, F) Φ⁻¹ of each value's place among those of the reference (M, F); equal values take their mean place."""
    places = np.empty(values.shape)
    for k, column in enumerate(reference.T):
        rising = np.sort(column)
        places[:, k] = sum(np.searchsorted(rising, values[:, k], side) for side in ("left", "right")) / 2
    return ndtri(places.clip(0.5, len(reference) - 0.5) / len(reference))


def distance(x: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Sliced Wasserstein distance, and its statistical error from halves drawn at random."""
    rng, n = np.random.default_rng(0), min(len(x), len(reference))
    halves = [
        sliced_wasserstein(x[rng.permutation(len(x))[: n // 2]], reference[rng.permutation(len(reference))[: n // 2]])
        for _ in range(SUBSETS)
    ]
    return sliced_wasserstein(x, reference), float(np.std(halves, ddof=1) / np.sqrt(2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("generated", nargs="+", help="NAME=FILE each")
    parser.add_argument("--baseline", help="other reference showers, judged in the same way")
    parser.add_argument("--splits", type=int, default=3)
    chosen = parser.parse_args()
    named = dict(word.split("=", 1) for word in chosen.generated)
    files = ({"baseline": chosen.baseline} if chosen.baseline else {}) | named
    _, reference = table(Showers.read(chosen.reference))
    of_reference = normal_scores(reference, reference)
    floor = 0.0
    print("| | sliced Wasserstein × 10³ | above the baseline | `trees` |\n|---|---|---|---|")
    for name, file in files.items():
        _, values = table(Showers.read(file, stop=len(reference)))
        d, error = distance(normal_scores(values, reference), of_reference)
        floor = d if name == "baseline" else floor
        aucs = [auc(scores, labels) for _, labels, scores in judged(reference, values, chosen.splits)]
        tree = f"{np.mean([a for a, _ in aucs]):.3f} ± {aucs[0][1]:.3f}"
        print(f"| {name} | {1e3 * d:.1f} ± {1e3 * error:.1f} | {1e3 * (d - floor):.1f} | {tree} |", flush=True)


if __name__ == "__main__":
    main()
