"""Velocity networks at fixed times, as evaluated by a flow-matching student (`caloforge.networks.velocities`).

- The time is a constant, so its embedding is a bias; the projections of the embedding for all blocks are one product.
- The biases of a sector network's residual stream are folded into the products that read it.
- In the traced form, for one shower at a time, a sector network works on sectors instead of Fourier modes around the
  circle as in training: a block then reads one input matrix, twice as wide, instead of one per mode.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.networks.velocities import Embedding, ResidualVelocity, SectorBlock, SectorVelocity, per_sector

ROWS = 100
"""Showers per piece in the computation of modes, so that intermediate results stay in the processor's cache."""


class StudentSteps(nn.Module):
    """x ← x + network(x, k / n, c) / n for k = 0 … n − 1, then scaled and shifted.

    Args:
        network: the student's network.
        n: number of steps.
        scale, shift: (F,) of the features.
        traced: build the form for a graph instead of batches in PyTorch.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, n: int, scale: Tensor, shift: Tensor, *, traced: bool) -> None:
        super().__init__()
        with torch.no_grad():
            self.steps = nn.ModuleList([at_time(network, k / n, 1 / n, traced) for k in range(n)])
        self.register_buffer("scale", scale.detach().clone())
        self.register_buffer("shift", shift.detach().clone())

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, F) from N(0, 1), c (B, C) → features (B, F)."""
        x = z
        for step in self.steps:
            x = x + step(x, c)
        return x * self.scale + self.shift


def at_time(network: nn.Module, t: float, factor: float, traced: bool) -> nn.Module:
    """(x (B, F), c (B, C)) → factor · network(x, t, c) (B, F)."""
    if isinstance(network, ResidualVelocity):
        return _Residual(network, t, factor)
    if isinstance(network, SectorVelocity):
        return _Sectors(network, t, factor) if traced else _Modes(network, t, factor)
    return _AsItIs(network, t, factor)


class _AsItIs(nn.Module):
    """Any network, without optimisation."""

    t: Tensor

    def __init__(self, network: nn.Module, t: float, factor: float) -> None:
        super().__init__()
        self.network, self.factor = copy.deepcopy(network), factor
        self.register_buffer("t", torch.full((1,), t))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        velocity: Tensor = self.network(x, self.t, c)
        return self.factor * velocity


