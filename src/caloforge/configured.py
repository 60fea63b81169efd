"""`Configured`: objects that record their constructor arguments, so that a saved run can construct them again.

The constructor arguments of a class are its settings: the keys of its entry in a recipe and in a saved run. Their types
and defaults are the schema, so that a new model, transform, schedule or sampler needs no separate description. An
unknown or missing key, or a value of the wrong type, is an error that names it.

Arguments are recorded before the constructor runs, so that a subclass cannot omit one.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import os
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Literal, Self
from weakref import WeakKeyDictionary

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic_core import ErrorDetails

from caloforge.errors import CaloforgeError


class Configured:
    """Base of classes whose objects are saved as data and reconstructed.

    Example:
        >>> class Scale(Configured):
        ...     def __init__(self, *, factor: float = 1.0) -> None:
        ...         self.factor = factor
        >>> Scale(factor=1000).to_config()
        {'factor': 1000}
        >>> Scale.from_config({"factor": 1000}).factor
        1000.0
        >>> Scale(factor="large")
        Traceback (most recent call last):
        ...
        caloforge.errors.CaloforgeError: Scale: 'factor' is 'large': input should be a valid number, ...
    """

    context: ClassVar[frozenset[str]] = frozenset({"geometry"})
    """Arguments that are supplied by the program and not saved with the object."""

    sizes: ClassVar[tuple[str, ...]] = ()
    """Arguments that follow from the data: saved, but not settings of a recipe."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Former name of a setting → its current name, for recipes and runs of earlier versions."""

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        given, arguments = _arguments(cls, args, kwargs)
        _check_given(cls, given)
        object.__setattr__(self, "_arguments", arguments)  # before nn.Module's constructor, and in frozen dataclasses
        return self

    def to_config(self) -> dict[str, Any]:
        """The constructor arguments as plain data, including defaults, without `context`.

        Raises:
            CaloforgeError: an argument cannot be written as plain data (numbers, text, lists, mappings of them).
        """
        config = {name: value for name, value in self._arguments.items() if name not in self.context}
        for name, value in config.items():
            if name.startswith("*"):
                raise CaloforgeError(f"{type(self).__name__} cannot be saved: use named arguments instead of {name}")
            if (kind := _not_plain(value)) is not None:
                raise CaloforgeError(
                    f"{type(self).__name__} cannot be saved: its argument '{name}' is or contains a {kind}; "
                    "use numbers, text, lists or mappings, and construct the rest from them"
                )
        return copy.deepcopy(config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, origin: str = "", **context: Any) -> Self:
        """Construct from the result of `to_config`, or from an entry of a recipe.

        Args:
            config: settings, and `sizes` if the class has them; checked, coerced and completed with defaults.
            origin: name of the entry in error messages.
            context: arguments supplied by the program; the constructor gets those that it takes.

        Raises:
            CaloforgeError: a key is unknown or missing, or has an invalid value; names `origin` and the key.
        """
        sizes = {name: config[name] for name in cls.sizes if name in config}
        settings = {name: value for name, value in config.items() if name not in sizes}
        known = constructor_parameters(cls)
        supplied = {name: value for name, value in context.items() if name in known}
        return cls(**sizes, **checked_settings(cls, settings, origin), **supplied)


# ---- constructor parameters -----------------------------------------------------------------------------------------

_Parameters = dict[str, tuple[inspect.Parameter, bool]]
"""Name → parameter, and whether it belongs to the class itself rather than being passed on by `**kwargs`."""


def constructor_parameters(cls: type) -> Mapping[str, inspect.Parameter]:
    """The named parameters of a class's constructor; if it takes `**kwargs`, also those of its bases."""
    return {name: parameter for name, (parameter, _) in _parameters(cls).items()}


def wants_geometry(cls: type) -> bool:
    """Whether the class's constructor takes the geometry."""
    return "geometry" in constructor_parameters(cls)


