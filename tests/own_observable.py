"""A user's own observable, in one file outside the package: shown in CONTRIBUTING, and evaluated by the tests."""

from __future__ import annotations

import numpy as np

import caloforge as cf


@cf.observable("n_bright", per="layer", label="voxels above 100 MeV", group="brightest", axis=(20, 0, 20))
def n_bright(view: cf.observables.View, position: int) -> np.ndarray:
    """(N,) number of voxels above 100 MeV in a layer."""
    return (view.part(position) > 100).sum(axis=1)
