"""Shower models, one file per paper. The table below is what a recipe's `model.kind` may say."""

from __future__ import annotations

from caloforge.models.base import ShowerModel
from caloforge.registry import Registry

MODELS = Registry(
    "model",
    ShowerModel,  # type: ignore[type-abstract]
    {
        "caloflow": "caloforge.models.caloflow.CaloFlow",
        "caloman": "caloforge.models.caloman.CaloMan",
    },
)
