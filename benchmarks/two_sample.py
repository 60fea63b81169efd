"""False-positive rates and powers of the two-sample tests of `caloforge evaluate`.

    python benchmarks/two_sample.py TRAIN.h5 TEST.h5 [--splits 400] [--showers 1000] [--repeats 20] [--spoilt 3000]

Both files hold Geant4 showers of one kind. Splits of all of them into two samples give the false-positive rates at
p ≤ 0.05; samples of the second file, spoilt in several ways (`spoilt.py`), against samples of the first give the
powers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np
from spoilt import SPOILT, spoilt

from caloforge import observables
from caloforge.distances.permutation_tests import combined, p_values
from caloforge.evaluation.metrics.two_sample import COMBINED, LABELS, pooled, run
from caloforge.observables import high_level
from caloforge.showers import Showers

LEVEL = 0.05


def features(showers: Showers) -> np.ndarray:
    """(N, 1 + F) high-level features."""
    values = observables.compute(showers, high_level.observable_names(showers.geometry))
    return high_level.features(showers.geometry, showers.energies, values)


def tested(first: np.ndarray, second: np.ndarray, names: Sequence[str], seed: int) -> dict[str, float]:
    """Test → p-value of two samples of features."""
    statistics, _ = run(pooled(first, second, names, np.random.default_rng([seed, 1])), seed)
    found = {name: float(p_values(each)[0]) for name, each in statistics.items()}
    return found | {COMBINED: combined(statistics.values())}


def row(title: str, found: Sequence[dict[str, float]]) -> str:
    rates = [np.mean([each[name] <= LEVEL for each in found]) for name in (*LABELS, COMBINED)]
    return f"| {title} | {' | '.join(f'{100 * rate:.1f}' for rate in rates)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--splits", type=int, default=400)
    parser.add_argument("--showers", type=int, default=1000, help="showers per sample of the splits")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--spoilt", type=int, default=3000, help="showers per sample of the powers")
    options = parser.parse_args()
    train, test = (Showers.read(path) for path in (options.train, options.test))
    names = high_level.feature_names(train.geometry)
    n, start = options.showers, time.perf_counter()
    reference = features(train)
    both = np.concatenate([reference, features(test)])
    print(f"| p ≤ {LEVEL}, % of the cases | {' | '.join([*LABELS.values(), 'all together'])} |")
    print("|---" * (len(LABELS) + 2) + "|")
    found = []
    for k in range(options.splits):
        rows = np.random.default_rng([k, 2]).permutation(len(both))[: 2 * n]
        found.append(tested(both[rows[:n]], both[rows[n:]], names, k))
        if sys.stderr.isatty() or k % 50 == 49:
            print(f"{k + 1} of {options.splits} splits, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    if found:
        print(row(f"Geant4, {options.splits} splits of {n} + {n}", found), flush=True)
    n = options.spoilt
    for name, (title, _) in SPOILT.items() if options.repeats else ():
        found = []
        for k in range(options.repeats):
            rng = np.random.default_rng([k, 3])
            chosen = test[np.sort(rng.permutation(len(test))[:n])]
            others = reference[rng.permutation(len(reference))[:n]]
            found.append(tested(features(spoilt(chosen, name, rng)), others, names, k))
        print(row(title, found), flush=True)


if __name__ == "__main__":
    main()
