"""When the C library returns freed memory to the system, where it is glibc (mallopt(3)); elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MB = 1 << 20


@cache
def return_large_blocks() -> None:
    """Return blocks of 8 MB or more as soon as they are free.

    glibc raises its threshold for that to the largest block that was ever freed, after which passes over large data
    fragment the heap: memory grows with the number of showers although nothing is kept.
    """
    _set(_M_MMAP_THRESHOLD, 8 * _MB)


@cache
def keep_freed_blocks() -> None:
    """Keep freed blocks of up to 32 MB, the highest threshold that there is, for the next batch.

    Dask starts its workers with MALLOC_TRIM_THRESHOLD_=65536, which makes glibc return every block above 128 kB. Each
    batch then gets its memory anew from the system, which costs a quarter of the time of a fast generator.
    """
    _set(_M_MMAP_THRESHOLD, 32 * _MB)
    _set(_M_TRIM_THRESHOLD, 512 * _MB)


def _set(parameter: int, value: int) -> None:
    if platform.libc_ver()[0] == "glibc":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(parameter, value)
