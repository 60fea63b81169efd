"""How long a classifier test will take on this machine: a few steps are timed, the rest is arithmetic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers.features import feature_matrix
from caloforge.evaluation.classifiers.suite import ClassifierTest, get_test
from caloforge.evaluation.classifiers.training import make_optimiser, part_sizes, step
from caloforge.geometry import Geometry, geometry_of_voxel_count, load_geometry
from caloforge.showers import Showers

MEASURING_SECONDS = 0.5
"""Calls are timed until so much time has gone (at least two)."""


def expected_seconds(
    name: str | ClassifierTest, n: int, n_features: int | Geometry, *, repeats: int = 1, device: str = "cpu"
) -> float:
    """Seconds that `run_test` will take at most (if no training stops early), from steps timed here and now.

    Args:
        name: one of `TESTS`, or a test of one's own.
        n: showers a side.
        n_features: the geometry of the showers, or simply the number of features (tests on images need the
            geometry: their number of voxels stands for a built-in one).
        repeats: trainings.
        device: where to train, as torch names it.

    Raises:
        CaloforgeError: unknown test, too few showers, a geometry that does not suit or is not known.
    """
    test = get_test(name)
    n = test.showers_used(n)
    first, second = part_sizes(n)
    geometry, width = _shape(test, n_features)
    settings = test.settings
    batch = min(settings.pass_size, first * 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = test.network(geometry, width, 1).to(device)
        x, kinds = torch.rand(batch, width, device=device), torch.arange(batch, device=device) % 2
        optimiser = make_optimiser(network, settings)
        training = _seconds_per_call(lambda: step(network, optimiser, x, kinds))
        network.eval()
        with torch.inference_mode():
            judging = _seconds_per_call(lambda: network(x).sum().item())
    epoch = math.ceil(2 * first / batch) * training + math.ceil(2 * second / batch) * judging
    return repeats * settings.epochs * epoch


def _shape(test: ClassifierTest, n_features: int | Geometry) -> tuple[Geometry, int]:
    """The geometry and number of features that the network is built for."""
    if isinstance(n_features, int):
        found = geometry_of_voxel_count(n_features)
        if found is None:  # dense layers need no geometry, so any will do
            found = load_geometry("ds1-photons")
            if test.refuses(found) is not None:
                raise CaloforgeError(
                    f"the expected time of '{test.name}' needs the geometry, not {n_features} features"
                )
            return found, n_features
        n_features = found
    test.check(n_features)
    probe = Showers(np.ones(1), np.zeros((1, n_features.n_voxels), dtype=np.float32), n_features)
    return n_features, feature_matrix(test.features, [probe]).shape[1]


def _seconds_per_call(call: Callable[[], float]) -> float:
    call()  # the first one pays for allocations
    calls, start = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - start < MEASURING_SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls
