"""Logit: from features in [0, 1] to the real line, as needed for densities; α keeps the logits of 0 and 1 finite."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.transforms.base import Transform


def shrunk(u: Tensor, alpha: float) -> Tensor:
    """α + (1 − 2α) u, elementwise, with u clamped to [0, 1]."""
    return alpha + (1 - 2 * alpha) * u.clamp(0, 1)


def logit_with_slope(u: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """y = logit(α + (1 − 2α) u) and log |dy/du|, elementwise."""
    p = shrunk(u, alpha)
    rest = 1 - p
    log_p, log_rest = torch.log(p), torch.log(rest)
    return log_p - log_rest, torch.log1p(torch.tensor(-2 * alpha).to(u)) - log_p - log_rest


def inverse_logit(y: Tensor, alpha: float) -> Tensor:
    """u from y = logit(α + (1 − 2α) u), elementwise; up to α/(1 − 2α) outside [0, 1] for large |y|."""
    # onnxruntime's Sigmoid is exact to 6e-8, not to 6e-8 of its value: too coarse for the share of a faint voxel.
    p = 1 / (1 + torch.exp(-y)) if torch.onnx.is_in_onnx_export() else torch.sigmoid(y)
    return (p - alpha) / (1 - 2 * alpha)


class Logit(Transform):
    """u → logit(α + (1 − 2α) u) for features u in [0, 1] (CaloFlow, arXiv:2106.05285; CaloScore uses it too).

    Args:
        alpha: α, above 0 and below 1/2.
    """

    def __init__(self, *, alpha: float = 1e-6) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise CaloforgeError(f"'alpha' of a logit must be between 0 and 0.5, not {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.logit(shrunk(x, self.alpha)), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_logit(x, self.alpha), c
