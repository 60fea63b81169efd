"""A mixture of two Gaussians in the plane, which a generator must find: weights, means and widths of both modes.

Mode A has weight 0.3 and mean (−1.5, c − 1), mode B weight 0.7 and mean (1.5, c + 1), both the width 0.4, where the
condition c is 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.models.base import ShowerModel
from caloforge.training import TrainingSettings, fit

WEIGHT, WIDTH = 0.3, 0.4
MEANS = torch.tensor([[-1.5, -1.0], [1.5, 1.0]])
SETTINGS = TrainingSettings(
    epochs=10, batch_size=400, learning_rate=1e-2, schedule="cosine", ema=0.98, clip_norm=5, device="cpu"
)


def two_modes(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features (n, 2) and conditions (n, 1)."""
    generator = torch.Generator().manual_seed(seed)
    c = torch.randint(0, 2, (n, 1), generator=generator).float()
    mode = (torch.rand(n, generator=generator) > WEIGHT).long()
    x = MEANS[mode] + WIDTH * torch.randn(n, 2, generator=generator)
    return x + torch.cat([torch.zeros_like(c), c], dim=1), c


def log_density(x: Tensor, c: Tensor) -> Tensor:
    """(B,) of the mixture."""
    centred = x - torch.cat([torch.zeros_like(c), c], dim=1)
    squared = ((centred[:, None, :] - MEANS) ** 2).sum(dim=2)
    weights = torch.tensor([WEIGHT, 1 - WEIGHT])
    return torch.logsumexp(weights.log() - 0.5 * squared / WIDTH**2, dim=1) - torch.log(
        torch.tensor(2 * torch.pi * WIDTH**2)
    )


def trained(model: ShowerModel, settings: TrainingSettings = SETTINGS, n: int = 8000) -> ShowerModel:
    """The model, trained on the mixture."""
    fit(model, two_modes(n, 1), two_modes(500, 2), settings)
    return model


def check_two_modes(model: ShowerModel, *, weight: float = 0.08, mean: float = 0.2, width: float = 0.3) -> None:
    """Compare 5000 samples for c = 0 and as many for c = 1 with the truth.

    Args:
        model: trained. weight, mean, width: largest absolute differences, many times the statistical ones (0.007 or
            less) because trainings in tests last seconds.
    """
    for c in (0.0, 1.0):
        with torch.no_grad():
            x = model.sample(torch.full((5_000, 1), c), torch.Generator().manual_seed(3))
        x = x - torch.tensor([0.0, c])
        nearest = torch.cdist(x, MEANS).argmin(dim=1)
        assert abs(float((nearest == 0).float().mean()) - WEIGHT) < weight
        for mode in (0, 1):
            own = x[nearest == mode]
            # Medians and quartiles: a bridge of a few showers between the modes is not what is tested here.
            assert (own.median(dim=0).values - MEANS[mode]).abs().max() < mean
            low, high = torch.quantile(own, torch.tensor([0.25, 0.75]), dim=0)
            assert ((high - low) / 1.349 - WIDTH).abs().max() < width
