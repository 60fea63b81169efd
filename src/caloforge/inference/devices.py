"""Devices by name: the CPU, or a GPU where there is one."""

from __future__ import annotations

import re

import torch

from caloforge.errors import CaloforgeError


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a GPU where there is one, else the CPU.

    Raises:
        CaloforgeError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if re.fullmatch(r"(cpu|cuda|mps)(:\d+)?", name) is None:
        raise CaloforgeError(f"device '{name}' is not known: give cpu, cuda, cuda:N, mps or auto")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise CaloforgeError(f"device '{name}' cannot be used here: {reason}; give cpu or auto") from None
    return device
