"""Detector files: what they place where, what they refuse; from points to voxels by hand."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from caloforge.errors import CaloforgeError
from caloforge.geometry import CartesianLayer, Layer, load_geometry
from caloforge.geometry.bins import voxel_index
from caloforge.sources.geant4.detector import detector_from_plain, load_detector, shipped_detectors
from caloforge.sources.geant4.voxels import fill, read_out

PLAIN: dict[str, Any] = {
    "name": "toy",
    "geometry": {
        "name": "toy",
        "layers": [{"id": 0, "r_edges": [0, 10, 20], "n_alpha": 4}, {"id": 1, "r_edges": [0, 50]}],
    },
    "sampling_fraction": {0: 0.5, 1: 0.1},
    "threshold": 1.0,
    "slabs": [
        {"material": "G4_Al", "thickness": 5},
        {"repeat": 2, "layer": 0, "layer_step": 1, "slabs": [
            {"repeat": 3, "slabs": [
                {"material": "G4_Pb", "thickness": 2},
                {"material": "G4_lAr", "thickness": "1e0", "active": True},
            ]},
        ]},
    ],
}  # fmt: skip


def test_groups_expand_from_front_to_back() -> None:
    detector = detector_from_plain(PLAIN, "toy")
    assert len(detector.slabs) == 1 + 2 * 3 * 2
    assert [s.layer for s in detector.slabs if s.layer is not None] == [0, 0, 0, 1, 1, 1]
    assert [s.z for s in detector.slabs[:5]] == [0, 5, 7, 8, 10]
    assert detector.depth == 5 + 2 * 3 * 3
    assert detector.materials == ("G4_Al", "G4_Pb", "G4_lAr")
    assert detector.sampling_fraction == (0.5, 0.1)
    assert math.isinf(detector.score_photons_below)


def test_a_slab_may_leave_a_gap() -> None:
    plain = copy.deepcopy(PLAIN)
    plain["slabs"].append({"material": "G4_Fe", "thickness": 1, "z": 100})
    assert detector_from_plain(plain, "toy").depth == 101


def change(path: str, value: Any) -> dict[str, Any]:
    """PLAIN with the entry at a path such as `slabs/0/thickness` replaced."""
    plain = copy.deepcopy(PLAIN)
    *way, last = [int(word) if word.isdigit() else word for word in path.split("/")]
    target: Any = plain
    for word in way:
        target = target[word]
    if isinstance(target, list) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "facts"),
    [
        ("colour", "red", ["toy", "unknown key 'colour'"]),
        ("slabs/0/width", 3, ["slabs.0", "unknown key 'width'"]),
        ("slabs/1/times", 3, ["slabs.1", "unknown key 'times'", "repeat"]),
        ("slabs/0/material", "lead", ["slabs.0", "'material' is 'lead'", "G4_Pb"]),
        ("slabs/0/material", 82, ["material", "82", "G4_Pb"]),
        ("slabs/0/thickness", 0, ["'thickness' is 0", "greater than 0"]),
        ("slabs/0/thickness", "thin", ["'thickness' is 'thin'"]),
        ("slabs/0/thickness", True, ["'thickness' is True", "number"]),
        ("slabs/0/active", True, ["slabs.0", "active", "layer"]),
        ("slabs/0/active", "yes", ["'active' is 'yes'"]),
        ("slabs/0/layer", 7, ["layer 7", "'toy'"]),
        ("slabs/0/layer", -1, ["'layer' is -1"]),
        ("slabs/1/repeat", 1, ["layer 1"]),
        ("slabs/1/repeat", 0, ["slabs.1", "'repeat' is 0"]),
        ("slabs/1/repeat", 2.5, ["'repeat' is 2.5"]),
        ("slabs/1/slabs/0/slabs/0/thickness", -2, ["slabs.1.slabs.0.slabs.0", "'thickness' is -2"]),
        ("slabs/2", {"material": "G4_Fe", "thickness": 1, "z": 22.5}, ["slabs.2", "22.5", "23 mm"]),
        ("slabs", [], ["'slabs' is []"]),
        ("slabs/2", "G4_Fe", ["slabs.2", "mapping", "'G4_Fe'"]),
        ("sampling_fraction", {0: 0.5}, ["sampling_fraction", "layer 1"]),
        ("sampling_fraction", {0: 0.5, 1: 0.5, 2: 0.5}, ["sampling_fraction", "layer 2"]),
        ("sampling_fraction", {0: 0.5, 1: 0}, ["sampling_fraction", "is 0"]),
        ("sampling_fraction", -1, ["sampling_fraction", "-1"]),
        ("threshold", math.nan, ["threshold", "nan"]),
        ("half_width", math.inf, ["half_width", "inf"]),
        ("score_photons_below", math.nan, ["score_photons_below", "nan"]),
        ("geometry", "ds9", ["'ds9'"]),
        ("geometry", {"name": "x"}, ["toy: geometry", "missing key 'layers'"]),
    ],
)
def test_what_a_detector_file_may_not_say(path: str, value: Any, facts: list[str]) -> None:
    with pytest.raises(CaloforgeError) as caught:
        detector_from_plain(change(path, value), "toy")
    assert all(fact in str(caught.value) for fact in facts), caught.value
    assert "\n" not in str(caught.value)


def test_missing_key_and_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match="toy: missing key 'slabs'"):
        detector_from_plain({k: v for k, v in PLAIN.items() if k != "slabs"}, "toy")
    with pytest.raises(CaloforgeError, match=r"'atlas'.*atlas-like, atlas-like-hadronic, calogan, w-si"):
        load_detector("atlas")
    (tmp_path / "broken.yaml").write_text("slabs: [")
    for name in ("mine.yaml", "broken.yaml"):
        with pytest.raises(CaloforgeError, match=name):
            load_detector(str(tmp_path / name))


def test_a_file_of_ones_own_with_a_geometry_beside_it(tmp_path: Path) -> None:
    plain = {**PLAIN, "geometry": "voxels.yaml"}
    (tmp_path / "voxels.yaml").write_text(yaml.safe_dump(PLAIN["geometry"]))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(plain))
    assert load_detector(str(tmp_path / "mine.yaml")).geometry.n_voxels == 9


def test_the_shipped_detectors_are_as_described() -> None:
    assert shipped_detectors() == ("atlas-like", "atlas-like-hadronic", "calogan", "w-si")
    atlas, w_si, calogan = (load_detector(name) for name in ("atlas-like", "w-si", "calogan"))
    assert atlas.geometry == load_geometry("ds1-photons")
    assert w_si.geometry == load_geometry("ds2")
    assert calogan.geometry == load_geometry("calogan")
    count = {i: sum(s.layer == i for s in atlas.slabs) for i in atlas.geometry.layer_ids}
    assert count == {0: 1, 1: 15, 2: 54, 3: 7, 12: 18}
    assert atlas.depth == pytest.approx(89 + 11 + 76 * 5.7 + 50 + 18 * 17)
    assert atlas.sampling_fraction == (0.2436, 0.2436, 0.2436, 0.2436, 0.03)
    assert w_si.depth == pytest.approx(45 * 3.4)
    assert w_si.sampling_fraction == (0.033,) * 45
    # The voxels' depths and the slabs' are two descriptions of one thing.
    for layer, z_edges in [(layer.id, layer.z_edges) for layer in w_si.geometry.layers]:
        silicon = [s for s in w_si.slabs if s.layer == layer]
        assert len(silicon) == 2
        assert z_edges is not None
        assert silicon[0].z == pytest.approx(z_edges[0] + 1.4)
        assert silicon[1].z + 0.3 == pytest.approx(z_edges[1])
    assert all(s.layer is not None for s in calogan.slabs)
    assert [sum(s.layer == i for s in calogan.slabs) for i in (0, 1, 2)] == [30, 116, 14]
    assert calogan.sampling_fraction == (1, 1, 1)


def test_points_of_a_polar_layer_by_hand() -> None:
    layer = Layer(0, (0, 10, 20), 4)  # alpha bins from -pi: third, fourth, first, second quadrant
    x = np.array([5.0, -5.0, -5.0, 5.0, 15.0, 10.0, -15.0, 20.0, 0.0])
    y = np.array([5.0, 5.0, -5.0, -5.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    #    first quadrant is bin 2; atan2(0, -15) = pi belongs to the last bin; r = 20 is outside; the origin has alpha 0
    assert voxel_index(layer, x, y).tolist() == [4, 6, 0, 2, 5, 5, 7, -1, 4]


def test_points_of_a_cartesian_layer_by_hand() -> None:
    layer = CartesianLayer(0, (-10, 0, 10), (-30, -10, 10, 30))
    x = np.array([-5.0, 5.0, 5.0, 10.0, -10.0, 0.0])
    y = np.array([-20.0, 0.0, 29.0, 0.0, 30.0, -30.0])
    assert voxel_index(layer, x, y).tolist() == [0, 4, 5, -1, -1, 3]


@pytest.mark.parametrize("name", ["ds1-photons", "ds3", "calogan"])
def test_every_centre_lies_in_its_own_voxel(name: str) -> None:
    for layer in load_geometry(name).layers:
        x, y = (layer.eta, layer.phi) if isinstance(layer, Layer) else (layer.phi, layer.eta)
        assert voxel_index(layer, x, y).tolist() == list(range(layer.n_voxels))


def test_energies_are_summed_calibrated_and_cut_at_the_threshold() -> None:
    detector = detector_from_plain(PLAIN, "toy")
    # (energy, x + x', y + y'): twice the step's middle. Two deposits in voxel 4, one too small in 0, one outside.
    deposits = np.array([[1.0, 10, 10], [2.0, 8, 8], [0.4, -10, -10], [9.0, 100, 0]])
    first = fill(detector, 0, deposits)
    assert first.tolist() == [0.8, 0, 0, 0, 6, 0, 0, 0]
    assert read_out(detector, first).tolist() == [0, 0, 0, 0, 6, 0, 0, 0]
    assert fill(detector, 1, deposits).tolist() == [34]


def test_the_example_of_a_detector() -> None:
    """Its voxels are 3 + 3 · 7 · 12 + 4 · 6 + 4 · 4, and 1 + 31 slabs are active."""
    detector = load_detector(str(Path(__file__).parents[2] / "examples" / "detector" / "detector.yaml"))
    assert detector.geometry.n_voxels == 295
    assert sum(slab.layer is not None for slab in detector.slabs) == 32
