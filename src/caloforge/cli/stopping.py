"""Batch systems end jobs with SIGTERM: treat it like Ctrl-C, so that long commands clean up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def sigterm_interrupts() -> Iterator[Callable[[], None]]:
    """While the block runs, SIGTERM raises `KeyboardInterrupt`; in the main thread only.

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
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield check
    finally:
        signal.signal(signal.SIGTERM, before)
