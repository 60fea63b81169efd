"""Correlations between layers: a layer turned against its neighbour is named, and errors are those of theory."""

from dataclasses import replace

import numpy as np
import pytest

from caloforge import observables
from caloforge.evaluation.metrics.base import Metric
from caloforge.evaluation.metrics.correlations import DIRECTED, correlations, direction_names, pearson, variances
from caloforge.evaluation.samples.opening import Opened, Request
from caloforge.evaluation.samples.summary import summarise
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.showers import Showers
from caloforge.showers.inputs import InMemory

RINGS = (0.0, 5.0, 10.0, 20.0)
GEOMETRY = Geometry("toy", (Layer(0, RINGS, 1), Layer(1, RINGS, 6), Layer(2, RINGS, 6)), threshold=0.0)


def leaning(n: int, seed: int) -> Showers:
    """Showers off the axis, to the same side in layers 1 and 2."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 3, (2, n, 1))
    parts = [
        np.exp(-np.hypot(layer.eta - x, layer.phi - y) / 6) * rng.gamma(2.0, 1.0, (n, layer.n_voxels))
        for layer in GEOMETRY.layers
    ]
    return Showers(np.full(n, 1e3), 100 * np.concatenate(parts, axis=1).astype(np.float32), GEOMETRY)


def compared(generated: Showers, reference: Showers) -> dict[str, Metric]:
    with Opened(Request(generated, reference)) as opened:
        return {found.name: found for found in correlations(opened.read(None)) if isinstance(found, Metric)}


def test_a_layer_turned_against_the_next_is_named() -> None:
    showers, reference = leaning(800, 1), leaning(1600, 2)
    for metric in compared(showers, reference).values():
        assert metric.pull is not None
        assert metric.pull < 5

    voxels, part = showers.voxels.copy(), GEOMETRY.slices[1]
    rings = voxels[:, part].reshape(len(voxels), 6, 3)
    voxels[:, part] = np.roll(rings, 3, axis=1).reshape(len(voxels), -1)
    found = compared(replace(showers, voxels=voxels), reference)["directions"]
    assert found.pull is not None
    assert found.pull > 5
    first, second = str(found.extra["largest_first"]), str(found.extra["largest_second"])
    assert first.removesuffix("_1") == second.removesuffix("_2")  # the same direction in layers 1 and 2
    generated, expected = (float(found.extra[f"largest_{side}"] or 0) for side in ("generated", "reference"))
    assert generated == pytest.approx(-expected, abs=0.1)


def test_directions_are_those_of_the_brightest_layers_only() -> None:
    geometry = load_geometry("ds2")
    voxels = np.ones((4, geometry.n_voxels), dtype=np.float32)
    wanted = [7, 3, 30, 11, 12]
    for k, position in enumerate(wanted):
        voxels[:, geometry.slices[position]] = 5 + k
    energies = observables.select(geometry, ["e_layer"])
    source = InMemory(Showers(np.full(4, 1e3), voxels, geometry))
    names = direction_names(summarise(source, observables=energies))
    ids = [geometry.layers[position].id for position in sorted(wanted)]
    assert len(ids) == DIRECTED
    assert names == [f"{family}_{i}" for family in ("ec_eta", "ec_phi") for i in ids]


def test_without_directions_there_is_no_such_matrix() -> None:
    geometry = Geometry("round", (Layer(0, RINGS, 1), Layer(1, RINGS, 1)), threshold=0.0)

    def some(seed: int) -> Showers:
        voxels = np.random.default_rng(seed).gamma(2.0, 1.0, (100, 6)).astype(np.float32)
        return Showers(np.full(100, 1e3), voxels, geometry)

    assert set(compared(some(1), some(2))) == {"layers", "observables"}


def test_error_of_a_correlation() -> None:
    """For normal x and y it is (1 − r²) / √N; for others, what repetition says."""
    rng = np.random.default_rng(4)
    r, n = 0.6, 20000
    normal = rng.multivariate_normal([0, 3], [[1, r], [r, 1]], n)
    assert np.sqrt(variances(pearson(normal), normal)[0, 1]) == pytest.approx((1 - r**2) / np.sqrt(n), rel=0.05)

    samples = np.exp(0.5 * rng.multivariate_normal([0, 3], [[1, r], [r, 1]], (300, 1000)))
    each = [pearson(x) for x in samples]
    errors = [variances(c, x)[0, 1] for c, x in zip(each, samples, strict=True)]
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.std([c[0, 1] for c in each]), rel=0.15)
