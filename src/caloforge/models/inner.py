"""Models inside models, as a level of a cascade."""

from __future__ import annotations

from typing import Any

from caloforge.configured import wants_geometry
from caloforge.errors import CaloforgeError
from caloforge.models import MODELS
from caloforge.models.base import LatentModel


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
    try:
        entry = MODELS.entry(wanted, **defaults)
        cls = MODELS.resolve(str(entry["kind"]))
    except CaloforgeError as error:
        raise CaloforgeError(f"{where}: {error}") from None
    if wants_geometry(cls) or not issubclass(cls, LatentModel):
        raise CaloforgeError(
            f"{where}: '{wanted['kind']}' cannot be a part of another model, which needs a latent model of plain "
            "features: take flow_matching"
        )
    settings = {name: value for name, value in entry.items() if name != "kind"}
    return cls.from_config({**settings, "features": features, "conditions": conditions}, origin=where)
