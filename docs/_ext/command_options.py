"""Commands of caloforge with their arguments and options, read from the functions and their `typer.Option`s.

Unlike the click objects that typer makes of them, these are the same in all versions of typer. Used by the command
reference of the site and by the tests of documented commands.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import typer
from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from caloforge.cli import app as caloforge_app

TYPES = {"str": "TEXT", "int": "INTEGER", "float": "NUMBER", "Path": "PATH"}


@dataclass(frozen=True)
class Option:
    """An option, or an argument if it has no flags.

    Args:
        name: of the parameter.
        flags: as ("--out", "-o").
        metavar: what stands for its value; empty for a switch.
        choices: its values, if they are fixed.
        help: as written, with rich's markup.
        required: whether it must be given.
        default: None where there is nothing to say.
    """

    name: str
    flags: tuple[str, ...]
    metavar: str
    choices: tuple[str, ...]
    help: str
    required: bool
    default: Any


def commands(
    app: typer.Typer = caloforge_app, path: tuple[str, ...] = ("caloforge",)
) -> Iterator[tuple[tuple[str, ...], Callable[..., Any]]]:
    """(words, function) of each command."""
    for info in app.registered_commands:
        assert info.callback is not None
        yield (*path, info.name or info.callback.__name__.replace("_", "-")), info.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, (*path, str(group.name)))


def options(function: Callable[..., Any]) -> list[Option]:
    """Arguments and visible options of a command, in the order of its signature."""
    hints = typing.get_type_hints(function)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        info = parameter.default
        if isinstance(info, ArgumentInfo | OptionInfo) and not info.hidden:
            found.append(_option(name, hints[name], info))
    return found


def _option(name: str, annotation: Any, info: ParameterInfo) -> Option:
    if isinstance(annotation, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is list:
        (annotation,) = typing.get_args(annotation)
    flags: tuple[str, ...] = ()
    if isinstance(info, OptionInfo):
        declared = [flag for text in info.param_decls or () for flag in text.split("/")]
        flags = tuple(declared) or (f"--{name.replace('_', '-')}",)
    choices: tuple[str, ...] = ()
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        choices = tuple(str(choice.value) for choice in annotation)
    metavar = (
        (info.metavar or "|".join(choices) or TYPES.get(annotation.__name__, "")) if annotation is not bool else ""
    )
    if not flags:
        metavar = (info.metavar or name.upper()).strip("[]")
    default = info.default
    if default is ... or isinstance(default, bool) or default in ([], "") or callable(default):
        default = None
    return Option(
        name, flags, metavar, choices, info.help or "", info.default is ..., getattr(default, "value", default)
    )
