"""Signals of batch systems and Ctrl-C during an epoch: they are obeyed between two steps, after a checkpoint."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
"""Those that may end a training, where the system has them."""

PATIENCE = 2.0
"""Seconds after which a second Ctrl-C is meant as one."""


@contextmanager
def deferred_signals() -> Iterator[Callable[[], bool]]:
    """Put off signals that would raise an exception inside the block; in the main thread only.

    Only those with a handler in Python are put off: others end the process, or are ignored, as before. Another Ctrl-C
    some seconds later is obeyed at once; batch systems and torchrun repeat their signals.

    Yields a function that tells whether there was one.
    """
    received: list[tuple[int, float]] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}

    def receive(number: int, frame: object) -> None:
        received.append((number, time.monotonic()))
        if number == signal.SIGINT and received[-1][1] - received[0][1] > PATIENCE:
            handlers[number](number, frame)  # type: ignore[arg-type]

    for number in handlers:
        signal.signal(number, receive)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0][0])
