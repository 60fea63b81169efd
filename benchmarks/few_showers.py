"""What a run learnt from few showers is worth: sliced Wasserstein distance and boosted trees (docs/conditions.md).

    python benchmarks/few_showers.py test.h5 --baseline train.h5 scratch=scratch.h5 carried=carried.h5

Features are log E_inc, the challenge's observables, those in MeV as log(1 + E/MeV), and the number of hits; all files
have the energies of the first, shower by shower, except the baseline. The distance is that of
`caloforge.distances.sliced`, its error the spread over halves of the showers; trees are those of `benchmarks/trees.py`.
"""

from __future__ import annotations

import argparse

import numpy as np
from trees import judged, table

from caloforge.classifiers.scores import auc
from caloforge.distances.sliced import sliced_wasserstein
from caloforge.showers import Showers

SUBSETS = 8


def features(file: str, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(N, F) those of `benchmarks/trees.py`, and the same with logarithms of the energies, whose tails are long."""
    names, values = table(Showers.read(file, stop=stop))
    logs = values.copy()
    for k, name in enumerate(names):
        if name.startswith("e_layer"):
            logs[:, k] = np.log1p(values[:, k].clip(0))
    return values, logs


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
    reference, of_reference = features(chosen.reference)
    floor = 0.0
    print("| | sliced Wasserstein × 10³ | above the baseline | `trees` |\n|---|---|---|---|")
    for name, file in files.items():
        values, logs = features(file, len(reference))
        d, error = distance(logs, of_reference)
        floor = d if name == "baseline" else floor
        aucs = [auc(scores, labels) for _, labels, scores in judged(reference, values, chosen.splits)]
        tree = f"{np.mean([a for a, _ in aucs]):.3f} ± {aucs[0][1]:.3f}"
        print(f"| {name} | {1e3 * d:.1f} ± {1e3 * error:.1f} | {1e3 * (d - floor):.1f} | {tree} |", flush=True)


if __name__ == "__main__":
    main()
