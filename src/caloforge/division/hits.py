"""How many parts of a whole are hit, given its energy: tables, and the Gaussian in place of the number.

A ring of W MeV has 1 ≤ n ≤ s voxels with energy, s being all that it has. The distribution of n is measured at a few W
and interpolated linearly in log W. In the place of n stands z ~ N(0, 1), Φ(z) being anywhere between P(< n | W) and
P(≤ n | W): as with energies (`caloforge.division.marginals`), a number of hits has an interval of u. Where there is no
whole, n is 0 and u anywhere.

No part has less than e₀ MeV, so that there are at most W/e₀ of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.division.marginals import windows


class HitCounts(nn.Module):
    """Tables of P(≤ n | W) for several types of wholes.

    Args:
        sizes: (T,) parts of each type of whole, all above 0.
        least: e₀ in MeV, above 0: no part has less, unless it has nothing.
        knots: values of W at which the tables are made, at most.
    """

    first: Tensor
    log_whole: Tensor
    up_to: Tensor

    def __init__(self, sizes: Tensor, least: float, knots: int) -> None:
        super().__init__()
        self.least, self.knots, self.most = least, knots, int(sizes.max())
        n_types = len(sizes)
        self.register_buffer("first", torch.arange(n_types) * knots, persistent=False)
        self.register_buffer("log_whole", torch.arange(knots, dtype=torch.float32).repeat(n_types, 1))
        # P(≤ 1), P(≤ 2) … P(≤ most − 1); before a measurement all numbers are as probable.
        even = (torch.arange(1, self.most) / sizes[:, None]).clamp_max(1)
        self.register_buffer("up_to", even[:, None].repeat(1, knots, 1))

    @torch.no_grad()
    def fit(self, n: Tensor, wholes: Tensor) -> None:
        """Measure the tables from numbers of hits (N, T) and wholes (N, T) in MeV."""
        for number in range(len(self.log_whole)):
            whole, hits = wholes[:, number], n[:, number]
            present = whole > 0
            log_whole, order = torch.sort(torch.log(whole[present] / self.least))
            hits = hits[present][order]
            if len(hits) == 0:
                continue
            found = windows(log_whole, self.knots)
            up_to = (hits[:, None] <= torch.arange(1, self.most, device=hits.device)).double()
            for k in range(self.knots):  # knots that are left over repeat the last one's tables
                start, end = found[min(k, len(found) - 1)]
                self.up_to[number, k] = up_to[start:end].mean(dim=0)
                place = log_whole[start:end].double().mean() + max(0, k - len(found) + 1)
                before = self.log_whole[number, k - 1] + 1e-3 if k else place
                self.log_whole[number, k] = torch.maximum(place.to(self.log_whole), before.to(self.log_whole))

    def intervals(self, n: Tensor, wholes: Tensor) -> Tensor:
        """n (N, T), wholes (N, T) in MeV → (2, N, T): the lower and the upper end of u."""
        up_to = self._up_to(wholes)
        ends = torch.cat([torch.zeros_like(up_to[..., :1]), up_to, torch.ones_like(up_to[..., :1])], dim=2)
        place = n.long().clamp_min(1)[..., None]
        low, high = ends.gather(2, place - 1)[..., 0], ends.gather(2, place)[..., 0]
        present = wholes > 0
        return torch.stack([torch.where(present, low, 0.0), torch.where(present, high, 1.0)])

    def numbers(self, z: Tensor, wholes: Tensor) -> Tensor:
        """z (N, T) ~ N(0, 1), wholes (N, T) in MeV → (N, T) numbers of hits, as floats."""
        u = 0.5 * (1 + torch.erf(z * math.sqrt(0.5)))
        n = 1 + (u[..., None] > self._up_to(wholes)).to(z.dtype).sum(dim=2)
        return torch.minimum(n, affordable(wholes, self.least))

    def _up_to(self, wholes: Tensor) -> Tensor:
        """wholes (N, T) in MeV → (N, T, most − 1) P(≤ n)."""
        log_whole = torch.log(wholes.clamp_min(self.least) / self.least)
        lower = (log_whole[:, :, None] >= self.log_whole[:, 1:-1]).sum(dim=2)  # the last knot is never the lower one
        entry = (lower + self.first).reshape(-1)
        knots, tables = self.log_whole.flatten(), self.up_to.flatten(0, 1)
        low, high = knots.index_select(0, entry), knots.index_select(0, entry + 1)
        weight = ((log_whole.reshape(-1) - low) / (high - low)).clamp(0, 1)[:, None]
        near, far = tables.index_select(0, entry), tables.index_select(0, entry + 1)
        return (near + (far - near) * weight).view(-1, len(self.first), self.most - 1)


def affordable(wholes: Tensor, least: float) -> Tensor:
    """(…) MeV → (…) how many parts of e₀ MeV or more there can be, 1 at least where there is anything, as floats."""
    return torch.floor(wholes * (1 + 1e-5) / least).clamp_min(1) * (wholes > 0).to(wholes.dtype)
