"""Names for classes: what a recipe's `kind:` may say, and how its other keys are checked.

A registry maps a short name to the dotted path of a class, which is imported when it is first asked for. A
dotted path of a user's own class is accepted only where the user has named it (in a recipe or on the command
line): a file that a stranger sent can never make the program import anything.

The keyword-only arguments of a class are its settings. Their annotations and defaults are the schema, so that a
new model, transform or schedule needs no second description: an unknown or missing key is an error that names it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from caloforge.errors import CaloforgeError

Base = TypeVar("Base")

CONTEXT = frozenset({"geometry"})
"""Keyword arguments that the program supplies itself; they are no settings."""


class Registry(Generic[Base]):
    """Classes of one sort, by name.

    Args:
        what: what one entry is called in an error, as in "model".
        base: the class that every entry derives from.
        classes: name → dotted path of the class.
    """

    def __init__(self, what: str, base: type[Base], classes: Mapping[str, str]) -> None:
        self.what, self.base, self._classes = what, base, dict(classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def resolve(self, kind: str, trusted: Collection[str] = ()) -> type[Base]:
        """The class called `kind`.

        Args:
            kind: a registered name, or the dotted path of a class that `trusted` contains.
            trusted: dotted paths that the user named.

        Raises:
            CaloforgeError: the name is unknown, the path is not trusted, cannot be imported, or is no `base`.
        """
        if kind in self._classes:
            return self._import(self._classes[kind])
        if "." not in kind:
            known = ", ".join(self._classes)
            raise CaloforgeError(f"unknown {self.what} '{kind}'; known are {known}, or the dotted path of a class")
        if kind not in trusted:
            raise CaloforgeError(
                f"the {self.what} '{kind}' is not part of caloforge; to import its code, which can do anything on "
                f"this machine, name it yourself: --trust {kind}"
            )
        return self._import(kind)

    def name_of(self, cls: type[Base]) -> str:
        """The registered name of `cls`, or its dotted path."""
        path = f"{cls.__module__}.{cls.__qualname__}"
        return next((name for name, known in self._classes.items() if known == path), path)

    def _import(self, path: str) -> type[Base]:
        module, _, name = path.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise CaloforgeError(
                f"cannot import the {self.what} '{path}': {error} (looked in the current folder, the recipe's and "
                "the installed packages)"
            ) from None
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise CaloforgeError(f"the {self.what} '{path}' is no subclass of {self.base.__name__}")
        return found


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Let classes be imported from `folders` while the block runs."""
    added = [str(folder.resolve()) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def settings_schema(cls: type) -> type[BaseModel]:
    """The pydantic schema of a class's keyword-only arguments."""
    hints = typing.get_type_hints(cls.__init__)  # type: ignore[misc]
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():  # type: ignore[misc]
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in CONTEXT:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    return create_model(cls.__name__, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


def checked_settings(cls: type, settings: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """`settings` of `cls`, checked, coerced and filled with defaults.

    Raises:
        CaloforgeError: a key is unknown or missing, or a value has the wrong type; names `origin` and the key.
    """
    try:
        return settings_schema(cls)(**settings).model_dump()
    except ValidationError as error:
        raise validation_error(error, origin) from None


def validation_error(error: ValidationError, origin: str) -> CaloforgeError:
    """The first fault that pydantic found, in one line that names the key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    match first["type"]:
        case "extra_forbidden":
            reason = f"unknown key '{key}'"
        case "missing":
            reason = f"missing key '{key}'"
        case _:
            reason = f"'{key}' is {first.get('input')!r}: {first['msg'].lower()}"
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return CaloforgeError(f"{origin}: {reason}{more}")


def wants_geometry(cls: type) -> bool:
    """Whether the class's constructor takes the geometry as a keyword."""
    return "geometry" in inspect.signature(cls.__init__).parameters  # type: ignore[misc]
