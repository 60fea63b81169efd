"""DDPM: denoising diffusion in discrete steps (Ho et al., arXiv:2006.11239).

A chain of T steps turns showers into noise (`caloforge.diffusion.chain`), x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) z. A network
predicts that noise,

    training (Algorithm 1)    minimise E_{t, x_0, z} ‖ε(x_t, t, c) − z‖²,    t uniform in 1 … T,
    sampling (Algorithm 2)    from x_T ~ N(0, 1):  x_{t−1} = (x_t − β_t/√(1 − ᾱ_t) ε)/√α_t + σ_t z,

or by DDIM in fewer steps (arXiv:2010.02502). In the limit of many steps the chain is CaloScore's `vp`
(`caloforge.models.caloscore`), whose networks it has; that model's samplers need a continuous time.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn import functional

from caloforge.diffusion.chain import Betas, Chain, Variance
from caloforge.diffusion.samplers import noise_like
from caloforge.geometry import Geometry
from caloforge.models.base import ShowerModel
from caloforge.models.stages import Stage
from caloforge.networks.denoising import CPU_ROWS, denoising_network
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.unet import FourierFeatures, UNet


class DDPM(ShowerModel):
    """Denoising diffusion with noise prediction.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions (1: the incident energy, in [0, 1]).
        geometry: supplies the grid of a cylinder.
        timesteps: T, length of the chain.
        betas: `linear` (as published) or `cosine` (arXiv:2102.09672).
        network: `unet`, or `mlp`: a residual network on the plain features.
        grid: of the U-Net: `line`, `cylinder`, or three numbers with product F (see CaloScore).
        channels: of each level of the U-Net.
        kernel: of its convolutions, odd.
        pooling: for each of its steps down, a factor per axis.
        positional_bias: learn a bias for each point of the grid.
        width: hidden features of the `mlp`.
        blocks: of the `mlp`, residual.
        embedding: width of the embedding of time and conditions.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.
        sampler: `ancestral`, T steps with fresh noise in each, or `ddim`.
        variance: of the ancestral steps: `small` (β̃_t) or `large` (β_t); the paper finds both alike.
        steps: of `ddim`.
        eta: of `ddim`: 0 is deterministic, 1 as random as the ancestral steps.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = DDPM(369, 1, geometry=load_geometry("ds1-photons"), network="mlp", width=16, timesteps=5)
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    export_obstacle = (
        "its sampler evaluates the network many times, which no format's graph holds; generate with the engine torch, "
        "or export the flagship, CaloMan, CaloFlow's student or a WGAN-GP"
    )

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        timesteps: PositiveInt = 1000,
        betas: Betas = "linear",
        network: Literal["unet", "mlp"] = "unet",
        grid: Literal["line", "cylinder"] | list[PositiveInt] = "line",
        channels: Annotated[list[PositiveInt], Field(min_length=1)] = [80, 320, 1280],  # noqa: B006 - read only, and shown in the schema
        kernel: PositiveInt = 5,
        pooling: list[list[PositiveInt]] = [[4], [4]],  # noqa: B006
        positional_bias: bool = False,
        width: PositiveInt = 512,
        blocks: NonNegativeInt = 4,
        embedding: Annotated[int, Field(ge=2)] = 256,
        standardise: By = "none",
        sampler: Literal["ancestral", "ddim"] = "ancestral",
        variance: Variance = "small",
        steps: PositiveInt = 50,
        eta: Annotated[NonNegativeFloat, Field(le=1)] = 0.0,
    ) -> None:
        super().__init__()
        self.features = features
        self.sampler, self.variance, self.steps, self.eta = sampler, variance, steps, eta
        self.chain = Chain(betas, timesteps)
        self.of_time = FourierFeatures(1, embedding)
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.network, _ = denoising_network(
            network,
            features,
            embedding,
            geometry,
            grid=grid,
            channels=channels,
            kernel=kernel,
            pooling=pooling,
            positional_bias=positional_bias,
            width=width,
            blocks=blocks,
        )
        self.standardise = Standardise(features, standardise)

    def noise(self, x_t: Tensor, t: Tensor, e_c: Tensor) -> Tensor:
        """(B, F) the predicted noise.

        Args:
            x_t: (B, F) standardised showers with noise. t: (B,) or (1,), 1 … T.
            e_c: (B, E) embedded conditions.
        """
        time = t[:, None].to(x_t) / self.chain.length
        return self.network(x_t, functional.silu(self.of_time(time) + e_c))

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """One, `model`."""
        return [Stage("model", self.loss, self.parameters(), fit=lambda data: self.standardise.fit(data.sample()[0]))]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) ‖ε − z‖² / F, at one time and one noise for each shower."""
        t = torch.randint(1, self.chain.length + 1, (len(x),), device=x.device)
        z = torch.randn_like(x)
        x_t = self.chain.noised(self.standardise(x), t, z)
        return (self.noise(x_t, t, self.of_conditions(c)) - z).square().mean(dim=1)

    # ---- sampling --------------------------------------------------------------------------------------------

    def sampling_settings(self) -> frozenset[str]:
        """`sampler`, and the settings of the present one."""
        return frozenset({"sampler"} | ({"variance"} if self.sampler == "ancestral" else {"steps", "eta"}))

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        rows = CPU_ROWS if c.device.type == "cpu" and isinstance(self.network, UNet) else max(1, len(c))
        return torch.cat([self._sample(part, generator) for part in c.split(rows)])

    def _sample(self, c: Tensor, generator: torch.Generator | None) -> Tensor:
        e_c = self.of_conditions(c)  # the same at all times
        x_t = torch.randn(len(c), self.features, generator=generator, device=c.device, dtype=c.dtype)
        times = self.chain.subsequence(self.chain.length if self.sampler == "ancestral" else self.steps)
        for t, s in itertools.pairwise(times):
            noise = self.noise(x_t, torch.tensor([t], device=c.device), e_c)
            if self.sampler == "ancestral":
                z = noise_like(x_t, generator) if t > 1 else None
                x_t = self.chain.ancestral(x_t, noise, t, z, self.variance)
            else:
                z = noise_like(x_t, generator) if self.eta > 0 and s > 0 else None
                x_t = self.chain.ddim(x_t, noise, t, s, self.eta, z)
        return self.standardise.inverse(x_t)
