"""A batch system ends or warns a job with a signal: every command then tidies up as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALS = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
"""Of schedulers and closed terminals; where the system has them, and nobody has had them ignored (as `nohup` does)."""


INTERRUPTED = 130
"""Exit status after Ctrl-C, by shell convention."""


@contextmanager
def signals_interrupt() -> Iterator[Callable[[], None]]:
    """While the block runs, the signals raise `KeyboardInterrupt`; in the main thread only.

    Yields a function to call from time to time: it raises again if the first exception was lost, as can happen inside
    a library callback.
    """
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise KeyboardInterrupt

    def interrupt(number: int, frame: object) -> NoReturn:
        stopped.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_interruptions() -> None:
    """From here on the process ends by itself: a second Ctrl-C does not disturb it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
