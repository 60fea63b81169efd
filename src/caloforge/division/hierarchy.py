"""How the energy of a shower divides: E_inc → E_dep → layers → rings → voxels.

Each arrow is a `Split` of wholes into parts. A ring is what a layer has at one radius (a row, in a Cartesian layer),
and its voxels are its bins of alpha. A part that is all of its whole (a voxel of a ring without alpha bins) is not
drawn; it gets what there is. The others are described by numbers z ~ N(0, 1) (`caloforge.division.marginals`), and
where the parts must sum to the whole they are made to: what each has above the least energy e₀ is scaled by one factor
per whole,

    e_i → e₀ + λ (e_i − e₀),    λ = (W − n e₀) / Σ (e_i − e₀),

n being the number of parts that get something. So neither the number of voxels with energy nor any threshold is
touched by it. A whole with energy always has a part with energy. Where the number of hits of a ring is known, its
brightest voxel keeps its energy and only the others are scaled, as far as their factor then is between λ/2 and 2 λ.

The voxels of a split come sector by sector, a sector being one of the equal parts of the circle that all layers with
alpha bins divide into: networks that treat the sectors alike need no more than a reshape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.division.hits import HitCounts, affordable
from caloforge.division.marginals import ConditionalMarginals, PartDraws
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
        limited: whether a whole has no more parts than it can give e₀ each.
        brightest_kept: whether the brightest part of a whole keeps its energy, and the others alone are scaled.
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
        limited: bool = False,
        brightest_kept: bool = False,
    ) -> None:
        super().__init__()
        self.name, self.least, self.exact, self.sectors, self.limited = name, least, exact, sectors, limited
        self.brightest_kept = brightest_kept
        n_parts = torch.bincount(whole_of_part)
        order = torch.arange(len(whole_of_part)) if order is None else order
        drawn = order[n_parts[whole_of_part[order]] > 1] if exact else order
        self.whole_of_part, self.drawn = _Index(whole_of_part), _Index(drawn)
        self.whole_of_drawn = _Index(whole_of_part[drawn])
        self.most_parts, self.knots = int(n_parts.max()), knots
        self.size, self.n_wholes, self.n_counted = len(drawn), len(n_parts), 0
        back = torch.arange(len(whole_of_part))
        back[drawn] = len(whole_of_part) + torch.arange(len(drawn))
        self.back = _Index(back)
        if self.size == 0:
            return
        types = torch.unique(type_of_part[drawn], return_inverse=True)[1]
        self.marginals = self._tables(types, knots)
        self.whole_of_type = _Index(
            torch.zeros(int(types.max()) + 1, dtype=torch.long).scatter(0, types, whole_of_part[drawn])
        )
        # The indices of each parent's children; short lists are padded with an index of nothing.
        members = [torch.nonzero(self.whole_of_drawn.index == w)[:, 0] for w in range(self.n_wholes)]
        self.most = max(len(m) for m in members)
        table = torch.full((self.n_wholes, self.most), self.size)
        position = torch.zeros(self.size, dtype=torch.long)
        for w, (row, member) in enumerate(zip(table, members, strict=True)):
            row[: len(member)] = member
            position[member] = w * self.most + torch.arange(len(member))
        self.members, self.position_of_drawn = _Index(table.flatten()), _Index(position)

    def _tables(self, types: Tensor, knots: int) -> ConditionalMarginals:
        return ConditionalMarginals(types, self.least, knots)

    def fit(self, parts: Tensor, wholes: Tensor) -> None:
        """Measure the tables from parts (N, P) and wholes (N, W) in MeV."""
        if self.size:
            self.marginals.fit(self.drawn(parts), self.whole_of_type(wholes))

    def intervals(self, parts: Tensor, wholes: Tensor) -> Tensor:
        """parts (N, P), wholes (N, W) in MeV → (2, N, size) intervals of u (see `caloforge.division.marginals`)."""
        if self.size == 0:
            return parts.new_zeros(2, len(parts), 0)
        return self.marginals.intervals(self.drawn(parts), self.whole_of_type(wholes))

    def energies(self, z: Tensor, wholes: Tensor, n: Tensor | None = None) -> Tensor:
        """z (N, size) ~ N(0, 1), wholes (N, W) in MeV → parts (N, P) in MeV.

        Args:
            z, wholes: see above.
            n: (N, n_counted) hits, of which only a `CountedSplit` knows.
        """
        passed = self.whole_of_part(wholes)
        if self.size == 0:
            return passed
        draws = self.marginals.draws(z, self.whole_of_type(wholes))
        e, place = self.marginals.energies(draws), draws.place()
        present = (self.whole_of_drawn(wholes) > 0).to(e.dtype)
        if self.limited:
            before, most = self._before(place), self.whole_of_drawn(affordable(wholes, self.least))
            something = present * ((before == 0) | ((place > 0) & (before < most))).to(e.dtype)
            parts = self._conserved(e, something, wholes)
        elif self.exact:
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
        left = wholes - self.least * number
        # Where the whole is too small for so many parts, they share alike.
        least = torch.where(left < 0, wholes / number.clamp_min(1), self.least)
        scaled = self._scaled_around_brightest if self.brightest_kept else self._scaled_alike
        return something * self.whole_of_drawn(least) + scaled(excess, left.clamp_min(0))

    def _scaled_alike(self, excess: Tensor, left: Tensor) -> Tensor:
        """excess (N, size), its sums left (N, W) in MeV → (N, size), by one factor per whole."""
        return excess * self.whole_of_drawn(left / self._per_whole(excess, 0.0).sum(dim=2).clamp_min(1e-12))

    def _scaled_around_brightest(self, excess: Tensor, left: Tensor) -> Tensor:
        """The same, by one factor for all parts but the brightest."""
        parts = self._per_whole(excess, 0.0)
        total, (brightest, at) = parts.sum(dim=2).clamp_min(1e-12), parts.max(dim=2)
        alike, others = left / total, (left - brightest) / (total - brightest).clamp_min(1e-9)
        factor = torch.minimum(torch.maximum(others, alike / FACTOR_OF_OTHERS), alike * FACTOR_OF_OTHERS)
        is_brightest = at[:, :, None] == torch.arange(self.most, device=at.device)
        parts = parts * factor[:, :, None] * (~is_brightest).to(parts.dtype)
        parts = parts + is_brightest.to(parts.dtype) * (left - parts.sum(dim=2))[:, :, None]
        return self.position_of_drawn(parts.flatten(1)) * (excess > 0).to(excess.dtype)

    def _before(self, place: Tensor) -> Tensor:
        """(N, size) → (N, size): how many parts of the same whole are surer of getting something."""
        own = self._per_whole(place, -math.inf)
        rank = (own[:, :, None, :] > own[:, :, :, None]).sum(dim=3)  # parts of a whole against each other
        return self.position_of_drawn(rank.flatten(1))

    def _per_whole(self, x: Tensor, nothing: float) -> Tensor:
        """(N, size) → (N, W, most parts of a whole)."""
        padded = functional.pad(x, (0, 1), value=nothing)
        return self.members(padded).view(-1, self.n_wholes, self.most)


FACTOR_OF_OTHERS = 2.0
"""How far the factor of all parts but the brightest may be from that of all."""

SURE = 60.0
"""More than any log odds(u)/odds(p₀)."""


class CountedSplit(Split):
    """Wholes and their parts, given how many of the parts get something.

    The number of hits n of a whole has tables of its own (`caloforge.division.hits`) and is known before its parts are
    drawn. Then the n parts that are surest of it get something. Tables of energies, and of the probability of nothing,
    are for a few ranges of n each; parts that are alike have p₀ = 1 − n/s, s being how many there are.
    """

    sizes: Tensor

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if self.size == 0:
            return
        sizes = torch.bincount(self.whole_of_drawn.index, minlength=self.n_wholes)
        counted = torch.nonzero(sizes)[:, 0]
        self.n_counted = len(counted)
        self.counted = _Index(counted)
        self.register_buffer("sizes", sizes[counted].float(), persistent=False)
        self.hits = HitCounts(sizes[counted], self.least, self.knots)
        number = torch.zeros(self.n_wholes, dtype=torch.long)
        number[counted] = torch.arange(len(counted))
        self.count_of_type = _Index(number[self.whole_of_type.index])
        self.count_of_drawn = _Index(number[self.whole_of_drawn.index])
        self.alike = len(self.whole_of_type.index) == len(counted)

    def _tables(self, types: Tensor, knots: int) -> ConditionalMarginals:
        kinds = int(_kind(torch.tensor(self.most_parts))) + 1
        return ConditionalMarginals(types, self.least, max(2, knots // 2), kinds)

    def numbers(self, parts: Tensor) -> Tensor:
        """parts (N, P) in MeV → (N, n_counted) how many parts of each whole get something, as floats."""
        hit = (parts > 0).to(parts.dtype)
        return self.counted(hit.new_zeros(len(parts), self.n_wholes).index_add(1, self.whole_of_part.index, hit))

    def scaled(self, n: Tensor) -> Tensor:
        """n (N, n_counted) → the same from −1 for no part to 1 for all."""
        return 2 * n / self.sizes - 1

    def fit_hits(self, n: Tensor, wholes: Tensor) -> None:
        """Measure the tables of the numbers of hits n (N, n_counted), given wholes (N, W) in MeV."""
        self.hits.fit(n, self.counted(wholes))

    def hit_intervals(self, parts: Tensor, wholes: Tensor) -> Tensor:
        """parts (N, P), wholes (N, W) in MeV → (2, N, n_counted) intervals of the numbers of hits."""
        if self.size == 0:
            return parts.new_zeros(2, len(parts), 0)
        return self.hits.intervals(self.numbers(parts), self.counted(wholes))

    def fit(self, parts: Tensor, wholes: Tensor) -> None:
        if self.size:
            kind = _kind(self.count_of_type(self.numbers(parts)))
            self.marginals.fit(self.drawn(parts), self.whole_of_type(wholes), kind)

    def intervals(self, parts: Tensor, wholes: Tensor) -> Tensor:
        if self.size == 0:
            return parts.new_zeros(2, len(parts), 0)
        return self.marginals.intervals(
            self.drawn(parts), self.whole_of_type(wholes), *self._given(self.numbers(parts))
        )

    def energies(self, z: Tensor, wholes: Tensor, n: Tensor | None = None) -> Tensor:
        passed = self.whole_of_part(wholes)
        if self.size == 0:
            return passed
        assert n is not None
        draws = self.marginals.draws(z, self.whole_of_type(wholes), *self._given(n))
        hit = self._before(z if self.alike else draws.surety()) < self.count_of_drawn(n)
        e = self.marginals.energies(draws, self._place(draws, hit, n))
        something = hit.to(e.dtype) * (self.whole_of_drawn(wholes) > 0).to(e.dtype)
        return self.back(torch.cat([passed, self._conserved(e, something, wholes)], dim=1))

    def _place(self, draws: PartDraws, hit: Tensor, n: Tensor) -> Tensor:
        """(N, size) the place F of each part that is hit.

        Where exactly these are surer than 0, as in the data, F is the usual one. Otherwise the surest of the other
        parts marks the line. With the usual F, parts that are hit but not sure would all get the least energy.
        """
        surety = draws.surety()
        least_hit = self._per_whole(torch.where(hit, surety, SURE), SURE).amin(dim=2)
        most_other = self._per_whole(torch.where(hit, -SURE, surety), -SURE).amax(dim=2)
        line = torch.where((most_other <= 0) & (least_hit > 0), 0.0, most_other)
        if not self.alike:
            return draws.place_above(self.whole_of_drawn(line))
        unsure = self.counted(self._per_whole((hit & (surety <= 0)).to(n.dtype), 0.0).sum(dim=2)) / n.clamp_min(1)
        return draws.place_above(self.whole_of_drawn(line), self.count_of_drawn(unsure))

    def _given(self, n: Tensor) -> tuple[Tensor, Tensor | None]:
        """n (N, n_counted) → for each type (N, T): the kind of its tables, and p₀ where parts are alike."""
        p_zero = self.count_of_type(1 - n / self.sizes) if self.alike else None
        return _kind(self.count_of_type(n)), p_zero


def _kind(n: Tensor) -> Tensor:
    """Ranges of n that share tables: 1, 2, 3, 4 to 5, 6 to 8, 9 to 12 …, each about 1.4 times what went before."""
    return (n[..., None] >= torch.tensor(KINDS, device=n.device)).sum(dim=-1)


KINDS = (2.0, 3.0, 4.0, 6.0, 9.0, 13.0, 19.0, 27.0, 38.0, 54.0, 76.0)
"""Least n of each kind but the first."""


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
        hits: whether it is settled how many rings of each layer are hit before which, and the same for voxels of rings.
    """

    def __init__(self, geometry: Geometry, least: float, knots: int, *, hits: bool = False) -> None:
        super().__init__()
        self.least = least
        ring_of_voxel, layer_of_ring = _rings(geometry)
        one = torch.zeros(1, dtype=torch.long)
        polar = all(layer.kind == "polar" for layer in geometry.layers)
        self.sectors = geometry.n_sectors
        counted = CountedSplit if hits else Split
        layers = torch.arange(geometry.n_layers)
        self.splits = nn.ModuleList(
            [
                Split("deposited", one, one, least, knots, exact=False),
                Split("layers", one.expand(geometry.n_layers), layers, least, knots, limited=hits),
                counted("rings", layer_of_ring, torch.arange(len(layer_of_ring)), least, knots),
                counted(
                    "voxels",
                    ring_of_voxel,
                    ring_of_voxel if polar else torch.arange(geometry.n_voxels),  # alpha bins of a ring are alike
                    least,
                    knots,
                    order=_by_sector(geometry, self.sectors),
                    sectors=self.sectors,
                    brightest_kept=hits,
                ),
            ]
        )

    def __iter__(self) -> Iterator[Split]:
        return iter(self.splits)  # type: ignore[arg-type]

    def energies(self, x: Tensor, c: Tensor) -> list[Tensor]:
        """Energies in MeV at every level, voxels below e₀ left out.

        Args:
            x: (N, V) voxels. c: (N, C) conditions, the incident energies first.

        Returns:
            Incident (N, 1), deposited (N, 1), layers (N, L), rings (N, R) and voxels (N, V): the wholes of the k-th
            split are the k-th entry, its parts the next.
        """
        levels = [zero_below(x, self.least)]
        for split in [*self][:0:-1]:
            whole = x.new_zeros(len(x), split.n_wholes)
            levels.append(whole.index_add(1, split.whole_of_part.index, levels[-1]))
        return [c[:, :1], *levels[::-1]]


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
    """(V,) the indices of the voxels, sector by sector; layers without alpha bins last."""
    parts: list[Tensor] = []
    rest: list[Tensor] = []
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        indices = torch.arange(part.start, part.stop)
        (parts if layer.shape[0] % sectors == 0 else rest).append(indices)
    split = [indices.view(sectors, -1) for indices in parts]
    return torch.cat([*([torch.cat(split, dim=1).flatten()] if split else []), *rest])
