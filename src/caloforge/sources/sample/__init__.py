"""Geant4 photon showers that come with the package, for the demo, tests and first steps.

README.md in this folder documents how they were simulated.
"""

from __future__ import annotations

from pathlib import Path

from caloforge.errors import CaloforgeError
from caloforge.showers import Showers

FILES = {"train": "photons-train.h5", "test": "photons-test.h5"}


def sample_path(part: str) -> Path:
    """Path of the `train` or `test` part of the sample (CaloChallenge layout, geometry ds1-photons).

    Raises:
        CaloforgeError: there is no such part.
    """
    if part not in FILES:
        raise CaloforgeError(f"the embedded sample has no part '{part}'; it has {', '.join(FILES)}")
    return Path(__file__).parent / FILES[part]


def sample(part: str, stop: int | None = None) -> Showers:
    """The embedded Geant4 photon showers, read into memory: 8 000 in `train`, 4 000 in `test`.

    >>> from caloforge import sample
    >>> sample("test", stop=3)
    Showers(3 showers, 256 MeV … 1.024 GeV, 368 voxels in 5 layers of 'ds1-photons')

    Args:
        part: `train` or `test`.
        stop: maximum number of showers.

    Raises:
        CaloforgeError: there is no such part, or `stop` is not a number of showers.
    """
    if stop is not None and not (isinstance(stop, int) and stop > 0):
        raise CaloforgeError(f"stop must be a number of showers, at least 1, not {stop!r}")
    return Showers.read(sample_path(part), stop=stop)
