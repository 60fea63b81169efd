"""Ctrl-C at bad moments: inside a callback of a library, and again while a command tidies up."""

from __future__ import annotations

import subprocess
import sys

import pytest

ANOTHER = """
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise SystemError("<function write> returned a result with an exception set") from None
"""
DAMAGE = """
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise CaloforgeError("s.h5: the file is damaged") from None
"""
LOST = """
    class Callback:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)
    Callback()
    time.sleep(60)
"""
TWICE = """
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        print("tidied", flush=True)
"""


@pytest.mark.parametrize("code", [ANOTHER, DAMAGE, LOST, TWICE], ids=["another error", "damage", "lost", "twice"])
def test_an_interruption_is_one(code: str) -> None:
    program = (
        "import os, signal, time\nimport caloforge.cli as cli\nfrom caloforge.errors import CaloforgeError\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        f"def app(**how):\n{code}\ncli.app = app\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (130, "caloforge: interrupted\n")
    assert (done.stdout == "tidied\n") == (code is TWICE)
