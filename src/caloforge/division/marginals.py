"""What one part gets of a whole: its distribution given the whole, as tables, and the Gaussian in its place.

A part with the energy e of a whole of W MeV (a layer of a shower, a ring of a layer, a voxel of a ring) gets nothing
with the chance p₀(W), or e = e₀ (W/e₀)^g, e₀ being the least energy that counts. The chance and the quantiles of g
given that there is something are measured at a few W and interpolated linearly in log W:

    u = p₀ + (1 − p₀) F(g | W),    z = Φ⁻¹(u),

so that z ~ N(0, 1) for each part at each W: a model that learns z has nothing left to learn but how parts depend on
each other. Where e = 0, u is anywhere between 0 and p₀; where the parent has no energy, anywhere. Hence a part has not
a number u but an interval, from which u is drawn anew whenever a batch is.

The quantiles are tabulated at even steps of y = logit(F), so that finding a place among them is an arithmetic
operation and not a search, and the way back from z is made of operations that ONNX knows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

QUANTILES = 81
"""Entries of a table of quantiles, at even steps of y between −Y_MAX and Y_MAX."""

Y_MAX = 10.0
"""logit of the outermost tabulated quantiles, 1 − 5·10⁻⁵."""

G_MAX = 2.0
"""Largest g: a whole may be exceeded (E_dep by E_inc), but not by orders of magnitude."""

FEWEST = 200
"""Wholes to a knot at least; with fewer the quantiles would be those of a handful of showers."""

ROWS = 1000
"""Showers whose intervals are worked out at a time: their intermediate results stay in a processor's cache."""

TINY = 1e-6
"""u is kept this far from 0 and 1."""


class PartDraws(NamedTuple):
    """Where parts lie in their tables; each (N, P)."""

    u: Tensor
    p_zero: Tensor
    knot: Tensor
    weight: Tensor
    log_whole: Tensor

    def surety(self) -> Tensor:
        """(N, P) log odds(u)/odds(p₀): how sure a part is to get something, which ranks unlike parts."""
        # A part that is never empty is surer than any other, however little it gets.
        odds = [torch.log(p / (1 - p)) for p in (self.u.clamp(TINY, 1 - TINY), self.p_zero.clamp(TINY, 1 - TINY))]
        return odds[0] - odds[1]

    def place(self) -> Tensor:
        """(N, P) the place F of each part among those that get something; at most 0 where it gets nothing."""
        return _share(self.u, self.p_zero, 1.0)

    def place_above(self, surety: Tensor, unsure: Tensor | None = None) -> Tensor:
        """(N, P) the place F of each if parts get something that are surer than `surety` (N, P).

        Args:
            surety: settled otherwise.
            unsure: (N, P) the share of parts with u ≤ p₀ among those that get something. They then have the lowest
                F, in this proportion, so that F is uniform for parts that are alike and independent.
        """
        odds = torch.exp(surety)
        lowest = self.p_zero * odds / (1 - self.p_zero + self.p_zero * odds).clamp_min(TINY)
        if unsure is None:
            return _share(self.u, lowest, 1.0)
        middle = torch.maximum(self.p_zero, lowest)
        above = unsure + (1 - unsure) * _share(self.u, middle, 1.0)
        return torch.where(self.u > middle, above, unsure * _share(self.u, lowest, middle))


