"""`optimised(model)`: the `decode` of a latent model, rewritten for inference, if such a form is registered.

A rewritten form is registered for one class, not for its subclasses, which may decode differently. To register one for
your own model:

    from caloforge.inference import register_rewrite

    @register_rewrite(MyModel)
    def rewritten(model: MyModel, traced: bool) -> nn.Module | None:
        return MyFastDecoder(model)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from caloforge.models.base import LatentModel, ShowerModel

Rewrite = Callable[[Any, bool], nn.Module | None]
"""(model, traced) → module from z (B, D), c (B, C) to x (B, F): the showers of `decode` up to rounding, with a copy of
the current weights. None if the model, with its settings, has no such form. Traced: for one shower at a time in an
exported or compiled graph, instead of batches in PyTorch."""

AnyRewrite = TypeVar("AnyRewrite", bound=Rewrite)

BUILT_IN = {
    "caloforge.models.caloman.CaloMan": "caloman",
    "caloforge.models.cascade.Cascade": "cascade",
    "caloforge.models.flow_matching.FlowMatching": "flow_matching",
}
"""Model → function in `caloforge.inference.model_rewrites`, imported on first use."""

_registered: dict[type[ShowerModel], Rewrite] = {}


def register_rewrite(cls: type[LatentModel]) -> Callable[[AnyRewrite], AnyRewrite]:
    """Decorator: register a function that rewrites models of exactly this class (see `Rewrite`)."""

    def register(rewrite: AnyRewrite) -> AnyRewrite:
        _registered[cls] = rewrite
        return rewrite

    return register


def optimised(model: ShowerModel, *, traced: bool = False) -> nn.Module | None:
    """(z (B, D), c (B, C)) → x (B, F): `model.decode` optimised for inference; None if there is no such form.

    Args:
        model: any model; its weights are copied, so call this again after changing them.
        traced: for one shower at a time in an exported or compiled graph, instead of batches in PyTorch.
    """
    cls = type(model)
    rewrite = _registered.get(cls)
    name = BUILT_IN.get(f"{cls.__module__}.{cls.__qualname__}")
    if rewrite is None and name is not None:
        rewrite = getattr(importlib.import_module("caloforge.inference.model_rewrites"), name)
    return None if rewrite is None else rewrite(model, traced)
