"""AUC against the number of showers: would the classifier learn more from a larger sample?

A rising curve says that more showers would tell the samples apart still better, so that the AUC at its end is
only a lower bound; a flat one, that the classifier has learnt what it can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caloforge.classifiers.base import MIN_SHOWERS, ClassifierResult, ClassifierTest, EpochProgress, get_test
from caloforge.classifiers.network_test import run_test
from caloforge.errors import CaloforgeError
from caloforge.showers import Showers


def default_sizes(n: int) -> list[int]:
    """An eighth, a quarter, a half and all of `n` showers, as far as they suffice for a classifier."""
    return [size for size in (n // 8, n // 4, n // 2, n) if size >= MIN_SHOWERS] or [n]


def learning_curve(
    name: str | ClassifierTest,
    generated: Showers,
    reference: Showers,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 1,
    seed: int = 1,
    progress: EpochProgress | None = None,
    device: str = "cpu",
) -> list[ClassifierResult]:
    """Run a test on ever more showers, each sample a part of the next.

    Args:
        name, generated, reference, repeats, seed, progress, device: as for `run_test`.
        sizes: showers per sample; by default an eighth, a quarter, a half and all.

    Returns:
        the results in order of rising size.

    Raises:
        CaloforgeError: a size beyond what there is or too small, and what `run_test` raises.
    """
    test = get_test(name)
    most = test.showers_used(min(len(generated), len(reference)))
    wanted = sorted(set(sizes)) if sizes is not None else default_sizes(most)
    if not wanted or wanted[-1] > most or wanted[0] < MIN_SHOWERS:
        raise CaloforgeError(f"sizes of a learning curve must lie in {MIN_SHOWERS} … {most} showers, not {wanted}")
    rng = np.random.default_rng([seed, 1])
    orders = [rng.permutation(len(sample)) for sample in (generated, reference)]
    curve = []
    for size in wanted:
        parts = [s[np.sort(order[:size])] for s, order in zip((generated, reference), orders, strict=True)]
        curve.append(run_test(test, *parts, repeats=repeats, seed=seed, progress=progress, device=device))
    return curve
