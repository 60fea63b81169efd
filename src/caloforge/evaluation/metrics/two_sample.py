"""Two-sample tests with known false-positive rates, and one p-value of all of them.

The tests of `distances.permutation_tests`, a learned likelihood ratio (`distances.likelihood_ratio`) and boosted trees,
on the challenge's high-level features as normal scores at each incident energy, with 399 permutations of the labels at
equal energies. The trees (C2ST, arXiv:1610.06545) are trained on one half of the showers and tested on the other;
permutations keep the halves, so one set serves all tests.

The showers are those of the generated and the reference sample; the independent reference is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caloforge.distances import permutation_tests as tests
from caloforge.distances.likelihood_ratio import likelihood_ratio
from caloforge.energies.agreement import groups, strata_of, thin
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Extra, Found, Metric, Section, metric
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables import high_level

TESTS = Section(
    "two_sample",
    "Two-sample tests",
    "Are both samples drawn from one distribution? The baseline is the mean and spread of the statistic when labels "
    "are exchanged between showers of equal energy; p is the fraction of such permutations that differ as much. The "
    "last row is the p-value of the most significant test, with the same permutations.",
    extra={"p": "p-value", "n_generated": "generated", "n_reference": "reference"},
    page="classifiers",
)

LABELS = {
    "worst_ks": "worst KS (one observable, one energy)",
    "mean_ks": "mean KS over observables",
    "sliced_ks": "sliced KS",
    "sliced_wasserstein": "sliced Wasserstein",
    "mmd": "MMD, Gaussian kernels",
    "likelihood_ratio": "likelihood ratio, kernels (NPLM)",
    "c2st": "boosted trees (C2ST)",
}
COMBINED = "combined"

PERMUTATIONS = 399
FEWEST = 100
"""Fewest showers per sample."""

WORK = 40_000_000
"""Showers of both samples times sorted directions, at most; of more showers a part is compared."""

MOST_LEARNED = 20_000
"""Showers of both samples that the likelihood ratio is learned from, at most."""

TREES, RATE = 60, 0.1


@dataclass(frozen=True)
class Pooled:
    """The showers of both samples in random order.

    Args:
        generated: (N,) 1 where generated.
        scores: (N, F) normal scores of the features called `names`.
        energies: (N,) log10 of the incident energy in MeV.
        strata: (N,) integers of equal energy, for permutations.
        groups: (N,) number of the incident energy in `labels`, for the worst one.
    """

    generated: np.ndarray
    scores: np.ndarray
    names: tuple[str, ...]
    energies: np.ndarray
    strata: np.ndarray
    groups: np.ndarray
    labels: tuple[str, ...]


@metric(TESTS)
def two_sample(samples: SamplePair) -> Iterator[Found]:
    """Each test, all together, and a figure of statistics and null distributions."""
    smaller = min(samples.generated.n, samples.reference.n)
    reason = samples.empty_reference
    if smaller < FEWEST:
        reason = reason or f"needs at least {FEWEST} showers per sample, there are {smaller}"
    if reason:
        yield Metric(TESTS.name, COMBINED, "all tests together", None, reason=reason)
        return
    showers = pool(samples)
    statistics, worst = run(showers, samples.seed, lambda done: samples.tell("two-sample tests", done, 6))
    n = int(showers.generated.sum())
    sizes: Extra = {"n_generated": n, "n_reference": len(showers.generated) - n}
    p = {name: float(tests.p_values(found)[0]) for name, found in statistics.items()}
    for name, found in statistics.items():
        null = found[1:]
        estimate = Estimate(float(found[0]), None, float(null.mean()), float(null.std(ddof=1)))
        extra: Extra = {"p": p[name], **sizes, "permutations": PERMUTATIONS}
        yield Metric(TESTS.name, name, LABELS[name], estimate, extra=extra | (worst if name == "worst_ks" else {}))
    together = tests.combined(statistics.values())
    extra = {"p": together, **sizes, "permutations": PERMUTATIONS}
    yield Metric(TESTS.name, COMBINED, "all tests together", Estimate(together), extra=extra)
    yield _chart(statistics, p)


def pool(samples: SamplePair) -> Pooled:
    """The showers to compare, with their features: all, or a part of many (see `WORK`)."""
    names = high_level.feature_names(samples.geometry)
    most = max(FEWEST, WORK // (2 * len(names) + tests.DIRECTIONS) // 2)
    rng = np.random.default_rng([samples.seed, 23])
    parts = []
    for sample in (samples.generated, samples.reference):
        rows = thin(sample.energies, most, rng, samples.plan.stratified)
        values = {n: sample.observables[n][rows] for n in high_level.observable_names(samples.geometry)}
        parts.append(high_level.features(samples.geometry, sample.energies[rows], values))
    return pooled(parts[0], parts[1], names, rng)


def pooled(generated: np.ndarray, reference: np.ndarray, names: Sequence[str], rng: np.random.Generator) -> Pooled:
    """From high-level features (n, 1 + F), (m, 1 + F), of which the first is log10 of the incident energy in MeV."""
    order = rng.permutation(len(generated) + len(reference))  # or ties would be sorted by sample
    features = np.concatenate([generated, reference])[order]
    energies = 10 ** features[:, 0]
    strata, slices = strata_of(energies), groups(energies)
    return Pooled(
        generated=np.repeat([1, 0], [len(generated), len(reference)])[order],
        scores=tests.normal_scores(features[:, 1:], strata),
        # At one incident energy the deposited energy ranks showers as E_dep/E_inc does.
        names=tuple("e_tot_over_e_inc" if name == high_level.DEPOSITED else name for name in names[1:]),
        energies=features[:, 0],
        strata=strata,
        groups=np.searchsorted([low for _, low, _ in slices], energies, side="right") - 1,
        labels=tuple(label for label, _, _ in slices),
    )


def run(
    showers: Pooled, seed: int, tell: Callable[[int], None] = lambda done: None
) -> tuple[dict[str, np.ndarray], Extra]:
    """Statistics (1 + B,) by name, and where the worst KS is.

    Args:
        showers: of both samples.
        seed: of permutations and halves.
        tell: told how many of six parts are done.
    """
    rng = np.random.default_rng([seed, 29])
    # Of each stratum one half, and of each sample in it.
    order = np.lexsort([rng.random(len(showers.strata)), showers.generated, showers.strata])
    trained = np.zeros(len(order), dtype=bool)
    trained[order[::2]] = True
    labels = tests.Labels.of(showers.generated, 2 * showers.strata + trained, PERMUTATIONS, rng)
    tell(0)
    worst = tests.worst_ks(showers.scores, labels, showers.groups)
    found = {"worst_ks": worst.statistic}
    tell(1)
    found["mean_ks"] = tests.mean_ks(showers.scores, labels)
    tell(2)
    found["sliced_ks"], found["sliced_wasserstein"] = tests.sliced(showers.scores, labels)
    tell(3)
    found["mmd"] = tests.mmd(showers.scores, labels)
    tell(4)
    part = slice(MOST_LEARNED)  # the showers are in random order
    learned = tests.Labels(labels.columns[part])
    found["likelihood_ratio"] = likelihood_ratio(showers.scores[part], learned)
    tell(5)
    found["c2st"] = tests.rank_sum(_tree_scores(showers, trained, seed), tests.Labels(labels.columns[~trained]))
    tell(6)
    return found, {"worst": showers.names[worst.feature], "worst_at": showers.labels[worst.group]}


def _tree_scores(showers: Pooled, trained: np.ndarray, seed: int) -> np.ndarray:
    """Scores, larger for reference showers, of the half that the trees were not trained on."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    features = np.column_stack([showers.energies, showers.scores])
    trees = HistGradientBoostingClassifier(
        max_iter=TREES, learning_rate=RATE, early_stopping=False, random_state=seed
    ).fit(features[trained], 1 - showers.generated[trained])
    return np.asarray(trees.decision_function(features[~trained]))


