"""Standard streams whose reader goes away, as in `caloforge … | head`: the work goes on, what is printed is dropped.

An exception at the next line of progress would end a command hours before its result.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

ANY = frozenset(errno.errorcode)
"""Of stderr, which has remarks only: a full disk there is no reason to stop."""

GONE = frozenset({errno.EPIPE})
"""Of stdout, which has results."""


class Dropping(io.FileIO):
    """A stream that goes to nowhere from the first of certain errors on.

    Args:
        number: of the open file.
        errors: numbers of these errors.
    """

    def __init__(self, number: int, errors: Collection[int]) -> None:
        super().__init__(number, "w", closefd=False)
        self._errors = errors

    def write(self, data: Any, /) -> int:
        """See `io.FileIO.write`."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._errors:
                raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
        return len(memoryview(data).cast("B"))


def make_streams_patient() -> None:
    """Replace `sys.stdout` and `sys.stderr` where they are the process's own; open what was closed at its start."""
    for number in range(3):  # otherwise the next file opened would be what is printed to
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name, number, errors in (("stdout", 1, GONE), ("stderr", 2, ANY)):
        stream = getattr(sys, name)
        if stream is not None and not _is_own(stream, number):
            continue
        raw: Any = Dropping(number, errors)
        unbuffered = stream is not None and type(stream.buffer) is io.FileIO  # PYTHONUNBUFFERED
        buffer = raw if unbuffered else io.BufferedWriter(raw)
        given = {"encoding": getattr(stream, "encoding", "utf-8"), "errors": getattr(stream, "errors", None)}
        lines = number == 2 or os.isatty(number)
        setattr(sys, name, io.TextIOWrapper(buffer, line_buffering=lines, write_through=unbuffered, **given))


def _is_own(stream: Any, number: int) -> bool:
    """Whether a stream is the one that Python opened, and not in place of it, as in tests and notebooks."""
    with suppress(OSError, ValueError, AttributeError):
        raw = getattr(stream.buffer, "raw", stream.buffer)
        return type(stream) is io.TextIOWrapper and type(raw) is io.FileIO and bool(stream.fileno() == number)
    return False
