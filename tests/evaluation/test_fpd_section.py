"""The section of the Fréchet distance: outliers count in the plain one, and are counted next to the trimmed one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from caloforge import evaluate
from caloforge.geometry import Geometry
from caloforge.showers import Showers


def showers(geometry: Geometry, n: int, seed: int, outliers: int = 0) -> Showers:
    """Made-up showers, of which the first `outliers` have a hundred times the energy."""
    rng = np.random.default_rng(seed)
    voxels = rng.gamma(2.0, 5.0, (n, geometry.n_voxels))
    voxels[:outliers] *= 100
    return Showers(np.full(n, 1000.0), voxels.astype(np.float32), geometry)


@pytest.fixture(autouse=True)
def _alone(only: Callable[..., None]) -> None:
    only("separation", "fpd_kpd")


def test_outliers(small_geometry: Geometry) -> None:
    report = evaluate(showers(small_geometry, 2500, 1, outliers=25), showers(small_geometry, 4000, 2))
    plain, trimmed = report["fpd", "fpd"], report["fpd", "fpd_trimmed"]
    assert (plain.pull or 0) > 4
    assert abs(trimmed.pull or 0) < 3
    assert trimmed.estimate is not None
    assert (trimmed.estimate.error or 0) > 0
    assert trimmed.extra["beyond_generated"] == pytest.approx(0.02, abs=0.005)
    assert trimmed.extra["beyond_reference"] == pytest.approx(0.01, abs=1e-3)


def test_nothing_is_left_of_showers_that_are_all_far_off(small_geometry: Geometry) -> None:
    report = evaluate(showers(small_geometry, 2500, 3, outliers=2500), showers(small_geometry, 4000, 4))
    assert report["fpd", "fpd_trimmed"].reason == "100 % of the generated showers lie beyond 99 % of the reference"


def test_too_few_showers(small_geometry: Geometry) -> None:
    report = evaluate(showers(small_geometry, 500, 5), showers(small_geometry, 4000, 6))
    assert {m.name: m.reason[:11] for m in report.section("fpd")} == dict.fromkeys(
        ["fpd", "fpd_trimmed"], "needs at le"
    )
