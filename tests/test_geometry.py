"""Geometries: voxel counts, order and centres worked out by hand, files, and what is refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import yaml

from caloforge.errors import CaloforgeError
from caloforge.geometry import (
    BUILTIN,
    CartesianLayer,
    Geometry,
    Layer,
    geometry_of_voxel_count,
    load_geometry,
)

COUNTS = {"ds1-photons": 368, "ds1-pions": 533, "ds2": 6480, "ds3": 40500, "calogan": 504}


@pytest.mark.parametrize(("name", "n_voxels"), COUNTS.items())
def test_builtin_voxel_counts(name: str, n_voxels: int) -> None:
    geometry = load_geometry(name)
    assert geometry.n_voxels == n_voxels
    assert geometry_of_voxel_count(n_voxels) == geometry
    assert len(geometry.eta) == len(geometry.phi) == len(geometry.r) == n_voxels


def test_layers_per_ds1_photon_layer() -> None:
    geometry = load_geometry("ds1-photons")
    assert geometry.layer_ids == (0, 1, 2, 3, 12)
    assert [layer.n_voxels for layer in geometry.layers] == [8, 160, 190, 5, 5]
    assert geometry.slices[2] == slice(168, 358)


def test_pion_layers() -> None:
    assert [layer.n_voxels for layer in load_geometry("ds1-pions").layers] == [8, 100, 100, 5, 150, 160, 10]


def test_order_is_layer_then_alpha_then_r() -> None:
    geometry = load_geometry("ds2")
    r = geometry.r.reshape(45, 16, 9)
    np.testing.assert_allclose(r[3, 5], 4.65 * (np.arange(9) + 0.5))
    assert (r == r[:1, :1]).all()
    alpha = geometry.layers[0].alpha.reshape(16, 9)
    np.testing.assert_allclose(alpha[:, 0], -math.pi + (np.arange(16) + 0.5) * 2 * math.pi / 16)


def test_centres_by_hand() -> None:
    # Two alpha bins, [-pi, 0] and [0, pi]: middles at -pi/2 and pi/2, so phi = ∓r and eta = 0.
    layer = Layer(0, (0, 10, 20), 2)
    np.testing.assert_allclose(layer.phi, [-5, -15, 5, 15])
    np.testing.assert_allclose(layer.eta, [0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(layer.areas.sum(), math.pi * 400)


def test_cartesian_order_phi_slow_eta_fast() -> None:
    geometry = load_geometry("calogan")
    assert [layer.shape for layer in geometry.layers] == [(3, 96), (12, 12), (12, 6)]
    first = geometry.layers[0]
    np.testing.assert_allclose(first.phi[[0, 95, 96]], [-160, -160, 0])
    np.testing.assert_allclose(first.eta[[0, 1, 96]], [-237.5, -232.5, -237.5])
    assert math.isclose(first.areas.sum(), 480 * 480)


def test_regular() -> None:
    assert load_geometry("ds2").is_regular
    assert not load_geometry("ds1-photons").is_regular


@pytest.mark.parametrize("name", BUILTIN)
def test_plain_data_round_trip(name: str) -> None:
    geometry = load_geometry(name)
    assert Geometry.from_dict(json.loads(json.dumps(geometry.to_dict()))) == geometry


def test_user_files(tmp_path) -> None:
    plain = {
        "name": "mine",
        "threshold": 0.1,
        "layers": [
            {"id": 4, "r_edges": [0, 1, 2], "n_alpha": 3},
            {"id": 5, "phi_edges": [0, 1], "eta_edges": [0, 1, 2]},
        ],
    }
    (tmp_path / "g.yaml").write_text(yaml.safe_dump(plain))
    (tmp_path / "g.json").write_text(json.dumps(plain))
    geometry = load_geometry(tmp_path / "g.yaml")
    assert geometry == load_geometry(tmp_path / "g.json")
    assert geometry.n_voxels == 8
    assert isinstance(geometry.layers[1], CartesianLayer)


XML = """<Bins>
  <Bin pid="22" name="photon" etaMin="20" etaMax="25">
    <Layer id="0" r_edges="0,5,10" n_bin_alpha="1" />
    <Layer id="1" r_edges="0,2,4,8" n_bin_alpha="10" />
    <Layer id="2" r_edges="0" n_bin_alpha="1" />
  </Bin>
  <Bin pid="211" name="pion"><Layer id="0" r_edges="0,5" n_bin_alpha="2" /></Bin>
</Bins>"""


def test_challenge_xml(tmp_path) -> None:
    path = tmp_path / "binning.xml"
    path.write_text(XML)
    photon = load_geometry(f"{path}:photon")
    assert photon.layer_ids == (0, 1)  # layer 2 has a single edge: no voxels
    assert photon.n_voxels == 2 + 30
    assert load_geometry(f"{path}:211").n_voxels == 2
    with pytest.raises(CaloforgeError, match=r"2 particles.*photon, pion"):
        load_geometry(path)
    with pytest.raises(CaloforgeError, match="no particle 'muon'"):
        load_geometry(f"{path}:muon")


BAD = {
    "unknown key": (
        {"name": "x", "layers": [{"id": 0, "r_edges": [0, 1], "alpha": 3}]},
        "unknown key 'alpha'",
    ),
    "missing key": ({"name": "x"}, "missing key 'layers'"),
    "no edges": ({"name": "x", "layers": [{"id": 0}]}, "missing key 'eta_edges'"),
    "falling": ({"name": "x", "layers": [{"id": 0, "r_edges": [0, 2, 1]}]}, "must increase"),
    "negative r": ({"name": "x", "layers": [{"id": 0, "r_edges": [-1, 2]}]}, "must not be negative"),
    "repeated id": (
        {"name": "x", "layers": [{"id": 0, "r_edges": [0, 1]}, {"id": 0, "r_edges": [0, 1]}]},
        "layer 0 more than once",
    ),
    "alpha zero": (
        {"name": "x", "layers": [{"id": 0, "r_edges": [0, 1], "n_alpha": 0}]},
        "n_alpha of",
    ),
    "empty": ({"name": "x", "layers": []}, "no layer with voxels"),
    "threshold": ({"name": "x", "threshold": -1, "layers": [{"id": 0, "r_edges": [0, 1]}]}, "at least 0 MeV"),
    "not a mapping": ([1, 2], "expected a mapping"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_geometry_files_are_named(case: str, tmp_path) -> None:
    plain, message = BAD[case]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(plain))
    with pytest.raises(CaloforgeError, match=message) as caught:
        load_geometry(path)
    assert "bad.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(CaloforgeError, match=r"unknown geometry 'ds9'.*ds1-photons"):
        load_geometry("ds9")


def test_layer_sums_by_hand(small_geometry: Geometry) -> None:
    voxels = np.arange(13, dtype=np.float32)  # layers of 3, 8 and 2 voxels
    assert small_geometry.layer_sums(voxels).tolist() == [0 + 1 + 2, sum(range(3, 11)), 11 + 12]
    assert small_geometry.layer_sums(np.ones((4, 5, 13), np.float32)).shape == (4, 5, 3)
    assert small_geometry.layer_sums(voxels).dtype == np.float64


def test_polar_mesh_is_there_where_all_layers_are_binned_alike(small_geometry: Geometry) -> None:
    mesh = load_geometry("ds2").polar_mesh
    assert mesh is not None
    assert mesh.shape == (16, 9)
    assert small_geometry.polar_mesh is None
    square = Geometry("square", (CartesianLayer(0, (0, 1, 2), (0, 1, 2)),), threshold=0.1)
    assert square.is_regular
    assert square.polar_mesh is None
