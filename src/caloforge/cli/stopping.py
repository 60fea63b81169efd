"""Ctrl-C, and signals by which a batch system ends or warns a job: every command then tidies up.

The exception that a signal raises may get lost, or become another one, where a library calls Python back (h5py does, on
every write): whatever a command raises after a signal is therefore an interruption, and one that was lost is repeated.
While a command tidies up, further signals do not disturb it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
"""Of terminals and schedulers; where the system has them, and nobody has had them ignored (as `nohup` does)."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, by shell convention."""

PATIENCE = 2.0
"""Seconds after a signal in which others are not obeyed; batch systems and impatient users repeat theirs."""

AGAIN = 0.05
"""Seconds after which an exception that was lost is raised again."""

_received: list[float] = []
"""When the last signal was obeyed; empty if there was none."""


def _interrupt(number: int, frame: object) -> None:
    if _received and time.monotonic() - _received[-1] < PATIENCE:
        return
    _received.append(time.monotonic())
    raise KeyboardInterrupt


def _check() -> None:
    if _received:
        raise KeyboardInterrupt


@contextmanager
def signals_interrupt() -> Iterator[Callable[[], None]]:
    """While the block runs, the signals raise `KeyboardInterrupt`; in the main thread only.

    Yields a function to call from time to time: it raises again if the first exception was lost.

    Raises:
        KeyboardInterrupt: there was a signal.
    """
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is _interrupt:
        yield _check
        return
    _received.clear()
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    usual, sys.unraisablehook = sys.unraisablehook, _lost
    try:
        yield _check
    except Exception:
        _check()
        raise
    finally:
        sys.unraisablehook = usual
        for number, handler in before.items():
            # Until the process has ended, what was obeyed is not obeyed again.
            signal.signal(number, signal.SIG_IGN if _received else handler)


def _lost(unraisable: Any) -> None:
    """Raise an interruption again that was lost in a callback; report other exceptions as usual.

    Python and h5py make a SystemError of one, which it caused.
    """
    errors = unraisable.exc_value, getattr(unraisable.exc_value, "__cause__", None)
    if not any(isinstance(error, KeyboardInterrupt) for error in errors):
        if not _received:
            sys.__unraisablehook__(unraisable)
        return
    again = threading.Timer(AGAIN, _repeat)
    again.daemon = True
    again.start()


def _repeat() -> None:
    _received.clear()
    os.kill(os.getpid(), signal.SIGINT)


def ignore_interruptions() -> None:
    """From here on the process ends by itself: a second Ctrl-C does not disturb it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
