"""Calibration, identification variables, overlay and recipes of the toy reconstruction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caloforge as cf
from caloforge.energies.agreement import groups
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, load_geometry
from caloforge.reconstruction import (
    EnergyScale,
    Reconstructed,
    Reconstruction,
    Reconstructor,
    load_reconstruction,
    shipped_reconstructions,
)
from caloforge.reconstruction.overlay import Overlay, pairing, shift
from caloforge.showers import Showers

QUIET = {"seed_sigma": 4, "growth_sigma": 2, "front": [1], "middle": [2], "back": [3], "hadronic": [12]}


def noiseless(geometry: Geometry, hits: dict[int, float]) -> dict[str, float]:
    """Variables of a shower with energies at some voxels, without noise."""
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    for voxel, energy in hits.items():
        voxels[0, voxel] = energy
    chain = Reconstructor(Reconstruction(name="quiet", noise_mev=0, **QUIET), geometry)
    found = chain(Showers.unchecked(np.array([1000.0]), voxels, geometry), np.random.default_rng(1))
    return {name: float(values[0]) for name, values in found.variables.items()}


@pytest.fixture(scope="module")
def geant4() -> Reconstructed:
    """Photons of the package after reconstruction."""
    showers = cf.sample("test", stop=1500)
    return Reconstructor(load_reconstruction("toy-atlas-like"), showers.geometry)(showers, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["response", "power", "linear"])
def test_calibration_makes_the_references_own_response_one(geant4: Reconstructed, kind: str) -> None:
    found = geant4
    scale = EnergyScale.fit(kind, found.incident, found.energies)  # type: ignore[arg-type]
    response = (scale(found.energies) / found.incident)[found.found]
    incident = found.incident[found.found]
    means = [response[(incident >= low) & (incident < high)].mean() for _, low, high in groups(incident)]
    assert len(means) > 2
    np.testing.assert_allclose(means, 1, atol={"response": 1e-6, "power": 0.15, "linear": 0.15}[kind])
    raw = [(found.energies[found.incident == e] / e).mean() for e in np.unique(found.incident)]
    assert max(np.abs(np.array(raw) - 1)) > 0.2  # there was something to calibrate


def test_calibration_of_a_known_response() -> None:
    """Clusters lose 20 MeV and a tenth of the rest: the linear function is found, and the others at the knots."""
    incident = np.repeat([500.0, 1000.0, 2000.0, 4000.0], 50)
    summed = 0.9 * incident - 20
    for kind in ("linear", "response"):
        np.testing.assert_allclose(EnergyScale.fit(kind, incident, summed)(summed), incident, rtol=1e-9)  # type: ignore[arg-type]
    linear = EnergyScale.fit("linear", incident, summed)
    np.testing.assert_allclose(linear(np.array([1330.0, 0.0])), [1500.0, 0.0])
    power = EnergyScale.fit("power", incident, 0.5 * incident**1.1)
    np.testing.assert_allclose(power(0.5 * incident**1.1), incident, rtol=1e-9)
    one = EnergyScale.fit("response", np.full(20, 100.0), np.full(20, 80.0))
    np.testing.assert_allclose(one(np.array([40.0, 80.0])), [50.0, 100.0])
    np.testing.assert_array_equal(EnergyScale.fit("none", incident, summed)(summed), summed)


def test_a_reference_without_clusters_is_left_uncalibrated() -> None:
    scale = EnergyScale.fit("response", np.full(30, 256.0), np.zeros(30))
    np.testing.assert_array_equal(scale(np.array([0.0, 100.0])), [0.0, 100.0])


def test_variables_worked_out_by_hand() -> None:
    geometry = load_geometry("ds1-photons")
    start = {layer.id: part.start for layer, part in zip(geometry.layers, geometry.slices, strict=True)}
    n_r = geometry.layer(1).shape[1]
    # Strips: 30 and 10 MeV, far from each other; 40 in the middle, 10 in the back, 10 behind.
    hits = {start[1]: 30.0, start[1] + 5 * n_r + 8: 10.0, start[2]: 40.0, start[3]: 10.0, start[12]: 10.0}
    found = noiseless(geometry, hits)
    assert found["e_ratio"] == pytest.approx(0.5)
    assert (found["f_front"], found["f_back"], found["leakage"]) == pytest.approx((0.4, 0.1, 0.1))
    assert found["depth"] == pytest.approx((40 * 1 + 40 * 2 + 10 * 3 + 10 * 4) / 100)
    assert (found["r_eta"], found["r_phi"], found["w_eta2"]) == pytest.approx((1, 1, 0), abs=1e-5)
    assert found["n_clusters"] == 2
    assert found["leading_fraction"] == pytest.approx(0.9)
    layer = geometry.layer(1)
    x, y = (of[[0, 5 * n_r + 8]] for of in (layer.eta, layer.phi))
    assert found["w_front"] == pytest.approx(np.sqrt(0.75 * 0.25) * np.hypot(*(x[1] - x[0], y[1] - y[0])), rel=1e-5)


def test_one_maximum_and_an_empty_shower() -> None:
    geometry = load_geometry("ds1-photons")
    assert noiseless(geometry, {geometry.slices[1].start: 30.0})["e_ratio"] == 1
    assert set(noiseless(geometry, {}).values()) == {0.0}


def test_r_eta_counts_what_is_in_the_windows() -> None:
    """Two hits at 90 mm from each other along eta: 45 mm from their centre is in seven cells and outside three."""
    geometry = load_geometry("ds1-photons")
    layer, part = geometry.layer(2), geometry.slices[2]
    along = np.abs(layer.phi / layer.r) < np.sin(np.pi / 5)  # the four bins next to the eta axis
    right = np.flatnonzero(along & (layer.eta > 0) & (layer.r == 45))
    left = np.flatnonzero(along & (layer.eta < 0) & (layer.r == 45))
    hits = {int(part.start + k): 20.0 for k in (*right, *left)}
    chain = Reconstruction(name="wide", noise_mev=0, middle=[2], cell_mm=20)
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    voxels[0, list(hits)] = 20
    found = Reconstructor(chain, geometry)(
        Showers.unchecked(np.array([1e3]), voxels, geometry), np.random.default_rng(1)
    )
    assert (found.variables["r_eta"][0], found.variables["w_eta2"][0]) == (0, 0)
    assert len(right) == len(left) == 2


@pytest.mark.parametrize("name", ["ds1-photons", "ds2", "calogan"])
def test_overlay_conserves_energy_in_each_layer(name: str) -> None:
    geometry = load_geometry(name)
    voxels = np.random.default_rng(1).random((4, geometry.n_voxels)).astype(np.float32)
    overlay = Overlay(geometry, 10.0)
    np.testing.assert_allclose(geometry.layer_sums(overlay.single(voxels)), geometry.layer_sums(voxels), rtol=1e-5)
    both = overlay.double(voxels, voxels[::-1])
    np.testing.assert_allclose(geometry.layer_sums(both), geometry.layer_sums(voxels + voxels[::-1]), rtol=1e-5)


def test_a_shift_moves_the_centre_by_as_much() -> None:
    geometry = load_geometry("calogan")
    inside = np.flatnonzero((np.abs(geometry.eta) < 100) & (np.abs(geometry.phi) < 100) & (geometry.layer_index == 1))
    moved = shift(geometry, 0.0, 30.0)
    np.testing.assert_allclose((moved @ geometry.eta - geometry.eta)[inside], 30.0, atol=1e-6)
    np.testing.assert_allclose((moved @ geometry.phi - geometry.phi)[inside], 0.0, atol=1e-6)
    none = shift(geometry, 0.0, 0.0)
    np.testing.assert_allclose(none.toarray(), np.eye(geometry.n_voxels), atol=1e-12)


def test_overlaid_showers_lie_on_either_side() -> None:
    """Of energy on the axis, shifted to ±20 mm: none is left within 10 mm, and the centre stays where it was."""
    geometry = load_geometry("ds1-photons")
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    part = geometry.slices[1]
    voxels[0, part.start : part.stop : geometry.layer(1).shape[1]] = 1  # the innermost ring
    double = Overlay(geometry, 40.0).double(voxels, voxels)[0, part]
    assert double[geometry.layer(1).r < 10].sum() == 0
    assert double @ geometry.layer(1).eta == pytest.approx(0, abs=1e-4)
    assert double[geometry.layer(1).eta > 0].sum() == pytest.approx(10, rel=1e-5)


def test_pairs_sum_to_the_energies_of_single_showers() -> None:
    rng = np.random.default_rng(1)
    discrete = np.resize(256.0 * 2 ** np.arange(5), 500)
    found = pairing(discrete, rng)
    assert sorted(discrete[found.single]) == sorted(discrete[found.first] + discrete[found.second])
    assert len(found.single) == 4 * 50
    used = np.concatenate([found.first, found.second])
    assert len(np.unique(used)) == len(used)
    continuous = np.exp(rng.uniform(0, 2, 2000))
    found = pairing(continuous, rng)
    sums = np.sort(continuous[found.first] + continuous[found.second])
    np.testing.assert_allclose(sums, np.sort(continuous[found.single]), rtol=0.06)
    assert len(found.single) > 300
    assert len(pairing(np.array([100.0, 100.0, 300.0]), rng).single) == 0


@pytest.mark.parametrize("name", shipped_reconstructions())
def test_shipped_recipes_suit_their_geometries(name: str) -> None:
    recipe = load_reconstruction(name)
    for geometry in ("ds2",) if name.endswith("w-si") else ("ds1-photons", "ds1-pions"):
        assert (recipe.noise_of(load_geometry(geometry)) > 0).all()
    assert load_reconstruction(recipe.to_config()).to_config() == recipe.to_config()


def test_wrong_recipes_are_one_line_that_names_the_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text, words in (
        ("name: a\nnoise_mev: -1\n", "noise_mev"),
        ("name: a\nnoise_mev: 1\nseed: 4\n", "unknown key 'seed'"),
        ("name: a\n", "missing key 'noise_mev'"),
        ("name: a\nnoise_mev: 1\nseed_sigma: 1\n", "growth_sigma"),
        ("name: a\nnoise_mev: 1\nfront: [1]\nback: [1]\n", "layer 1"),
        ("name: a\nnoise_mev: 1\ncalibration: good\n", "calibration"),
        ("- 1\n", "list"),
    ):
        path.write_text(text)
        with pytest.raises(CaloforgeError, match=words) as error:
            load_reconstruction(path)
        assert "\n" not in str(error.value)
    with pytest.raises(CaloforgeError, match="toy-atlas-like"):
        load_reconstruction("toy")
    with pytest.raises(CaloforgeError, match="layer 3"):
        Reconstruction(name="a", noise_mev={0: 1, 1: 1, 2: 1}).noise_of(load_geometry("ds1-photons"))
