"""Readout threshold: voxels below it are set to zero."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.transforms.base import Transform


def zero_below(x: Tensor, threshold: float) -> Tensor:
    """x with elements below the threshold set to zero; an element equal to it is kept, as in the CaloChallenge."""
    # `functional.threshold` keeps values above its limit, hence the next smaller number; much faster than `where`.
    value = np.array(threshold, dtype=np.float64 if x.dtype == torch.float64 else np.float32)
    return functional.threshold(x, float(np.nextafter(value, -np.inf, dtype=value.dtype)), 0.0)


class ReadoutThreshold(Transform):
    """Sets voxels below a threshold to zero in `inverse`.

    `forward` leaves x unchanged: the model is trained on the true showers.

    Args:
        value: the threshold in MeV; `geometry` uses that of the geometry. 0 still removes negative energies.
        geometry: the voxels.
    """

    def __init__(self, *, value: float | str = "geometry", geometry: Geometry) -> None:
        super().__init__()
        if isinstance(value, str):
            if value != "geometry":
                raise CaloforgeError(f"'value' of a threshold must be a number in MeV or 'geometry', not '{value}'")
            value = geometry.threshold
        if value < 0:
            raise CaloforgeError(f"'value' of a threshold must not be negative, not {value} MeV")
        self.value = float(value)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return zero_below(x, self.value), c
