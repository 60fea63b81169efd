"""How the energy of a shower divides: E_inc → E_dep → layers → rings → voxels.

Each arrow is a `Split` of wholes into parts. A ring is what a layer has at one radius (a row, in a Cartesian layer),
and its voxels are its bins of alpha. A part that is all of its whole (a voxel of a ring without alpha bins) is not
drawn; it gets what there is. The others are described by numbers z ~ N(0, 1) (`caloforge.division.marginals`), and
where the parts must sum to the whole they are made to: what each has above the least energy e₀ is scaled by one factor
per whole,

    e_i → e₀ + λ (e_i − e₀),    λ = (W − n e₀) / Σ (e_i − e₀),

n being the number of parts that get something. So neither the number of voxels with energy nor any threshold is
touched by it. A whole with energy always has a part with energy.

The voxels of a split come sector by sector, a sector being one of the equal parts of the circle that all layers with
alpha bins divide into: networks that treat the sectors alike need no more than a reshape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.division.marginals import ConditionalMarginals
from caloforge.geometry import Geometry
from caloforge.transforms.readout_threshold import zero_below


class Split(nn.Module):
    """Wholes and their parts.

    Args:
        name: of the parts.
        whole_of_part: (P,) which whole each part belongs to.
        type_of_part: (P,) parts of one type are alike, and of one whole (the voxels of a ring).
        least: e₀ in MeV.
        knots: of the tables, at most.
        exact: whether the parts sum to their whole.
        order: (P,) the order in which the parts' numbers z stand; by default as they come.
        sectors: equal parts in which the numbers z divide.
    """

    def __init__(
        self,
        name: str,
        whole_of_part: Tensor,
        type_of_part: Tensor,
        least: float,
        knots: int,
        *,
        exact: bool = True,
        order: Tensor | None = None,
        sectors: int = 1,
    ) -> None:
        super().__init__()
        self.name, self.least, self.exact, self.sectors = name, least, exact, sectors
        n_parts = torch.bincount(whole_of_part)
        order = torch.arange(len(whole_of_part)) if order is None else order
        drawn = order[n_parts[whole_of_part[order]] > 1] if exact else order
        self.whole_of_part, self.drawn = _Index(whole_of_part), _Index(drawn)
        self.whole_of_drawn = _Index(whole_of_part[drawn])
        self.size, self.n_wholes = len(drawn), len(n_parts)
        back = torch.arange(len(whole_of_part))
        back[drawn] = len(whole_of_part) + torch.arange(len(drawn))
        self.back = _Index(back)
        if self.size == 0:
            return
        types = torch.unique(type_of_part[drawn], return_inverse=True)[1]
        self.marginals = ConditionalMarginals(types, least, knots)
        self.whole_of_type = _Index(
            torch.zeros(int(types.max()) + 1, dtype=torch.long).scatter(0, types, whole_of_part[drawn])
        )
        # The places of each whole's parts, short lists made longer by a place of nothing at the end.
        members = [torch.nonzero(self.whole_of_drawn.index == w)[:, 0] for w in range(self.n_wholes)]
        self.most = max(len(m) for m in members)
        table = torch.full((self.n_wholes, self.most), self.size)
        for row, member in zip(table, members, strict=True):
            row[: len(member)] = member
        self.members = _Index(table.flatten())

    def fit(self, parts: Tensor, wholes: Tensor) -> None:
        """Measure the tables from parts (N, P) and wholes (N, W) in MeV."""
        if self.size:
            self.marginals.fit(self.drawn(parts), self.whole_of_type(wholes))

    def intervals(self, parts: Tensor, wholes: Tensor) -> Tensor:
        """parts (N, P), wholes (N, W) in MeV → (2, N, size) intervals of u (see `caloforge.division.marginals`)."""
        if self.size == 0:
            return parts.new_zeros(2, len(parts), 0)
        return self.marginals.intervals(self.drawn(parts), self.whole_of_type(wholes))

    def energies(self, z: Tensor, wholes: Tensor) -> Tensor:
        """z (N, size) ~ N(0, 1), wholes (N, W) in MeV → parts (N, P) in MeV."""
        passed = self.whole_of_part(wholes)
        if self.size == 0:
            return passed
        e, place = self.marginals.energies(z, self.whole_of_type(wholes))
        present = (self.whole_of_drawn(wholes) > 0).to(e.dtype)
        if self.exact:
            surest = self._per_whole(place, -math.inf).amax(dim=2)
            something = present * ((place > 0) | (place >= self.whole_of_drawn(surest))).to(e.dtype)
            parts = self._conserved(e, something, wholes)
        else:
            parts = e * present * (place > 0).to(e.dtype)
        return self.back(torch.cat([passed, parts], dim=1))

    def _conserved(self, e: Tensor, something: Tensor, wholes: Tensor) -> Tensor:
        # A little more than nothing: parts that all have the least energy share alike what is over.
        excess = something * (e - self.least + 1e-6 * self.least)
        number = self._per_whole(something, 0.0).sum(dim=2)
        factor = (wholes - self.least * number) / self._per_whole(excess, 0.0).sum(dim=2).clamp_min(1e-12)
        # Where the whole is too small for so many parts, they share alike.
        least = torch.where(factor < 0, wholes / number.clamp_min(1), self.least)
        return something * self.whole_of_drawn(least) + excess * self.whole_of_drawn(factor.clamp_min(0))

    def _per_whole(self, x: Tensor, nothing: float) -> Tensor:
        """(N, size) → (N, W, most parts of a whole)."""
        padded = functional.pad(x, (0, 1), value=nothing)
        return self.members(padded).view(-1, self.n_wholes, self.most)


class _Index(nn.Module):
    """Columns of a table by a fixed index that moves with the model and is not saved."""

    index: Tensor

    def __init__(self, index: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, ·) → (N, len(index))."""
        return x.index_select(1, self.index)


