"""Layer energies as fractions, and voxels as shares of their layer (CaloFlow, arXiv:2106.05285).

L layer energies E_0 … E_{L−1} are equivalent to L fractions:

    u_0 = Σ E / scale,    u_k = E_{k−1} / (E_{k−1} + … + E_{L−1}),  k = 1 … L − 1,

all in [0, 1] where the deposited energy does not exceed `scale`; 0/0, where no energy is left for the remaining layers,
is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor


def energies_to_fractions(energies: Tensor, scale: Tensor) -> Tensor:
    """(B, L) energies, (B, 1) scale, all MeV → (B, L) fractions in [0, 1]."""
    left = energies.flip(1).cumsum(1).flip(1)
    inner = energies[:, :-1] / left[:, :-1].clamp_min(torch.finfo(energies.dtype).tiny)
    return torch.cat([left[:, :1] / scale, inner], dim=1).clamp(0, 1)


def fractions_to_energies(fractions: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L) fractions, (B, 1) scale in MeV → (B, L) energies in MeV and log |det ∂E/∂u| (B,)."""
    total = fractions[:, :1] * scale
    # Energy left after the layers before. (A product layer by layer: ONNX has no cumulative one.)
    parts = [total]
    for rest in (1 - fractions[:, 1:]).split(1, dim=1):
        parts.append(parts[-1] * rest)
    left = torch.cat(parts, dim=1)
    energies = torch.cat([fractions[:, 1:] * left[:, :-1], left[:, -1:]], dim=1)
    tiny = torch.finfo(fractions.dtype).tiny
    return energies, torch.log(scale[:, 0]) + torch.log(left[:, :-1].clamp_min(tiny)).sum(dim=1)


class LayerSums:
    """Sums over the voxels of each layer, shares of these, and voxels from shares.

    Args:
        layer_index: (V,) position of each voxel's layer, 0 … L − 1, in ascending order.
    """

    def __init__(self, layer_index: Tensor) -> None:
        self.layer_index = layer_index
        self.sizes: list[int] = torch.bincount(layer_index).tolist()

    def sums(self, x: Tensor) -> Tensor:
        """(B, V) → (B, L)."""
        return torch.stack([part.sum(dim=1) for part in x.split(self.sizes, dim=1)], dim=1)

    def spread(self, per_layer: Tensor) -> Tensor:
        """(B, L) → (B, V): each voxel gets its layer's value."""
        return per_layer.index_select(1, self.layer_index.to(per_layer.device))

    def shares(self, x: Tensor) -> Tensor:
        """(B, V) → (B, V), each layer divided by its sum; a layer of zeros stays so."""
        return x / self.spread(self.sums(x).clamp_min(torch.finfo(x.dtype).tiny))

    def share_out(self, weights: Tensor, energies: Tensor, least: float) -> Tensor:
        """Divide each layer's energy among its voxels, none of which gets an energy between 0 and `least`.

        Args:
            weights: (B, V), not negative: the voxels' shares, up to a factor per layer.
            energies: (B, L) MeV.
            least: MeV. Voxels that would get less are set to zero, faintest first, and their energy goes to the others;
                so the layer's energy is exact (a layer below `least` gives all to its brightest voxel).

        Returns:
            (B, V) MeV.
        """
        weights = weights.clamp_min(1e-12)  # a layer may underflow as a whole
        parts = [
            self._share_out(part, energies[:, n : n + 1], least)
            for n, part in enumerate(weights.split(self.sizes, dim=1))
        ]
        return torch.cat(parts, dim=1)

    @staticmethod
    def _share_out(weights: Tensor, energy: Tensor, least: float) -> Tensor:
        if least > 0:
            ranked, order = torch.sort(weights, dim=1, descending=True)
            # The k brightest remain if the k-th of them gets enough without the fainter ones: true up to some k, and
            # false beyond. The brightest always remains.
            kept = (ranked * energy >= least * torch.cumsum(ranked, dim=1)).sum(dim=1, keepdim=True).clamp_min(1)
            ranks = torch.arange(weights.shape[1], device=weights.device)
            ranked = torch.where(ranks < kept, ranked, torch.zeros_like(ranked))
            weights = torch.zeros_like(weights).scatter(1, order, ranked)
        return weights * (energy / weights.sum(dim=1, keepdim=True))
