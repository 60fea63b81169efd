"""How worker processes on this machine start: copies of one process that has imported what all of them need.

Importing Dask and PyTorch takes a worker two seconds. Python's fork server (`multiprocessing.forkserver`) does it once,
while the command reads its own input, and each worker is then a fork of it. Where that is not safe (on macOS, system
libraries may have started threads) or not known (Windows), each worker starts from nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Dask gives workers these variables, which libraries read when they are imported."""


def start_method() -> str:
    """Name of the start method of `multiprocessing` for workers on this machine."""
    return "forkserver" if sys.platform == "linux" else "spawn"


def prepare_workers(modules: Sequence[str]) -> None:
    """Start the process that workers are copied from, which imports Dask and `modules`; return at once.

    Nothing happens if there is one already, or where workers start from nothing.
    """
    if start_method() != "forkserver":
        return
    multiprocessing.set_forkserver_preload(["distributed", *modules])
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
