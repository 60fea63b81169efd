"""Masked autoregressive networks, and flows with splines parametrised by them.

MADE (Germain et al., arXiv:1502.03509): features are ordered, each hidden unit has a degree m, and masks on the weights
connect a unit of degree m only to the first m features and to units of no higher degree. One pass through the network
thus gives parameters θ_i(x_0 … x_{i−1}, c) for each feature i.

A masked autoregressive step transforms each feature by a rational-quadratic spline with these parameters. If they
depend on the data, z_i = f(x_i; θ_i(x_<i)) takes one pass and x needs a loop over the features (masked autoregressive
flow, arXiv:1705.07057); if they depend on the noise, it is the other way round (inverse autoregressive flow,
arXiv:1606.04934).

The loop is cheap here. Hidden units are sorted by degree, and a unit of degree m does not change any more once m
features are known. Every unit and every spline is therefore evaluated once, when it is needed, and a loop over D
features needs the arithmetic of one pass instead of D.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.flows import FlowStep
from caloforge.networks.spline import n_spline_parameters, rational_quadratic_spline


class MaskedLinear(nn.Linear):
    """A linear layer with some weights fixed to zero.

    Args:
        mask: (outputs, inputs) booleans, False where the weight is zero.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """P parameters for each of D features, from the preceding features and the conditions.

    Args:
        features: D. conditions: C. outputs: P.
        width: hidden units per layer. An eighth of them have degree 0 (they see only the conditions); the degrees of
            the others are spread evenly over 0 … D − 1.
        hidden_layers: number of maps between layers of hidden units, one less than the number of these layers.
        dropout: probability of dropping a unit after each such map in training.
    """

    def __init__(
        self, features: int, conditions: int, outputs: int, width: int, hidden_layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        free = width // 8
        spread = torch.arange(width - free) * features // max(1, width - free)
        degrees = torch.cat([torch.zeros(free, dtype=torch.long), spread])
        self.width = width
        # ends[i]: number of units with degree i or less.
        self.ends: list[int] = torch.bincount(degrees, minlength=features).cumsum(0).tolist()
        index = torch.arange(features)
        self.features, self.outputs = features, outputs
        self.first = MaskedLinear(degrees[:, None] > index[None, :])
        self.context = nn.Linear(conditions, width)
        among = degrees[:, None] >= degrees[None, :]
        self.hidden = nn.ModuleList([MaskedLinear(among) for _ in range(hidden_layers)])
        self.last = MaskedLinear((index[:, None] >= degrees[None, :]).repeat(outputs, 1))
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():  # untrained splines must be close to the identity in deep stacks
            self.last.weight.mul_(0.1)
            self.last.bias.mul_(0.1)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """x (B, D), c (B, C) → (B, P, D), where [:, :, i] depends on x[:, :i] and c."""
        h = functional.relu(self.first(x) + functional.relu(self.context(c)))
        for layer in self.hidden:
            h = self.dropout(functional.relu(layer(h)))
        return self.last(h).view(-1, self.outputs, self.features)


class MADELoop:
    """MADE feature by feature: `step(i)` gives the parameters of feature i once the preceding features are known.

    Args:
        made: the network; its weights are read only once.
        c: (B, C) conditions.
    """

    def __init__(self, made: MADE, c: Tensor) -> None:
        # Everything is transposed, with the batch last, so that the known features are contiguous rows.
        batch, width = c.shape[0], made.width
        self.x = c.new_zeros(made.features, batch)
        self.base = (made.first.bias + functional.relu(made.context(c))).T.contiguous()
        self.first = made.first.weight
        layers = [layer for layer in made.hidden if isinstance(layer, MaskedLinear)]
        self.layers = [(layer.weight, layer.bias[:, None]) for layer in layers]
        self.units = [c.new_zeros(width, batch) for _ in range(len(layers) + 1)]
        self.weight = made.last.weight.view(made.outputs, made.features, width).transpose(0, 1).contiguous()
        self.bias = made.last.bias.view(made.outputs, made.features).T.contiguous()[:, :, None]
        self.ends = made.ends

    def step(self, i: int) -> Tensor:
        """(P, B) parameters of feature i, from `x[:i]`."""
        start, end = (self.ends[i - 1] if i else 0), self.ends[i]
        if end > start:
            # Masks are not needed: a unit of degree i sees exactly the units before `end`.
            h = torch.addmm(self.base[start:end], self.first[start:end, :i], self.x[:i])
            self.units[0][start:end] = torch.relu_(h)
            for n, (weight, bias) in enumerate(self.layers):
                h = torch.addmm(bias[start:end], weight[start:end, :end], self.units[n][:end])
                self.units[n + 1][start:end] = torch.relu_(h)
        return torch.addmm(self.bias[i], self.weight[i, :, :end], self.units[-1][:end])


class AutoregressiveSpline(FlowStep):
    """One autoregressive step of splines.

    Args:
        features: D. conditions: C.
        given: what the spline parameters depend on: with `data`, data to noise takes one pass and noise to data a loop;
            with `noise`, the other way round.
        bins: K, number of bins per spline.
        bound: splines act on [-bound, bound] and are the identity outside.
        width, hidden_layers, dropout: settings of the network (see `MADE`).
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        bins: int,
        bound: float,
        width: int,
        hidden_layers: int,
        dropout: float = 0.0,
        given: Literal["data", "noise"] = "data",
    ) -> None:
        super().__init__()
        self.given, self.bound = given, bound
        self.network = MADE(features, conditions, n_spline_parameters(bins), width, hidden_layers, dropout)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.given == "data":
            return self.transform(self.network(x, c), x, inverse=False)
        return self._loop(x, c, inverse=False)

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if self.given == "noise":
            return self.transform(self.network(z, c), z, inverse=True)
        return self._loop(z, c, inverse=True)

    def transform(self, parameters: Tensor, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """x (B, D) transformed by splines with `parameters` (B, P, D) → (B, D), and the sum of log slopes (B,)."""
        y, log_slope = rational_quadratic_spline(x, parameters, self.bound, inverse, dim=-2)
        return y, log_slope.sum(dim=1)

    @torch.no_grad()
    def _loop(self, x: Tensor, c: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        loop, x = MADELoop(self.network, c), x.T.contiguous()
        log_det = x.new_zeros(x.shape[1])
        for i in range(x.shape[0]):
            loop.x[i], log_slope = rational_quadratic_spline(x[i], loop.step(i), self.bound, inverse, dim=-2)
            log_det += log_slope
        return loop.x.T.contiguous(), log_det


@torch.no_grad()
def invert_by_passes(step: AutoregressiveSpline, z: Tensor, c: Tensor) -> Tensor:
    """`inverse` of a step given by data, by D passes through the network: a reference for tests."""
    x = torch.zeros_like(z)
    for i in range(z.shape[1]):
        x[:, i] = step.transform(step.network(x, c), z, inverse=True)[0][:, i]
    return x
