"""Which conditions of the training showers a model is told of: the recipe's `conditions`.

auto        all that the showers have, less those on which they cannot depend (the azimuth, where the mesh turns
            with the particle); the default
none        the incident energy alone
[theta, x]  these
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caloforge.conditions import Columns
from caloforge.conditions.kinds import superfluous
from caloforge.errors import CaloforgeError
from caloforge.transforms import TrainedConditions

Wanted = str | Sequence[str]
"""`auto`, `none`, a name, or several."""


@dataclass(frozen=True)
class GivenConditions:
    """The conditions of a source of showers.

    Args:
        name: of the source, for errors.
        columns: of all its showers.
        attributes: of the source.
    """

    name: str
    columns: Columns
    attributes: Mapping[str, Any]


def chosen_conditions(found: GivenConditions, wanted: Wanted) -> TrainedConditions:
    """What a model is told of, from the training showers.

    Raises:
        CaloforgeError: the showers lack a wanted condition, or a label has too many values.
    """
    columns = found.columns
    needless = superfluous(columns, str(found.attributes.get("frame", "")))
    if wanted == "none":
        names, needless = [], []
    elif wanted == "auto":
        names = [name for name in columns if name not in needless]
    else:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        needless = [name for name in needless if name not in names]
    _require(found, names)
    try:
        return TrainedConditions.of(columns.only(names), needless)
    except CaloforgeError as error:
        raise CaloforgeError(f"{found.name}: {error}") from None


def required_conditions(found: GivenConditions, trained: TrainedConditions) -> TrainedConditions:
    """The training showers' conditions, required of the validation showers too.

    Raises:
        CaloforgeError: one is missing, or has another unit.
    """
    _require(found, trained.names)
    for entry in trained.entries:
        if (unit := found.columns.kind(entry.kind.name).unit) != entry.kind.unit:
            raise CaloforgeError(
                f"{found.name}: the condition {entry.kind.name} is in {unit or 'no unit'}, but in "
                f"{entry.kind.unit or 'no unit'} in the training showers"
            )
    return trained


def _require(found: GivenConditions, names: Sequence[str]) -> None:
    for name in names:
        if name not in found.columns:
            has = f"they have {', '.join(found.columns)}" if found.columns else "they have none beyond the energy"
            raise CaloforgeError(f"{found.name}: the showers have no condition {name}; {has}")