class _Linear(nn.Module):
    """x (…, inputs) → (…, outputs), with or without a bias."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class _Projections(nn.Module):
    """c (B, C) → projections of the embedding of conditions and time, one (B, outputs) per block.

    Args:
        embedding: of conditions and time. t: the time.
        weights, biases: (outputs, width) and (outputs,) of the projections.
    """

    def __init__(self, embedding: Embedding, t: float, weights: list[Tensor], biases: list[Tensor]) -> None:
        super().__init__()
        first, second = (layer for layer in embedding.conditions if isinstance(layer, nn.Linear))
        time = embedding.time(embedding.waves(first.weight.new_tensor([t])))[0]
        self.first, self.second = _Linear(first.weight, first.bias), _Linear(second.weight, second.bias + time)
        self.sizes = [len(bias) for bias in biases]
        self.blocks = _Linear(torch.cat(weights), torch.cat(biases))

    def forward(self, c: Tensor) -> tuple[Tensor, ...]:
        return self._together(c).split(self.sizes, dim=1)

    def for_sectors(self, c: Tensor) -> tuple[Tensor, ...]:
        """The same, (B, 1, outputs) each."""
        return self._together(c)[:, None].split(self.sizes, dim=2)

    def _together(self, c: Tensor) -> Tensor:
        projected: Tensor = self.blocks(functional.silu(self.second(functional.silu(self.first(c)))))
        return projected


class _Residual(nn.Module):
    def __init__(self, network: ResidualVelocity, t: float, factor: float) -> None:
        super().__init__()
        modulations = [layer for layer in network.modulations.modules() if isinstance(layer, nn.Linear)]
        weights = [half for layer in modulations for half in layer.weight.chunk(2)]
        biases = [half for layer in modulations for half in layer.bias.chunk(2)]
        biases[1::2] = [bias + 1 for bias in biases[1::2]]  # of 1 + scale
        self.projections = _Projections(network.embedding, t, weights, biases)
        self.first = _Linear(network.first.weight, network.first.bias)
        linears = [layer for layer in network.blocks.modules() if isinstance(layer, nn.Linear)]
        self.inward = nn.ModuleList([_Linear(layer.weight, layer.bias) for layer in linears[::2]])
        self.outward = nn.ModuleList([_Linear(layer.weight, layer.bias) for layer in linears[1::2]])
        self.last = _Linear(factor * network.last.weight, factor * network.last.bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        seen = self.projections(c)
        h = self.first(x)
        for shift, scale, inward, outward in zip(seen[::2], seen[1::2], self.inward, self.outward, strict=True):
            h = h + outward(functional.silu(inward(h * scale + shift)))
        return self.last(functional.silu(h))


class _SectorNetwork(nn.Module):
    """Base of both forms of a sector network.

    Args:
        network: the trained network. t: the time. factor: factor on the output.
        constant: factor of terms that are equal in all sectors.
    """

    waves: Tensor
    carried: Tensor

    def __init__(self, network: SectorVelocity, t: float, factor: float, constant: float) -> None:
        super().__init__()
        self.sectors, self.own = network.sectors, network.sector_conditions
        blocks = _blocks(network)
        self.register_buffer("waves", network.waves.clone())
        biases, carried = [], network.first.bias.detach()
        for block in blocks:
            mixed = block.factors()[0] * carried  # terms equal in all sectors are the constant mode
            biases.append(constant * (block.inward.bias + block.inward.weight @ torch.cat([carried, mixed])))
            carried = carried + block.outward.bias
        self.register_buffer("carried", carried)
        self.projections = _Projections(
            network.embedding, t, [constant * block.seen.weight for block in blocks], biases
        )
        self.first = _Linear(network.first.weight)
        self.outward = nn.ModuleList([_Linear(block.outward.weight) for block in blocks])
        self.last = _Linear(factor * network.last.weight, factor * network.last.bias)


class _Sectors(_SectorNetwork):
    """Sector by sector: (B, S, ·)."""

    def __init__(self, network: SectorVelocity, t: float, factor: float) -> None:
        super().__init__(network, t, factor, constant=1)
        self.inward = nn.ModuleList([_Linear(block.inward.weight) for block in _blocks(network)])
        self.factors = nn.ParameterList([block.factors() for block in _blocks(network)])

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        by_sector, c = per_sector(x, c, self.sectors, self.first.weight.shape[1], self.own)
        h = self.first(by_sector)
        for inward, outward, factors, seen in zip(
            self.inward, self.outward, self.factors, self.projections.for_sectors(c), strict=True
        ):
            mixed = self.waves.T @ ((self.waves @ h) * factors)
            h = h + outward(functional.silu(inward(torch.cat([h, mixed], dim=2)) + seen))
        return self.last(functional.silu(h + self.carried)).flatten(1)


class _Modes(_SectorNetwork):
    """Mode by mode: (S, B, ·)."""

    def __init__(self, network: SectorVelocity, t: float, factor: float) -> None:
        super().__init__(network, t, factor, constant=math.sqrt(network.sectors))
        matrices = []
        for block in _blocks(network):
            direct, mixing = block.inward.weight.chunk(2, dim=1)
            matrices.append((direct + mixing * block.factors()[:, None]).transpose(1, 2).contiguous())
        self.inward = nn.ParameterList(matrices)  # each (S, width, hidden)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return torch.cat([self._piece(*rows) for rows in zip(x.split(ROWS), c.split(ROWS), strict=True)])

    def _piece(self, x: Tensor, c: Tensor) -> Tensor:
        n, sectors = len(x), self.sectors
        to_modes, back = self.waves, self.waves.T.contiguous()
        given, c = per_sector(x, c, sectors, self.first.weight.shape[1], self.own)
        by_sector = given.transpose(0, 1).reshape(sectors, -1)
        h = self.first((to_modes @ by_sector).view(sectors * n, -1))
        for inward, outward, seen in zip(self.inward, self.outward, self.projections(c), strict=True):
            u = torch.bmm(h.view(sectors, n, -1), inward)
            u[0] += seen
            active = functional.silu(back @ u.view(sectors, -1), inplace=True)
            h.addmm_((to_modes @ active).view(sectors * n, -1), outward.weight.T)
        h = (back @ h.view(sectors, -1)).view(sectors * n, -1).add_(self.carried)
        return self.last(functional.silu(h, inplace=True)).view(sectors, n, -1).transpose(0, 1).reshape(n, -1)


def _blocks(network: SectorVelocity) -> list[SectorBlock]:
    return [block for block in network.blocks if isinstance(block, SectorBlock)]
