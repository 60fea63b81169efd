"""Values on the edges of histograms fall where the CaloChallenge's script puts them, for every observable.

The expected counts are those of `np.histogram`, which the script uses through matplotlib, of values computed in double
precision with the script's order of operations, written out here. A shower with a single hit has its centre of energy
at the centre of a voxel, which is often an edge: 20 mm of layer 0 of ds1-photons, or 0 mm at alpha = ±pi/2.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from caloforge import observables
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.observables.binning import counts
from caloforge.showers import Showers

E_INC = 1000.0


def single_hits(name: str, layers: int, energy: float) -> np.ndarray:
    """One shower per voxel of the first `layers` layers."""
    geometry = load_geometry(name)
    n = sum(layer.n_voxels for layer in geometry.layers[:layers])
    return np.eye(n, geometry.n_voxels, dtype=np.float32) * np.float32(energy)


def on_edges(name: str, layers: int) -> Showers:
    """Showers whose observables lie on edges of histograms, in the first `layers` layers of a geometry."""
    geometry = load_geometry(name)
    rows = [single_hits(name, layers, 10.0), single_hits(name, layers, 12.7)]
    for part in geometry.slices[:layers]:
        n = part.stop - part.start
        filled = np.zeros((n + 1, geometry.n_voxels), dtype=np.float32)
        filled[:, part] = np.tril(np.full((n + 1, n), 2.0), -1)  # 0, 1, … n hits: each value of the sparsity
        rows.append(filled)
    steps = np.zeros((101, geometry.n_voxels), dtype=np.float32)
    steps[:, 0] = E_INC * np.arange(50, 151) / 100  # E_dep / E_inc of 0.50, 0.51, … 1.50
    limits = np.zeros((2, geometry.n_voxels), dtype=np.float32)
    limits[:, 0] = np.nextafter(np.float32(geometry.threshold), [np.float32(0), np.float32(1e9)])
    voxels = np.concatenate([*rows, steps, limits])
    return Showers(np.full(len(voxels), E_INC), voxels, geometry)


def as_the_script(showers: Showers) -> dict[str, np.ndarray]:
    """Observables by the script's operations in double precision."""
    geometry = showers.geometry
    x = np.where(showers.voxels < geometry.threshold, 0.0, showers.voxels.astype(np.float64))
    found = {"e_tot_over_e_inc": x.sum(axis=-1) / showers.energies}
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        assert isinstance(layer, Layer)
        e, low, high = x[:, part], np.array(layer.r_edges[:-1]), np.array(layer.r_edges[1:])
        alpha_edges = np.linspace(-math.pi, math.pi, layer.n_alpha + 1)
        alpha = alpha_edges[:-1] + (alpha_edges[1:] - alpha_edges[:-1]) / 2
        r = np.tile(low + (high - low) / 2, layer.n_alpha)
        alpha = np.repeat(alpha, layer.n_r)
        found[f"e_layer_{layer.id}"] = e.sum(axis=-1)
        found[f"sparsity_{layer.id}"] = 1.0 - (e > 0).mean(axis=-1)
        axes = {"r": np.tile((low + high) * 0.5, layer.n_alpha), "eta": r * np.cos(alpha), "phi": r * np.sin(alpha)}
        for axis, at in axes.items():
            if axis == "r" or layer.n_alpha > 1:
                centre = (at * e).sum(axis=-1) / (e.sum(axis=-1) + 1e-16)
                second = (at * at * e).sum(axis=-1) / (e.sum(axis=-1) + 1e-16)
                found[f"ec_{axis}_{layer.id}"] = centre
                found[f"width_{axis}_{layer.id}"] = np.sqrt((second - centre**2).clip(min=0.0))
    return found


@pytest.mark.parametrize(("name", "layers"), [("ds1-photons", 5), ("ds1-pions", 7), ("ds2", 2)])
def test_values_on_edges_fall_into_the_scripts_bins(name: str, layers: int) -> None:
    showers = on_edges(name, layers)
    geometry = showers.geometry
    expected = as_the_script(showers)
    names = [n for n in expected if n == "e_tot_over_e_inc" or int(n.rsplit("_", 1)[1]) in geometry.layer_ids[:layers]]
    ours = observables.compute(showers, names)
    on_an_edge = 0
    for each in names:
        edges = observables.find(geometry, each).edges(expected[each])
        assert edges is not None
        if each.startswith(("ec", "width")):
            # Sums over many hits may differ in their last digit; with one hit there is nothing to round.
            single = np.count_nonzero(showers.voxels, axis=1) == 1
            here, there = ours[each][single], expected[each][single]
        else:
            here, there = ours[each], expected[each]
        np.testing.assert_array_equal(counts(here, edges)[1:-1], np.histogram(there, edges)[0], err_msg=each)
        on_an_edge += int(np.isin(there, edges).sum())
    assert on_an_edge > 100  # the showers are what they are meant to be


@pytest.mark.parametrize(
    ("name", "voxel", "observable", "value", "number"),
    [
        # Layer 0 of ds1-photons: rings centred at 2.5, 7.5, 20, 40, … mm, bins of 5 mm from 0.
        ("ds1-photons", 2, "ec_r_0", 20.0, 5),
        ("ds1-photons", 3, "ec_r_0", 40.0, 9),
        ("ds1-photons", 7, "ec_r_0", 500.0, 100),  # the last edge belongs to the last bin
        ("ds1-photons", 0, "ec_r_0", 2.5, 1),
        # Layer 0 of ds3, ring 0: cos(alpha) is 6e-17 at alpha = -pi/2, and -4e-16 where the script has +pi/2.
        ("ds3", 12 * 18, "ec_eta_0", 0.0, 51),
        ("ds3", 37 * 18, "ec_eta_0", 0.0, 50),
        # 7 of 8 voxels empty: 0.875 lies in [0.85, 0.9); all of an empty layer: 1, in the last bin.
        ("ds1-photons", 0, "sparsity_0", 0.875, 18),
        ("ds1-photons", 0, "sparsity_1", 1.0, 20),
    ],
)
def test_known_bins_of_single_hits(name: str, voxel: int, observable: str, value: float, number: int) -> None:
    geometry = load_geometry(name)
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    voxels[0, voxel] = 12.7
    values = observables.compute(Showers(np.array([E_INC]), voxels, geometry), [observable])[observable]
    edges = observables.find(geometry, observable).edges(values)
    assert edges is not None
    assert values[0] == pytest.approx(value, abs=1e-12)
    assert np.flatnonzero(counts(values, edges)).tolist() == [number]


def test_sparsity_on_an_edge_of_its_bins() -> None:
    """70 of 100 voxels hit: 1 - 0.7 is 0.30000000000000004, the seventh edge, and no longer in the sixth bin."""
    layer = Layer(0, tuple(float(r) for r in range(11)), 10)
    geometry = Geometry("own", (layer,))
    voxels = np.zeros((1, 100), dtype=np.float32)
    voxels[0, :70] = 1.0
    values = observables.compute(Showers(np.array([E_INC]), voxels, geometry), ["sparsity"])["sparsity_0"]
    assert values.tolist() == [1 - 0.7]
    assert np.flatnonzero(counts(values, np.linspace(0, 1, 21))).tolist() == [7]
