"""The schema of geometry files: keys and value types; `Layer` and `Geometry` check the ranges."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictInt, ValidationError

from caloforge.configured import validation_error
from caloforge.errors import CaloforgeError

Checked = TypeVar("Checked", bound=BaseModel)


def _not_a_switch(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


Number = Annotated[float, BeforeValidator(_not_a_switch)]
"""A number, or text that represents one (YAML 1.1 reads 1e-3 as text), but not a boolean."""


class Entry(BaseModel):
    """A mapping in a user's file: unknown keys are errors, and a name may be a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class PolarEntry(Entry):
    """A layer of voxels in alpha and r (mm)."""

    id: StrictInt
    r_edges: list[Number]
    n_alpha: StrictInt = 1
    z_edges: list[Number] | None = None


class CartesianEntry(Entry):
    """A layer of voxels in phi and eta (mm)."""

    id: StrictInt
    phi_edges: list[Number]
    eta_edges: list[Number]
    z_edges: list[Number] | None = None


class GeometryEntry(Entry):
    """A geometry: its name, its layers from front to back, and its readout threshold in MeV."""

    name: str
    layers: list[dict[str, Any]]
    threshold: Number = 0.0


def checked_entry(schema: type[Checked], plain: Any, origin: str) -> Checked:
    """`plain` as an instance of `schema`.

    Args:
        schema: the required schema.
        plain: contents of a user's file, or part of them.
        origin: its name in error messages.

    Raises:
        CaloforgeError: it is not a mapping, a key is unknown or missing, or a value has the wrong type; the message
            names all such keys.
    """
    if not isinstance(plain, dict):
        keys = ", ".join(f"'{name}'" for name, field in schema.model_fields.items() if field.is_required())
        raise CaloforgeError(f"{origin}: expected a mapping with {keys}, not {plain!r:.80}")
    try:
        return schema(**plain)
    except ValidationError as error:
        raise validation_error(error, origin, schema) from None
    except TypeError:
        odd = next(key for key in plain if not isinstance(key, str))
        raise CaloforgeError(f"{origin}: the key {odd!r} must be text") from None
