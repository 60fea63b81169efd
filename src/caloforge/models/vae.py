"""A variational autoencoder as the generator (Kingma and Welling, arXiv:1312.6114), the simplest baseline.

The autoencoder of `caloforge.networks.autoencoder`, given the conditions in both halves, is trained by

    loss = −E_q log p(x | z, c) + β w KL(q(z | x, c) ‖ N(0, 1)),

β weighting the divergence (arXiv:1804.03599), w rising from 0 to 1 in the first `warmup_steps` steps: without it many
latent dimensions are switched off before the decoder has learned to use them. A shower is z ~ N(0, 1), then

    mean       the decoder's mean μ(z, c): what all showers with this z have in common, hence too smooth;
    sampled    μ + σ ε, ε ~ N(0, 1): the density that was trained, whose voxels fluctuate independently.

Neither is right where voxels are correlated beyond z: the mean has too narrow, the sample too noisy spectra of voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.models.base import LatentModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Losses, Stage, TrainingBatch
from caloforge.networks.autoencoder import Autoencoder
from caloforge.networks.standardise import By, Standardise


class VAE(LatentModel):
    """Variational autoencoder whose decoder generates showers from noise.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions, given to encoder and decoder.
        code_dim: d, dimension of the code.
        hidden: widths of the encoder's hidden layers; the decoder's are the same in reversed order.
        beta: β, weight of the divergence.
        warmup_steps: steps until that weight is reached; 0 for none.
        variance: of the decoder: `one` for all features, or `each` its own.
        decoding: `mean` or `sampled`.
        standardise: features to mean 0 and width 1: `none`, `all` with one mean and width, `each` with its own.

    Example:
        >>> model = VAE(369, 1, code_dim=8, hidden=[32])
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        code_dim: PositiveInt = 20,
        hidden: list[PositiveInt] = [512, 512, 512],  # noqa: B006 - read only, and shown in the schema
        beta: PositiveFloat = 1.0,
        warmup_steps: NonNegativeInt = 0,
        variance: Literal["one", "each"] = "each",
        decoding: Literal["mean", "sampled"] = "sampled",
        standardise: By = "each",
    ) -> None:
        super().__init__()
        self.code_dim, self.beta, self.warmup_steps = code_dim, beta, warmup_steps
        self.sampled = decoding == "sampled"
        self.latent_dim = code_dim + (features if self.sampled else 0)
        self.autoencoder = Autoencoder(features, conditions, code_dim, hidden, each_variance=variance == "each")
        self.standardise = Standardise(features, standardise)

    # ---- training --------------------------------------------------------------------------------------------

    def training_only(self) -> frozenset[str]:
        """The encoder."""
        return frozenset({"autoencoder.encoder"})

    def stages(self) -> list[Stage]:
        """One, `model`."""
        return [_WarmUp(self)]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) negative evidence lower bound of standardised features, with β and without warm-up."""
        reconstruction, divergence = self.autoencoder.losses(self.standardise(x), c)
        return reconstruction + self.beta * divergence

    # ---- sampling --------------------------------------------------------------------------------------------

    def sampling_settings(self) -> frozenset[str]:
        """`decoding`."""
        return frozenset({"decoding"})

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, d), or (B, d + F) for sampled decoding, from N(0, 1), c (B, C) → (B, F)."""
        mean, log_variance = self.autoencoder.decode(z[:, : self.code_dim], c)
        if self.sampled:
            mean = mean + torch.exp(0.5 * log_variance) * z[:, self.code_dim :]
        return self.standardise.inverse(mean)


class _WarmUp(Stage):
    """The stage whose divergence gets its weight little by little; logs both parts of the loss."""

    def __init__(self, model: VAE) -> None:
        super().__init__("model", model.loss, model.parameters())
        self.model = model

    def fit(self, data: ShowerDataset) -> None:
        self.model.standardise.fit(data.sample()[0])

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        model, (optimizer,) = self.model, optimizers
        reconstruction, divergence = model.autoencoder.losses(model.standardise(batch.x), batch.c)
        weight = model.beta * min(1.0, (batch.number + 1) / max(1, model.warmup_steps))
        loss = self.descend(reconstruction + weight * divergence, len(batch.x), optimizer)
        return {
            "loss": loss,
            "reconstruction": reconstruction.detach().mean(),
            "divergence": divergence.detach().mean(),
        }
