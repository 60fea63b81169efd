"""L2LFlows: a flow for the layer energies, and one for each layer given those before (Diefenbacher et al.,
arXiv:2302.11594).

The first flow is CaloFlow's, p(E | E_inc) of the layer energies E. Then each layer l has a flow of its own for its
voxels' shares s_l of E_l, conditioned on the energies and on an embedding e_l of the layers before,

    p(s | E, E_inc) = Π_l p(s_l | e_l(s_{l−n} … s_{l−1}), E, E_inc),

with n = 5 in the paper. Given the showers the layers' flows do not depend on each other, so that they train together,
by the sum of their losses; a sample goes from layer to layer, and evaluates every embedding once.

The paper's flows are masked autoregressive, with rational-quadratic splines, as CaloFlow's: a sample is a loop over the
voxels of each layer. Couplings, as in its successor (arXiv:2405.20407; there with convolutions), sample in one pass per
layer. Noise, logits, shares and the layer energies are as in `caloforge.models.caloflow`; the flows see all layers'
energies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.models.energies_then_shapes import EnergiesThenShapes, alternating_orders, chained
from caloforge.networks.flows import Flow, FlowStep, Permutation, SplineCoupling
from caloforge.networks.made import AutoregressiveSpline
from caloforge.networks.residual import mlp


class L2LFlows(EnergiesThenShapes):
    """Layer energies, then the layers one after another.

    Features are the voxels in MeV, the first condition is the incident energy in MeV: use no transform but a threshold.

    Args:
        features: V, the geometry's number of voxels.
        conditions: 1, the incident energy, and the number of further ones.
        geometry: supplies the layers.
        energy_scale: f in u_0 = E_dep / (f E_inc); `auto` takes the training set's largest E_dep / E_inc.
        noise: in MeV; uniform between 0 and this.
        empty_below: in MeV. 0: noise on every voxel. Above: voxels below it count as empty, only they get noise, and a
            sampled layer's energy goes to those voxels that get at least so much.
        alpha: α of the logit.
        standardise: begin the flows with a fixed linear regression on the conditions and a scaling to width 1.
        marginals: then bend each logit of a share by a spline that depends on the conditions only.
        bins: of a spline.
        bound: splines bend [-bound, bound].
        energy_blocks: of the flow of layer energies.
        energy_width: hidden units of a block.
        energy_hidden_layers: maps from hidden units to hidden units in a block.
        flow: of a layer: `autoregressive`, as published, or `coupling`, which can be exported.
        shape_blocks: of a layer's flow; between them stand reversals and random permutations in turn, or a random
            permutation after each pair of couplings.
        shape_width: hidden units of a block.
        shape_hidden_layers: maps from hidden units to hidden units in a block; residual blocks of a coupling.
        previous: n, number of layers that a layer's embedding sees; 0 for none.
        embedding: numbers that they are reduced to.
        embedding_width: units in each of the embedding's two hidden layers.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = L2LFlows(504, 1, geometry=load_geometry("calogan"), shape_blocks=2, shape_width=16)
        >>> model.sample(torch.full((2, 1), 20_000.0)).shape
        torch.Size([2, 504])
    """

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        energy_scale: float | Literal["auto"] = 1.0,
        noise: float = 1e-3,
        empty_below: float = 0.0,
        alpha: float = 1e-6,
        standardise: bool = False,
        marginals: bool = False,
        bins: PositiveInt = 8,
        bound: float = 14.0,
        energy_blocks: PositiveInt = 6,
        energy_width: PositiveInt = 64,
        energy_hidden_layers: NonNegativeInt = 2,
        flow: Literal["autoregressive", "coupling"] = "autoregressive",
        shape_blocks: PositiveInt = 6,
        shape_width: PositiveInt = 256,
        shape_hidden_layers: NonNegativeInt = 1,
        previous: NonNegativeInt = 5,
        embedding: PositiveInt = 64,
        embedding_width: PositiveInt = 128,
    ) -> None:
        super().__init__(
            features,
            conditions,
            geometry=geometry,
            energy_scale=energy_scale,
            noise=noise,
            empty_below=empty_below,
            alpha=alpha,
            standardise=standardise,
            marginals=marginals,
            bins=bins,
            bound=bound,
            energy_blocks=energy_blocks,
            energy_width=energy_width,
            energy_hidden_layers=energy_hidden_layers,
            marginals_width=shape_width,
        )
        if flow == "autoregressive":
            self.export_obstacle = (
                "its flows sample voxel by voxel in a loop; train with flow: coupling and export that"
            )
        elif min(self.layers.sizes) < 2:
            raise CaloforgeError("a layer of one voxel has no coupling: set model.flow to autoregressive")
        block: dict[str, Any] = {"bins": bins, "bound": bound}
        block |= {"width": shape_width, "hidden_layers": shape_hidden_layers}

        def of_layer(voxels: int, given: int) -> Flow:
            if flow == "coupling":
                steps: list[FlowStep] = []
                for k in range(shape_blocks):
                    if k > 0 and k % 2 == 0:
                        steps.append(Permutation(voxels))
                    size = (shape_width, shape_hidden_layers)
                    steps.append(SplineCoupling(voxels, given, k % 2 == 0, bins, bound, *size))
                return Flow(steps)
            blocks = [AutoregressiveSpline(voxels, given, **block) for _ in range(shape_blocks)]
            return chained(blocks, alternating_orders(torch.zeros(voxels, dtype=torch.long), shape_blocks - 1))

        given = conditions + self.n_layers
        widths = [embedding_width, embedding_width, embedding]
        self.shapes = Flow([LayerByLayer(self.layers.sizes, given, of_layer, previous, widths)])


class LayerByLayer(FlowStep):
    """A flow for each layer, conditioned on an embedding of the layers before it.

    Args:
        sizes: voxels of each layer.
        conditions: C, that all flows see.
        flow: (features, conditions) → the flow of a layer.
        previous: n, number of layers that an embedding sees.
        widths: of an embedding's hidden layers and, last, of the embedding itself.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        conditions: int,
        flow: Callable[[int, int], Flow],
        previous: int,
        widths: Sequence[int],
    ) -> None:
        super().__init__()
        self.sizes, self.previous = list(sizes), previous
        self.flows, self.embeddings = nn.ModuleList(), nn.ModuleList()
        for k, size in enumerate(sizes):
            before = sum(sizes[max(0, k - previous) : k])
            self.embeddings.append(mlp([before, *widths], nn.SiLU) if before else nn.Identity())
            self.flows.append(flow(size, conditions + (widths[-1] if before else 0)))

    def given(self, k: int, layers: Sequence[Tensor], c: Tensor) -> Tensor:
        """The conditions of layer k: c (B, C), then the embedding of its predecessors in `layers`, (B, n_l) each."""
        before = layers[max(0, k - self.previous) : k]
        return torch.cat([c, self.embeddings[k](torch.cat(list(before), dim=1))], dim=1) if before else c

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        layers = x.split(self.sizes, dim=1)
        log_det, noise = x.new_zeros(len(x)), []
        for k, flow in enumerate(self.flows):
            z, change = flow(layers[k], self.given(k, layers, c))
            noise.append(z)
            log_det = log_det + change
        return torch.cat(noise, dim=1), log_det

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        layers: list[Tensor] = []
        log_det = z.new_zeros(len(z))
        for k, (flow, noise) in enumerate(zip(self.flows, z.split(self.sizes, dim=1), strict=True)):
            assert isinstance(flow, Flow)
            y, change = flow.inverse(noise, self.given(k, layers, c))
            layers.append(y)
            log_det = log_det + change
        return torch.cat(layers, dim=1), log_det
