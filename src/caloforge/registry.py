"""Names for classes: what a recipe's `kind:` may say, and how its other keys are checked.

A registry maps a short name to the dotted path of a class, which is imported when it is first asked for. A
dotted path of a user's own class is accepted only where the user has named it (in a recipe or on the command
line): a file that a stranger sent can never make the program import anything.

The keyword-only arguments of a class are its settings. Their annotations and defaults are the schema, so that a
new model, transform or schedule needs no second description: an unknown or missing key is an error that names it.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import json
import sys
import traceback
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model

from caloforge.errors import CaloforgeError

Base = TypeVar("Base")

IDENTITY = "identity.json"
"""File of a run that tells what it was begun with, and in which folder the recipe lay."""

CONTEXT = frozenset({"geometry"})
"""Keyword arguments that the program supplies itself; they are no settings."""

_OWN_FILES: set[str] = set()
"""Source files of the user's own classes that were imported, or that failed to be."""


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
            module, _, name = self._classes[kind].rpartition(".")
            return getattr(importlib.import_module(module), name)
        if "." not in kind:
            known = ", ".join(self._classes)
            raise CaloforgeError(f"unknown {self.what} '{kind}'; known are {known}, or the dotted path of a class")
        if kind not in trusted:
            raise CaloforgeError(
                f"the {self.what} '{kind}' is not part of caloforge; to import its code, which can do anything on "
                f"this machine, name it yourself: --trust {kind}"
            )
        return self._own(kind)

    def name_of(self, cls: type[Base]) -> str:
        """The registered name of `cls`, or its dotted path."""
        path = f"{cls.__module__}.{cls.__qualname__}"
        return next((name for name, known in self._classes.items() if known == path), path)

    def _own(self, path: str) -> type[Base]:
        """A user's own class; whatever its module raises is the user's to mend."""
        module, _, name = path.rpartition(".")
        try:
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None and module.partition(".")[0] != "caloforge":
                _OWN_FILES.add(spec.origin)
            found = getattr(importlib.import_module(module), name)
        except Exception as error:
            looked = " (looked in the current folder, the recipe's, the run's and the installed packages)"
            absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
            raise CaloforgeError(
                f"cannot import the {self.what} '{path}': {_in_words(error)}{looked if absent else ''}"
            ) from None
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise CaloforgeError(f"the {self.what} '{path}' is no subclass of {self.base.__name__}")
        if lacking := " and ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            raise CaloforgeError(f"the {self.what} '{path}' does not define {lacking}, which it must")
        return found


def own_code_fault(error: Exception) -> str | None:
    """What went wrong in a user's own class, in one line with file and line; None if the user's code had no part."""
    own = any(frame.filename in _OWN_FILES for frame in traceback.extract_tb(error.__traceback__))
    return f"your own code failed: {_in_words(error)}" if own else None


def _in_words(error: Exception) -> str:
    """Kind, message, and the last place in a user's own file, if any."""
    place = ""
    if isinstance(error, SyntaxError) and error.filename is not None:
        place, message = f"{error.filename}, line {error.lineno}", error.msg
    else:
        message = " ".join(str(error).split())
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename in _OWN_FILES:
                place = f"{frame.filename}, line {frame.lineno}"
    return f"{type(error).__name__}: {message}" + (f" ({place})" if place else "")


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


@contextmanager
def importable_for(run: Path, trusted: Collection[str]) -> Iterator[None]:
    """Let the classes that the user trusts be imported from where a run was trained, while the block runs.

    A module that neither the current folder nor an installed package offers is looked for in the run's folder, then
    in the recipe's. A folder without a trusted module is not opened to imports at all.

    Args:
        run: folder of a run.
        trusted: dotted paths that the user named.
    """
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        for module in sorted({path.partition(".")[0] for path in trusted} - {""}):
            if importlib.util.find_spec(module) is None:
                holds = (f for f in _code_folders(run) if (f / f"{module}.py").is_file() or (f / module).is_dir())
                sys.path += [str(folder.resolve()) for folder in holds][:1]
        yield
    finally:
        sys.path[:] = before


def _code_folders(run: Path) -> list[Path]:
    try:
        recipe_folder = json.loads((run / IDENTITY).read_text(encoding="utf-8")).get("recipe_folder")
    except (OSError, ValueError, AttributeError):
        recipe_folder = None
    return [run, Path(recipe_folder)] if isinstance(recipe_folder, str) else [run]


def settings_schema(cls: type) -> type[BaseModel]:
    """The pydantic schema of a class's keyword-only arguments."""
    hints = typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc]
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls.__init__).parameters.items():  # type: ignore[misc]
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in CONTEXT:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[name] = (hints.get(name, Any), default)
    return create_model(cls.__name__, __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)


class UnknownSetting(CaloforgeError):
    """A key that no setting has."""


def checked_settings(cls: type, settings: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """`settings` of `cls`, checked, coerced and filled with defaults.

    Raises:
        CaloforgeError: a key is unknown or missing, or a value has the wrong type; names `origin` and the key.
    """
    try:
        schema = settings_schema(cls)
    except (NameError, TypeError, PydanticUserError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise CaloforgeError(f"{origin}: the keyword arguments of {cls.__name__} need plain types: {reason}") from None
    try:
        return schema(**settings).model_dump()
    except ValidationError as error:
        raise validation_error(error, origin, schema) from None


def validation_error(error: ValidationError, origin: str, schema: type[BaseModel] | None = None) -> CaloforgeError:
    """All faults that pydantic found in one line that names the keys, misspelt ones first.

    Args:
        error: what pydantic raised.
        origin: what to call the thing that was checked; may be empty.
        schema: what it was checked against: known keys are then listed, and the nearest one suggested.
    """
    faults = error.errors()
    missing = {fault["loc"] for fault in faults if fault["type"] == "missing"}
    unknown, others = [], []
    for fault in faults:
        key = ".".join(str(part) for part in fault["loc"])
        match fault["type"]:
            case "extra_forbidden":
                unknown.append(f"unknown key '{key}'{_remedy(fault['loc'], missing, schema)}")
            case "missing":
                others.append(f"missing key '{key}'")
            case _:
                others.append(f"'{key}' is {fault.get('input')!r}: {fault['msg'].lower()}")
    text = "; ".join([*unknown, *others])
    return (UnknownSetting if unknown else CaloforgeError)(f"{origin}: {text}" if origin else text)


def _remedy(place: Sequence[int | str], missing: Collection[Any], schema: type[BaseModel] | None) -> str:
    """Nearest known key, a missing one before all others, and the list of known ones."""
    *above, key = place
    for part in above:
        field = schema.model_fields.get(str(part)) if schema is not None else None
        inner = None if field is None else field.annotation
        schema = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    if schema is None:
        return ""
    known = list(schema.model_fields)
    lacking = [name for name in known if (*above, name) in missing]
    near = difflib.get_close_matches(str(key), lacking, 1) or difflib.get_close_matches(str(key), known, 1)
    return f" ({f'did you mean {near[0]!r}? ' if near else ''}known are {', '.join(known)})"


def wants_geometry(cls: type) -> bool:
    """Whether the class's constructor takes the geometry as a keyword."""
    return "geometry" in inspect.signature(cls.__init__).parameters  # type: ignore[misc]
