"""EPiC flow matching: symmetry of the generator, and a cloud whose distribution is known."""

from __future__ import annotations

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.dataset import ShowerDataset
from caloforge.models.epic_flow import EPiCFlow
from caloforge.packed import Packed
from caloforge.training import TrainingSettings, fit

GEOMETRY = PointGeometry(("x", "energy"), 5)


def _model(**settings: object) -> EPiCFlow:
    torch.manual_seed(3)
    return EPiCFlow(GEOMETRY.row_length, 1, geometry=GEOMETRY, width=24, global_width=4, layers=2, **settings)


@pytest.mark.parametrize("sampler", ["teacher", "student"])
def test_permuted_noise_gives_permuted_points(sampler: str) -> None:
    model = _model(steps=3, student_strides=1, sampler=sampler).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        noise = Packed.of(torch.randn(8, 2).double(), torch.tensor([3, 5]))
        order, c = torch.tensor([2, 0, 1, 7, 6, 3, 5, 4]), torch.rand(2, 1).double()
        direct, permuted = (model.carried(noise.with_points(p), c) for p in (noise.points, noise.points[order]))
    torch.testing.assert_close(permuted.points, direct.points[order], rtol=1e-10, atol=1e-12)
    assert (direct.points - noise.points).abs().max() > 1e-2


def test_a_hierarchical_gaussian_is_recovered() -> None:
    """x_i = m + 0.5 e_i with m from N(c, 1) for each cloud: the spread within clouds and that of their means.

    Within 10 % in standard deviation and 0.1 in the mean, after a training of a second or two.
    """
    generator = torch.Generator().manual_seed(1)
    n = 2400
    counts = torch.where(torch.rand(n, 1, generator=generator) < 0.25, 2, 5)
    c = torch.rand(n, 1, generator=generator)
    shared = c + torch.randn(n, 1, generator=generator)
    points = torch.stack(
        [shared + 0.5 * torch.randn(n, 5, generator=generator), torch.randn(n, 5, generator=generator)], dim=2
    )
    x = torch.cat([counts, (points * (torch.arange(5) < counts)[:, :, None]).flatten(1)], dim=1)
    model = _model(steps=4)
    settings = TrainingSettings(
        epochs=9, batch_size=128, learning_rate=1e-2, schedule="cosine", clip_norm=1, ema=0.95, device="cpu"
    )
    fit(model, (x[:2200], c[:2200]), (x[2200:], c[2200:]), settings)
    given = torch.full((3000, 1), 0.8)
    with torch.no_grad():
        clouds = Packed.of_rows(model.sample(given, torch.Generator().manual_seed(2)), 2, 5)
    assert set(clouds.counts.tolist()) == {2, 5}
    assert (clouds.counts == 2).double().mean().item() == pytest.approx(0.25, abs=0.035)  # 4 standard errors
    means = clouds.means(clouds.points)[:, 0]
    within = (clouds.points[:, 0] - clouds.spread(means)).square().sum() / (clouds.counts - 1).sum()
    five = means[clouds.counts == 5]
    assert within.sqrt().item() == pytest.approx(0.5, rel=0.1)
    assert five.std().item() == pytest.approx((1 + 0.25 / 5) ** 0.5, rel=0.1)
    assert five.mean().item() == pytest.approx(0.8, abs=0.1)


def test_whole_numbers_are_dequantised_within_half_a_unit() -> None:
    model = _model(whole=["x"])
    clouds = Packed.of(torch.full((10, 2), 3.0), torch.tensor([5, 5]))
    noisy = model.of_points.dequantised(clouds)
    assert (noisy[:, 1] == 3).all()
    assert ((noisy[:, 0] - 3).abs() <= 0.5).all()
    assert noisy[:, 0].unique().numel() == 10


def test_a_table_has_no_numbers_of_whole_clouds() -> None:
    with pytest.raises(CaloforgeError, match=r"model\.numbers: a table has the number of points alone"):
        EPiCFlow(GEOMETRY.row_length + 1, 1, geometry=GEOMETRY)


def test_samples_do_not_depend_on_how_many_points_are_sampled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    model, c = _model(steps=2, student_strides=1).double(), torch.rand(6, 1).double()
    whole = model.sample(c, torch.Generator().manual_seed(1))
    monkeypatch.setattr("caloforge.models.epic_flow.POINTS_AT_ONCE", 4)
    torch.testing.assert_close(model.sample(c, torch.Generator().manual_seed(1)), whole, rtol=1e-12, atol=1e-12)


def test_a_peaked_column_is_bent_in_training_and_straight_in_samples() -> None:
    """An untrained velocity is zero, so that samples are the noise with mean and spread of asinh x, then sinh of it."""
    plain, bent = _model(steps=1), _model(steps=1, peaked=["x"])
    points = torch.sinh(torch.linspace(-3, 3, 40)).view(8, 5, 1)
    x = torch.cat([torch.full((8, 1), 5.0), torch.cat([points, points + 1], dim=2).flatten(1)], dim=1)
    for model in (plain, bent):
        model.stages()[0].fit(ShowerDataset.of(x, torch.rand(8, 1)))
    found, wanted = (
        Packed.of_rows(m.sample(torch.rand(400, 1), torch.Generator().manual_seed(1)), 2, 5).points
        for m in (bent, plain)
    )
    expected = torch.linspace(-3, 3, 40).std(correction=0)
    assert torch.asinh(found[:, 0]).std().item() == pytest.approx(expected.item(), rel=0.1)
    torch.testing.assert_close(found[:, 1], wanted[:, 1])
