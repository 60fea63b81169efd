"""The classifier tests end to end: problems whose best AUC is known, seeds, refusals, real showers."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import nn

from caloforge.classifiers import (
    TESTS,
    ClassifierResult,
    ClassifierSettings,
    ClassifierTraining,
    Epoch,
    NetworkTest,
    expected_seconds,
    learning_curve,
    register,
    run_multiclass,
    run_test,
)
from caloforge.classifiers.multiclass import assigned_shares, calibrate
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.networks.residual import mlp
from caloforge.showers import Showers

LINE = Geometry("line", (Layer(0, tuple(range(6))),))
"""Five voxels in a row."""

PLAIN = NetworkTest(
    "plain",
    "plain",
    "the voxels as they are, logistic regression with one hidden layer",
    lambda showers: showers.voxels.astype(np.float32),
    lambda geometry, n_in, n_out: mlp([n_in, 16, n_out], nn.LeakyReLU),
    ClassifierSettings(learning_rate=5e-3, batch_size=200, epochs=6),
)

NAMED = (
    *("caloman", "challenge_low", "challenge_low_normalised", "challenge_high", "challenge_resnet"),
    *(
        "caloflow_dnn",
        "caloflow_dnn_normalised",
        "caloflow_cnn",
        "caloflow_logit",
        "quick",
        "trees",
        "everything",
        "strong",
    ),
)


def gaussian(shift: float, n: int, seed: int) -> Showers:
    """Unit Gaussians in five dimensions, the first one moved by `shift` (some below 0: no physics)."""
    voxels = np.random.default_rng(seed).standard_normal((n, 5))
    voxels[:, 0] += shift
    return Showers.unchecked(np.full(n, 100.0), voxels.astype(np.float32), LINE)


def made_up(geometry: Geometry, n: int) -> Showers:
    """Showers of 1 GeV with 2 MeV in every voxel."""
    return Showers(np.full(n, 1000.0), np.full((n, geometry.n_voxels), 2, np.float32), geometry)


@pytest.fixture(scope="module")
def shifted() -> ClassifierResult:
    return run_test(PLAIN, gaussian(1.0, 10_000, 1), gaussian(0.0, 10_000, 2))


class TestKnownTruth:
    def test_auc_of_shifted_gaussians_is_the_optimal_one(self, shifted: ClassifierResult) -> None:
        # Two unit Gaussians at distance d: the likelihood ratio's AUC is Phi(d / sqrt 2).
        optimum = 0.5 * (1 + math.erf(1.0 / math.sqrt(2) / math.sqrt(2)))
        assert shifted.auc == pytest.approx(optimum, abs=4 * shifted.auc_std)
        assert shifted.auc_std == pytest.approx(0.0072, rel=0.1)

    def test_jsd_of_shifted_gaussians_is_the_integral(self, shifted: ClassifierResult) -> None:
        x = np.linspace(-9, 10, 20_001)
        p, q = (np.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, 1.0))
        m = (p + q) / 2
        truth = trapezoid(p * np.log2(p / m) + q * np.log2(q / m), x) / 2
        assert shifted.jsd == pytest.approx(truth, abs=4 * shifted.jsd_std)

    def test_weights_turn_generated_into_reference(self) -> None:
        # w = p/q of the Gaussians has mean 1 and <w²> = exp(0.25), hence an effective share of exp(-0.25).
        weights = run_test(PLAIN, gaussian(0.5, 6000, 1), gaussian(0.0, 6000, 2)).first.scores.weights
        assert weights.mean == pytest.approx(1.0, abs=0.08)
        assert weights.ess_share == pytest.approx(math.exp(-0.25), abs=0.08)
        assert weights.generated.sum() == weights.reference.sum() == 1200

    def test_same_law_cannot_be_told_apart(self) -> None:
        result = run_test(PLAIN, gaussian(0.0, 6000, 3), gaussian(0.0, 6000, 4), repeats=3)
        areas = [training.scores.auc for training in result.trainings]
        assert areas == pytest.approx([0.5] * 3, abs=4 * 0.0118)
        assert result.auc == pytest.approx(np.mean(areas))
        assert result.auc_std == pytest.approx(np.std(areas, ddof=1))
        assert abs(result.jsd) < 0.03
        assert len(set(areas)) == 3

    def test_disjoint_samples_are_told_apart(self) -> None:
        result = run_test(PLAIN, gaussian(12.0, 2000, 5), gaussian(0.0, 2000, 6))
        assert result.auc == 1.0
        # Calibration on 400 showers per sample grants at most the probability 401/402.
        assert 0.98 < result.jsd <= 1 + math.log2(401 / 402)

    def test_every_dense_test_sees_scaled_energies(self, small_showers: Showers) -> None:
        half = len(small_showers) // 2
        moved = Showers(small_showers.energies[:half], 3 * small_showers.voxels[:half], small_showers.geometry)
        for name in NAMED:
            test = TESTS[name]
            if isinstance(test, NetworkTest) and test.why_unsuitable(small_showers.geometry) is None:
                settings = dataclasses.replace(test.settings, epochs=20, batch_size=60, learning_rate=2e-3)
                narrow = dataclasses.replace(
                    test, settings=settings, network=lambda g, n_in, n_out: mlp([n_in, 64, 64, n_out], nn.LeakyReLU)
                )
                assert run_test(narrow, moved, small_showers[half:]).auc > 0.75, name


class TestSeeds:
    def run(self, seed: int) -> list[float]:
        result = run_test(PLAIN, gaussian(0.5, 500, 1), gaussian(0.0, 700, 2), seed=seed)
        first = result.first
        return [result.auc, result.jsd, first.accuracy, first.epochs, *first.scores.probabilities.tolist()]

    def test_same_seed_same_result(self) -> None:
        assert self.run(7) == self.run(7)

    def test_other_seed_other_result(self) -> None:
        assert self.run(7)[0] != self.run(8)[0]

    def test_global_random_state_is_neither_used_nor_moved(self) -> None:
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 (the legacy state is what must not move)
        before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        one = self.run(7)
        assert torch.equal(before, torch.get_rng_state())
        assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002
        torch.manual_seed(2)
        assert self.run(7) == one


class TestTraining:
    def test_progress_is_told_every_epoch(self) -> None:
        seen: list[Epoch] = []
        run_test(PLAIN, gaussian(1.0, 300, 1), gaussian(0.0, 300, 2), repeats=2, progress=seen.append)
        assert [(e.repeat, e.epoch) for e in seen] == [(r, k) for r in (1, 2) for k in range(1, 7)]
        assert all(e.epochs == 6 and e.repeats == 2 and e.test == "plain" for e in seen)
        assert seen[-1].seconds_left == 0 < seen[0].seconds_left
        assert seen[-1].loss < seen[0].loss
        assert all(0 <= e.accuracy <= 1 for e in seen)

    def test_patience_ends_a_hopeless_training(self) -> None:
        impatient = dataclasses.replace(
            PLAIN, settings=ClassifierSettings(learning_rate=1e-9, batch_size=100, epochs=40, patience=3)
        )
        training: ClassifierTraining = run_test(impatient, gaussian(0.0, 300, 1), gaussian(0.0, 300, 2)).first
        assert training.epochs == training.best_epoch + 3 < 40

    def test_result_says_what_was_trained(self, shifted: ClassifierResult) -> None:
        assert (shifted.test, shifted.n, shifted.n_features) == ("plain", 10_000, 5)
        assert shifted.n_parameters == 5 * 16 + 16 + 16 + 1
        assert shifted.settings["epochs"] == 6
        assert shifted.importances == ()

    def test_larger_sample_is_thinned_to_the_smaller(self) -> None:
        assert run_test(PLAIN, gaussian(0.0, 400, 1), gaussian(0.0, 300, 2)).n == 300

    def test_expected_time_grows_with_the_work(self) -> None:
        geometry = load_geometry("ds1-photons")
        # Forty times the showers; the machine may be ten times busier the first time.
        few, many = (expected_seconds("caloflow_dnn", n, geometry) for n in (500, 20_000))
        assert 0 < few < many
        assert TESTS["quick"].showers_used(40_000) == TESTS["quick"].showers_used(20_000) == 20_000


class TestRefusals:
    @pytest.mark.parametrize("name", ["challenge_resnet", "caloflow_cnn"])
    def test_image_tests_refuse_uneven_layers(self, name: str) -> None:
        showers = made_up(load_geometry("ds1-photons"), 4)
        with pytest.raises(CaloforgeError, match=f"'{name}' needs .*'ds1-photons'"):
            run_test(name, showers, showers)

    def test_resnet_refuses_cartesian_and_cnn_takes_it(self) -> None:
        geometry = load_geometry("calogan")
        assert TESTS["challenge_resnet"].why_unsuitable(geometry) is not None
        assert TESTS["caloflow_cnn"].why_unsuitable(geometry) is None
        assert TESTS["challenge_resnet"].why_unsuitable(load_geometry("ds2")) is None

    def test_unknown_name_lists_the_known(self) -> None:
        with pytest.raises(CaloforgeError, match=r"'calomann'.* caloman, "):
            run_test("calomann", gaussian(0.0, 200, 1), gaussian(0.0, 200, 2))

    def test_too_few_showers_names_the_minimum(self) -> None:
        with pytest.raises(CaloforgeError, match=r"at least 100 showers.* 99"):
            run_test("quick", gaussian(0.0, 99, 1), gaussian(0.0, 500, 2))

    def test_two_geometries(self) -> None:
        other = made_up(Geometry("other", (Layer(0, (0, 1, 2)),)), 200)
        with pytest.raises(CaloforgeError, match=r"'line'.*'other'"):
            run_test("quick", gaussian(0.0, 200, 1), other)

    def test_no_repeats(self) -> None:
        with pytest.raises(CaloforgeError, match=r"repeats.* 0"):
            run_test("quick", gaussian(0.0, 200, 1), gaussian(0.0, 200, 2), repeats=0)

    def test_what_needs_a_network_refuses_trees(self) -> None:
        with pytest.raises(CaloforgeError, match="trees"):
            expected_seconds("trees", 1000, LINE)
        with pytest.raises(CaloforgeError, match="trees"):
            run_multiclass("trees", {"a": gaussian(0.0, 200, 1), "b": gaussian(0.0, 200, 3)}, gaussian(0.0, 200, 2))

    def test_a_name_is_registered_once(self) -> None:
        with pytest.raises(ValueError, match="quick"):
            register(dataclasses.replace(PLAIN, name="quick"))

    def test_registry_has_the_names_of_the_literature(self) -> None:
        assert set(NAMED) <= set(TESTS)
        assert all(key == test.name for key, test in TESTS.items())
        assert len({test.title for test in TESTS.values()}) == len(TESTS)


class TestMulticlass:
    def test_geant4_is_assigned_to_the_nearest_generator(self) -> None:
        generators = {
            "far": gaussian(2.0, 3000, 1),
            "near": gaussian(0.2, 3000, 2),
            "back": gaussian(-2.0, 3000, 3),
        }
        result = run_multiclass(PLAIN, generators, gaussian(0.0, 3000, 4))
        found = result.generators
        assert max(found, key=lambda name: found[name].value) == "near"
        # At equal odds and unit variances the best guess is the nearest mean: cuts at 1.1 and -0.9.
        phi = torch.distributions.Normal(0.0, 1.0).cdf(torch.tensor([1.1, -0.9])).tolist()
        assert found["far"].assigned == pytest.approx(1 - phi[0], abs=0.05)
        assert found["back"].assigned == pytest.approx(phi[1], abs=0.05)
        confusion = result.confusion
        assert confusion.sum(axis=1) == pytest.approx(1.0)
        assert confusion[0, 2] < 0.05 < 0.7 < confusion[0, 0]
        assert result.guess == pytest.approx(-math.log(3))

    def test_alike_generators_stay_at_a_guess(self) -> None:
        generators = {"a": gaussian(0.0, 2000, 1), "b": gaussian(0.0, 2000, 2)}
        result = run_multiclass(PLAIN, generators, gaussian(0.0, 2000, 3))
        for entry in result.generators.values():
            assert abs(entry.value + math.log(2)) < 4 * entry.error
            assert entry.error < 0.05
        assert sum(entry.assigned for entry in result.generators.values()) == pytest.approx(1.0)

    def test_one_sample_under_two_names_is_a_tie(self) -> None:
        showers = gaussian(0.0, 2000, 1)
        result = run_multiclass(PLAIN, {"a": showers, "b": showers}, gaussian(0.0, 2000, 3))
        assert [entry.assigned for entry in result.generators.values()] == pytest.approx([0.5, 0.5], abs=0.25)

    def test_what_agrees_within_errors_is_shared(self) -> None:
        posterior = np.log([[0.9, 0.1], [0.501, 0.499], [0.2, 0.8]])
        resampled = np.log([[[0.9, 0.1], [0.49, 0.51], [0.2, 0.8]], [[0.91, 0.09], [0.51, 0.49], [0.21, 0.79]]])
        assert assigned_shares(posterior, resampled) == pytest.approx([0.5, 0.5])

    def test_calibration_undoes_a_scale_and_a_lean(self) -> None:
        rng = np.random.default_rng(1)
        true = torch.from_numpy(rng.normal(size=(20_000, 3)))
        chance = true.softmax(dim=1).cumsum(dim=1)
        kinds = (torch.from_numpy(rng.random((20_000, 1))) > chance).sum(dim=1)
        s, b = calibrate(2 * true + torch.tensor([1.0, 0.0, -1.0]), kinds)
        assert s.item() ** 2 == pytest.approx(0.5, rel=0.05)
        assert b.numpy() == pytest.approx([-0.5, 0.0, 0.5], abs=0.06)

    def test_calibration_of_noise_is_certain_of_nothing(self) -> None:
        rng = np.random.default_rng(2)
        s, b = calibrate(torch.from_numpy(rng.normal(2, 3, (4000, 2))), torch.arange(4000) % 2)
        assert s.item() ** 2 < 0.05
        assert b.abs().max() < 0.1

    def test_one_generator_is_refused(self) -> None:
        with pytest.raises(CaloforgeError, match=r"two generators.* 1"):
            run_multiclass(PLAIN, {"a": gaussian(0.0, 200, 1)}, gaussian(0.0, 200, 2))


class TestLearningCurve:
    def test_errors_shrink_with_the_sample(self) -> None:
        curve = learning_curve(PLAIN, gaussian(1.0, 4000, 1), gaussian(0.0, 5000, 2))
        assert [point.n for point in curve] == [500, 1000, 2000, 4000]
        assert np.all(np.diff([point.auc_std for point in curve]) < 0)
        optimum = 0.5 * (1 + math.erf(0.5))
        assert curve[-1].auc == pytest.approx(optimum, abs=4 * curve[-1].auc_std)

    def test_size_beyond_the_sample_is_refused(self) -> None:
        with pytest.raises(CaloforgeError, match=r"100 … 300.*400"):
            learning_curve(PLAIN, gaussian(0.0, 300, 1), gaussian(0.0, 300, 2), sizes=[200, 400])


class TestTrees:
    def deeper(self, n: int, seed: int, excess: float) -> Showers:
        """Photon-like showers of two layers of one ring, the second with more energy where `excess` is above 1."""
        geometry = Geometry("two", (Layer(0, (0, 10)), Layer(1, (0, 10))))
        voxels = np.random.default_rng(seed).normal(100, 10, (n, 2)) * [1.0, excess]
        return Showers(np.resize([250.0, 1000.0], n), voxels.astype(np.float32), geometry)

    def test_what_differs_is_found_and_named(self) -> None:
        found = run_test("trees", self.deeper(1500, 1, 1.1), self.deeper(1500, 2, 1.0))
        # Gaussians one standard deviation apart: Phi(1 / sqrt 2), but for what trees on 900 showers lose.
        assert 0.68 < found.auc < 0.5 * (1 + math.erf(0.5)) + 4 * found.auc_std
        importances = {each.feature: each for each in found.importances}
        assert max(importances, key=lambda name: importances[name].value) == "e_layer_1"
        assert importances["e_layer_1"].value > 10 * importances["e_layer_1"].error > 0
        assert importances["ec_r_0"].value == 0
        assert importances["e_layer_1"].label == "energy, layer 1"

    def test_same_law_cannot_be_told_apart(self) -> None:
        found = run_test("trees", self.deeper(1000, 3, 1.0), self.deeper(1000, 4, 1.0), repeats=2)
        assert [t.scores.auc for t in found.trainings] == pytest.approx([0.5, 0.5], abs=4 * 0.02)
        again = run_test("trees", self.deeper(1000, 3, 1.0), self.deeper(1000, 4, 1.0))
        assert again.auc == found.trainings[0].scores.auc


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quick", "caloman"])
def test_two_geant4_files_are_alike(name: str, real) -> None:
    reference = Showers.read(real("photons-atlas-like/train.h5"), stop=20_000)
    generated = Showers.read(real("photons-atlas-like/test.h5"), stop=20_000)
    assert run_test(name, generated, reference).auc == pytest.approx(0.5, abs=0.02)
