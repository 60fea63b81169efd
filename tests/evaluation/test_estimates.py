"""Values, errors and baselines against statistics whose answer is known."""

import math
from typing import Any

import numpy as np
import pytest

from caloforge.evaluation.estimates import Estimate, draw, estimate, in_errors, mean_of
from caloforge.evaluation.samples.plan import make_plan

E = np.full(2000, 1e3)


def mean_difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.mean() - b.mean())


def test_jackknife_error_of_a_mean_is_the_textbooks() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(0, 1, 2000), rng.normal(0, 2, 1500)
    plan = make_plan(E, E[:1500], None, rng, draws=400)
    [entry] = estimate(mean_difference, x, y, plan)
    assert entry.value == pytest.approx(x.mean() - y.mean())
    # Each sample's subsets scale alike only if their sizes agree; 2000 against 1500 stays within 15 %.
    assert entry.error == pytest.approx(np.sqrt(1 / 2000 + 4 / 1500), rel=0.15)
    assert entry.baseline_error == pytest.approx(2 * np.sqrt(2 / 750), rel=0.15)
    assert plan.n == 750


def test_what_the_baseline_is_compared_with_is_said() -> None:
    full = Estimate(0.04, 0.0025, baseline=0.067, baseline_error=0.0031, value_at_n=0.0686, n=1000)
    assert str(full).startswith("0.0400 ± 0.0025 (with 1,000 showers per sample 0.0686, baseline 0.0670 ± 0.0031, +0.4")


def test_baseline_file_gives_all_of_its_showers() -> None:
    rng = np.random.default_rng(2)
    x, r, f = rng.normal(0, 1, 500), rng.normal(0, 1, 400), rng.normal(5, 1, 300)
    plan = make_plan(E[:500], E[:400], E[:300], rng, draws=10)
    [entry] = estimate(mean_difference, x, np.concatenate([r, f]), plan)
    assert plan.n == 300
    assert entry.baseline == pytest.approx(-5, abs=0.3)
    assert len(plan.at_n[0][0]) == len(plan.baseline[0][1]) == 300
    assert plan.baseline[0][1].min() >= 400


def test_equal_samples_agree_with_the_baseline() -> None:
    """Over many pairs of equal samples, pulls exceed 3 as rarely as they should."""

    def squared(a: np.ndarray, b: np.ndarray) -> float:
        return mean_difference(a, b) ** 2  # positive and biased like a separation power

    pulls = []
    for seed in range(150):
        rng = np.random.default_rng([3, seed])
        plan = make_plan(E[:200], E[:200], None, rng, draws=10)
        [entry] = estimate(squared, rng.normal(size=200), rng.normal(size=200), plan)
        pulls.append(entry.pull)
    assert np.mean(np.array(pulls) > 3) < 0.02
    assert abs(np.median(pulls)) < 0.5


def test_a_shift_is_seen_and_several_numbers_keep_their_order() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(0.5, 1, 2000), rng.normal(0, 1, 2000)
    plan = make_plan(E, E, None, rng)
    first, second = estimate(lambda a, b: [mean_difference(a, b), -1.0], x, y, plan)
    assert first.pull > 5
    assert second.value == second.baseline == -1
    assert second.pull == 0


@pytest.mark.parametrize(
    ("difference", "error", "size", "pull"),
    [
        (0.3, 0.1, 1.0, 3.0),
        (0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (1e-16, 0.0, 1.0, 0.0),  # rounding
        (1e-16, 1e-17, 1.0, 0.0),  # so is the error
        (0.5, 1e-17, 1.0, math.inf),
        (-0.5, 0.0, 1.0, -math.inf),
        (2e-16, 1e-16, 0.0, 2.0),  # small, but there is nothing larger beside it
    ],
)
def test_pulls_without_errors(difference: float, error: float, size: float, pull: float) -> None:
    assert in_errors(difference, error, size) == pytest.approx(pull)


def test_two_constants_that_differ_are_infinitely_far_apart() -> None:
    plan = make_plan(E, E, None, np.random.default_rng(6))
    ones, twos = np.ones(2000), np.full(2000, 2.0)
    [same] = estimate(lambda a, b: abs(mean_difference(a, b)), ones, ones, plan)
    assert same.pull == 0
    [apart] = estimate(lambda a, b: abs(mean_difference(a, b)), twos, ones, plan)
    assert apart.pull == math.inf


def test_pull_of_a_metric_with_one_value() -> None:
    assert Estimate(0.9, 0.03, 0.7, 0.04).pull == pytest.approx(0.2 / 0.05)


def test_mean_of_distances_knows_how_they_go_together() -> None:
    """The mean of a distance and its opposite never varies, that of a distance and itself as much as one."""
    rng = np.random.default_rng(7)
    x, y = rng.normal(0, 1, 2000), rng.normal(0, 1, 2000)
    plan = make_plan(E, E, None, rng)
    both = draw(lambda a, b: [mean_difference(a, b), -mean_difference(a, b)], x, y, plan)
    one, other = both.column(0), both.column(1)
    [alone], [twice], [opposite] = (d.estimates() for d in (one, mean_of([one, one]), mean_of([one, other])))
    assert twice == alone
    assert alone.error > 0.02
    assert opposite.error == opposite.value == opposite.pull == 0


def test_pulls_from_an_expected_value_and_with_a_smallest_error() -> None:
    assert Estimate(0.03, 0.01, baseline=0.02, expected=0.0).pull == pytest.approx(3.0)
    assert Estimate(0.51, 0.0001, 0.50, 0.0001, smallest_error=0.001).pull == pytest.approx(10.0)
    assert Estimate(0.51, 0.01).pull is None


@pytest.mark.parametrize("numbers", [{"baseline": 0.1}, {"expected": 0.0}, {"baseline": 0.1, "n": 9}])
def test_not_a_number_has_no_pull(numbers: dict[str, Any]) -> None:
    assert Estimate(math.nan, 0.1, **numbers).pull is None
    assert Estimate(0.2, 0.1, **{key: math.nan for key in numbers if key != "n"}).pull is None
