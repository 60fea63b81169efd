"""Consecutive linear steps of a flow, folded into one matrix.

With fixed weights, consecutive permutations and LU maps are one affine map. Its inverse is computed in advance, which
is faster and necessary for ONNX, which has no triangular solve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.networks.flows import Flow, FlowStep, LULinear, Permutation


class Affine(FlowStep):
    """x → W x + b, with the inverse of W computed in advance.

    Args:
        weight: (F, F) invertible W.
        bias: (F,) b.
    """

    weight: Tensor
    inverse_weight: Tensor
    bias: Tensor
    log_det: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("inverse_weight", torch.linalg.inv(weight.double()).to(weight))
        self.register_buffer("bias", bias)
        self.register_buffer("log_det", torch.linalg.slogdet(weight).logabsdet)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x @ self.weight.T + self.bias, self.log_det.expand(x.shape[0])

    def inverse(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return (z - self.bias) @ self.inverse_weight.T, -self.log_det.expand(z.shape[0])


@torch.no_grad()
def folded(flow: Flow) -> list[FlowStep]:
    """The steps of the flow, data side first, with consecutive permutations and LU maps merged into one `Affine`."""
    steps: list[FlowStep] = []
    linear: list[FlowStep] = []

    def fold() -> None:
        if not linear:
            return
        parameter = next(flow.parameters())
        n = next(len(step.bias) for step in linear if isinstance(step, LULinear))
        probe = torch.cat([torch.zeros(1, n), torch.eye(n)]).to(parameter)
        for step in linear:
            probe, _ = step(probe, probe[:, :0])
        steps.append(Affine((probe[1:] - probe[0]).T.contiguous(), probe[0].clone()))
        linear.clear()

    for step in flow.steps:
        assert isinstance(step, FlowStep)
        if isinstance(step, Permutation | LULinear):
            linear.append(step)
        else:
            fold()
            steps.append(step)
    fold()
    return steps
