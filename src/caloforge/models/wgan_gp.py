"""WGAN-GP: the GAN baseline of the CaloScore paper (arXiv:2206.11898; Gulrajani et al., arXiv:1704.00028).

A generator G maps noise to showers, a critic D scores them; both see the conditions, and both are a half of CaloScore's
U-Net (`caloforge.networks.unet`): D contracts a shower to one number, G expands noise to a shower. With x̃ = G(z, c),
x̂ = u x + (1 − u) x̃ and u uniform in [0, 1],

    critic       minimise  D(x̃) − D(x) + λ (‖∇_x̂ D(x̂)‖ − 1)²
    generator    minimise  −D(x̃),     once every `critic_steps` steps of the critic.

One stage trains both, each with an optimiser of its own. Where both take a step, both gradients are those at the
weights before it.

A validation loss is the critic's: minus its estimate of the Wasserstein distance. It tells nothing about quality, so
the last epoch is kept (`select: last`), or the best by a metric.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from caloforge.geometry import Geometry
from caloforge.models.base import LatentModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Losses, Stage, StageSettings, TrainingBatch, make_optimizer
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.unet import Contracting, Expanding, FourierFeatures, Grid, check_unet, grid_of_showers


class Critic(nn.Module):
    """(shower, conditions) → a number: high where showers look real.

    Args:
        grid, channels, kernel, embedding, positional_bias: of the U-Net's contracting half.
        conditions: C.
    """

    def __init__(
        self, grid: Grid, channels: list[int], kernel: int, embedding: int, positional_bias: bool, conditions: int
    ) -> None:
        super().__init__()
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.down = Contracting(grid, channels, kernel, embedding, positional_bias)
        self.last = nn.Linear(channels[-1] * grid.sizes[-1], 1, bias=False)  # only differences count

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, F), (B, C) → (B,)."""
        e = functional.silu(self.of_conditions(c))
        return self.last(self.down(x, e)[-1].flatten(1))[:, 0]


class Generator(nn.Module):
    """(noise, conditions) → a shower.

    Args:
        grid, channels, kernel, embedding: of the U-Net's expanding half.
        conditions: C.
        latent_dim: dimension of the noise.
    """

    def __init__(
        self, grid: Grid, channels: list[int], kernel: int, embedding: int, conditions: int, latent_dim: int
    ) -> None:
        super().__init__()
        self.bottom = (channels[-1], *grid.shapes[-1])
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.first = nn.Linear(latent_dim + embedding, math.prod(self.bottom))
        self.up = Expanding(grid, channels, kernel, embedding, joined=False)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """(B, latent_dim), (B, C) → (B, F)."""
        e = functional.silu(self.of_conditions(c))
        h = functional.silu(self.first(torch.cat([z, e], dim=1)))
        return self.up(h.view(-1, *self.bottom), e)


class WGANGP(LatentModel):
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

    renamed: ClassVar = {"places": "positional_bias"}

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

    def stages(self) -> list[Stage]:
        """One, `model`: critic and generator in turn."""
        return [_Adversaries(self)]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) the critic's loss, for showers generated anew."""
        x = self.standardise(x)
        with torch.no_grad():
            generated = self.generator(self._noise(x), c)
        return self._critic_loss(x, generated, c)

    def _critic_loss(self, x: Tensor, generated: Tensor, c: Tensor) -> Tensor:
        scores = self.critic(torch.cat([generated, x]), torch.cat([c, c]))
        with torch.enable_grad():  # the penalty is a gradient, also where the loss is only looked at
            u = torch.rand(len(x), 1, device=x.device, dtype=x.dtype)
            between = torch.lerp(generated, x, u).requires_grad_(True)
            score = self.critic(between, c).sum()
            (slope,) = torch.autograd.grad(score, between, create_graph=True)
        return scores[: len(x)] - scores[len(x) :] + self.penalty * (slope.norm(dim=1) - 1) ** 2

    def _noise(self, like: Tensor) -> Tensor:
        return 2 * torch.rand(len(like), self.latent_dim, device=like.device, dtype=like.dtype) - 1

    # ---- sampling --------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C) → (B, F)."""
        uniform = torch.erf(z / math.sqrt(2))  # the distribution function of N(0, 1), from -1 to 1
        return self.standardise.inverse(self.generator(uniform, c))


class _Adversaries(Stage):
    """Critic and generator in turn: the losses `critic_loss` and, every `critic_steps` steps, `generator_loss`."""

    def __init__(self, model: WGANGP) -> None:
        super().__init__("model", model.loss, model.parameters())
        self.model = model

    def fit(self, data: ShowerDataset) -> None:
        self.model.standardise.fit_chunks(x for x, _ in data.chunks())

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        """The critic's and the generator's."""
        return [make_optimizer(half.parameters(), settings) for half in (self.model.critic, self.model.generator)]

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        model, (of_critic, of_generator) = self.model, optimizers
        generators_turn = batch.number % model.critic_steps == 0
        x = model.standardise(batch.x)
        with torch.set_grad_enabled(generators_turn):
            generated = model.generator(model._noise(x), batch.c)
        losses = {"critic_loss": model._critic_loss(x, generated.detach(), batch.c).mean()}
        of_critic.zero_grad(set_to_none=True)
        losses["critic_loss"].backward()
        if generators_turn:
            losses["generator_loss"] = -model.critic(generated, batch.c).mean()
            of_generator.zero_grad(set_to_none=True)
            losses["generator_loss"].backward(inputs=list(model.generator.parameters()))
            of_generator.step()
        of_critic.step()
        return {name: loss.detach() for name, loss in losses.items()}
