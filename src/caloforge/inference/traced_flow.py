"""A flow from noise to data in as few operations as possible, for graphs.

For a single sample, an operation on a few hundred numbers takes about a microsecond, whatever it does. Therefore:

- Permutations, LU maps and the order of a coupling's halves are folded into one matrix per half.
- Everything that depends only on the conditions takes two products: the gates of all blocks, and the conditions' part
  of all first layers. Sums enter as the third term of a product.
- The inverse spline (`caloforge.networks.spline`) is evaluated in all K bins at once, without a search. Let t
  be the position of y in a bin, from 0 (y below it) to 1 (above). Solving the quadratic for ξ, with s = height / width,

      u = 2 s t,   q = d_k − t (d_k + d_{k+1}),   ξ = u / (q + √(q² + u (2 s − u)) + u),

  which is exactly 0 at t = 0 and exactly 1 at t = 1, even in floating-point arithmetic. So x = −B + Σ_k width_k ξ_k.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.inference.folded_flow import Affine, folded
from caloforge.networks.flows import Flow, SplineCoupling
from caloforge.networks.residual import GatedResidualBlock
from caloforge.networks.spline import MAX_SLOPE_LOGIT, MIN_BIN, MIN_SLOPE, UNIT_SLOPE_LOGIT


class TracedLayers(nn.Module):
    """Linear layers with ReLU in between.

    Args:
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        super().__init__()
        self.products = nn.ModuleList([_Product(w, b) for w, b in zip(weights, biases, strict=True)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs of the first layer) → (B, outputs of the last)."""
        for k, product in enumerate(self.products):
            x = product(torch.relu(x) if k else x)
        return x


class TracedFlow(nn.Module):
    """From noise to data through a chain of linear maps and spline couplings.

    Args:
        flow: the trained flow.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        steps = folded(flow)[::-1]
        features = next(len(step.bias) for step in steps if isinstance(step, Affine))
        unit = torch.eye(features).to(next(flow.parameters()))
        weight, bias = unit, unit.new_zeros(features)  # from the state of the graph to that of the flow
        couplings: list[nn.Module] = []
        context: list[Tensor] = []
        for step in steps:
            if isinstance(step, Affine):
                weight, bias = step.inverse_weight @ weight, step.inverse_weight @ (bias - step.bias)
                continue
            assert isinstance(step, SplineCoupling)
            couplings.append(_InverseCoupling(step, weight, bias))
            context.append(_context(step))
            weight = unit[:, torch.cat([step.transformed, step.unchanged])]
            bias = -step.bound * weight[:, : len(step.transformed)].sum(dim=1)  # couplings count from the lower end
        self.couplings = nn.ModuleList(couplings)
        self.last = _Product(weight, bias)
        # Gates of all blocks, and the conditions' part of all first layers.
        gates, firsts = [part for parts in context for part in parts[:-1]], [parts[-1] for parts in context]
        self.gates = _with_biases(*gates) if gates else None
        self.gate_sizes = [len(part) for part in gates]
        self.firsts = _with_biases(*firsts)
        self.first_sizes = [len(part) for part in firsts]

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Noise z (B, F), c (B, C) → (B, F)."""
        gates = iter(() if self.gates is None else torch.sigmoid(self.gates(c)).split(self.gate_sizes, dim=1))
        for coupling, first in zip(self.couplings, self.firsts(c).split(self.first_sizes, dim=1), strict=True):
            z = coupling(z, first, gates)
        return self.last(z)


def _with_biases(*parts: Tensor) -> _Product:
    """x → W x + b of several matrices (outputs, inputs + 1) whose last columns are b, concatenated."""
    rows = torch.cat(parts)
    return _Product(rows[:, :-1], rows[:, -1])


def _context(coupling: SplineCoupling) -> Tensor:
    """(blocks + 1, W, C + 1): weights and biases of each block's gates, and of the conditions in the first layer."""
    network, n_unchanged = coupling.network, len(coupling.unchanged)
    gates = [block.gate for block in network.blocks if isinstance(block, GatedResidualBlock)]
    first = torch.cat([network.first.weight[:, n_unchanged:], network.first.bias[:, None]], dim=1)
    return torch.stack([*(torch.cat([gate.weight, gate.bias[:, None]], dim=1) for gate in gates), first]).detach()


class _Product(nn.Module):
    """x → W x + b, or W x + a given term.

    Args:
        weight: W (outputs, inputs).
        bias: b (outputs,).
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().T.clone(memory_format=torch.contiguous_format))
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Tensor, term: Tensor | None = None) -> Tensor:
        """x (B, inputs), `term` (B, outputs) instead of the bias → (B, outputs)."""
        added = self.bias if term is None else term
        assert added is not None
        return torch.addmm(added, x, self.weight)


class _InverseCoupling(nn.Module):
    """Inverse of a spline coupling, with the linear map before it.

    Args:
        coupling: the trained coupling.
        weight, bias: (F, F) and (F,) of the linear map.
    """

    def __init__(self, coupling: SplineCoupling, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        network, n_transformed = coupling.network, len(coupling.transformed)
        self.transformed = _Product(weight[coupling.transformed], bias[coupling.transformed])
        self.unchanged = _Product(weight[coupling.unchanged], bias[coupling.unchanged])
        self.first = _Product(network.first.weight[:, : len(coupling.unchanged)])
        blocks = [block for block in network.blocks if isinstance(block, GatedResidualBlock)]
        self.blocks = nn.ModuleList(
            [
                TracedLayers([block.first.weight, block.second.weight], [block.first.bias, block.second.bias])
                for block in blocks
            ]
        )
        # The network's outputs are ordered by feature; here all widths and heights come before all slopes.
        last = torch.cat([network.last.weight, network.last.bias[:, None]], dim=1) * coupling.scale
        last = last.view(n_transformed, -1, last.shape[1])
        bins = (last.shape[1] + 1) // 3
        self.sizes = _with_biases(last[:, : 2 * bins].flatten(0, 1))
        self.slopes = _with_biases(last[:, 2 * bins :].flatten(0, 1) / MAX_SLOPE_LOGIT)
        self.spline = TracedInverseSpline(n_transformed, bins, coupling.bound, weight)

    def forward(self, z: Tensor, first: Tensor, gates: Iterator[Tensor]) -> Tensor:
        unchanged = self.unchanged(z)
        h = self.first(unchanged, first)
        for block in self.blocks:
            h = h + next(gates) * block(torch.relu(h))
        y = self.spline(self.transformed(z), self.sizes(h), torch.tanh(self.slopes(h)))
        return torch.cat([y, unchanged], dim=1)


class TracedInverseSpline(nn.Module):
    """The inverse of `caloforge.networks.spline.rational_quadratic_spline` without its slope, for graphs.

    Args:
        features: F.
        bins: K.
        bound: B.
        like: a tensor of the required dtype and device.
    """

    def __init__(self, features: int, bins: int, bound: float, like: Tensor) -> None:
        super().__init__()
        self.features, self.bins, self.bound = features, bins, bound
        free, least = 2 * bound * (1 - MIN_BIN * bins), 2 * bound * MIN_BIN
        one = torch.eye(bins, dtype=torch.float64)
        zero, ones, before = torch.zeros_like(one), torch.ones_like(one[0]), torch.ones_like(one).tril(-1)

        def product(weight: Tensor, bias: Tensor) -> _Product:
            return _Product(weight.to(like), bias.to(like))

        # Fractions of the interval, widths then heights → half widths, heights, lower ends of the heights.
        edges = torch.cat([torch.cat([one / 2, zero], 1), torch.cat([zero, one], 1), torch.cat([zero, before], 1)])
        self.edges = product(free * edges, torch.cat([least / 2 * ones, least * ones, least * before.sum(1) - bound]))
        # tanh of the inner slopes' logits → the logits at all knots; the slope at the outer two is 1.
        inner = functional.pad(one[1:, 1:], (0, 0, 1, 1))
        self.knots = product(MAX_SLOPE_LOGIT * inner, UNIT_SLOPE_LOGIT * functional.pad(ones, (0, 1), value=1.0))
        # Slopes at all knots, minus their minimum → slope on the left of each bin, and left plus right.
        left, right = functional.pad(one, (0, 1)), functional.pad(one, (1, 0))
        self.sides = product(torch.cat([left, left + right]), MIN_SLOPE * torch.cat([ones, 2 * ones]))
        # Half widths times ξ → their sums over bins.
        self.sums = product(2 * torch.eye(features).repeat_interleave(bins, dim=1), torch.zeros(features))

    def forward(self, y: Tensor, sizes: Tensor, slopes: Tensor) -> Tensor:
        """y (B, F), logits of widths and heights (B, 2KF), 2K per feature, and bounded logits of slopes divided by
        their bound (B, (K − 1)F), K − 1 per feature → x + B (B, F)."""
        bins = self.bins
        # From here each row is one feature of one sample.
        shares = torch.softmax(sizes.reshape(-1, bins), dim=1)
        half, height, low = self.edges(shares.reshape(-1, 2 * bins)).split([bins] * 3, dim=1)
        # softplus, without the exporters' overflow guard, which the bound on logits makes unnecessary.
        steepness = torch.log(torch.exp(self.knots(slopes.reshape(-1, bins - 1))) + 1)
        d, both = self.sides(steepness).split([bins] * 2, dim=1)
        t = ((y.reshape(-1, 1) - low) / height).clamp(0, 1)
        s = height / half
        u = s * t
        q = d - t * both
        root = torch.sqrt(q * q + u * (s - u))
        parts = half * (u / (q + root + u))  # in this order: q + root is exactly 0 above the bin
        outside = functional.softshrink(y, self.bound)  # distance of y from the interval
        return self.sums(parts.reshape(-1, self.features * bins), outside)
