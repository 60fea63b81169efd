"""What classifier tests are made of: features by hand, parameter counts, splits, calibration, scores."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import nn

from caloforge.classifiers import TESTS, NetworkTest, features
from caloforge.classifiers import scores as judged
from caloforge.classifiers.architectures import CaloflowCNN, ResNet3d, n_parameters
from caloforge.classifiers.fitting import (
    ClassifierSettings,
    fit,
    make_optimiser,
    part_sizes,
    predict,
    split,
    step,
)
from caloforge.classifiers.trees import Permuted
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.networks.residual import mlp
from caloforge.showers import Showers

TWO = Geometry("two", (Layer(0, (0, 10, 20)), Layer(3, (0, 10), n_alpha=4)), threshold=1.0)
"""Two voxels in layer 0, four directions in layer 3."""

ONE_SHOWER = Showers(np.array([1000.0]), np.array([[6.0, 0.5, 0.0, 2.0, 0.0, 2.0]], np.float32), TWO)
"""The second voxel lies below the threshold."""


DENSE = [
    name for name, test in TESTS.items() if isinstance(test, NetworkTest) and "cnn" not in name and "resnet" not in name
]
"""Tests that take any geometry."""


class TestFeaturesByHand:
    def test_relative(self) -> None:
        row = features.relative(ONE_SHOWER)
        assert row.dtype == np.float32
        assert row[0] == pytest.approx([3.0, 0.006, 0, 0, 0.002, 0, 0.002])

    def test_normalised_keeps_what_lies_below_the_threshold(self) -> None:
        expected = [3.0, 6 / 6.5, 0.5 / 6.5, 0, 0.5, 0, 0.5, math.log10(6.5), math.log10(4)]
        assert features.normalised(ONE_SHOWER)[0] == pytest.approx(expected)

    def test_compressed(self) -> None:
        expected = [
            3.0,
            math.log10(601),
            0,
            0,
            math.log10(201),
            0,
            math.log10(201),
            math.log10(7),
            math.log10(5),
        ]
        assert features.compressed(ONE_SHOWER)[0] == pytest.approx(expected, rel=1e-6)

    def test_caloflow_units(self) -> None:
        conditions = [-1.0, math.log10(6.001e-5) + 2, math.log10(4.001e-5) + 2]
        expected = [6e-5, 0, 0, 2e-5, 0, 2e-5, *conditions]
        assert features.caloflow_raw(ONE_SHOWER)[0] == pytest.approx(expected, rel=1e-6)
        expected = [1, 0, 0, 0.5, 0, 0.5, *conditions]
        assert features.caloflow_normalised(ONE_SHOWER)[0] == pytest.approx(expected, rel=1e-6)

    def test_caloflow_logit(self) -> None:
        edge = math.log(1e-6 / (1 - 1e-6)) / 10
        assert features.caloflow_logit(ONE_SHOWER)[0, :6] == pytest.approx([-edge, edge, edge, 0, edge, 0], abs=1e-6)

    def test_high_level(self) -> None:
        # Layer 3 has voxels at r = 5 mm and alpha = -135, -45, 45, 135 degrees; two of them hit.
        x = 5 / math.sqrt(2)
        expected = [3.0, math.log10(6), math.log10(4)]
        expected += [0.0, 0.0]  # centre of (x, -x) and (-x, x)
        expected += [x / 100, x / 100]
        expected += [1.0, 0.5, 0.5]  # log10 of 10 MeV, then a half of each layer's voxels is empty
        expected += [0.05, 0.05, 0.0, 0.0]
        row = features.high_level(ONE_SHOWER)
        assert row.shape == (1, 14)
        assert row[0] == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(
        "name", [n for n, t in TESTS.items() if isinstance(t, NetworkTest) and "cnn" not in n and "resnet" not in n]
    )
    def test_empty_showers_give_finite_features(self, name: str) -> None:
        empty = Showers(np.array([500.0]), np.zeros((1, 6), np.float32), TWO)
        test = TESTS[name]
        assert isinstance(test, NetworkTest)
        assert np.isfinite(test.features(empty)).all()

    @pytest.mark.parametrize(("geometry", "count"), [("ds1-photons", 2 + 4 * 5 + 4 * 2), ("ds2", 2 + 8 * 45)])
    def test_high_level_count(self, geometry: str, count: int) -> None:
        shape = load_geometry(geometry)
        showers = Showers(np.ones(1), np.ones((1, shape.n_voxels), np.float32), shape)
        assert features.high_level(showers).shape == (1, count)

    def test_matrix_is_made_by_chunks(self, monkeypatch: pytest.MonkeyPatch, small_showers: Showers) -> None:
        whole = features.relative(small_showers)
        monkeypatch.setattr(features, "CHUNK_VALUES", 13 * 70)
        parts = [small_showers[:250], small_showers[250:]]
        assert np.array_equal(features.feature_matrix(features.relative, parts), whole)

    def test_scaling_standardises_and_spares_constants(self) -> None:
        rows = np.random.default_rng(1).normal(1000, 3, (5000, 3)).astype(np.float32)
        rows[:, 1] = 0.1
        features.Scaling.fit(rows).apply(rows)
        assert rows.mean(axis=0) == pytest.approx(0, abs=1e-3)
        assert rows.std(axis=0) == pytest.approx([1, 0, 1], abs=1e-3)


class TestNetworks:
    def test_published_parameter_counts_of_caloflow(self) -> None:
        geometry = load_geometry("calogan")
        assert n_parameters(TESTS["caloflow_dnn"].network(geometry, 508, 1)) == 786_433
        assert n_parameters(TESTS["caloflow_cnn"].network(geometry, 508, 1)) == 1_262_913

    def test_resnet_is_the_known_one_but_for_stem_and_head(self) -> None:
        # Known 3D ResNet-18: 33 371 472, of which 3·3·7·7·64 in its stem and 400 classes of 512 + 1.
        body = 33_371_472 - 3 * 3 * 7 * 7 * 64 - 400 * 513
        assert n_parameters(ResNet3d((45, 16, 9))) == body + 2 * 7**3 * 64 + 513

    def test_challenge_widths(self) -> None:
        network = TESTS["challenge_low"].network(load_geometry("ds1-photons"), 369, 1)
        assert n_parameters(network) == 369 * 2048 + 2048 + 2 * (2048 * 2048 + 2048) + 2048 + 1

    def test_images_reach_their_branches_in_the_geometrys_order(self) -> None:
        # A change in one layer's voxels moves only that layer's 256 codes.
        network = CaloflowCNN(load_geometry("calogan"), 4).eval()
        codes: list[torch.Tensor] = []
        network.head.register_forward_pre_hook(lambda module, inputs: codes.append(inputs[0]))
        row = torch.rand(1, 508)
        moved = row.clone()
        moved[:, 288 + 144 : 504] += 1
        with torch.inference_mode():
            assert network(row).shape == (1, 1)
            network(moved)
        changed = (codes[0] != codes[1])[0]
        assert codes[0].shape == (1, 772)
        assert changed[512:768].any()
        assert not changed[:512].any()
        assert not changed[768:].any()

    def test_resnet_shapes_and_gradients(self) -> None:
        network = ResNet3d((5, 6, 4), n_out=3)
        out = network(torch.rand(4, 1 + 120))
        out.square().sum().backward()
        assert out.shape == (4, 3)
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


class TestTrainingParts:
    def test_published_split_of_ds1_photons(self) -> None:
        assert part_sizes(121_000, 121_000) == (80_000, 20_000)
        assert part_sizes(121_000) == (72_600, 24_200)

    def test_parts_are_disjoint_complete_and_balanced(self) -> None:
        parts = split(100, 3, (60, 20), np.random.default_rng(1))
        rows = np.concatenate([parts.train, parts.validate, parts.test])
        assert sorted(rows) == list(range(300))
        for part, each in ((parts.train, 60), (parts.validate, 20), (parts.test, 20)):
            assert np.bincount(part // 100).tolist() == [each] * 3

    def test_micro_batches_sum_to_the_same_step(self) -> None:
        x, kinds = torch.rand(50, 4), torch.arange(50) % 2
        results = []
        for micro in (None, 7):
            torch.manual_seed(3)
            network = mlp([4, 8, 1], nn.LeakyReLU)
            loss = step(network, torch.optim.SGD(network.parameters(), lr=0.1), x, kinds, micro)
            results.append((loss, torch.cat([p.detach().flatten() for p in network.parameters()])))
        assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
        assert torch.allclose(results[0][1], results[1][1], atol=1e-6)

    def test_optimiser_is_adam_as_published(self) -> None:
        optimiser = make_optimiser(mlp([2, 3, 1], nn.LeakyReLU), TESTS["challenge_low"].settings)
        assert isinstance(optimiser, torch.optim.Adam)
        assert optimiser.defaults["lr"] == 2e-4
        assert optimiser.defaults["betas"] == (0.9, 0.999)
        assert optimiser.defaults["weight_decay"] == 0

    def test_best_epoch_is_kept(self) -> None:
        # So large a step makes the accuracy jump about; what is left must score what the best epoch scored.
        rng = np.random.default_rng(1)
        x = torch.from_numpy(rng.standard_normal((400, 3)).astype(np.float32))
        x[200:, 0] += 1
        kinds = torch.arange(2).repeat_interleave(200)
        parts = split(200, 2, (120, 40), rng)
        torch.manual_seed(1)
        network = mlp([3, 8, 1], nn.LeakyReLU)
        reached: list[float] = []
        fitted = fit(network, x, kinds, parts, ClassifierSettings(0.5, 40, 12), 1, lambda e, loss, a: reached.append(a))
        truth = kinds[torch.from_numpy(parts.validate)].numpy()
        final = ((predict(network, x, parts.validate, 50)[:, 0] > 0).numpy() == truth).mean()
        assert fitted.best_epoch == int(np.argmax(reached)) + 1
        assert final == fitted.accuracy == max(reached) > min(reached)

    def test_loss_that_is_not_finite_is_reported(self) -> None:
        x = torch.full((300, 2), math.nan)
        parts = split(150, 2, (90, 30), np.random.default_rng(1))
        kinds = torch.arange(2).repeat_interleave(150)
        with pytest.raises(CaloforgeError, match="loss became nan in epoch 1"):
            fit(mlp([2, 3, 1], nn.LeakyReLU), x, kinds, parts, ClassifierSettings(1e-3, 50, 2), 1)


class TestMetrics:
    def test_auc_by_counting_pairs(self) -> None:
        # Pairs of (label 1, label 0): 0.8 beats both, 0.4 ties with one and beats the other.
        value, _ = judged.auc(np.array([0.8, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0]))
        assert value == 3.5 / 4

    def test_auc_error_covers_repeated_experiments(self) -> None:
        rng = np.random.default_rng(1)
        labels = np.repeat([0, 1], 300)
        found = [judged.auc(rng.standard_normal(600) + labels, labels) for _ in range(400)]
        values, errors = np.array(found).T
        assert errors.mean() == pytest.approx(values.std(), rel=0.15)

    def test_jsd_of_known_scores(self) -> None:
        labels = np.array([1, 1, 0, 0])
        assert judged.jsd(np.full(4, 0.5), labels) == pytest.approx((0.0, 0.0))
        # Three quarters sure and always right: 1 + log2 0.75; wrong once: once log2 0.25.
        assert judged.jsd(np.array([0.75, 0.75, 0.25, 0.25]), labels)[0] == pytest.approx(1 + math.log2(0.75))
        wrong = 1 + (3 * math.log2(0.75) + math.log2(0.25)) / 4
        assert judged.jsd(np.array([0.75, 0.25, 0.25, 0.25]), labels)[0] == pytest.approx(wrong)

    def test_calibration_is_monotone_bounded_and_right(self) -> None:
        rng = np.random.default_rng(2)
        scores = rng.uniform(-3, 3, 20_000)
        truth = 1 / (1 + np.exp(-2 * scores))
        calibrate = judged.Calibration(scores, (rng.random(20_000) < truth).astype(int))
        grid = np.linspace(-50, 50, 1001)
        calibrated = calibrate(grid)
        assert np.all(np.diff(calibrated) >= 0)
        assert 0 < calibrated[0] < 0.02 < 0.98 < calibrated[-1] < 1
        inside = np.abs(grid) < 2.5
        assert np.abs(calibrated[inside] - 1 / (1 + np.exp(-2 * grid[inside]))).max() < 0.06

    def test_a_pure_run_is_no_certainty(self) -> None:
        # By hand: three pure zeros, a mixed pair, four pure ones.
        labels = np.array([0, 0, 0, 1, 0, 1, 1, 1, 1])
        calibrate = judged.Calibration(np.arange(9.0), labels)
        assert calibrate(np.arange(9.0)) == pytest.approx([1 / 5] * 3 + [1 / 2] * 2 + [5 / 6] * 4)
        # A run of one stands for 2/3, which is less than the mixed block below it: 4/5 for both.
        calibrate = judged.Calibration(np.arange(7.0), np.array([0, 1, 1, 1, 1, 0, 1]))
        assert calibrate(np.array([-9.0, 0, 1, 5, 6, 9])) == pytest.approx([1 / 3, 1 / 3, 0.8, 0.8, 0.8, 0.8])

    def test_weights_of_a_perfect_classifier_have_mean_one(self) -> None:
        rng = np.random.default_rng(3)
        labels = np.repeat([0, 1], 100_000)
        x = rng.standard_normal(200_000) + 0.5 * (1 - labels)
        # log p/q of unit Gaussians at 0 (Geant4) and 0.5 (generated); <w²> under generated is exp(0.25).
        log_w = -0.5 * x + 0.125
        result = judged.weights(1 / (1 + np.exp(-log_w)), labels)
        assert result.mean == pytest.approx(1.0, abs=0.01)
        assert result.ess_share == pytest.approx(math.exp(-0.25), abs=0.01)
        assert result.ess == pytest.approx(result.ess_share * result.n)

    def test_effective_sample_size_by_hand(self) -> None:
        # Weights 1 and 3 of generated showers: (1 + 3)² / (1 + 9).
        result = judged.weights(np.array([0.5, 0.75, 0.5]), np.array([0, 0, 1]))
        assert result.ess == pytest.approx(1.6)
        assert result.generated.sum() == 2
        assert result.reference.sum() == 1

    def test_histogram_counts_extreme_weights_at_its_ends(self) -> None:
        counts = judged.weights(np.array([1e-9, 1 - 1e-9, 0.5]), np.array([0, 0, 1])).generated
        assert counts[0] == counts[-1] == 1

    def test_roc_is_thinned_but_keeps_its_area(self) -> None:
        rng = np.random.default_rng(4)
        labels = np.repeat([0, 1], 5000)
        scores = rng.standard_normal(10_000) + labels
        curve = judged.roc(scores, labels)
        fpr, tpr = curve.fpr, curve.tpr
        assert 100 < len(fpr) == len(tpr) <= judged.MAX_ROC_POINTS
        assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
        assert np.all(np.diff(fpr) >= 0)
        assert np.all(np.diff(tpr) >= 0)
        assert trapezoid(tpr, fpr) == pytest.approx(judged.auc(scores, labels)[0], abs=1e-3)


class TestPermuted:
    """Losses of AUC of scores whose dependence on the features is known."""

    rng = np.random.default_rng(8)

    def test_a_relation_is_lost_with_either_feature(self) -> None:
        """The score is the product: with one feature permuted it is as useless as with both."""
        x = self.rng.normal(size=(4000, 3))
        permuted = Permuted(lambda f: f[:, 0] * f[:, 1], x, (x[:, 0] * x[:, 1] > 0).astype(int), 1)
        alone, pair = [permuted.loss(k)[0] for k in (0, 1, 2)], permuted.loss(0, 1)[0]
        assert alone == pytest.approx([0.5, 0.5, 0.0], abs=0.05)
        assert pair == pytest.approx(0.5, abs=0.05)

    def test_equal_features_make_up_for_each_other(self) -> None:
        """The score is the sum of two copies; with one of them permuted x + y is left, whose AUC for x > 0 is 0.834."""
        x = np.repeat(self.rng.normal(size=(4000, 1)), 2, axis=1)
        permuted = Permuted(lambda f: f.sum(axis=1), x, (x[:, 0] > 0).astype(int), 1)
        one, both = permuted.loss(0)[0], permuted.loss(0, 1)[0]
        assert both == pytest.approx(0.5, abs=0.05)
        assert one == pytest.approx(0.166, abs=0.04)
        assert both > 2 * one
