"""WGAN-GP: the GAN baseline of the CaloScore paper (arXiv:2206.11898; Gulrajani et al., arXiv:1704.00028).

A generator G maps noise to showers, a critic D scores them; both see the conditions, and both are a half of CaloScore's
U-Net (`caloforge.networks.unet`): D contracts a shower to one number, G expands noise to a shower. With x̃ = G(z, c),
x̂ = u x + (1 − u) x̃ and u uniform in [0, 1],

    critic       minimise  D(x̃) − D(x) + λ (‖∇_x̂ D(x̂)‖ − 1)²
    generator    minimise  −D(x̃),     once every `critic_steps` steps of the critic.

One stage trains both (`caloforge.models.adversarial`). The log has `wasserstein`, D(x) − D(x̃), the critic's estimate of
the distance; the validation loss is minus that, plus the penalty. It tells nothing about quality, so the last epoch is
kept (`select: last`), or the best by a metric.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from caloforge.geometry import Geometry
from caloforge.models.adversarial import AdversarialModel
from caloforge.networks.adversaries import Critic, Generator
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.unet import Grid, check_unet, grid_of_showers


class WGANGP(AdversarialModel):
    """A Wasserstein GAN with gradient penalty.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions (1: the incident energy, in [0, 1]).
        geometry: supplies the grid of a cylinder.
        grid: `line` (1D, ds1), `cylinder` (layers × alpha × r, round in alpha; F must be the voxels of a regular polar
            geometry), or three numbers with product F (layers × x × y).
        channels: of each level.
        kernel: of the convolutions, odd.
        pooling: for each step between levels, a factor per axis.
        positional_bias: learn a bias for each point of the critic's grid. Not as published.
        embedding: width of the Fourier features of the conditions, and of the dense layers behind them.
        noise_numbers: of uniform noise per shower; the paper has 50, 100, 150 for data sets 1, 2, 3.
        penalty: λ.
        critic_steps: steps of the critic for one of the generator.
        standardise: what features are scaled to mean 0 and width 1 with: `none` (as published), `all` one mean and
            width for all features, or `each` its own.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = WGANGP(369, 1, geometry=load_geometry("ds1-photons"), channels=[8, 16, 32])
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    renamed: ClassVar = {"locations": "positional_bias"}

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        grid: Literal["line", "cylinder"] | list[PositiveInt] = "line",
        channels: Annotated[list[PositiveInt], Field(min_length=1)] = [80, 320, 1280],  # noqa: B006 - read only, and shown in the schema
        kernel: PositiveInt = 5,
        pooling: list[list[PositiveInt]] = [[4], [4]],  # noqa: B006
        positional_bias: bool = False,
        embedding: Annotated[int, Field(ge=2)] = 256,
        noise_numbers: PositiveInt = 50,
        penalty: NonNegativeFloat = 10.0,
        critic_steps: PositiveInt = 5,
        standardise: By = "none",
    ) -> None:
        super().__init__()
        levels = Grid(grid_of_showers(grid, features, geometry), pooling, circular=grid == "cylinder")
        check_unet(levels, channels, kernel)
        self.critic = Critic(levels, channels, kernel, embedding, positional_bias, conditions)
        self.generator = Generator(levels, channels, kernel, embedding, conditions, noise_numbers)
        self.latent_dim, self.penalty, self.critic_steps = noise_numbers, penalty, critic_steps
        self.standardise = Standardise(features, standardise)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        state_dict.pop(f"{prefix}step", None)  # weights saved by earlier versions counted the steps
        super()._load_from_state_dict(state_dict, prefix, *others)

    # ---- training --------------------------------------------------------------------------------------------

    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        scores = self.critic(torch.cat([generated, x]), torch.cat([c, c]))
        with torch.enable_grad():  # the penalty is a gradient, also where the loss is only looked at
            u = torch.rand(len(x), 1, device=x.device, dtype=x.dtype)
            between = torch.lerp(generated.to(x), x, u).requires_grad_(True)
            score = self.critic(between, c).sum()
            (slope,) = torch.autograd.grad(score, between, create_graph=True)
        difference = scores[: len(x)] - scores[len(x) :]
        loss = difference + self.penalty * (slope.norm(dim=1) - 1) ** 2
        return {"critic_loss": loss, "wasserstein": -difference}

    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        return -self.critic(generated, c)

    def noise(self, like: Tensor) -> Tensor:
        return 2 * torch.rand(len(like), self.latent_dim, device=like.device, dtype=like.dtype) - 1

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C) → (B, F)."""
        uniform = torch.erf(z / math.sqrt(2))  # the distribution function of N(0, 1), from -1 to 1
        return self.standardise.inverse(self.generator(uniform, c))
