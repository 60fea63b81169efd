"""Geant4 photon showers that come with the package: enough for the demo, tests and a first try.

See README.md beside this file for how they were made.
"""

from __future__ import annotations

from pathlib import Path

from caloforge.errors import CaloforgeError

FILES = {"train": "photons-train.h5", "test": "photons-test.h5"}


def sample_path(part: str) -> Path:
    """The file of the sample's `train` or `test` part (challenge layout, geometry ds1-photons).

    Raises:
        CaloforgeError: there is no such part.
    """
    if part not in FILES:
        raise CaloforgeError(f"the embedded sample has no part '{part}'; it has {', '.join(FILES)}")
    return Path(__file__).parent / FILES[part]
