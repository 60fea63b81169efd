"""How long a classifier test will take on this machine: a few steps are timed, the rest is arithmetic."""

from __future__ import annotations

import math
import time

import torch

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers.features import feature_matrix
from caloforge.evaluation.classifiers.suite import ClassifierTest, get_test
from caloforge.evaluation.classifiers.training import make_optimiser, part_sizes, step
from caloforge.geometry import Geometry, geometry_of_voxel_count
from caloforge.showers import Showers

MEASURING_SECONDS = 1.5
"""Steps are timed until so much time has gone (at least two)."""


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
    n = n if test.max_showers is None else min(n, test.max_showers)
    first, second = part_sizes(n)
    geometry, width = _shape(test, n_features)
    settings = test.settings
    batch = min(settings.micro_batch or settings.batch_size, first * 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = test.network(geometry, width, 1).to(device)
        x, kinds = torch.rand(batch, width, device=device), torch.arange(batch, device=device) % 2
        optimiser = make_optimiser(network, settings)
        training = _seconds_per_call(lambda: step(network, optimiser, x, kinds, None))
        network.eval()
        with torch.inference_mode():
            judging = _seconds_per_call(lambda: network(x).sum().item())
    epoch = math.ceil(2 * first / batch) * training + math.ceil(2 * second / batch) * judging
    return repeats * settings.epochs * epoch


def _shape(test: ClassifierTest, n_features: int | Geometry) -> tuple[Geometry, int]:
    if isinstance(n_features, Geometry):
        geometry = n_features
        test.check(geometry)
        probe = Showers(torch.ones(1).numpy(), torch.zeros(1, geometry.n_voxels).numpy(), geometry)
        return geometry, feature_matrix(test.features, [probe]).shape[1]
    found = geometry_of_voxel_count(n_features)
    if found is not None:
        return _shape(test, found)
    return _placeholder(test), n_features


def _placeholder(test: ClassifierTest) -> Geometry:
    geometry = geometry_of_voxel_count(368)
    assert geometry is not None
    if test.refuses(geometry) is not None:
        raise CaloforgeError(f"the expected time of '{test.name}' depends on the geometry: give it instead")
    return geometry


def _seconds_per_call(call: object) -> float:
    call()  # the first one pays for allocations
    best, spent, calls = math.inf, 0.0, 0
    while calls < 2 or spent < MEASURING_SECONDS / 2:
        start = time.perf_counter()
        call()
        elapsed = time.perf_counter() - start
        best, spent, calls = min(best, elapsed), spent + elapsed, calls + 1
    return spent / calls
