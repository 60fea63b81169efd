"""Models inside models, as a level of a cascade."""

from __future__ import annotations

import inspect
from typing import Any

from caloforge.errors import CaloforgeError
from caloforge.models.base import LatentModel
from caloforge.registry import checked_settings, wants_geometry


def inner_model(wanted: dict[str, Any], features: int, conditions: int, where: str, **defaults: Any) -> LatentModel:
    """A latent model of plain features, as a part of another one.

    Args:
        wanted: `kind` and its settings.
        features: F. conditions: C.
        where: the key of the recipe that says so, for messages.
        defaults: settings for a model that knows them and is not given them.

    Raises:
        CaloforgeError: `kind` is missing or unknown, its settings are wrong, or it cannot be a part of another model.
    """
    from caloforge.models import MODELS

    settings = dict(wanted)
    if "kind" not in settings:
        raise CaloforgeError(f"{where}: missing key 'kind'")
    kind = str(settings.pop("kind"))
    cls = MODELS.resolve(kind)
    if wants_geometry(cls) or not issubclass(cls, LatentModel):
        raise CaloforgeError(
            f"{where}: '{kind}' cannot be a part of another model, which needs a latent model of plain features: "
            "take flow_matching"
        )
    known = inspect.signature(cls).parameters
    settings = {k: v for k, v in defaults.items() if k in known} | settings
    return cls(features, conditions, **checked_settings(cls, settings, where))
