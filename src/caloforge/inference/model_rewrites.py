"""Rewritten forms of the package's models (see `caloforge.inference.rewriting`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge.inference.eager_flow import EagerFlow, EagerLayers
from caloforge.inference.rewriting import optimised
from caloforge.inference.student import StudentSteps
from caloforge.inference.traced_flow import TracedFlow, TracedLayers
from caloforge.models.caloman import CaloMan
from caloforge.models.cascade import Cascade
from caloforge.models.flow_matching import FlowMatching
from caloforge.networks.flows import Flow


def caloman(model: CaloMan, traced: bool) -> nn.Module:
    """Flow and decoder, without the decoder's variance; the scale of the codes is folded into the first weights."""
    linears = [layer for layer in model.autoencoder.decoder if isinstance(layer, nn.Linear)]
    weights = [layer.weight.detach().clone() for layer in linears]
    biases = [layer.bias.detach() for layer in linears]
    weights[0][:, : model.latent_dim] *= model.scale
    weights[-1], biases[-1] = weights[-1][:-1], biases[-1][:-1]
    return FlowThenLayers(model.density, weights, biases, conditional=model.conditional_autoencoder, traced=traced)


def flow_matching(model: FlowMatching, traced: bool) -> nn.Module | None:
    """The student; the teacher has no rewritten form, nor has a consistency function that is evaluated repeatedly."""
    if not model.by_student or (model.learns_from_showers and model.strides > 1):
        return None
    assert model.student is not None
    return StudentSteps(model.student, model.strides, model.scale, model.shift, traced=traced)


def cascade(model: Cascade, traced: bool) -> nn.Module | None:
    """The cascade with the models of its levels rewritten, or None if one of them has no such form."""
    levels = {}
    for name, level in model.level_models():
        fast = optimised(level, traced=traced)
        if fast is None:
            return None
        levels[name] = fast
    return OptimisedCascade(model, levels)


class FlowThenLayers(nn.Module):
    """A flow from noise to codes, followed by linear layers with ReLU in between, from codes to features.

    Args:
        flow: the trained flow, from data to noise.
        weights, biases: (outputs, inputs) and (outputs,) of each layer.
        conditional: whether the layers also take the conditions, after the codes.
        traced: build the form for a graph instead of batches in PyTorch.
    """

    def __init__(
        self, flow: Flow, weights: list[Tensor], biases: list[Tensor], *, conditional: bool, traced: bool
    ) -> None:
        super().__init__()
        self.conditional = conditional
        with torch.no_grad():
            self.flow = TracedFlow(flow) if traced else EagerFlow(flow)
            self.layers = (TracedLayers if traced else EagerLayers)(weights, biases)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, d) from N(0, 1), c (B, C) → (B, F)."""
        codes = self.flow(z, c)
        return self.layers(torch.cat([codes, c], dim=1) if self.conditional else codes)


class OptimisedCascade(nn.Module):
    """A cascade with rewritten models of its levels.

    Args:
        cascade: the model.
        levels: name of a level → its rewritten model.
    """

    def __init__(self, cascade: Cascade, levels: dict[str, nn.Module]) -> None:
        super().__init__()
        self.cascade, self.levels = cascade, nn.ModuleDict(levels)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, 1) incident energies in MeV → voxels (B, V) in MeV."""
        return self.cascade.decode_with(z, c, dict(self.levels.items()))
