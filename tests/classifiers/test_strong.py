"""`strong`: the more accurate of several tests is the one that counts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from torch import nn

from caloforge.classifiers import TESTS, ClassifierSettings, NetworkTest, run_test
from caloforge.classifiers.features import compressed, everything, high_level
from caloforge.classifiers.strong import StrongestTest
from caloforge.networks.residual import mlp
from caloforge.showers import Showers

SEEING = NetworkTest(
    "seeing",
    "seeing",
    "E_dep over E_inc; logistic regression with one hidden layer",
    lambda showers: (showers.deposited / showers.energies)[:, None].astype(np.float32),
    lambda geometry, n_in, n_out: mlp([n_in, 8, n_out], nn.LeakyReLU),
    ClassifierSettings(learning_rate=1e-2, batch_size=100, epochs=8),
    standardise=True,
)
BLIND = dataclasses.replace(SEEING, name="blind", features=lambda showers: np.ones((len(showers), 1), np.float32))


def _scaled(showers: Showers, factor: float) -> Showers:
    return Showers(showers.energies, showers.voxels * np.float32(factor), showers.geometry)


@pytest.mark.parametrize("candidates", [("blind", "seeing"), ("seeing", "blind")])
def test_the_more_accurate_test_counts(
    candidates: tuple[str, ...], small_showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for test in (SEEING, BLIND):
        monkeypatch.setitem(TESTS, test.name, test)
    strong = StrongestTest("both", "both", "two", candidates)
    found = run_test(strong, _scaled(small_showers, 1.2), small_showers)
    alone = run_test("seeing", _scaled(small_showers, 1.2), small_showers)
    assert (found.test, found.summary, found.auc) == ("both", "two: seeing", alone.auc)
    assert found.auc > 0.9
    assert found.seconds > 0


def test_epochs_and_refusals_are_those_of_the_candidates(
    small_showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    picky = dataclasses.replace(SEEING, name="picky", max_showers=200, unsuitable=lambda geometry: "needs a cube")
    for test in (picky, BLIND):
        monkeypatch.setitem(TESTS, test.name, test)
    strong = StrongestTest("both", "both", "two", ("blind", "picky"))
    assert (strong.epochs, strong.showers_used(1000)) == (16, 200)
    assert strong.why_unsuitable(small_showers.geometry) == "needs a cube"


def test_everything_is_observables_and_voxels(small_showers: Showers) -> None:
    rows = everything(small_showers)
    high = high_level(small_showers)
    np.testing.assert_array_equal(rows[:, : high.shape[1]], high)
    np.testing.assert_array_equal(rows[:, high.shape[1] :], compressed(small_showers)[:, 1:])
