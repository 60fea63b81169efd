"""Observables: values worked out by hand, symmetries, and the edges of their domain."""

import math

import numpy as np
import pytest

from caloforge import observables
from caloforge.errors import CaloforgeError
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from caloforge.showers import Showers

TOY = Geometry(
    "toy",
    (Layer(0, (0.0, 10.0, 30.0), 1), Layer(7, (0.0, 2.0, 6.0), 4)),
    threshold=1.0,
)
# Layer 7 has r_mid 1 and 4, alpha at -135, -45, 45, 135 degrees.


def all_names(geometry: Geometry) -> list[str]:
    return [name for name, each in observables.available(geometry).items() if each.observable.per != "voxel"]


def shower(**voxels: float) -> Showers:
    row = np.zeros((1, TOY.n_voxels), dtype=np.float32)
    for key, value in voxels.items():
        row[0, int(key[1:])] = value
    return Showers(np.array([100.0]), row, TOY)


def values(showers: Showers, threshold: float | None = None) -> dict[str, float]:
    computed = observables.compute(showers, all_names(showers.geometry), threshold)
    assert all(value.shape == (len(showers),) and value.dtype == np.float64 for value in computed.values())
    return {name: float(value[0]) for name, value in computed.items()}


def random_showers(geometry: Geometry, n: int, seed: int, occupancy: float = 0.4) -> Showers:
    rng = np.random.default_rng(seed)
    voxels = rng.gamma(0.6, 20.0, (n, geometry.n_voxels)) * (rng.random((n, geometry.n_voxels)) < occupancy)
    return Showers(rng.uniform(1e3, 1e4, n), voxels.astype(np.float32), geometry)


