"""CaloClouds II: points that do not see each other, whatever their order, and a shower whose distribution is known."""

from __future__ import annotations

import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.caloclouds import CaloClouds
from caloforge.packed import Packed
from caloforge.training import TrainingSettings, fit

GEOMETRY = PointGeometry(("x", "energy"), 5)


def _model(**settings: object) -> CaloClouds:
    torch.manual_seed(3)
    shape = {"widths": [24, 24], "embedding": 16, **settings}
    return CaloClouds(GEOMETRY.row_length, 1, geometry=GEOMETRY, **shape)


def _stirred(**settings: object) -> CaloClouds:
    model = _model(**settings).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("settings", [{"sampler": "teacher"}, {"student_strides": 1}, {"student_strides": 2}])
def test_a_point_follows_its_own_noise_alone(settings: dict[str, object]) -> None:
    """So permuted noise gives permuted points, and other noise elsewhere changes nothing here."""
    model, counts = _stirred(steps=3, **{"student_strides": 1, **settings}), torch.tensor([3, 5])
    noises = list(torch.randn(2, 8, 2).double())
    order, c = torch.tensor([2, 0, 1, 7, 6, 3, 5, 4]), torch.rand(2, 1).double()
    empty = Packed.of(torch.zeros(8, 2).double(), counts)
    evaluations = noises[: max(1, model.strides if model.by_student else 1)]
    with torch.no_grad():
        direct = model.carried(empty, evaluations, c).points
        permuted = model.carried(empty, [noise[order] for noise in evaluations], c).points
        changed = model.carried(empty, [torch.cat([noise[:6], noise[6:] + 1]) for noise in evaluations], c).points
    torch.testing.assert_close(permuted, direct[order], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(changed[:6], direct[:6], rtol=1e-10, atol=1e-12)
    assert (changed[6:] - direct[6:]).abs().min() > 1e-3


def test_an_untrained_student_gives_its_noise() -> None:
    model = _model(student_strides=1)
    found = model.sample(torch.zeros(50, 1), torch.Generator().manual_seed(1))
    points = Packed.of_rows(found, 2, 5).points
    assert points.std().item() == pytest.approx(1, abs=0.15)


def test_teacher_and_student_find_points_that_depend_on_their_number() -> None:
    """x from N(3c + n, 0.5²) and energy from N(0, 1), n of 2 and 5: means within 0.2, widths within 20 %."""
    generator = torch.Generator().manual_seed(1)
    n = 3000
    counts = torch.where(torch.rand(n, 1, generator=generator) < 0.25, 2, 5)
    c = torch.rand(n, 1, generator=generator)
    points = torch.randn(n, 5, 2, generator=generator)
    points[..., 0] = 0.5 * points[..., 0] + 3 * c + counts
    x = torch.cat([counts, (points * (torch.arange(5) < counts)[:, :, None]).flatten(1)], dim=1)
    model = _model(steps=16, student_strides=1, student_times=12)
    settings = TrainingSettings(
        epochs=12, batch_size=128, learning_rate=1e-2, schedule="cosine", clip_norm=1, ema=0.95, device="cpu"
    )
    fit(model, (x[:2800], c[:2800]), (x[2800:], c[2800:]), settings)
    given = torch.full((2000, 1), 0.5)
    for model.by_student in (False, True):
        with torch.no_grad():
            clouds = Packed.of_rows(model.sample(given, torch.Generator().manual_seed(2)), 2, 5)
        off = clouds.points[:, 0] - 1.5 - clouds.spread(clouds.counts.float())
        assert off.mean().item() == pytest.approx(0, abs=0.2)
        assert off.std().item() == pytest.approx(0.5, rel=0.2)
        assert clouds.points[:, 1].std().item() == pytest.approx(1, rel=0.15)


def test_samples_do_not_depend_on_how_many_points_are_sampled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ({"steps": 3}, {"student_strides": 2}):
        model, c = _stirred(**settings), torch.rand(6, 1).double()
        whole = model.sample(c, torch.Generator().manual_seed(1))
        with monkeypatch.context() as patched:
            patched.setattr("caloforge.models.caloclouds.POINTS_AT_ONCE", 4)
            parts = model.sample(c, torch.Generator().manual_seed(1))
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sampler": "student"}, "needs a student"),
        ({"lowest": 2.0, "highest": 1.0}, r"lowest \(2\) must be below highest \(1\)"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], said: str) -> None:
    with pytest.raises(CaloforgeError, match=said):
        _model(**settings)
