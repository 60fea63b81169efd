"""The public names: those of `caloforge`, of its public modules, and of the public classes' methods and fields.

`python tests/public_names.py` writes the present ones to public_names.txt, which a test compares them with.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import caloforge

STORED = Path(__file__).with_suffix(".txt")

OF_PYDANTIC = ("model_config", "model_post_init")


def public_names() -> list[str]:
    """As `Showers`, `Showers.plot` and `plots.histogram`, sorted."""
    found = set()
    for name in caloforge.__all__:
        thing = getattr(caloforge, name)
        found.add(name)
        if inspect.ismodule(thing):
            found |= {f"{name}.{inner}" for inner in thing.__all__}
        elif inspect.isclass(thing):
            found |= {f"{name}.{inner}" for inner in _members(thing)}
    return sorted(found)


def _members(cls: type) -> Iterator[str]:
    """Methods, properties and fields that the package defines, without those of PyTorch, pydantic and the like."""
    names = [name for base in cls.__mro__ if base.__module__.startswith("caloforge") for name in vars(base)]
    names += [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    names += list(getattr(cls, "model_fields", ()))
    yield from (name for name in names if not name.startswith("_") and name not in OF_PYDANTIC)


if __name__ == "__main__":
    STORED.write_text("\n".join(public_names()) + "\n", encoding="utf-8")