class Hierarchy(nn.Module):
    """The splits of a geometry, and the energies at all levels.

    Args:
        geometry: the voxels.
        least: e₀ in MeV, above 0: voxels below it count as empty.
        knots: of the tables, at most.
    """

    def __init__(self, geometry: Geometry, least: float, knots: int) -> None:
        super().__init__()
        self.least = least
        ring_of_voxel, layer_of_ring = _rings(geometry)
        one = torch.zeros(1, dtype=torch.long)
        polar = all(layer.kind == "polar" for layer in geometry.layers)
        self.sectors = geometry.n_sectors
        self.splits = nn.ModuleList(
            [
                Split("deposited", one, one, least, knots, exact=False),
                Split("layers", one.expand(geometry.n_layers), torch.arange(geometry.n_layers), least, knots),
                Split("rings", layer_of_ring, torch.arange(len(layer_of_ring)), least, knots),
                Split(
                    "voxels",
                    ring_of_voxel,
                    ring_of_voxel if polar else torch.arange(geometry.n_voxels),  # alpha bins of a ring are alike
                    least,
                    knots,
                    order=_by_sector(geometry, self.sectors),
                    sectors=self.sectors,
                ),
            ]
        )

    def __iter__(self) -> Iterator[Split]:
        return iter(self.splits)  # type: ignore[arg-type]

    def energies(self, x: Tensor, c: Tensor) -> list[Tensor]:
        """Energies in MeV at every level, voxels below e₀ left out.

        Args:
            x: (N, V) voxels. c: (N, 1) incident energies.

        Returns:
            Incident (N, 1), deposited (N, 1), layers (N, L), rings (N, R) and voxels (N, V): the wholes of the k-th
            split are the k-th entry, its parts the next.
        """
        levels = [zero_below(x, self.least)]
        for split in [*self][:0:-1]:
            whole = x.new_zeros(len(x), split.n_wholes)
            levels.append(whole.index_add(1, split.whole_of_part.index, levels[-1]))
        return [c, *levels[::-1]]


def _rings(geometry: Geometry) -> tuple[Tensor, Tensor]:
    """(V,) ring of each voxel, and (R,) layer of each ring; a Cartesian layer's rows stand for rings."""
    ring_of_voxel: list[Tensor] = []
    layer_of_ring: list[int] = []
    for number, layer in enumerate(geometry.layers):
        row, column = torch.meshgrid(*(torch.arange(n) for n in layer.shape), indexing="ij")
        ring = (column if layer.kind == "polar" else row).flatten()
        ring_of_voxel.append(len(layer_of_ring) + ring)
        layer_of_ring += [number] * (int(ring.max()) + 1)
    return torch.cat(ring_of_voxel), torch.tensor(layer_of_ring)


def _by_sector(geometry: Geometry, sectors: int) -> Tensor:
    """(V,) the voxels' places, sector by sector; layers without alpha bins last."""
    parts: list[Tensor] = []
    rest: list[Tensor] = []
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        places = torch.arange(part.start, part.stop)
        (parts if layer.shape[0] % sectors == 0 else rest).append(places)
    split = [places.view(sectors, -1) for places in parts]
    return torch.cat([*([torch.cat(split, dim=1).flatten()] if split else []), *rest])