def _chart(statistics: Mapping[str, np.ndarray], p: Mapping[str, float]) -> Chart:
    rows = []
    for name, found in statistics.items():
        null = found[1:]
        centre, spread = float(null.mean()), float(null.std(ddof=1)) or 1.0
        low, high = (np.quantile(null, [0.025, 0.975]) - centre) / spread
        rows.append(
            {
                "name": LABELS[name],
                "value": (float(found[0]) - centre) / spread,
                "low": float(low),
                "high": float(high),
                "text": p_in_words(p[name], PERMUTATIONS),
            }
        )
    return Chart(
        "two_sample",
        "nulls",
        TESTS.name,
        "Two-sample tests",
        "Each statistic (dot) in units of the spread of its null distribution, of which the grey bar holds 95 %: the "
        "same statistic when labels are exchanged between showers of equal energy. A dot to the right of its bar is a "
        "difference that chance would make in less than 1 of 40 cases.",
        {"rows": rows, "label": "(statistic − mean of the null distribution) / its spread"},
    )


def p_in_words(p: float, permutations: int) -> str:
    """As `p = 0.31`, or `p < 0.003` where no permutation differs as much."""
    smallest = 1 / (1 + permutations)
    return f"p < {1.01 * smallest:.1g}" if p < 1.5 * smallest else f"p = {p:.2g}"