def _constructors(cls: type) -> list[inspect.Signature]:
    """Signatures, without self, of the class's constructor and those to which it may pass `*args` or `**kwargs`."""
    return [inspect.signature(constructor).replace(parameters=rest) for constructor, rest in _chain(cls)]


def _chain(cls: type) -> Iterator[tuple[Callable[..., None], list[inspect.Parameter]]]:
    for base in cls.__mro__:
        if "__init__" in base.__dict__ and base is not object and not base.__module__.startswith("torch."):
            constructor = base.__dict__["__init__"]
            _, *parameters = inspect.signature(constructor).parameters.values()
            yield constructor, parameters
            if not any(_is_open(parameter) for parameter in parameters):
                return


def _is_open(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _parameters(cls: type) -> _Parameters:
    found: _Parameters = {}
    for number, (_, parameters) in enumerate(_chain(cls)):
        for parameter in parameters:
            if not _is_open(parameter):
                found.setdefault(parameter.name, (parameter, number == 0))
    return found


def _takes_anything(cls: type) -> bool:
    """Whether a constructor accepts keywords beyond the known parameters."""
    *_, last = [parameters for _, parameters in _chain(cls)] or [[]]
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in last)


def _arguments(cls: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of a call by name: those given, and all including defaults; as plain data if possible."""
    constructors = _constructors(cls)
    if not constructors:
        return {}, {}
    own, *bases = constructors
    try:
        bound = own.bind_partial(*args, **kwargs)
    except TypeError:
        return {}, {}  # the constructor itself raises the error
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        match own.parameters[name].kind:
            case inspect.Parameter.VAR_KEYWORD:
                given |= value
            case inspect.Parameter.VAR_POSITIONAL:
                passed_to = bases[0].parameters.items() if bases else ()
                names = [n for n, p in passed_to if p.kind is p.POSITIONAL_OR_KEYWORD]
                given |= dict(zip(names, value, strict=False))
                if len(value) > len(names):
                    given[f"*{name}"] = value[len(names) :]
            case _:
                given[name] = value
    defaults = {n: p.default for n, p in own.parameters.items() if p.default is not p.empty}
    complete = {**defaults, **given}
    ordered = {n: complete[n] for n in own.parameters if n in complete} | complete
    return {n: plain(v) for n, v in given.items()}, {n: plain(v) for n, v in ordered.items()}


def plain(value: Any) -> Any:
    """A copy of a value as numbers, text, lists and mappings; other objects in it are kept as they are."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if callable(tolist := getattr(value, "tolist", None)):  # scalars and arrays of numpy, tensors
        return tolist()
    return value


def _not_plain(value: Any) -> str | None:
    """The type of something in a value that is not plain data; None if everything is."""
    if isinstance(value, dict):
        entries = [*value.keys(), *value.values()]
    elif isinstance(value, list):
        entries = value
    else:
        return None if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
    return next((kind for entry in entries if (kind := _not_plain(entry)) is not None), None)


# ---- checks ---------------------------------------------------------------------------------------------------------

_SCHEMAS: WeakKeyDictionary[type, type[BaseModel]] = WeakKeyDictionary()


def settings_schema(cls: type) -> type[BaseModel]:
    """The pydantic schema of a class's settings: its constructor arguments, without `context` and `sizes`.

    Raises:
        NameError, TypeError, PydanticUserError: a type cannot be resolved or is not plain.
    """
    if cls not in _SCHEMAS:
        left_out = {*getattr(cls, "context", Configured.context), *getattr(cls, "sizes", ())}
        hints: dict[str, Any] = {}
        for constructor, _ in reversed([*_chain(cls)]):
            hints |= typing.get_type_hints(constructor, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in constructor_parameters(cls).items():
            if name not in left_out:
                default = ... if parameter.default is inspect.Parameter.empty else parameter.default
                fields[name] = (hints.get(name, Any), default)
        extra: Literal["allow", "forbid"] = "allow" if _takes_anything(cls) else "forbid"
        config = ConfigDict(extra=extra, allow_inf_nan=False, protected_namespaces=())
        _SCHEMAS[cls] = create_model(cls.__name__, __config__=config, **fields)
    return _SCHEMAS[cls]


class UnknownSetting(CaloforgeError):
    """A key that is not a setting."""


def checked_settings(cls: type, settings: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """`settings` of `cls`, checked, coerced and completed with defaults.

    Raises:
        CaloforgeError: a key is unknown or missing, or a value has the wrong type; names `origin` and the key.
    """
    try:
        schema = settings_schema(cls)
    except (NameError, TypeError, PydanticUserError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]
        text = f"the arguments of {cls.__name__} need plain types: {reason}"
        raise CaloforgeError(f"{origin}: {text}" if origin else text) from None
    former = getattr(cls, "renamed", {})
    settings = {name if former.get(name) in settings else former.get(name, name): v for name, v in settings.items()}
    try:
        checked = schema(**settings).model_dump()
    except ValidationError as error:
        raise validation_error(error, origin, schema) from None
    own = {name for name, (_, own) in _parameters(cls).items() if own}
    return {name: value for name, value in checked.items() if name in own or name in settings}


def _check_given(cls: type[Configured], given: Mapping[str, Any]) -> None:
    """Check the settings of a direct call, except for errors of the constructor itself and types without a schema."""
    settings = {name: value for name, value in given.items() if name not in cls.context and name not in cls.sizes}
    if not settings:
        return
    try:
        schema = settings_schema(cls)
    except (NameError, TypeError, PydanticUserError):
        return
    try:
        schema(**settings)
    except ValidationError as error:
        if any(fault["type"] not in ("missing", "extra_forbidden") for fault in error.errors()):
            raise validation_error(error, cls.__name__, schema) from None


def validation_error(error: ValidationError, origin: str, schema: type[BaseModel] | None = None) -> CaloforgeError:
    """All errors reported by pydantic, in one line that names the keys, unknown ones first.

    Args:
        error: the exception from pydantic.
        origin: name of the checked entry in the message; may be empty.
        schema: the schema; if given, known keys are listed and the nearest one is suggested.
    """
    faults = error.errors()
    missing = {fault["loc"] for fault in faults if fault["type"] == "missing"}
    unknown, others = [], []
    for fault in faults:
        # Of a value that may have several types, pydantic names the type that it tried, as `dict[int,…]`.
        key = ".".join(str(part) for part in fault["loc"] if "[" not in str(part))
        match fault["type"]:
            case "extra_forbidden":
                unknown.append(f"unknown key '{key}'{_remedy(fault['loc'], missing, schema)}")
            case "missing":
                others.append(f"missing key '{key}'")
            case "value_error":  # from one of our validators
                others.append(f"'{key}' is {fault.get('input')!r}: {fault['ctx']['error']}")
            case _:
                others.append(f"'{key}' is {fault.get('input')!r}: {_message(fault)}")
    text = "; ".join([*unknown, *others])
    return (UnknownSetting if unknown else CaloforgeError)(f"{origin}: {text}" if origin else text)


def _message(fault: ErrorDetails) -> str:
    """Pydantic's message about a value; the message of a validator is unchanged."""
    if fault["type"] == "value_error" and "ctx" in fault:
        return str(fault["ctx"]["error"])
    return fault["msg"].lower()


def _remedy(path: Sequence[int | str], missing: Collection[Any], schema: type[BaseModel] | None) -> str:
    """The nearest known key, preferably a missing one, and the list of known keys."""
    *above, key = path
    for part in above:
        field = schema.model_fields.get(str(part)) if schema is not None else None
        inner = None if field is None else field.annotation
        schema = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    if schema is None:
        return ""
    known = list(schema.model_fields)
    lacking = [name for name in known if (*above, name) in missing]
    near = difflib.get_close_matches(str(key), lacking, 1) or difflib.get_close_matches(str(key), known, 1)
    return f" ({f'did you mean {near[0]!r}? ' if near else ''}known: {', '.join(known)})"
