"""How long a classifier test will take on this machine: a few steps are timed, the rest is arithmetic."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch

from caloforge.classifiers.base import MIN_SHOWERS, ClassifierTest, get_test
from caloforge.classifiers.features import feature_matrix
from caloforge.classifiers.fitting import make_optimiser, part_sizes, step
from caloforge.classifiers.network_test import NetworkTest
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers

MEASURING_SECONDS = 0.5
"""Calls are timed until so much time has gone (at least two)."""


def expected_seconds(
    name: str | ClassifierTest, n: int, geometry: Geometry, *, repeats: int = 1, device: str = "cpu"
) -> float:
    """Seconds that `run_test` will take at most (if no training stops early), from steps timed here and now.

    Args:
        name: one of `TESTS`, or a test of one's own.
        n: showers per sample.
        geometry: of the showers.
        repeats: trainings.
        device: where to train, as torch names it.

    Raises:
        CaloforgeError: unknown test, one without a network, too few showers, a geometry that does not suit.
    """
    test = get_test(name)
    if not isinstance(test, NetworkTest):
        raise CaloforgeError(f"the classifier test '{test.name}' has no network; choose another, as caloman")
    test.check(geometry)
    n = test.showers_used(n)
    if n < MIN_SHOWERS:
        raise CaloforgeError(f"a classifier test needs at least {MIN_SHOWERS} showers per sample, not {n}; give more")
    first, second = part_sizes(n)
    probe = Showers(np.ones(1), np.zeros((1, geometry.n_voxels), dtype=np.float32), geometry)
    width = feature_matrix(test.features, [probe]).shape[1]
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


def _seconds_per_call(call: Callable[[], float]) -> float:
    call()  # the first one pays for allocations
    calls, start = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - start < MEASURING_SECONDS:
        call()
        calls += 1
    return (time.perf_counter() - start) / calls