class ConditionalMarginals(nn.Module):
    """Tables of p₀(W) and of the quantiles of g given W, for several types of parts.

    A type may have tables of several kinds, of which each shower says the one that holds (how many parts are hit, say).

    Args:
        types: (P,) the type of each part, 0 … T − 1; parts of one type share their tables and their parent.
        least: e₀ in MeV, above 0: no part has less, unless it has nothing.
        knots: values of W at which the tables are made, at most.
        kinds: K, tables of each type.
    """

    types: Tensor
    log_whole: Tensor
    p_zero: Tensor
    g: Tensor

    def __init__(self, types: Tensor, least: float, knots: int = 24, kinds: int = 1) -> None:
        super().__init__()
        n_types = (int(types.max()) + 1) * kinds
        self.least, self.knots, self.kinds = least, knots, kinds
        self.register_buffer("types", types, persistent=False)
        self.register_buffer("log_whole", torch.arange(knots, dtype=torch.float32).repeat(n_types, 1))
        self.register_buffer("p_zero", torch.zeros(n_types, knots))
        even = torch.sigmoid(torch.linspace(-Y_MAX, Y_MAX, QUANTILES))
        self.register_buffer("g", even.repeat(n_types, knots, 1))

    # ---- from data ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, parts: Tensor, wholes: Tensor, kind: Tensor | None = None) -> None:
        """Measure the tables.

        Args:
            parts: (N, P) MeV. wholes: (N, T) MeV, the whole that each type's parts belong to.
            kind: (N, T) 0 … K − 1, the tables that hold for each shower; needed where K > 1.
        """
        for number in range(len(self.p_zero)):
            number_type, number_kind = divmod(number, self.kinds)
            e = parts[:, self.types == number_type]
            present = wholes[:, number_type] > 0
            if kind is not None:
                present = present & (kind[:, number_type] == number_kind)
            e, whole = e[present], wholes[present, number_type]
            e, whole = e.flatten(), whole[:, None].expand_as(e).flatten()
            self._fit_type(number, e, torch.log(whole / self.least))
            if len(e) == 0 and number_kind > 0:  # never seen: as the kind before
                for table in (self.log_whole, self.p_zero, self.g):
                    table[number] = table[number - 1]

    def _fit_type(self, number: int, e: Tensor, log_whole: Tensor) -> None:
        if len(e) == 0:
            return
        log_whole, order = torch.sort(log_whole)
        e = e[order]
        found = windows(log_whole, self.knots)
        for k, (start, end) in enumerate(found):
            self.log_whole[number, k] = log_whole[start:end].double().mean()
            self._measure(number, k, e[start:end], log_whole[start:end])
        last = len(found) - 1
        for k in range(1, self.knots):  # rising strictly; knots that are left over repeat the last one's tables
            least = self.log_whole[number, k - 1] + (1e-3 if k <= last else 1.0)
            if k > last:
                self.log_whole[number, k] = least
                self.p_zero[number, k], self.g[number, k] = self.p_zero[number, last], self.g[number, last]
            else:
                self.log_whole[number, k] = torch.maximum(self.log_whole[number, k], least)

    def _measure(self, number: int, k: int, e: Tensor, log_whole: Tensor) -> None:
        something = e > 0
        self.p_zero[number, k] = 1 - something.double().mean()
        if not something.any():
            self.g[number, k] = 1.0
            return
        g, _ = torch.sort(_exponent(e[something], log_whole[something], self.least))
        place = torch.sigmoid(torch.linspace(-Y_MAX, Y_MAX, QUANTILES, device=g.device)) * len(g) - 0.5
        place = place.clamp(0, len(g) - 1)
        lower = place.long()
        upper = (lower + 1).clamp_max(len(g) - 1)
        self.g[number, k] = torch.lerp(g[lower], g[upper], place - lower)

    # ---- from energies to intervals, and back ------------------------------------------------------------------

    def intervals(
        self, parts: Tensor, wholes: Tensor, kind: Tensor | None = None, p_zero: Tensor | None = None
    ) -> Tensor:
        """The intervals of u.

        Args:
            parts: (N, P) MeV. wholes: (N, T) MeV, the whole that each type's parts belong to.
            kind: (N, T), the tables that hold for each shower; needed where K > 1.
            p_zero: (N, T) that is known, in place of that in the tables.

        Returns:
            (2, N, P) the lower and the upper end of u.
        """
        rows = [None if x is None else x.split(ROWS) for x in (parts, wholes, kind, p_zero)]
        n = len(parts.split(ROWS))
        pieces = zip(*([None] * n if x is None else x for x in rows), strict=True)
        return torch.cat([self._intervals(*piece) for piece in pieces], dim=1)

    def _intervals(self, parts: Tensor, wholes: Tensor, kind: Tensor | None, p_zero: Tensor | None) -> Tensor:
        knot, weight, p_zero, log_whole = self._tables_at(wholes, kind, p_zero)
        wholes = wholes.index_select(1, self.types)
        nothing = torch.stack([torch.zeros_like(p_zero), p_zero])
        anywhere = torch.stack([torch.zeros_like(p_zero), torch.ones_like(p_zero)])
        u = torch.where(wholes <= 0, anywhere, nothing)
        something = (parts > 0) & (wholes > 0)
        knot, weight, p_zero, log_whole = (part[something] for part in (knot, weight, p_zero, log_whole))
        g = _exponent(parts[something], log_whole, self.least)
        # A value that many showers share (all of the whole, g = 1) has an interval of its own.
        below = self._count(g - TINY, knot, weight)
        up_to = self._counted_on(below, g + TINY, knot, weight)
        inside = self._place(g, below, knot, weight)
        ends = torch.stack([torch.where(below == up_to, inside, k.to(g)) for k in (below, up_to - 1)])
        F = torch.sigmoid(ends * (2 * Y_MAX / (QUANTILES - 1)) - Y_MAX)
        F[0] = torch.where(below == 0, 0.0, F[0])
        F[1] = torch.where(up_to == QUANTILES, 1.0, F[1])
        u[:, something] = p_zero + (1 - p_zero) * F
        return u

    def draws(self, z: Tensor, wholes: Tensor, kind: Tensor | None = None, p_zero: Tensor | None = None) -> PartDraws:
        """Where the parts lie in their tables.

        Args:
            z: (N, P). wholes, kind and p_zero as for `intervals`.
        """
        knot, weight, p_zero, log_whole = self._tables_at(wholes, kind, p_zero)
        return PartDraws(0.5 * (1 + torch.erf(z * math.sqrt(0.5))), p_zero, knot, weight, log_whole)

    def energies(self, draws: PartDraws, place: Tensor | None = None) -> Tensor:
        """What the parts get if they get something, before they are made to sum to anything: (N, P) in MeV.

        Args:
            draws: from `draws`.
            place: (N, P) the place F of each; by default `draws.place()`.
        """
        F = (draws.place() if place is None else place).clamp(1e-5, 1 - 1e-5)
        step = ((torch.log(F / (1 - F)) + Y_MAX) * ((QUANTILES - 1) / (2 * Y_MAX))).clamp(0, QUANTILES - 1.001)
        lower = step.floor()
        rest = step - lower
        exponent = self._exponents(draws.knot * QUANTILES + lower.long(), rest, draws.weight)
        return self.least * torch.exp(exponent * draws.log_whole)

    def _exponents(self, entry: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
        """g between four entries of the tables, (N, P) like all arguments."""
        parts, tables = len(self.types), self.g.flatten()
        # Flat, index_select is fastest; `reshape` by a number is one operation of a graph, `flatten` is four.
        entry, rest, weight = entry.reshape(-1), rest.reshape(-1), weight.reshape(-1)
        corners = [tables.index_select(0, entry + k) for k in (0, 1, QUANTILES, QUANTILES + 1)]
        near, far = _lerp(corners[0], corners[1], rest), _lerp(corners[2], corners[3], rest)
        return _lerp(near, far, weight).view(-1, parts)

    def _tables_at(self, wholes: Tensor, kind: Tensor | None, p_zero: Tensor | None) -> list[Tensor]:
        """What the tables say of wholes (N, T), for each part (N, P).

        Returns:
            The entry of the knot below in the flattened tables, the weight of the next knot, p₀, and log(W/e₀).
        """
        log_whole = torch.log(wholes.clamp_min(self.least) / self.least)
        first = torch.arange(0, len(self.log_whole), self.kinds, device=wholes.device)
        if kind is None:
            table, knots_after = first, self.log_whole[:, 1:]
        else:
            table = first + kind
            knots_after = self.log_whole[:, 1:].index_select(0, table.reshape(-1)).view(-1, len(first), self.knots - 1)
        lower = (log_whole[:, :, None] >= knots_after).sum(dim=2).clamp_max(self.knots - 2)  # never the last knot
        entry = lower + table * self.knots
        knots = self.log_whole.flatten()
        low, high = knots[entry], knots[entry + 1]
        weight = ((log_whole - low) / (high - low)).clamp(0, 1)
        if p_zero is None:
            chances = self.p_zero.flatten()
            p_zero = _lerp(chances[entry], chances[entry + 1], weight)
        return [part.index_select(1, self.types) for part in (entry, weight, p_zero, log_whole)]

    def _g(self, k: Tensor, knot: Tensor, weight: Tensor) -> Tensor:
        """The k-th tabulated quantile, interpolated between knots."""
        flat = self.g.flatten()
        entry = knot * QUANTILES + k
        return _lerp(flat[entry], flat[entry + QUANTILES], weight)

    def _count(self, g: Tensor, knot: Tensor, weight: Tensor) -> Tensor:
        """How many of the tabulated quantiles lie below g, by bisection."""
        low = torch.zeros_like(knot)
        high = torch.full_like(knot, QUANTILES)
        for _ in range(QUANTILES.bit_length()):
            middle = (low + high) // 2
            below = (self._g(middle.clamp_max(QUANTILES - 1), knot, weight) < g) & (low < high)
            low, high = torch.where(below, middle + 1, low), torch.where(below, high, middle)
        return low

    def _counted_on(self, below: Tensor, g: Tensor, knot: Tensor, weight: Tensor) -> Tensor:
        """`_count`, where the number is known for a smaller g: it is mostly the same."""
        more = (self._g(below.clamp_max(QUANTILES - 1), knot, weight) < g) & (below < QUANTILES)
        up_to = below.clone()
        up_to[more] = self._count(g[more], knot[more], weight[more])
        return up_to

    def _place(self, g: Tensor, below: Tensor, knot: Tensor, weight: Tensor) -> Tensor:
        """Where g lies among the quantiles, 0 … QUANTILES − 1, given how many lie below it."""
        k = below.clamp(1, QUANTILES - 1)
        left, right = self._g(k - 1, knot, weight), self._g(k, knot, weight)
        return (k - 1) + ((g - left) / (right - left).clamp_min(1e-9)).clamp(0, 1)


def windows(log_whole: Tensor, knots: int) -> list[tuple[int, int]]:
    """Where, in rising order of W (N,), the showers around each of at most so many knots begin and end."""
    n = len(log_whole)
    levels = torch.unique(log_whole)
    if len(levels) <= knots:  # a few incident energies: each is a knot
        starts = torch.searchsorted(log_whole, levels).tolist()
        return list(zip(starts, [*starts[1:], n], strict=True))
    n_knots = min(knots, max(2, n // FEWEST))
    half = max(1, n // (2 * (n_knots - 1)))
    centres = [round(k * (n - 1) / (n_knots - 1)) for k in range(n_knots)]
    return [(max(0, centre - half), min(n, centre + half + 1)) for centre in centres]


def drawn(intervals: Tensor) -> Tensor:
    """(2, N, P) ends of u → (N, P) z = Φ⁻¹(u), u uniform in its interval; from the global random state."""
    low, high = intervals
    u = low + (high - low) * torch.rand_like(low)
    return torch.special.ndtri(u.clamp(TINY, 1 - TINY))


def _exponent(e: Tensor, log_whole: Tensor, least: float) -> Tensor:
    """g = log(e/e₀) / log(W/e₀), 1 where the whole is no more than e₀."""
    small = log_whole < 1e-3
    g = torch.log(e / least) / torch.where(small, 1.0, log_whole)
    return torch.where(small, 1.0, g).clamp(0, G_MAX)


def _share(u: Tensor, low: Tensor, high: Tensor | float) -> Tensor:
    return (u - low) / (high - low + TINY)


def _lerp(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    return a + (b - a) * weight
