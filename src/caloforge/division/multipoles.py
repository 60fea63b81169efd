"""Multipole moments of the layers, which say on which side a layer is brighter before its voxels are drawn.

The moment of order m of a layer is the complex number

    Q_m = Σ E r^m exp(i m α)    over its voxels,    m = 1 … M:

Q_1/E_layer is the centre of energy in (eta, phi), and Q_2/E_layer the difference of the squared widths in eta and phi.
Many voxels add up to it, so that it has a smooth distribution even where few voxels are hit. It is divided by

    s_m = √Σ_i v_im,    v_im = ½ (E_i r_i^m)² / n_i    for the rings i of the layer,

v being about the variance that each component of a ring's part would have if the n_i voxels hit in a ring of E_i MeV
were at random angles, and by a constant per layer and order, so that its components have width 1 at all energies.

In place of the components stands a field f around the circle, one number per sector and layer: its Fourier modes of 1
to M periods are the components, all others noise. A network that treats sectors alike then generates moments that have
the symmetry of the circle exactly, and f is close to N(0, 1) in each sector. The moments are blurred by a little noise,
drawn anew for each batch, so that those of a few hits (which only take a few directions) have a density.

The voxels of a ring are told f_m √v_im / s_m, f_m being the modes of m periods. If the parts of the rings were
independent Gaussians, that would be the mean of the ring's part, given the moment, in units of its own width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry

BLUR = 0.2
"""Noise added to the moments, where their width is 1."""


class Multipoles(nn.Module):
    """Moments of the layers that have alpha bins, and fields around the circle in their place.

    L is the number of these layers, R that of their rings, M the highest order, S the number of sectors.

    Args:
        geometry: the voxels.
        order: M.

    Raises:
        CaloforgeError: the circle does not divide into enough sectors for the order.
    """

    of_voxels: Tensor
    of_rings: Tensor
    layer_of_ring: Tensor
    rings_of_layer: Tensor
    basis: Tensor
    width: Tensor

    def __init__(self, geometry: Geometry, order: int) -> None:
        super().__init__()
        sectors = geometry.n_sectors
        layers = [
            (layer, part)
            for layer, part in zip(geometry.layers, geometry.slices, strict=True)
            if layer.kind == "polar" and layer.shape[0] > 1
        ]
        if not layers or not 1 <= order <= (sectors - 1) // 2:
            raise CaloforgeError(
                f"multipoles of order {order} need at least {max(3, 2 * order + 1)} equal sectors of alpha; the "
                f"geometry '{geometry.name}' has {sectors}: leave them out, or lower the order"
            )
        self.sectors, self.order, self.n_layers = sectors, order, len(layers)
        layer_of_ring = torch.cat([torch.full((layer.shape[1],), k) for k, (layer, _) in enumerate(layers)])
        of_voxels = torch.zeros(geometry.n_voxels, len(layers), 2 * order, dtype=torch.float64)
        radii = torch.cat([torch.from_numpy(layer.r[: layer.shape[1]]) for layer, _ in layers])
        for number, (layer, part) in enumerate(layers):
            r = torch.from_numpy(layer.r)
            angle = torch.from_numpy(layer.alpha) + math.pi * (1 - 1 / sectors)  # 0 in the middle of the first sector
            for m in range(1, order + 1):
                of_voxels[part, number, 2 * m - 2] = r**m * torch.cos(m * angle)
                of_voxels[part, number, 2 * m - 1] = r**m * torch.sin(m * angle)
        angle = 2 * math.pi * torch.arange(sectors) / sectors
        rows = [wave(m * angle) for m in range(1, order + 1) for wave in (torch.cos, torch.sin)]
        of_rings = 0.5 * radii[:, None] ** (2 * torch.arange(1, order + 1))
        self.register_buffer("of_voxels", of_voxels.flatten(1).float(), persistent=False)
        self.register_buffer("of_rings", of_rings.float(), persistent=False)
        self.register_buffer("layer_of_ring", layer_of_ring, persistent=False)
        self.register_buffer("rings_of_layer", functional.one_hot(layer_of_ring).T.float(), persistent=False)
        self.register_buffer("basis", math.sqrt(2 / sectors) * torch.stack(rows), persistent=False)
        self.register_buffer("width", torch.ones(len(layers), order))
        self.n_packed = self.n_layers * (2 * order + 1) + len(radii) * order
        self.n_conditions = self.n_layers + len(radii) * order

    @torch.no_grad()
    def fit(self, voxels: Tensor, rings: Tensor, n: Tensor) -> None:
        """Measure the width of each layer and order; arguments as for `moments`."""
        self.width.fill_(1)
        moments, present = self.moments(voxels, rings, n)
        variance = moments.view(len(moments), self.n_layers, self.order, 2).square().mean(dim=3)
        for number in range(self.n_layers):
            if present[:, number].any():
                self.width[number] = variance[present[:, number], number].mean(dim=0).clamp_min(1e-6).sqrt()

    def moments(self, voxels: Tensor, rings: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """The components of the moments, scaled to width 1.

        Args:
            voxels: (N, V) MeV. rings: (N, R) MeV. n: (N, R) voxels hit.

        Returns:
            (N, L, 2M) real and imaginary part of order 1, then of order 2 …, and (N, L) whether the layer has energy
            (a moment of an empty layer is 0).
        """
        _, variance = self._variances(rings, n)
        scale = self.width * variance.sqrt()
        present = (scale > 0).all(dim=2)
        scale = torch.where(present[..., None], scale, 1.0).repeat_interleave(2, dim=2)
        return (voxels @ self.of_voxels).view(scale.shape) / scale, present

    def shares(self, rings: Tensor, n: Tensor) -> Tensor:
        """(N, R · M) √v_im/s_m: how much of the moments is due to each ring; arguments as for `moments`."""
        own, variance = self._variances(rings, n)
        return (own / variance.index_select(1, self.layer_of_ring).clamp_min(1e-12)).sqrt().flatten(1)

    def _variances(self, rings: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """v (N, R, M), and its sums over the rings of each layer (N, L, M)."""
        own = (rings.square() / n.clamp_min(1))[..., None] * self.of_rings
        return own, self.rings_of_layer @ own

    def packed(self, voxels: Tensor, rings: Tensor, n: Tensor) -> Tensor:
        """(N, n_packed) all that `moments` and `shares` return."""
        moments, present = self.moments(voxels, rings, n)
        known = torch.cat([moments, present[..., None].to(moments.dtype)], dim=2).flatten(1)
        return torch.cat([known, self.shares(rings, n)], dim=1)

    def drawn(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """(N, n_packed) → (N, L, 2M) moments, blurred, and (N, R · M) shares of the rings in them."""
        n_known = self.n_layers * (2 * self.order + 1)
        known = packed[:, :n_known].view(len(packed), self.n_layers, -1)
        return self.blurred(known[..., :-1], known[..., -1:] > 0), packed[:, n_known:]

    def blurred(self, moments: Tensor, present: Tensor) -> Tensor:
        """(N, L, 2M) moments with a little noise, of width 1 again; noise alone for a layer that is empty (N, L, 1)."""
        noise = torch.randn_like(moments)
        return torch.where(present, (moments + BLUR * noise) / math.sqrt(1 + BLUR**2), noise)

    def conditions(self, moments: Tensor, shares: Tensor) -> Tensor:
        """What each sector of the voxels' model is told.

        Args:
            moments: (N, L, 2M). shares: (N, R · M) of the rings.

        Returns:
            (N, S · n_conditions): sector by sector, the field of each layer, and f_m √v_im/s_m for each ring and order.
        """
        modes = self.basis.T.reshape(self.sectors, 1, self.order, 2)
        waves = (moments.view(-1, 1, self.n_layers, self.order, 2) * modes).sum(dim=4)  # (N, S, L, M)
        of_rings = waves.index_select(2, self.layer_of_ring) * shares.view(-1, 1, *self.of_rings.shape)
        return torch.cat([waves.sum(dim=3), of_rings.flatten(2)], dim=2).flatten(1)

    def field(self, moments: Tensor) -> Tensor:
        """(N, L, 2M) → (N, S · L) field with these Fourier modes alone, sector by sector."""
        return (moments @ self.basis).transpose(1, 2).flatten(1)

    def noisy_field(self, moments: Tensor) -> Tensor:
        """(N, L, 2M) → (N, S · L) field with these Fourier modes, the others being noise of the same width."""
        noise = torch.randn(len(moments), self.sectors * self.n_layers, device=moments.device, dtype=moments.dtype)
        return noise + self.field(moments - self.modes(noise))

    def modes(self, field: Tensor) -> Tensor:
        """(N, S · L) field → (N, L, 2M) moments."""
        return field.view(-1, self.sectors, self.n_layers).transpose(1, 2) @ self.basis.T
