"""EPiC-GAN: symmetry of generator and critic, losses by hand, and a cloud whose distribution is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.geometry import PointGeometry
from caloforge.models.epic_gan import EPiCGAN
from caloforge.packed import Packed
from caloforge.training import TrainingSettings, fit

GEOMETRY = PointGeometry(("x", "energy"), 5)
N = 5 * 3
"""Numbers of the points' noise in a row."""


def _model(**settings: object) -> EPiCGAN:
    torch.manual_seed(3)
    shape = {"width": 24, "global_width": 4, "generator_layers": 2, "critic_layers": 2, "cloud_noise": 4, **settings}
    return EPiCGAN(GEOMETRY.row_length, 1, geometry=GEOMETRY, **shape)


@pytest.fixture
def stirred() -> EPiCGAN:
    """With residual layers that do something."""
    model = _model().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


ORDER = torch.tensor([2, 0, 1, 4, 3])


def _permuted(rows: Tensor, width: int) -> Tensor:
    """Rows of clouds with five points in another order."""
    start = rows.shape[1] - 5 * width
    return torch.cat([rows[:, :start], rows[:, start:].view(-1, 5, width)[:, ORDER].flatten(1)], dim=1)


def test_permuted_noise_gives_permuted_points(stirred: EPiCGAN) -> None:
    stirred.numbers.frequencies.copy_(torch.tensor([0, 0, 0, 0, 0, 1.0]))
    z, c = torch.randn(6, stirred.latent_dim).double(), torch.rand(6, 1).double()
    with torch.no_grad():
        direct, permuted = stirred.decode(z, c), stirred.decode(_permuted(z, 3), c)
    torch.testing.assert_close(permuted, _permuted(direct, 2), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(permuted, direct)


def test_the_order_of_points_does_not_matter_to_the_critic(stirred: EPiCGAN) -> None:
    x = torch.cat([torch.full((6, 1), 5.0), torch.randn(6, 10)], dim=1).double()
    c = torch.rand(6, 1).double()
    with torch.no_grad():
        direct = stirred._judged(x, c)
        torch.testing.assert_close(stirred._judged(_permuted(x, 2), c), direct, rtol=1e-10, atol=1e-12)
    assert direct.std() > 1e-3


def test_what_is_beyond_the_last_point_does_not_matter(stirred: EPiCGAN) -> None:
    """Neither to the critic, nor is the noise there seen by the generator."""
    x = torch.cat([torch.full((6, 1), 3.0), torch.randn(6, 10)], dim=1).double()
    c, other = torch.rand(6, 1).double(), x.clone()
    other[:, 1 + 3 * 2 :] = 7
    stirred.numbers.frequencies.copy_(torch.tensor([0, 0, 0, 1.0, 0, 0]))
    z = torch.randn(6, stirred.latent_dim).double()
    changed = z.clone()
    changed[:, -2 * 3 :] = 7
    with torch.no_grad():
        torch.testing.assert_close(stirred._judged(other, c), stirred._judged(x, c), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(stirred.decode(changed, c), stirred.decode(z, c), rtol=1e-12, atol=1e-12)


def test_losses_by_hand() -> None:
    model = _model()
    scores = iter([torch.tensor([0.8, 0.4]), torch.tensor([0.1, 0.6]), torch.tensor([0.5, 2.0])])
    model._judged = lambda x, c: next(scores)  # type: ignore[method-assign]
    x, c = torch.zeros(2, 11), torch.zeros(2, 1)
    found = model.critic_losses(x, x, c)
    torch.testing.assert_close(found["critic_loss"], torch.tensor([0.5 * (0.04 + 0.01), 0.5 * (0.36 + 0.36)]))
    torch.testing.assert_close(found["critic_accuracy"], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(model.generator_loss(x, c), torch.tensor([0.125, 0.5]))


def test_generated_clouds_have_the_numbers_of_the_real_ones() -> None:
    model = _model()
    x = torch.zeros(4, 11)
    x[:, 0] = torch.tensor([0.0, 2.0, 5.0, 1.0])
    assert model.generated(x, torch.rand(4, 1))[:, 0].tolist() == [0, 2, 5, 1]


def test_the_table_has_the_frequencies_of_the_training_set() -> None:
    model = _model()
    model.numbers.frequencies.copy_(torch.tensor([0, 0.25, 0, 0.75, 0, 0]))
    with torch.no_grad():
        counts = model.sample(torch.zeros(4000, 1), torch.Generator().manual_seed(1))[:, 0]
    assert set(counts.tolist()) == {1, 3}
    assert (counts == 1).double().mean().item() == pytest.approx(0.25, abs=0.03)  # 4 standard errors


def test_a_hierarchical_cloud_is_found() -> None:
    """x_i = m + 0.5 e_i with m from N(2c, 1) for each cloud: the spread within clouds, and of their means."""
    generator = torch.Generator().manual_seed(1)
    n = 3000
    counts = torch.where(torch.rand(n, 1, generator=generator) < 0.25, 2, 5)
    c = torch.rand(n, 1, generator=generator)
    shared = 2 * c + torch.randn(n, 1, generator=generator)
    points = torch.stack(
        [shared + 0.5 * torch.randn(n, 5, generator=generator), torch.randn(n, 5, generator=generator)], dim=2
    )
    x = torch.cat([counts, (points * (torch.arange(5) < counts)[:, :, None]).flatten(1)], dim=1)
    model = _model(momentum=0.5, width=16, generator_layers=1, critic_layers=1)
    settings = TrainingSettings(
        epochs=14, batch_size=100, learning_rate=3e-3, schedule="cosine", ema=0.98, device="cpu"
    )
    log = fit(model, (x[:2900], c[:2900]), (x[2900:], c[2900:]), settings)
    assert {"critic_loss", "generator_loss", "critic_accuracy"} <= log[-1].keys()
    low, high = (
        Packed.of_rows(model.sample(torch.full((2000, 1), given), torch.Generator().manual_seed(2)).detach(), 2, 5)
        for given in (0.1, 0.9)
    )
    means = low.means(low.points)[:, 0]
    within = ((low.points[:, 0] - low.spread(means)).square().sum() / (low.counts - 1).sum()).sqrt()

    assert 0.3 < within < 0.75
    assert 0.6 < means.std() < 1.5
    assert (high.points[:, 0].mean() - low.points[:, 0].mean()).item() == pytest.approx(1.6, abs=0.6)


def test_a_row_must_fit() -> None:
    with pytest.raises(CaloforgeError, match="features are not a row"):
        EPiCGAN(5, 1, geometry=GEOMETRY)
