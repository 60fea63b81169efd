"""GAN: a generator against a classifier (Goodfellow et al., arXiv:1406.2661).

The critic's output D(x) is the logit of the probability σ(D) that a shower is real. With x̃ = G(z, c),

    critic                      minimise  −log σ(D(x)) − log(1 − σ(D(x̃)))
    generator, non-saturating   minimise  −log σ(D(x̃))
    generator, minimax          minimise   log(1 − σ(D(x̃)))

The minimum of the first is D = log p(x)/p̃(x); the minimax loss is then the Jensen–Shannon divergence, whose gradient
vanishes where the critic is sure, hence the other one. Critic and generator are the WGAN-GP's, the halves of
CaloScore's U-Net; the critic may see minibatch features (`caloforge.networks.adversaries`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from caloforge.geometry import Geometry
from caloforge.models.adversarial import AdversarialModel
from caloforge.networks.adversaries import Critic, Generator
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.unet import Grid, check_unet, grid_of_showers


class GAN(AdversarialModel):
    """Generative adversarial network with minimax or non-saturating loss.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions (1: the incident energy, in [0, 1]).
        geometry: supplies the grid of a cylinder.
        objective: of the generator, `non_saturating` or `minimax`.
        grid: of the U-Net's halves: `line`, `cylinder`, or three numbers with product F (see CaloScore).
        channels: of each level.
        kernel: of the convolutions, odd.
        pooling: for each step down, a factor per axis.
        positional_bias: learn a bias for each point of the critic's grid.
        embedding: width of the embedding of the conditions.
        noise_dim: D, dimension of the noise.
        minibatch_features: that the critic sees; 0 for none.
        critic_steps: steps of the critic for one of the generator.
        critic_rate: learning rate of the critic over that of the generator.
        momentum: β₁ of Adam.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> import torch
        >>> from caloforge.geometry import load_geometry
        >>> model = GAN(369, 1, geometry=load_geometry("ds1-photons"), channels=[8, 16, 32])
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        objective: Literal["non_saturating", "minimax"] = "non_saturating",
        grid: Literal["line", "cylinder"] | list[PositiveInt] = "line",
        channels: Annotated[list[PositiveInt], Field(min_length=1)] = [80, 320, 1280],  # noqa: B006 - read only, and shown in the schema
        kernel: PositiveInt = 5,
        pooling: list[list[PositiveInt]] = [[4], [4]],  # noqa: B006
        positional_bias: bool = False,
        embedding: Annotated[int, Field(ge=2)] = 256,
        noise_dim: PositiveInt = 50,
        minibatch_features: NonNegativeInt = 0,
        critic_steps: PositiveInt = 1,
        critic_rate: PositiveFloat = 1.0,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        standardise: By = "each",
    ) -> None:
        super().__init__()
        levels = Grid(grid_of_showers(grid, features, geometry), pooling, circular=grid == "cylinder")
        check_unet(levels, channels, kernel)
        shape = (levels, channels, kernel, embedding)
        self.critic = Critic(*shape, positional_bias, conditions, bias=True, minibatch_features=minibatch_features)
        self.generator = Generator(*shape, conditions, noise_dim)
        self.saturates = objective == "minimax"
        self.latent_dim = noise_dim
        self.critic_steps, self.critic_rate, self.momentum = critic_steps, critic_rate, momentum
        self.standardise = Standardise(features, standardise)

    def critic_losses(self, x: Tensor, generated: Tensor, c: Tensor) -> dict[str, Tensor]:
        # One batch is real, the other generated: minibatch features compare within each.
        real, fake = self.critic(x, c), self.critic(generated, c)
        right = 0.5 * ((real > 0).to(x) + (fake < 0).to(x))
        return {"critic_loss": functional.softplus(-real) + functional.softplus(fake), "critic_accuracy": right}

    def generator_loss(self, generated: Tensor, c: Tensor) -> Tensor:
        logit = self.critic(generated, c)
        return -functional.softplus(logit) if self.saturates else functional.softplus(-logit)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C) → (B, F)."""
        return self.standardise.inverse(self.generator(z, c))
