"""The exception of user-correctable errors.

Everything that a user may get wrong (a file, a recipe, an option) raises `CaloforgeError` with a message that names the
thing, its value and the remedy. The command line prints it as one line and exits with status 2; any other exception is
a defect of the program and keeps its traceback.

A remedy often names an argument, which on the command line is an option: messages take the name from `option`, and
whatever else differs between Python and the command line from `either`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_caller = {"is_command_line": False}
"""Who calls: set for the whole process, since messages are also made in threads and forked workers."""


def from_command_line() -> bool:
    """Whether messages name options now, for processes that work for this one."""
    return _caller["is_command_line"]


@contextmanager
def command_line_words(wanted: bool = True) -> Iterator[None]:
    """Context in which messages name options instead of Python arguments."""
    before = _caller["is_command_line"]
    _caller["is_command_line"] = wanted
    try:
        yield
    finally:
        _caller["is_command_line"] = before


def either(command_line: str, python: str) -> str:
    """What to say to a user of the command line, or of Python."""
    return command_line if _caller["is_command_line"] else python


def option(name: str, value: str | int | None = None) -> str:
    """An argument in a message: `--name` on the command line, `name=…` in Python; with the `value` to give it.

    >>> option("match_energies"), option("match_energies", True), option("engine", "torch")
    ('match_energies=…', 'match_energies=True', "engine='torch'")
    >>> with command_line_words():
    ...     option("match_energies"), option("match_energies", True), option("engine", "torch")
    ('--match-energies', '--match-energies', '--engine torch')
    """
    word = f"--{name.replace('_', '-')}"
    command_line = word if value is None or value is True else f"{word} {value}"
    return either(command_line, f"{name}=…" if value is None else f"{name}={value!r}")


class CaloforgeError(ValueError):
    """A user-correctable error; its message is one line and says what to do.

    >>> from caloforge import load_geometry
    >>> try:
    ...     load_geometry("ds4")
    ... except CaloforgeError as error:
    ...     print("ds4" in str(error))
    True
    """


class CannotWrite(CaloforgeError):
    """The system refuses an output: the disk is full, a file too large, a folder read-only."""


class CaloforgeWarning(UserWarning):
    """Something that can be used but is probably a mistake; the command line prints it as a note."""


def missing_extra(package: str, extra: str, purpose: str) -> CaloforgeError:
    """The error for an optional dependency that is absent.

    Args:
        package: name of the import that failed.
        extra: name of caloforge's extra that installs it.
        purpose: what the package is needed for, as in "simulating with Geant4".
    """
    return CaloforgeError(
        f"{purpose} needs the package '{package}', which is not installed: pip install 'caloforge[{extra}]'"
    )
