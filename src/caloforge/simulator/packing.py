"""A run as small as it can be shared: without the parts that only training uses, in half precision, compressed.

Weights of networks and large tables (2¹⁸ values or more) are stored as float16, other constants as float32; the file is
compressed by LZMA. It is float32 again once loaded.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caloforge.simulator.absent import leave_out
from caloforge.simulator.core import Simulator
from caloforge.simulator.stored import PACKED_WEIGHTS, compressed

LARGE = 2**18
"""Values of a table from which it is rounded: those of marginal distributions, known to a few per cent."""

PACKED_FROM = "packed_from_sha256"
"""Provenance key: hash of the weights of the run that was packed."""


def without_training_parts(simulator: Simulator) -> Simulator:
    """A copy of a run without the parts of its model that only training uses, on the CPU; it generates the same."""
    made = copy.deepcopy(simulator).to("cpu")
    leave_out(made.model, made.model.training_only())
    return made


def rounded(simulator: Simulator) -> dict[str, Tensor]:
    """The weights of a run, those of networks and large tables as float16 where they fit into it.

    Args:
        simulator: the run.
    """
    parameters = {f"model.{name}" for name, _ in simulator.model.named_parameters()}
    return {
        name: value.half() if _may_be_half(value, name in parameters) else value
        for name, value in simulator.weights().items()
    }


def _may_be_half(value: Tensor, is_parameter: bool) -> bool:
    if value.dtype != torch.float32 or not (is_parameter or value.numel() >= LARGE):
        return False
    return value.numel() == 0 or float(value.abs().max()) < torch.finfo(torch.float16).max


def save_packed(
    simulator: Simulator,
    folder: str | os.PathLike[str],
    *,
    half: bool = True,
    facts: dict[str, Any] | None = None,
    trusted: Collection[str] = (),
) -> Simulator:
    """Write a run into `folder`, packed.

    Args:
        simulator: the run; it stays as it is.
        folder: created if needed.
        half: whether to round weights and tables to float16.
        facts: provenance to add.
        trusted: dotted paths of classes from outside the package that the run imports.

    Returns:
        The run as it is loaded from the folder.

    Raises:
        CaloforgeError: the folder cannot be written, or the weights are too large to be packed.
    """
    made = without_training_parts(simulator)
    origin = simulator.provenance.get("weights_sha256")
    made.provenance = {**made.provenance, **({PACKED_FROM: origin} if origin else {}), **(facts or {})}
    made.provenance.pop("weights_sha256", None)
    weights = rounded(made) if half else made.weights()
    made.write(Path(folder), PACKED_WEIGHTS, compressed(weights))
    return Simulator.load(folder, trusted)
