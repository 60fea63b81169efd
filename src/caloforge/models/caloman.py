"""CaloMan: showers on a learned manifold (Cresswell et al., arXiv:2211.15380).

Showers fill only a thin manifold of their voxel space. CaloMan learns it in two steps, so that a density of full
dimension is never fitted to data that have none (manifold overfitting):

1. a variational autoencoder, x ↔ z with dim z = d: maximise E_{q(z|x)} log p(x|z) − KL(q(z|x) ‖ N(0, 1)), with
   q a diagonal Gaussian and p(x|z) = N(x; μ(z), σ²(z) 1), one variance for all features;
2. a flow on the codes: maximise log p(z | E_inc) over z = μ_q(x) / max|μ_q|, by spline couplings on [-1, 1].

A sample is z ~ p(z | E_inc), then the decoder's mean. The density of a shower on the manifold is
p(x | E_inc) = p(z | E_inc) det(JᵀJ)^(−1/2) with the decoder's Jacobian J (see `caloforge.manifold`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.func import jacfwd, vmap

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.base import LatentModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Stage
from caloforge.networks.autoencoder import Autoencoder
from caloforge.networks.flows import spline_coupling_flow
from caloforge.networks.standardise import Standardise


class CaloMan(LatentModel):
    """VAE and conditional spline flow on its codes.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions (1: the incident energy, in [0, 1]).
        latent_dim: d; `auto` takes the rounded intrinsic dimension d̂_10 of the training set.
        hidden: widths of the hidden layers of encoder and decoder.
        standardised_encoder: let the encoder see each feature with mean 0 and standard deviation 1. Not as published:
            the preprocessed voxels are so small (10⁻³ and less) that without it most latent dimensions collapse.
        conditional_autoencoder: give the conditions to encoder and decoder; not as published, but what the authors
            suggest for layers that carry little energy.
        flow_layers: number of spline couplings.
        flow_bins: bins of a spline.
        flow_bound: splines bend [-flow_bound, flow_bound]; the codes lie in [-1, 1].
        flow_width: hidden features of a coupling's residual network.
        flow_blocks: residual blocks of a coupling's network.
        flow_start: where the flow's outer linear maps start, which the paper does not state: `data` matches mean and
            width of codes and noise, a third of the bound being a standard deviation; `identity` is the library's.

    Example:
        >>> model = CaloMan(features=369, conditions=1, latent_dim=20)
        >>> model.sample(torch.rand(8, 1)).shape
        torch.Size([8, 369])
    """

    scale: Tensor

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        latent_dim: int | Literal["auto"],
        hidden: list[PositiveInt] = [512, 512, 512],  # noqa: B006 - read only, and shown in the schema
        standardised_encoder: bool = False,
        conditional_autoencoder: bool = False,
        flow_layers: PositiveInt = 4,
        flow_bins: Annotated[int, Field(ge=2)] = 8,
        flow_bound: PositiveFloat = 1.0,
        flow_width: PositiveInt = 64,
        flow_blocks: NonNegativeInt = 3,
        flow_start: Literal["data", "identity"] = "data",
    ) -> None:
        super().__init__()
        if isinstance(latent_dim, str):
            raise CaloforgeError("latent_dim 'auto' needs the training set: train from a recipe, or give a number")
        if not 2 <= latent_dim <= features:
            raise CaloforgeError(f"latent_dim must be 2 … {features} (the number of features), not {latent_dim}")
        self.latent_dim = latent_dim
        self.start_spread = flow_bound / 3 if flow_start == "data" else None
        self.conditional_autoencoder = conditional_autoencoder
        given = conditions if conditional_autoencoder else 0
        self.autoencoder = Autoencoder(features, given, latent_dim, hidden, standardised_encoder)
        self.density = spline_coupling_flow(
            latent_dim,
            conditions,
            layers=flow_layers,
            bins=flow_bins,
            bound=flow_bound,
            width=flow_width,
            blocks=flow_blocks,
        )
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def settings_from_data(cls, settings: dict[str, Any], data: ShowerDataset, geometry: Geometry) -> dict[str, Any]:
        """Replace `latent_dim: auto` by the rounded d̂_10 of the features, or of a random sample of many (appendix)."""
        if settings["latent_dim"] != "auto":
            return settings
        from caloforge.manifold import intrinsic_dimension

        x, _ = data.sample()
        estimate = intrinsic_dimension(x, k=10)
        return {**settings, "latent_dim": min(max(2, round(estimate.value)), x.shape[1])}

    def _given(self, c: Tensor) -> Tensor:
        """What the autoencoder sees of the conditions."""
        return c if self.conditional_autoencoder else c[:, :0]

    def training_only(self) -> frozenset[str]:
        """The encoder."""
        return frozenset({"autoencoder.encoder"})

    def stages(self) -> Sequence[Stage]:
        """`autoencoder`, then `density` on the codes of the whole training set."""
        return [
            Stage("autoencoder", self._autoencoder_loss, self.autoencoder.parameters(), fit=self._fit_scaling),
            Stage(
                "density",
                self._density_loss,
                self.density.parameters(),
                fit=self._fit_codes,
                prepare=lambda data: data.map(self._encode),
            ),
        ]

    def _autoencoder_loss(self, x: Tensor, c: Tensor) -> Tensor:
        return self.autoencoder.loss(x, self._given(c))

    def _density_loss(self, codes: Tensor, c: Tensor) -> Tensor:
        return -self.density.log_prob(codes, c)

    def codes(self, x: Tensor, c: Tensor) -> Tensor:
        """(B, d) encoder means of x (B, F), divided by the largest absolute element in training."""
        return self.autoencoder.encode(x, self._given(c))[0] / self.scale

    def _encode(self, x: Tensor, c: Tensor) -> Pair:
        return self.codes(x, c), c

    def _fit_scaling(self, data: ShowerDataset) -> None:
        if isinstance(self.autoencoder.scaling, Standardise):
            self.autoencoder.scaling.fit_chunks(x for x, _ in data.chunks())

    def _fit_codes(self, data: ShowerDataset) -> None:
        codes = torch.cat([self.codes(x, c) for x, c in data.pieces()])
        largest = codes.abs().max().clamp_min(1e-12)
        self.scale *= largest
        if self.start_spread is not None:
            self.density.fit_outer_maps(codes / largest, self.start_spread)

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) both objectives; the flow's gradient does not reach the encoder."""
        codes = self.codes(x, c).detach()
        return self._autoencoder_loss(x, c) + self._density_loss(codes, c)

    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, d) from N(0, 1), c (B, C) → the decoder's mean (B, F)."""
        codes, _ = self.density.inverse(z, c)
        return self.autoencoder.decode(codes * self.scale, self._given(c))[0]

    def log_prob(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) log density on the manifold, at the manifold's point with the codes of x.

        The volume element is that of the decoder at the codes, including the division by `scale`.
        """
        from caloforge.manifold import log_density_on_manifold

        codes = self.codes(x, c)

        def decode_one(code: Tensor, given: Tensor) -> Tensor:
            return self.autoencoder.decode((code * self.scale)[None], given[None])[0][0]

        jacobian = vmap(jacfwd(decode_one))(codes, self._given(c))
        return log_density_on_manifold(self.density.log_prob(codes, c), jacobian)
