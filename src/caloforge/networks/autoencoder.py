"""A Gaussian variational autoencoder of MLPs: posterior q(z|x) = N(μ_q(x), diag σ_q²(x)), decoder p(x|z) = N(μ(z), σ²).

    evidence lower bound  =  E_q log p(x|z)  −  KL(q(z|x) ‖ N(0, 1))

The decoder gives the mean of each feature, and one variance for all or one per feature. Encoder and decoder may
take conditions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from caloforge.networks.residual import mlp
from caloforge.networks.standardise import Standardise

_LOG_2PI = 1.8378770664093453


class Autoencoder(nn.Module):
    """Gaussian variational autoencoder with MLPs.

    Args:
        features: F.
        conditions: number of conditions given to both halves; 0 as in the CaloMan paper.
        latent_dim: d.
        hidden: widths of the hidden layers of the encoder; the decoder has them in reverse order.
        standardised: whether the encoder sees standardised features.
        each_variance: whether the decoder gives one variance per feature instead of one for all.
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        latent_dim: int,
        hidden: Sequence[int],
        standardised: bool = False,
        each_variance: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.scaling = Standardise(features, "each", ("mean", "std")) if standardised else nn.Identity()
        self.encoder = mlp([features + conditions, *hidden, 2 * latent_dim])
        self.decoder = mlp([latent_dim + conditions, *hidden[::-1], 2 * features if each_variance else features + 1])

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, F), c (B, C') → mean and log variance of the posterior, each (B, d)."""
        mean, log_variance = self.encoder(torch.cat([self.scaling(x), c], dim=1)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """z (B, d), c (B, C') → mean (B, F) and log variance, (B, 1) or (B, F), of the features."""
        out = self.decoder(torch.cat([z, c], dim=1))
        return out[:, : self.features], out[:, self.features :]

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) negative evidence lower bound with one posterior sample per shower."""
        reconstruction, divergence = self.losses(x, c)
        return reconstruction + divergence

    def losses(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) −log p(x|z) for one posterior sample z, and (B,) the Kullback–Leibler divergence, in nats."""
        mean, log_variance = self.encode(x, c)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        x_mean, x_log_variance = self.decode(z, c)
        if x_log_variance.shape[1] == 1:
            squared = ((x - x_mean) ** 2).sum(dim=1) * torch.exp(-x_log_variance[:, 0])
            reconstruction = 0.5 * (squared + x.shape[1] * (x_log_variance[:, 0] + _LOG_2PI))
        else:
            pulls = (x - x_mean) ** 2 * torch.exp(-x_log_variance)
            reconstruction = 0.5 * (pulls + x_log_variance + _LOG_2PI).sum(dim=1)
        divergence = 0.5 * (mean**2 + torch.exp(log_variance) - 1 - log_variance).sum(dim=1)
        return reconstruction, divergence
