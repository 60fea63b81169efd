"""Transforms that take what is known of whole showers out of their points, and impose it on generated ones.

Models that generate points one by one (`caloforge.models.caloclouds`) get by them the hits and the energy of each
layer, and the centre of the shower, as in the calibrations of CaloClouds II (arXiv:2309.05704).
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from caloforge.geometry import PointGeometry
from caloforge.packed import Packed
from caloforge.transforms.point_transforms import TINY, PointTransform

ANSCOMBE = 0.375
"""√(n + 3/8) of a Poisson number has nearly the same spread for every mean (Biometrika 35 (1948) 246)."""


class PointLayers(PointTransform):
    """Hits and energy of each layer as numbers of the whole cloud: √(n_l + 3/8), and log of the mean energy per hit.

    `inverse` gives the points of each cloud, in the order of their layer column, to layers, so many to each as the
    numbers say, in proportion where these do not add up; then it scales what the points of a layer have above the
    threshold. A layer without hits has the mean of the whole cloud. The layers are whole numbers after `inverse`.

    Args:
        geometry: of the points; with the columns layer and energy.
        layers: L, number of layers.
        least: the threshold of the energy, in MeV.
    """

    def __init__(self, *, geometry: PointGeometry, layers: PositiveInt, least: NonNegativeFloat = 0.0) -> None:
        super().__init__(geometry)
        self.layer, self.energy = geometry.index("layer"), geometry.index("energy")
        self.layers, self.least = layers, least

    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        layer = clouds.points[:, self.layer].round().long().clamp(0, self.layers - 1)
        above = (clouds.points[:, self.energy] - self.least).clamp_min(0)
        hits, sums = self._by_layer(clouds, layer, torch.ones_like(above)), self._by_layer(clouds, layer, above)
        whole = sums.sum(dim=1, keepdim=True) / clouds.counts.clamp_min(1)[:, None]
        mean = torch.where(hits > 0, sums / hits.clamp_min(1), whole)
        numbers = torch.cat([(hits + ANSCOMBE).sqrt(), mean.clamp_min(TINY * (self.least or 1.0)).log()], dim=1)
        return Packed(clouds.points, clouds.cloud, clouds.counts, torch.cat([clouds.others, numbers], dim=1))

    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        others, roots, logs = clouds.others.split([clouds.others.shape[1] - 2 * self.layers, *2 * [self.layers]], dim=1)
        hits = whole_shares((roots.clamp_min(0).square() - ANSCOMBE).clamp_min(0), clouds.counts)
        points = clouds.points.clone()
        # By the layer column within each cloud: stable sorts, the less significant key first.
        order = points[:, self.layer].argsort(stable=True)
        order = order[clouds.cloud[order].argsort(stable=True)]
        layer = torch.empty_like(clouds.cloud)
        numbered = torch.arange(self.layers, device=layer.device).repeat(len(clouds))
        layer[order] = torch.repeat_interleave(numbered, hits.flatten(), output_size=len(points))
        above = (points[:, self.energy] - self.least).clamp_min(0)
        found = self._by_layer(clouds, layer, above)
        factor = (logs.exp() * hits / found.clamp_min(1e-12)).flatten()
        points[:, self.layer] = layer.to(points)
        points[:, self.energy] = self.least + above * factor[clouds.cloud * self.layers + layer]
        return Packed(points, clouds.cloud, clouds.counts, others)

    def _by_layer(self, clouds: Packed, layer: Tensor, values: Tensor) -> Tensor:
        """(B, L) sums of values (P,) over the points of each layer (P,)."""
        sums = values.new_zeros(len(clouds) * self.layers)
        return sums.index_add_(0, clouds.cloud * self.layers + layer, values).view(len(clouds), self.layers)


class PointCentre(PointTransform):
    """The centre of energy in x and y as numbers of the whole cloud, in the columns' unit.

    `inverse` shifts the points so that it is theirs.

    Args:
        geometry: of the points; with the columns x, y and energy.
    """

    def __init__(self, *, geometry: PointGeometry) -> None:
        super().__init__(geometry)
        self.across, self.energy = [geometry.index(name) for name in ("x", "y")], geometry.index("energy")

    def towards_model(self, clouds: Packed, c: Tensor) -> Packed:
        others = torch.cat([clouds.others, self._centre(clouds)], dim=1)
        return Packed(clouds.points, clouds.cloud, clouds.counts, others)

    def towards_physics(self, clouds: Packed, c: Tensor) -> Packed:
        points = clouds.points.clone()
        points[:, self.across] += clouds.spread(clouds.others[:, -2:] - self._centre(clouds))
        return Packed(points, clouds.cloud, clouds.counts, clouds.others[:, :-2])

    def _centre(self, clouds: Packed) -> Tensor:
        """(B, 2)."""
        energy = clouds.points[:, self.energy, None]
        return clouds.sums(energy * clouds.points[:, self.across]) / clouds.sums(energy).clamp_min(1e-12)


def whole_shares(weights: Tensor, totals: Tensor) -> Tensor:
    """(B, L) whole numbers in proportion to weights (B, L) that add up to totals (B,): the largest remainders go up.

    A row without weights is shared evenly.
    """
    weights = weights.double()
    weights = torch.where(weights.sum(dim=1, keepdim=True) > 0, weights, torch.ones_like(weights))
    wanted = weights / weights.sum(dim=1, keepdim=True) * totals[:, None]
    shares = wanted.floor()
    left = totals - shares.sum(dim=1).round().long()
    rank = (wanted - shares).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return (shares + (rank < left[:, None])).long()
