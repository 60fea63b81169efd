"""A flow from noise to data for batches in PyTorch: few passes over memory, small intermediate results.

- Permutations, LU maps, scales and the order of a coupling's halves are folded into one matrix per coupling.
- Rows of equal energy are grouped and share their gates.
- ReLU(Wx + b) = max(Wx, −b) + b, and the last b is folded into the next layer's bias: one pass instead of three.
- The inverse spline works feature by feature with the batch along the last axis. In the bin k of y, with widths w
  and heights h of the bins and slopes d at the knots (see `caloforge.networks.spline` for the rest of the formula),
  1[y ≥ y_j] counts the bins below y, its differences select bin k, and everything else is a sum over bins.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.inference.folded_flow import Affine, folded
from caloforge.networks.flows import Flow, SplineCoupling
from caloforge.networks.residual import GatedResidualBlock
from caloforge.networks.spline import MAX_SLOPE_LOGIT, MIN_BIN, MIN_SLOPE, UNIT_SLOPE_LOGIT

AddGated = Callable[[Tensor, Tensor, Tensor], None]
"""(h (B, W), update (B, W), weights (C + 1, W)): adds the update times the gates to h in place; the gates are the
sigmoids of the conditions times the weights."""

ROWS_PER_LEVEL = 64
"""Rows per distinct condition above which it is faster to process a batch condition by condition."""


class EagerLayers(nn.Module):
    """Linear layers with ReLU in between.

    Args:
        weights: (outputs, inputs) of each layer.
        biases: (outputs,) of each layer.
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor]) -> None:
        super().__init__()
        self.n_layers = len(weights)
        carried = torch.zeros_like(weights[0][0])
        for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            carried = bias + weight @ carried
            self.register_buffer(f"weight_{k}", weight.T.contiguous())
            self.register_buffer(f"bias_{k}", carried if k == len(weights) - 1 else -carried)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs of the first layer) → (B, outputs of the last)."""
        for k in range(self.n_layers):
            x = x @ getattr(self, f"weight_{k}")
            bias = getattr(self, f"bias_{k}")
            x = x.add_(bias) if k == self.n_layers - 1 else torch.maximum(x, bias, out=x)
        return x


class EagerFlow(nn.Module):
    """From noise to data through a chain of linear maps and spline couplings; internally features come first: (F, B).

    Args:
        flow: the trained flow.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        chain = folded(flow)[::-1]
        steps: list[nn.Module] = []
        after = torch.arange(next(len(step.bias) for step in chain if isinstance(step, Affine)))
        for k, step in enumerate(chain):
            if isinstance(step, Affine):
                # Each map outputs its features in the order that the next coupling expects.
                following = chain[k + 1] if k + 1 < len(chain) else None
                wanted = None
                if isinstance(following, SplineCoupling):
                    wanted = torch.cat([following.transformed, following.unchanged])
                weight, bias = step.inverse_weight, -(step.inverse_weight @ step.bias)
                weight = weight[:, after]
                if wanted is not None:
                    weight, bias, after = weight[wanted], bias[wanted], wanted
                steps.append(_LinearMap(weight, bias))
            else:
                assert isinstance(step, SplineCoupling)
                steps.append(_InverseCoupling(step))
        self.steps = nn.ModuleList(steps)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Noise z (B, F), c (B, C) → (B, F)."""
        order, levels, sizes = _levels(c)
        if order is not None:
            z, c = z[order], c[order]
        z = z.T
        c, levels = (torch.cat([part, torch.ones_like(part[:, :1])], dim=1) for part in (c, levels))

        def add_gated(h: Tensor, update: Tensor, weight: Tensor) -> None:
            gates = torch.sigmoid(levels @ weight)
            if order is None:
                h.addcmul_(update, gates)
                return
            for part, change, gate in zip(h.split(sizes), update.split(sizes), gates, strict=True):
                part.addcmul_(change, gate)

        for step in self.steps:
            z = step(z, c, add_gated)
        return z.T if order is None else torch.empty_like(z.T).index_copy_(0, order, z.T)


def _levels(c: Tensor) -> tuple[Tensor | None, Tensor, list[int]]:
    """The order that groups equal rows of c (B, 1), the distinct rows, and their counts; None, c and an empty list if
    there are too many distinct rows.

    Gates depend only on the conditions, and samples are often generated at a handful of energies.
    """
    if c.shape[1] == 1:
        values, row, sizes = torch.unique(c[:, 0], return_inverse=True, return_counts=True)
        if ROWS_PER_LEVEL * len(values) <= len(c):
            return torch.argsort(row, stable=True), values[:, None], sizes.tolist()
    return None, c, []


class _LinearMap(nn.Module):
    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight.contiguous())
        self.register_buffer("bias", bias[:, None].contiguous())

    def forward(self, z: Tensor, c: Tensor, add_gated: AddGated) -> Tensor:
        return torch.addmm(self.bias, self.weight, z)


class _GatedBlock(nn.Module):
    first: Tensor
    least: Tensor
    second: Tensor
    offset: Tensor

    def __init__(self, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("first", first.weight.detach().T.contiguous())
        self.register_buffer("least", -first.bias.detach())
        self.register_buffer("second", second.weight.detach().T.contiguous())
        self.register_buffer("offset", second.bias.detach() + second.weight.detach() @ first.bias.detach())

    def forward(self, h: Tensor) -> Tensor:
        update = functional.relu(h) @ self.first
        update = torch.maximum(update, self.least, out=update) @ self.second
        return update.add_(self.offset)


class _InverseCoupling(nn.Module):
    """Inverse of a spline coupling whose transformed features come first."""

    first: Tensor
    gates: Tensor
    last: Tensor
    last_bias: Tensor

    def __init__(self, coupling: SplineCoupling) -> None:
        super().__init__()
        self.bound = coupling.bound
        self.n_transformed = len(coupling.transformed)
        network = coupling.network
        blocks = [block for block in network.blocks if isinstance(block, GatedResidualBlock)]
        self.blocks = nn.ModuleList([_GatedBlock(block.first, block.second) for block in blocks])
        self.register_buffer("first", _with_bias(network.first).T.contiguous())
        gates = [_with_bias(block.gate).T for block in blocks]
        self.register_buffer("gates", torch.cat(gates, dim=1) if gates else torch.empty(0))
        # The network's outputs are ordered by feature, then parameter; here by parameter, then feature. The two outer
        # slopes, which the network does not output, have logit 0.
        last = _with_bias(network.last) * coupling.scale
        last = last.view(self.n_transformed, -1, last.shape[1]).transpose(0, 1)
        bins = (len(last) + 1) // 3
        zero = torch.zeros_like(last[:1])
        last = torch.cat([last[: 2 * bins], zero, last[2 * bins :], zero]).flatten(0, 1)
        self.register_buffer("last", last[:, :-1].contiguous())
        self.register_buffer("last_bias", last[:, -1:].contiguous())

    def forward(self, z: Tensor, c: Tensor, add_gated: AddGated) -> Tensor:
        y, unchanged = z[: self.n_transformed], z[self.n_transformed :]
        h = torch.cat([unchanged.T, c], dim=1) @ self.first
        n_blocks = len(self.blocks)
        for block, weight in zip(self.blocks, self.gates.chunk(n_blocks, dim=1) if n_blocks else (), strict=True):
            add_gated(h, block(h), weight)
        parameters = (self.last @ h.T).add_(self.last_bias)
        y = inverse_spline_batch_last(y, parameters.reshape(-1, self.n_transformed, z.shape[1]), self.bound)
        return torch.cat([y, unchanged])


def _with_bias(layer: nn.Linear) -> Tensor:
    return torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach()


def inverse_spline_batch_last(y: Tensor, parameters: Tensor, bound: float) -> Tensor:
    """The inverse of `caloforge.networks.spline.rational_quadratic_spline` without its slope, for large batches.

    Args:
        y: (F, B) any real values.
        parameters: (3K + 1, F, B): K logits of widths, K of heights, K + 1 of slopes, the outer two 0.
        bound: half the width B of the spline's interval.

    Returns:
        (F, B).
    """
    bins = (len(parameters) - 1) // 3
    position = y.clamp(-bound, bound) + bound  # relative to the lower end of the interval
    # Widths and heights as fractions of the interval: (2, K, F, B).
    shares = torch.softmax(parameters[: 2 * bins].view(2, bins, *y.shape), dim=1)
    sizes = shares.mul_(2 * bound * (1 - MIN_BIN * bins)).add_(2 * bound * MIN_BIN)

    # All inner knots from one product with a triangular matrix of ones, which is faster than a cumulative sum.
    triangle = torch.ones((bins - 1, bins), dtype=y.dtype, device=y.device).tril()
    knots = (triangle @ sizes[1].reshape(bins, -1)).view(bins - 1, *y.shape)
    above = (position >= knots).to(y.dtype)  # 1 where y lies above knot j
    below = functional.pad(above, (0, 0, 0, 0, 0, 1))  # 1 where bin j lies below y
    chosen = functional.pad(above, (0, 0, 0, 0, 1, 0), value=1.0) - below

    x_k, y_k = torch.split((sizes * below).sum(dim=1), 1)
    width, height = torch.split((sizes * chosen).sum(dim=1), 1)
    sides = parameters[2 * bins : -1], parameters[2 * bins + 1 :]  # left and right of each bin
    logits = torch.cat([(side * chosen).sum(dim=0, keepdim=True) for side in sides])
    bounded = torch.tanh(logits * (1 / MAX_SLOPE_LOGIT)) * MAX_SLOPE_LOGIT
    d_k, d_next = torch.split(functional.softplus(bounded + UNIT_SLOPE_LOGIT) + MIN_SLOPE, 1)

    # The quadratic of `caloforge.networks.spline`, divided by the height: a ξ² + b ξ − c = 0.
    s = height / width
    rise = (position - y_k) / height
    excess = rise * (d_k + d_next - 2 * s)
    half_b = 0.5 * (d_k - excess)
    c = s * rise
    discriminant = (half_b * half_b + (s - d_k + excess) * c).clamp_min(0)
    xi = (c / (half_b + torch.sqrt(discriminant))).clamp(0, 1)
    # y − position is −B inside the interval; outside it makes the map the identity.
    return (xi * width + x_k + (y - position)).view(y.shape)
