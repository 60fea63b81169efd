"""Two-sample tests: statistics by hand, and p-values that are as often small as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, rankdata
from sklearn.metrics import roc_auc_score

from caloforge.distances import permutation_tests as tests
from caloforge.distances.one_dimensional import wasserstein


def labels_of(generated: np.ndarray, permutations: int = 0, strata: np.ndarray | None = None) -> tests.Labels:
    strata = np.zeros(len(generated), dtype=int) if strata is None else strata
    return tests.Labels.of(generated, strata, permutations, np.random.default_rng(1))


def sample(rng: np.random.Generator, n: int, features: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """(2n,) labels and (2n, F) normal features, of which the first is shifted where the label is 1."""
    generated = rng.permutation(np.repeat([0, 1], n))
    x = rng.normal(size=(2 * n, features))
    x[:, 0] += shift * generated
    return generated, x.astype(np.float32)


def test_permutations_stay_within_strata() -> None:
    strata = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    labels = labels_of(np.array([1, 0, 0, 1, 1, 1, 1, 0]), 50, strata)
    assert labels.columns.shape == (8, 51)
    assert labels.columns[:, 0].tolist() == [1, 0, 0, 1, 1, 1, 1, 0]
    assert set(labels.columns[:3].sum(axis=0)) == {1}
    assert set(labels.columns[3:].sum(axis=0)) == {4}
    assert len({tuple(column) for column in labels.columns.T}) > 10
    assert labels.weights == (1 / 5, 1 / 3)


def test_distances_are_those_of_scipy() -> None:
    """A few hundred values have a cell each, so that nothing is lost."""
    generated, x = sample(np.random.default_rng(2), 200, 1, shift=0.5)
    gap, middles = labels_of(generated).gaps(x[:, 0])
    first, second = x[generated == 1, 0], x[generated == 0, 0]
    assert np.abs(gap).max() == pytest.approx(ks_2samp(first, second).statistic)
    assert np.abs(gap[:-1, 0]) @ np.diff(middles) == pytest.approx(wasserstein(first, second), rel=1e-5)
    assert tests.rank_sum(x[:, 0], labels_of(generated)) == pytest.approx(roc_auc_score(1 - generated, x[:, 0]))


def test_cells_of_many_showers_change_little() -> None:
    generated, x = sample(np.random.default_rng(3), 3333, 1, shift=0.1)
    gap, _ = labels_of(generated).gaps(x[:, 0])
    assert len(gap) < 600
    assert gap[-1, 0] == pytest.approx(0, abs=1e-6)
    exact = ks_2samp(x[generated == 1, 0], x[generated == 0, 0]).statistic
    assert np.abs(gap).max() == pytest.approx(exact, abs=2e-3)


def test_normal_scores_by_hand() -> None:
    x = np.array([[5.0], [1.0], [1.0], [100.0], [7.0]])
    scores = tests.normal_scores(x, np.array([0, 0, 0, 0, 1]))
    # Ranks 3, 1.5, 1.5, 4 of four: Φ⁻¹(0.625), twice Φ⁻¹(0.25), Φ⁻¹(0.875); a shower alone is in the middle.
    np.testing.assert_allclose(scores[:, 0], [0.31864, -0.67449, -0.67449, 1.15035, 0.0], atol=1e-5)


def test_p_values_by_hand() -> None:
    assert tests.p_values(np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [0.5, 1.0, 0.75, 0.25]
    assert tests.p_values(np.array([2.0, 2.0, 1.0, 0.0])).tolist()[0] == 0.5  # ties count as large
    # The truth is the largest of the first test by far, and in the middle of the second.
    rng = np.random.default_rng(4)
    first, second = rng.uniform(1, 2, 100), rng.uniform(1, 2, 100)
    first[0], second[0] = 5.0, 1.5
    assert tests.combined([first, second]) == 0.01
    first[0] = 1.5
    assert tests.combined([first, second]) > 0.4


def test_the_combination_is_as_significant_as_it_says() -> None:
    """Of 300 sets of three correlated tests without a difference, 5 % have p ≤ 0.05 (3 σ: 1.2 to 8.8 %)."""
    rng = np.random.default_rng(5)
    small = 0
    for _ in range(300):
        common = rng.exponential(size=100)
        small += tests.combined([common + 0.3 * rng.exponential(size=100) for _ in range(3)]) <= 0.05
    assert 3 < small < 27


def test_false_positives_are_as_many_as_promised() -> None:
    """Of 80 pairs of equal samples about 4 have p ≤ 0.05, with every test (more than 11 is improbable: 0.1 %)."""
    small: dict[str, int] = {}
    for k in range(80):
        generated, x = sample(np.random.default_rng([6, k]), 60, 3)
        strata = np.arange(120) % 2
        scores = tests.normal_scores(x, strata)
        labels = labels_of(generated, 39, strata)
        sliced_ks, sliced_w1 = tests.sliced(scores, labels)
        found = {
            "worst": tests.worst_ks(scores, labels, strata).statistic,
            "mean": tests.mean_ks(scores, labels),
            "ks": sliced_ks,
            "w1": sliced_w1,
            "mmd": tests.mmd(scores, labels),
        }
        for name, statistic in found.items():
            small[name] = small.get(name, 0) + int(tests.p_values(statistic)[0] <= 0.05)
        small["all"] = small.get("all", 0) + int(tests.combined(found.values()) <= 0.05)
    assert max(small.values()) <= 11, small
    assert sum(small.values()) > 6, small


def test_a_shift_is_found_where_it_is() -> None:
    rng = np.random.default_rng(7)
    generated, x = sample(rng, 1500, 4)
    groups = np.arange(3000) % 3
    x[(generated == 1) & (groups == 2), 1] += 0.3
    scores, labels = tests.normal_scores(x, groups), labels_of(generated, 99, groups)
    worst = tests.worst_ks(scores, labels, groups)
    assert (worst.feature, worst.group) == (1, 2)
    assert tests.p_values(worst.statistic)[0] == 0.01


@pytest.mark.parametrize("what", ["correlation", "width"])
def test_differences_beyond_the_mean_are_found(what: str) -> None:
    """A correlation leaves each feature as it is: KS of single features is blind to it, projections and MMD are not."""
    rng = np.random.default_rng(8)
    generated, x = sample(rng, 2000, 3)
    if what == "correlation":
        x[generated == 1, 1] = 0.5 * x[generated == 1, 0] + np.sqrt(0.75) * x[generated == 1, 1]
    else:
        x[generated == 1] *= 1.2
    scores, labels = tests.normal_scores(x, np.zeros(4000, dtype=int)), labels_of(generated, 99)
    p = {
        "mean": tests.p_values(tests.mean_ks(scores, labels))[0],
        "ks": tests.p_values(tests.sliced(scores, labels)[0])[0],
        "mmd": tests.p_values(tests.mmd(scores, labels))[0],
    }
    assert (p["ks"], p["mmd"]) == (0.01, 0.01)
    assert (p["mean"] > 0.05) == (what == "correlation")


def test_ties_are_broken_alike_for_all() -> None:
    """Of a constant feature nothing can be learned: the truth is one permutation among others."""
    generated = np.random.default_rng(9).permutation(np.repeat([0, 1], 500))
    p = tests.p_values(tests.mean_ks(np.zeros((1000, 1), dtype=np.float32), labels_of(generated, 199)))[0]
    assert p > 0.02
    assert np.unique(rankdata(np.zeros(5))).tolist() == [3.0]
