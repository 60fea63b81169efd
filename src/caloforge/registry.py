"""Registries of classes: the values of `kind:` in a recipe or a saved run.

A registry maps a short name to the dotted path of a class, which is imported on first use. The dotted path of a
user's own class is accepted only if the user has named it (in a recipe, on the command line, or with `trusting`), so
that a file from someone else can never make the program import anything. A class defined in a notebook or script,
`__main__.Name`, is taken from there without an import.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from caloforge.configured import Configured, constructor_parameters
from caloforge.documents import parse_json, read_text
from caloforge.errors import CaloforgeError, either
from caloforge.files import real

Base = TypeVar("Base")
Thing = TypeVar("Thing", bound=Configured)

IDENTITY = "identity.json"
"""File in a run with the inputs of its training and the folder of the recipe."""

_TRUSTED: ContextVar[frozenset[str]] = ContextVar("trusted", default=frozenset())
"""Dotted paths named by the user, in addition to those given to `resolve`."""

_OWN_FILES: set[str] = set()
"""Source files of the user's own classes, whether their import succeeded or failed."""


class Registry(Generic[Base]):
    """Classes with a common base, by name.

    Args:
        what: name of an entry in error messages, e.g. "model".
        base: the class that every entry derives from.
        classes: name → dotted path of the class.
    """

    def __init__(self, what: str, base: type, classes: Mapping[str, str]) -> None:
        self.what, self.base, self._classes = what, base, dict(classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def resolve(self, kind: str, trusted: Collection[str] = ()) -> type[Base]:
        """The class called `kind`.

        Args:
            kind: a registered name, or the dotted path of a class that `trusted` contains.
            trusted: dotted paths named by the user.

        Raises:
            CaloforgeError: the name is unknown, the path is not trusted or cannot be imported, or the class does not
                derive from `base`.
        """
        if kind in self._classes:
            module, _, name = self._classes[kind].rpartition(".")
            return cast(type[Base], getattr(importlib.import_module(module), name))
        if "." not in kind:
            known = ", ".join(self._classes)
            raise CaloforgeError(f"unknown {self.what} '{kind}': give one of {known}, or the dotted path of a class")
        if "<locals>" in kind:
            raise CaloforgeError(
                f"the {self.what} '{kind}' is defined inside a function, so it cannot be loaded: define it at "
                "the top level of a module or notebook"
            )
        trusted = _TRUSTED.get().union(trusted)
        if kind.startswith("__main__."):
            return self._from_main(kind, trusted)
        if kind not in trusted:
            raise CaloforgeError(
                f"the {self.what} '{kind}' is not part of caloforge; to import its code, which can do anything on "
                f"this machine, name it yourself: {_trust(kind)}"
            )
        return self._own(kind)

    def name_of(self, cls: type[Base]) -> str:
        """The registered name of `cls`, or its dotted path."""
        path = f"{cls.__module__}.{cls.__qualname__}"
        return next((name for name, known in self._classes.items() if known == path), path)

    def _from_main(self, path: str, trusted: Collection[str]) -> type[Base]:
        """A class from the running notebook or script, or a trusted one of that name that replaces it."""
        name = path.partition(".")[2]
        moved = [other for other in trusted if other.endswith(f".{name}") and other != path]
        found: Any = sys.modules["__main__"]
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None and len(moved) == 1:
            return self._own(moved[0])
        if found is None:
            raise CaloforgeError(
                f"the {self.what} '{path}' was defined in a notebook or script: define it again first, or "
                f"move it to a module and name that, in the recipe or with {_trust(f'my_module.{name}')}"
            )
        cls = self._checked(path, found)
        _OWN_FILES.update(_files_of(cls))
        return cls

    def _own(self, path: str) -> type[Base]:
        """A user's own class; any exception from its module is an error in the user's code."""
        module, _, name = path.rpartition(".")
        try:
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin is not None and module.partition(".")[0] != "caloforge":
                _OWN_FILES.add(spec.origin)
            found = getattr(importlib.import_module(module), name)
        except Exception as error:
            looked = " (searched the current folder, the folders of the recipe and the run, and the installed packages)"
            absent = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
            raise CaloforgeError(
                f"cannot import the {self.what} '{path}': {_in_words(error)}{looked if absent else ''}"
            ) from None
        return self._checked(path, found)

    def _checked(self, path: str, found: Any) -> type[Base]:
        if not (isinstance(found, type) and issubclass(found, self.base)):
            raise CaloforgeError(f"the {self.what} '{path}' does not derive from {self.base.__name__}")
        if lacking := " and ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            raise CaloforgeError(f"the {self.what} '{path}' must define {lacking}")
        return cast(type[Base], found)


class ConfiguredRegistry(Registry[Thing]):
    """Registry of classes whose objects are constructed from plain data: `kind` and settings."""

    def to_config(self, thing: Thing) -> dict[str, Any]:
        """`kind` and the constructor arguments, from which `build` constructs an equal object.

        Raises:
            CaloforgeError: an argument cannot be written as plain data.
        """
        return {"kind": self.name_of(type(thing)), **thing.to_config()}

    def entry(self, wanted: str | Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
        """A complete entry for `build`.

        Args:
            wanted: `kind` alone, or a mapping with `kind` and settings.
            defaults: settings used if the constructor takes them and `wanted` does not contain them.

        Raises:
            CaloforgeError: `kind` is missing or unknown.
        """
        given = {"kind": wanted} if isinstance(wanted, str) else dict(wanted)
        if "kind" not in given:
            raise CaloforgeError("missing key 'kind'")
        known = constructor_parameters(self.resolve(str(given["kind"])))
        return {name: value for name, value in defaults.items() if name in known} | given

    def check(self, wanted: str | dict[str, Any]) -> str | dict[str, Any]:
        """`wanted` unchanged, if there is such a class; for use in `Annotated[…, AfterValidator]`.

        Raises:
            CaloforgeError: `kind` is missing or unknown.
        """
        self.entry(wanted)
        return wanted

    def build(self, config: Mapping[str, Any], *, origin: str, trusted: Collection[str] = (), **context: Any) -> Thing:
        """Construct an object.

        Args:
            config: `kind` and the settings of the class.
            origin: name of the entry in error messages.
            trusted: dotted paths named by the user.
            context: arguments supplied by the program, such as `geometry`; the constructor gets those that it takes.

        Raises:
            CaloforgeError: `kind` is missing or unknown, a setting is invalid, or the constructor rejects them.
        """
        settings = dict(config)
        try:
            if "kind" not in settings:
                raise CaloforgeError("missing key 'kind'")
            return self.resolve(str(settings.pop("kind")), trusted).from_config(settings, **context)
        except CaloforgeError as error:
            raise type(error)(f"{origin}: {error}") from error.__cause__


def import_file(path: Path) -> bool:
    """Import a user's own file, which registers metrics, observables or classifier tests.

    Returns:
        whether it was executed; False if it has been before.

    Raises:
        CaloforgeError: the file does not exist, or its import fails; the message gives file, line and reason.
    """
    file = real(path)
    if not file.exists():
        raise CaloforgeError(f"{path}: no such file; give a Python file with a metric, observable or classifier")
    if not file.is_file() or file.suffix != ".py":
        raise CaloforgeError(f"{path} is not a Python file; give one that defines a metric, observable or classifier")
    if (known := sys.modules.get(file.stem)) is not None and getattr(known, "__file__", None) == str(file):
        return False
    _OWN_FILES.add(str(file))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        with importable(file.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        if sys.modules.get(file.stem) is module:
            del sys.modules[file.stem]
        raise CaloforgeError(f"{path} cannot be imported: {_in_words(error)}") from None
    return True


def _trust(path: str) -> str:
    return either(f"--trust {path}", f"trusted=['{path}']")


def own_code_fault(error: Exception) -> str | None:
    """Error in a user's own class, in one line with file and line number; None if the user's code is not involved."""
    own = any(frame.filename in _OWN_FILES for frame in traceback.extract_tb(error.__traceback__))
    return f"your own code failed: {_in_words(error)}" if own else None


def _files_of(cls: type) -> set[str]:
    """Files, or notebook cells, that define the methods of a class and of its bases in the same module."""
    own = (base for base in cls.__mro__ if base.__module__ == cls.__module__)
    methods = (inspect.unwrap(value) for base in own for value in vars(base).values() if inspect.isfunction(value))
    return {method.__code__.co_filename for method in methods}


def _in_words(error: Exception) -> str:
    """Type and message of an exception, and the last line in a user's own file, if any."""
    line = ""
    if isinstance(error, SyntaxError) and error.filename is not None:
        line, message = f"{error.filename}, line {error.lineno}", error.msg
    else:
        message = " ".join(str(error).split())
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename in _OWN_FILES:
                line = f"{frame.filename}, line {frame.lineno}"
    return f"{type(error).__name__}: {message}" + (f" ({line})" if line else "")


@contextmanager
def trusting(*paths: str) -> Iterator[None]:
    """Context in which the classes with these dotted paths may be imported."""
    token = _TRUSTED.set(_TRUSTED.get() | frozenset(paths))
    try:
        yield
    finally:
        _TRUSTED.reset(token)


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Context in which classes may be imported from `folders`."""
    added = [str(real(folder)) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


@contextmanager
def importable_for(run: Path, trusted: Collection[str]) -> Iterator[None]:
    """Context in which classes named by the user are trusted and can be imported from where a run was trained.

    A module that is neither in the current folder nor an installed package is searched for in the run's folder, then
    in the recipe's. Nothing is imported from a folder without a trusted module.

    Args:
        run: folder of a run.
        trusted: dotted paths named by the user.
    """
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        for module in sorted({path.partition(".")[0] for path in trusted} - {"", "__main__"}):
            if importlib.util.find_spec(module) is None:
                holds = (f for f in _code_folders(run) if (f / f"{module}.py").is_file() or (f / module).is_dir())
                sys.path += [str(real(folder)) for folder in holds][:1]
        with trusting(*trusted):
            yield
    finally:
        sys.path[:] = before


def _code_folders(run: Path) -> list[Path]:
    try:
        recipe_folder = parse_json(read_text(run / IDENTITY, "identity"), IDENTITY).get("recipe_folder")
    except (CaloforgeError, AttributeError):
        recipe_folder = None
    return [run, Path(recipe_folder)] if isinstance(recipe_folder, str) else [run]
