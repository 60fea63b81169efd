"""Weights of generated showers: known density ratios, cross-fitting, clipping, files, and an independent judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import caloforge as cf
from caloforge.classifiers import ClassifierResult, ClassifierSettings, ClassifierTest, NetworkTest
from caloforge.classifiers.base import FoldScores
from caloforge.cli import app
from caloforge.errors import CaloforgeError, CaloforgeWarning
from caloforge.geometry import Geometry
from caloforge.representation import representation_of
from caloforge.reweighting.cross_fitting import CrossFitting
from caloforge.reweighting.judging import judge
from caloforge.reweighting.reweight import Reweighted, reweight
from caloforge.showers import ShowerFile, ShowerFiles, Showers, ShowerWriter
from caloforge.simulator.shards import merge

SPREAD = 0.05
MEAN, SHIFTED = 0.9, 0.93


def gaussian(geometry: Geometry, mean: float, n: int, seed: int) -> Showers:
    """Showers whose response is Gaussian and which share their energy among the voxels at random."""
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 200.0, 400.0], n)
    shares = rng.dirichlet(np.full(geometry.n_voxels, 2.0), n)
    voxels = shares * (energies * rng.normal(mean, SPREAD, n).clip(0.5))[:, None]
    return Showers(energies, voxels.astype(np.float32), geometry)


RESPONSE = NetworkTest(
    "response_alone",
    "response",
    "response; logistic regression",
    features=lambda showers: (showers.deposited / showers.energies).astype(np.float32)[:, None],
    network=lambda geometry, n_features, n_logits: nn.Linear(n_features, n_logits),
    settings=ClassifierSettings(learning_rate=0.1, batch_size=100, epochs=5),
    standardise=True,
)
"""Which is the right function of the right number where responses are Gaussians of equal width."""


@pytest.fixture
def flat(small_geometry: Geometry) -> Geometry:
    """Without a threshold, so that the response is exactly Gaussian."""
    return Geometry("flat", small_geometry.layers, threshold=0.0)


@pytest.fixture
def found(flat: Geometry) -> Reweighted:
    samples = gaussian(flat, SHIFTED, 3000, 1), gaussian(flat, MEAN, 3000, 2)
    return reweight(*samples, classifier=RESPONSE, folds=5, repeats=2, rounds=1)


def test_a_second_round_finds_nothing_where_the_first_was_right(found: Reweighted, flat: Geometry) -> None:
    samples = gaussian(flat, SHIFTED, 3000, 1), gaussian(flat, MEAN, 3000, 2)
    again = reweight(*samples, classifier=RESPONSE, folds=5, repeats=2, rounds=2)
    response = again.showers.deposited / again.showers.energies
    assert np.average(response, weights=again.weights) == pytest.approx(MEAN, abs=4 * SPREAD / 3000**0.5)
    assert again.effective_sizes[-1].share == pytest.approx(found.effective_sizes[-1].share, abs=0.05)


def test_weights_are_the_known_density_ratio(found: Reweighted) -> None:
    response = found.showers.deposited / found.showers.energies
    exact = np.exp(((response - SHIFTED) ** 2 - (response - MEAN) ** 2) / (2 * SPREAD**2))
    assert np.corrcoef(np.log(exact), np.log(found.weights))[0, 1] > 0.92
    assert np.average(response, weights=found.weights) == pytest.approx(MEAN, abs=4 * SPREAD / 3000**0.5)
    # (Σw)² / Σw² = N exp(−δ²) for Gaussians that are δ standard deviations apart.
    share = found.effective_sizes[-1].share
    assert share == pytest.approx(np.exp(-(((SHIFTED - MEAN) / SPREAD) ** 2)), abs=0.07)
    for energy in (100, 200, 400):
        assert found.weights[found.showers.energies == energy].mean() == pytest.approx(1)


def test_unweighted_showers_have_the_reference_response_and_spectrum(found: Reweighted) -> None:
    drawn = found.unweighted(seed=3)
    response = drawn.deposited / drawn.energies
    assert len(drawn) == pytest.approx(3000 / found.weights.max(), abs=3)
    assert response.mean() == pytest.approx(MEAN, abs=4 * SPREAD / len(drawn) ** 0.5)
    counts = np.unique(drawn.energies, return_counts=True)[1]
    assert np.ptp(counts) <= 2
    assert drawn.attributes["weights_classifier"] == "response_alone"


def test_equal_samples_get_weights_near_1(flat: Geometry) -> None:
    samples = gaussian(flat, MEAN, 3000, 1), gaussian(flat, MEAN, 3000, 2)
    found = reweight(*samples, classifier=RESPONSE, folds=5, repeats=2, rounds=1)
    assert found.effective_sizes[-1].share > 0.95
    assert found.auc.error is not None
    assert abs(found.auc.value - 0.5) < 4 * found.auc.error


class Recorded(ClassifierTest):
    """Scores of 0; notes which rows it was trained on and which it scored."""

    def __init__(self) -> None:
        super().__init__("recorded", "recorded", "none")
        object.__setattr__(self, "calls", [])

    def run(self, *args: object, **settings: object) -> ClassifierResult:
        raise NotImplementedError

    def fold_scores(self, generated: Showers, reference: Showers, device: str = "cpu") -> FoldScores:
        def scores(train: np.ndarray, scored: np.ndarray, seed: int) -> np.ndarray:
            self.calls.append((train, scored, seed))  # type: ignore[attr-defined]
            return np.zeros(len(scored))

        return scores


def test_no_shower_is_scored_by_a_classifier_that_saw_it(flat: Geometry) -> None:
    test = Recorded()
    samples = gaussian(flat, MEAN, 900, 1), gaussian(flat, MEAN, 300, 2)
    fit = CrossFitting(test, folds=4, repeats=2, rounds=1, clip=5.0, seed=1).fit(*samples)
    calls = test.calls  # type: ignore[attr-defined]
    assert len({seed for *_, seed in calls}) == len(calls) == 8
    scored = np.concatenate([rows for _, rows, _ in calls[::2]])
    assert np.array_equal(np.sort(scored), np.arange(1200))
    for train, rows, _ in calls:
        assert not np.intersect1d(train, rows).size
        assert np.count_nonzero(train < 900) == np.count_nonzero(train >= 900) == 225
    assert not np.array_equal(calls[0][0], calls[1][0])  # other showers of the larger sample
    assert fit.ratios == pytest.approx(1, abs=1e-6)  # although there are three times as many generated showers
    assert fit.probabilities == pytest.approx(0.25, abs=1e-6)


def test_a_clip_lowers_the_largest_weights_and_raises_the_effective_size(flat: Geometry) -> None:
    samples = gaussian(flat, 1.0, 1500, 1), gaussian(flat, MEAN, 1500, 2)
    found = reweight(*samples, classifier=RESPONSE, folds=5, repeats=2, clip=2.0)
    assert found.clipped == np.count_nonzero(found.ratios > 2) > 0
    assert found.lost == pytest.approx(np.maximum(found.ratios - 2, 0).sum() / found.ratios.sum())
    assert found.effective_sizes[-1].size > found.effective_size_unclipped
    assert np.isclose(found.weights.mean(), 1)


def test_networks_leave_the_random_state_alone(flat: Geometry) -> None:
    samples = gaussian(flat, SHIFTED, 300, 1), gaussian(flat, MEAN, 300, 2)
    state = torch.get_rng_state()
    first, second = (reweight(*samples, classifier=RESPONSE, folds=5, repeats=2) for _ in range(2))
    assert np.array_equal(first.weights, second.weights)
    assert torch.equal(torch.get_rng_state(), state)


def test_trees_give_weights_towards_the_reference(flat: Geometry) -> None:
    found = reweight(gaussian(flat, 1.0, 900, 1), gaussian(flat, MEAN, 900, 2), folds=2, repeats=1)
    response = found.showers.deposited / found.showers.energies
    assert np.average(response, weights=found.weights) == pytest.approx(0.92, abs=0.03)


def test_errors(flat: Geometry, small_geometry: Geometry) -> None:
    one, other = gaussian(flat, MEAN, 600, 1), gaussian(flat, MEAN, 600, 2)
    with pytest.raises(CaloforgeError, match=r"clip=.*above 1"):
        reweight(one, other, clip=1.0)
    with pytest.raises(CaloforgeError, match="at least 2"):
        reweight(one, other, folds=1)
    with pytest.raises(CaloforgeError, match="share 600 showers"):
        reweight(one, one)
    with pytest.raises(CaloforgeError, match="cannot score"):
        reweight(one, other, classifier="strong")
    with pytest.raises(CaloforgeError, match="give more showers"):
        reweight(one[:105], other)
    with pytest.raises(CaloforgeError, match="differ"):
        reweight(one[one.energies > 100], other)


def test_a_judge_has_equally_many_showers_before_and_after(flat: Geometry) -> None:
    train, test = gaussian(flat, MEAN, 1500, 2), gaussian(flat, MEAN, 1500, 3)
    generated = gaussian(flat, 0.97, 3000, 1)
    found = reweight(generated, train, classifier=RESPONSE, folds=5, repeats=2, clip=3.0)
    verdict = judge(found, train, test, classifier=RESPONSE)
    assert verdict.n == min(1500, len(found.unweighted(2)))
    assert verdict.before.value - verdict.after.value > 0.1
    assert abs(verdict.after.value - 0.5) < 5 * (verdict.after.error or 0)
    assert verdict.after.baseline == verdict.before.baseline
    with pytest.raises(CaloforgeError, match="share 1,500 showers"):
        judge(found, train, train)


@pytest.fixture
def weighted(tmp_path: Path, flat: Geometry) -> Path:
    """A file of 300 showers, of which every second has weight 0."""
    showers = gaussian(flat, MEAN, 300, 5)
    with ShowerWriter(tmp_path / "weighted.h5", flat, columns=("weights",)) as out:
        out.append(showers.energies, showers.voxels, weights=np.resize([0.0, 2.0], 300))
    return tmp_path / "weighted.h5"


def test_evaluate_draws_showers_by_their_weights(weighted: Path, flat: Geometry) -> None:
    report = cf.evaluate(weighted, gaussian(flat, MEAN, 600, 6), quick=True)
    assert report.about.generated.n == 150
    assert "150 of 300 showers were drawn" in report.about.remark


def test_who_ignores_weights_says_so(weighted: Path, flat: Geometry) -> None:
    with pytest.warns(CaloforgeWarning, match="has weights, which are not used here"):
        cf.read(weighted)
    training = representation_of(flat)
    with pytest.warns(CaloforgeWarning, match="has weights, which are not used here"), training.opened([weighted]):
        pass


def test_weights_are_read_merged_and_checked(weighted: Path, tmp_path: Path, flat: Geometry) -> None:
    gaussian(flat, MEAN, 300, 6).write(tmp_path / "plain.h5")
    with ShowerFile(weighted) as file, ShowerFile(tmp_path / "plain.h5") as plain:
        assert file.weights().tolist() == [0.0, 2.0] * 150  # type: ignore[union-attr]
        assert plain.weights() is None
    with ShowerFiles([weighted, tmp_path / "plain.h5"]) as both, pytest.raises(CaloforgeError, match="has none"):
        both.weights()
    merge([weighted, tmp_path / "plain.h5"], tmp_path / "less.h5")
    assert not ShowerFile(tmp_path / "less.h5").weights()
    with ShowerWriter(tmp_path / "bad.h5", flat, columns=("weights",)) as out:
        out.append(np.full(2, 100.0), np.ones((2, 13)), weights=np.array([1.0, -1.0]))
    with (
        ShowerFile(tmp_path / "bad.h5") as file,
        pytest.raises(CaloforgeError, match="row 1 is -1, negative"),
    ):
        file.weights()


def test_the_command(tmp_path: Path, flat: Geometry) -> None:
    files = {name: tmp_path / f"{name}.h5" for name in ("generated", "train", "test", "out")}
    for seed, (name, mean) in enumerate({"generated": 0.95, "train": MEAN, "test": MEAN}.items()):
        gaussian(flat, mean, 900, seed).write(files[name])
    words = ["reweight", str(files["generated"]), "-r", str(files["train"]), "-o", str(files["out"])]
    words += ["--folds", "2", "--repeats", "1", "--clip", "3"]
    result = CliRunner().invoke(app, [*words, "--judge", str(files["test"])])
    assert result.exit_code == 0, result.output
    assert "400 MeV" in result.stdout
    assert "after, baseline 0." in result.stdout
    with ShowerFile(files["out"]) as file:
        weights = file.weights()
        assert weights is not None
        assert weights.mean() == pytest.approx(1)
        assert file.attributes["weights_clip"] == 3.0
    assert isinstance(CliRunner().invoke(app, words).exception, CaloforgeError)
    result = CliRunner().invoke(app, [*words, "--unweight", "--overwrite"])
    assert result.exit_code == 0, result.output
    with ShowerFile(files["out"]) as file:
        assert file.weights() is None
        assert len(file) == pytest.approx(900 / weights.max(), abs=3)
    assert "of 900 showers" in result.stdout
    wrong = CliRunner().invoke(app, [*words[:-8], "-r", str(files["train"]), "-o", str(files["train"])])
    assert isinstance(wrong.exception, CaloforgeError)
    checked = CliRunner().invoke(app, ["check", str(files["out"])])
    assert "weights" not in checked.stdout
