"""Faster steps: bfloat16 by autocast (`training.precision`), and torch.compile (`training.compile`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from caloforge.errors import CaloforgeError
from caloforge.models.stages import StageSettings


@contextmanager
def accelerated(stage: str, settings: StageSettings, device: torch.device) -> Iterator[None]:
    """Take a step as the settings say; weights and optimisers stay in float32.

    Raises:
        CaloforgeError: something that works without them does not work with bfloat16 or compiled.
    """
    if settings.precision == "float32" and not settings.compile:
        yield
        return
    try:
        # Without the cache of weights in bfloat16, which would not notice an optimiser's step inside the block.
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16", cache_enabled=False):
            yield
    except CaloforgeError:
        raise
    except Exception as error:
        keys = {"precision": settings.precision == "bf16", "compile": settings.compile}
        wanted = " and ".join(f"training.{key}" for key, chosen in keys.items() if chosen)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CaloforgeError(
            f"stage '{stage}' cannot be trained with {wanted} on this {device.type} ({reason:.200}): leave it out"
        ) from error


@contextmanager
def compiled(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Compile the networks of a model inside the block, each when it is first called; elsewhere they are as before."""
    networks = list(_networks(model)) if wanted else []
    for network in networks:
        network.compile()
    try:
        yield
    finally:
        for network in networks:
            network._compiled_call_impl = None


def _networks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that can be called and have parameters."""
    for child in module.children():
        if type(child).forward is nn.Module.forward:
            yield from _networks(child)
        elif any(True for _ in child.parameters()):
            yield child