def test_hand_computed_values() -> None:
    # Layer 0: 30 MeV at r = 5, 10 MeV at r = 20. Layer 7, at r = 4: 20 MeV at -135°, 40 MeV at 45°.
    found = values(shower(v0=30.0, v1=10.0, v3=20.0, v7=40.0, v2=0.5))
    diagonal = 4 / math.sqrt(2)
    expected = {
        "e_tot_over_e_inc": 1.0,
        "e_layer_0": 40.0,
        "e_layer_7": 60.0,
        "fraction_layer_7": 0.6,
        "ec_r_0": (30 * 5 + 10 * 20) / 40,
        "width_r_0": math.sqrt((30 * 25 + 10 * 400) / 40 - 8.75**2),
        "ec_r_7": 4.0,
        "width_r_7": 0.0,
        "ec_eta_7": diagonal * (40 - 20) / 60,
        "ec_phi_7": diagonal * (40 - 20) / 60,
        "width_eta_7": diagonal * math.sqrt(1 - (1 / 3) ** 2),
        "width_phi_7": diagonal * math.sqrt(1 - (1 / 3) ** 2),
        "sparsity_0": 0.0,
        "sparsity_7": 6 / 8,
        "occupancy_7": 2 / 8,
        "brightest_7": 40 / 60,
        "second_brightest_7": 20 / 60,
        "e_ratio_7": 20 / 60,
        "n_hits": 4.0,
        "max_voxel_fraction": 0.4,
        "l_d": 60.0,
        "s_d": 0.6,
        "sigma_s_d": math.sqrt(0.6 - 0.36),
        "mean_x": diagonal * (40 - 20) / 100,
        "mean_y": diagonal * (40 - 20) / 100,
        "mean_z": 0.6,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_names_follow_the_geometry() -> None:
    ds1 = load_geometry("ds1-photons")
    assert len(observables.table1_names(ds1)) == 14
    assert observables.table1_names(ds1)[:6] == [
        "e_tot_over_e_inc", "e_layer_0", "e_layer_1", "e_layer_2", "e_layer_3", "e_layer_12",
    ]  # fmt: skip
    challenge = observables.challenge_names(ds1)
    assert len(challenge) == 1 + 5 + 4 + 4 + 5 + 5 + 5
    assert "ec_eta_0" not in challenge
    assert "width_r_12" in challenge
    assert len(observables.challenge_names(load_geometry("ds2"))) == 1 + 45 * 8
    names = observables.names_of(observables.default(ds1))
    assert len(set(names)) == len(names)
    assert {"n_hits", "e_ratio_12", "voxel_energy"} < set(names)
    assert not any(name.startswith("occupancy") for name in names)
    assert "e_ratio_12" not in observables.names_of(observables.default(load_geometry("ds2")))


def test_threshold_comes_first() -> None:
    cut, uncut = values(shower(v0=0.999, v1=1.0)), values(shower(v0=0.999, v1=1.0), threshold=0.0)
    assert cut["e_layer_0"] == 1.0
    assert cut["ec_r_0"] == 20.0
    assert cut["n_hits"] == 1
    assert uncut["n_hits"] == 2
    assert uncut["e_layer_0"] == pytest.approx(1.999)


def test_input_is_not_changed() -> None:
    showers = random_showers(TOY, 5, 1)
    before = showers.voxels.copy()
    observables.compute(showers, threshold=10.0)
    np.testing.assert_array_equal(showers.voxels, before)


def test_empty_shower_has_no_nan() -> None:
    found = values(shower())
    assert {name: value for name, value in found.items() if value != 0} == {
        "sparsity_0": 1.0,
        "sparsity_7": 1.0,
    }


@pytest.mark.parametrize("name", ["ds1-photons", "ds2"])
def test_rotating_alpha_leaves_radial_observables_unchanged(name: str) -> None:
    geometry = load_geometry(name)
    showers = random_showers(geometry, 20, 2)
    turned = showers.voxels.copy()
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        image = showers.voxels[:, part].reshape(20, *layer.shape)
        turned[:, part] = np.roll(image, 1, axis=1).reshape(20, -1)
    names = all_names(geometry)
    a = observables.compute(showers, names)
    b = observables.compute(Showers(showers.energies, turned, geometry), names)
    directed = ("ec_eta", "ec_phi", "width_eta", "width_phi", "mean_x", "mean_y")
    for key in names:
        if not key.startswith(directed):
            np.testing.assert_allclose(a[key], b[key], rtol=1e-9, atol=1e-9, err_msg=key)
    layer = next(layer for layer in geometry.layers if layer.has_directions)
    angle = 2 * math.pi / layer.shape[0]
    eta, phi = a[f"ec_eta_{layer.id}"], a[f"ec_phi_{layer.id}"]
    rotated = math.cos(angle) * eta - math.sin(angle) * phi
    np.testing.assert_allclose(b[f"ec_eta_{layer.id}"], rotated, rtol=1e-9, atol=1e-9)


def test_scaling_energies_and_threshold_scales_energies_only() -> None:
    geometry = load_geometry("ds1-photons")
    showers = random_showers(geometry, 30, 3)
    scaled = Showers(4 * showers.energies, 4 * showers.voxels, geometry)  # a power of two: no rounding
    names = all_names(geometry)
    a, b = observables.compute(showers, names), observables.compute(scaled, names, threshold=4.0)
    for key in names:
        factor = 4 if observables.find(geometry, key).unit == "MeV" else 1
        np.testing.assert_allclose(b[key], factor * a[key], rtol=1e-12, atol=1e-12, err_msg=key)


def test_width_of_one_far_voxel_is_zero() -> None:
    geometry = load_geometry("ds1-pions")
    voxels = np.zeros((14, geometry.n_voxels), dtype=np.float32)
    start = geometry.slices[geometry.layer_ids.index(12)].start
    for row in range(14):
        voxels[row, start + row] = 123.456 * (row + 1)
    found = observables.compute(Showers(np.full(14, 1e4), voxels, geometry))
    for axis in ("eta", "phi", "r"):
        assert np.all(found[f"width_{axis}_12"] == 0)


def test_cartesian_layers() -> None:
    # Rows are phi (= x), columns eta (= y).
    geometry = Geometry("grid", (CartesianLayer(3, (-20.0, 0.0, 20.0), (-3.0, -1.0, 1.0, 3.0), (0.0, 8.0)),))
    voxels = np.array([[0, 0, 30, 0, 10, 0]], dtype=np.float32)
    found = values(Showers(np.array([50.0]), voxels, geometry))
    assert found["ec_eta_3"] == pytest.approx((30 * 2 + 10 * 0) / 40)
    assert found["ec_phi_3"] == pytest.approx((30 * -10 + 10 * 10) / 40)
    assert found["ec_r_3"] == pytest.approx((30 * math.hypot(10, 2) + 10 * 10) / 40)
    assert found["mean_x"] == pytest.approx(-5)
    assert found["mean_y"] == pytest.approx(1.5)
    assert found["mean_z"] == pytest.approx(4)


@pytest.mark.parametrize("name", ["e_layer_9", "ec_eta_0", "nothing"])
def test_unknown_observable_is_named(name: str) -> None:
    with pytest.raises(CaloforgeError, match=name):
        observables.compute(random_showers(TOY, 2, 1), [name])


def test_a_name_of_layers_is_all_layers_and_a_voxels_observable_is_none_of_showers() -> None:
    showers = random_showers(TOY, 2, 1)
    assert list(observables.compute(showers, ["e_layer"])) == ["e_layer_0", "e_layer_7"]
    with pytest.raises(CaloforgeError, match="e_layer"):
        observables.find(TOY, "e_layer")
    with pytest.raises(CaloforgeError, match="voxel_energy"):
        observables.compute(showers, ["voxel_energy"])


def test_sparsity_on_a_bin_edge_is_where_the_challenges_script_puts_it() -> None:
    # The script takes 1 - mean(x > 0): 7 of 10 voxels give 0.30000000000000004, an edge of its 20 bins, not 3/10.
    voxels = np.zeros((11, 10), dtype=np.float32)
    for n in range(11):
        voxels[n, :n] = 5.0
    ten = Geometry("ten", (Layer(0, tuple(map(float, range(11))), 1),), threshold=1.0)
    found = observables.compute(Showers(np.full(11, 100.0), voxels, ten), ["sparsity_0"])["sparsity_0"]
    edges = observables.find(ten, "sparsity_0").edges(found)
    assert found[7] == 0.30000000000000004 != 3 / 10
    by_script = np.histogram(1 - np.mean(voxels > 0, axis=1), np.linspace(0, 1, 21))[0]
    assert edges is not None
    np.testing.assert_array_equal(np.histogram(found, edges)[0], by_script)
    assert by_script[6] == 1  # the bin that begins at 0.3
