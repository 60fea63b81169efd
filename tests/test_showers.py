"""Shower files: round trips, chunks, the three ways to a geometry, and every kind of bad file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.geometry import load_geometry
from caloforge.showers import ShowerFile, Showers, ShowerWriter


def test_round_trip_keeps_values_geometry_and_attributes(tmp_path: Path, small_showers: Showers) -> None:
    path = tmp_path / "s.h5"
    small_showers.write(path, {"seed": 3})
    back = Showers.read(path)
    np.testing.assert_array_equal(back.voxels, small_showers.voxels)
    np.testing.assert_array_equal(back.energies, small_showers.energies)
    assert back.geometry == small_showers.geometry  # a user's own geometry travels inside the file
    assert back.attributes["seed"] == 3
    assert back.attributes["units"] == "MeV"


def test_challenge_layout_on_disk(tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["incident_energies"].shape == (600, 1)
        assert file["showers"].shape == (600, 13)
        assert file["showers"].compression == "gzip"
        assert not file["showers"].shuffle


def test_chunks_cover_the_file_in_order(tmp_path: Path, small_showers: Showers) -> None:
    small_showers.write(tmp_path / "s.h5")
    with ShowerFile(tmp_path / "s.h5") as file:
        parts = list(file.chunks(size=256))
    assert [len(part) for part in parts] == [256, 256, 88]
    np.testing.assert_array_equal(np.concatenate([p.voxels for p in parts]), small_showers.voxels)


def test_layer_images(small_showers: Showers) -> None:
    image = small_showers.layer(1)
    assert image.shape == (600, 4, 2)
    assert image[7, 2, 1] == small_showers.voxels[7, 3 + 2 * 2 + 1]


def test_geometry_from_attribute_then_argument_then_count(tmp_path: Path) -> None:
    voxels, energies = np.ones((2, 368), np.float32), np.array([1e3, 2e3])
    with h5py.File(tmp_path / "bare.h5", "w") as file:
        file["showers"], file["incident_energies"] = voxels, energies[:, None]
    assert Showers.read(tmp_path / "bare.h5").geometry == load_geometry("ds1-photons")
    with h5py.File(tmp_path / "bare.h5", "a") as file:
        file.attrs["geometry"] = "ds2"
    with pytest.raises(CaloforgeError, match=r"368 voxels, but geometry 'ds2'.* has 6480"):
        Showers.read(tmp_path / "bare.h5")


def test_unknown_count_asks_for_a_geometry(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.ones((2, 7)), np.ones((2, 1))
    with pytest.raises(CaloforgeError, match=r"no built-in geometry has 7 voxels.*--geometry"):
        ShowerFile(tmp_path / "odd.h5")


def test_calogan_layout(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = [rng.exponential(1, (4, *shape)) for shape in ((3, 96), (12, 12), (12, 6))]
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["energy"] = np.array([[1.0], [2.0], [5.0], [10.0]])
        for k, layer in enumerate(layers):
            file[f"layer_{k}"] = layer
    showers = Showers.read(tmp_path / "c.h5")
    assert showers.geometry.name == "calogan"
    np.testing.assert_allclose(showers.energies, [1e3, 2e3, 5e3, 1e4])  # GeV in the file, MeV here
    np.testing.assert_allclose(showers.layer(1), layers[1], rtol=1e-6)


def test_real_calogan_file(real: Callable[[str], Path]) -> None:
    with ShowerFile(real("positrons-calogan/test.h5")) as file:
        assert (file.layout, len(file), file.geometry.name) == ("calogan", 3020, "calogan")


def _good(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["showers"] = np.ones((5, 368), np.float32)
        file["incident_energies"] = np.full((5, 1), 512.0)


def _with(name: str, value: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        _good(path)
        with h5py.File(path, "a") as file:
            del file[name]
            if value is not None:
                file[name] = value

    return make


def _voxel(value: float) -> Callable[[Path], None]:
    voxels = np.ones((5, 368), np.float32)
    voxels[3, 17] = value
    return _with("showers", voxels)


def _energy(value: float) -> Callable[[Path], None]:
    return _with("incident_energies", np.array([[512.0], [512], [value], [512], [512]]))


def _group(path: Path) -> None:
    _good(path)
    with h5py.File(path, "a") as file:
        del file["showers"]
        file.create_group("showers")


def _truncated(path: Path) -> None:
    _good(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "no such file"),
    "folder": (Path.mkdir, "is a folder"),
    "not HDF5": (lambda path: path.write_text("energy,showers\n"), "is not an HDF5 file"),
    "empty": (lambda path: path.write_bytes(b""), "is not an HDF5 file"),
    "truncated": (_truncated, "is truncated"),
    "no showers dataset": (_with("showers", None), "no dataset 'showers'"),
    "no energies dataset": (_with("incident_energies", None), "no dataset 'incident_energies'"),
    "group": (_group, "'showers' is a group"),
    "text": (_with("showers", np.full((5, 368), b"x")), "expected numbers"),
    "rank": (_with("showers", np.ones((5, 4, 92))), r"shape \(5, 4, 92\)"),
    "energies rank": (_with("incident_energies", np.ones((5, 2))), r"shape \(5, 2\); expected \(N, 1\)"),
    "voxel count": (_with("showers", np.ones((5, 367))), "no built-in geometry has 367 voxels"),
    "lengths": (_with("incident_energies", np.ones((4, 1))), "'incident_energies' has the length 4, but 'showers' 5"),
    "scalar": (_with("incident_energies", 3.0), "expected"),
    "NaN": (_voxel(np.nan), "voxel 17 of row 3 is nan MeV, not finite"),
    "infinity": (_voxel(np.inf), "voxel 17 of row 3 is inf MeV, not finite"),
    "negative": (_voxel(-0.25), "voxel 17 of row 3 is -0.25 MeV, negative"),
    "energy zero": (_energy(0.0), "incident energy of row 2 is 0 MeV, not above zero"),
    "energy NaN": (_energy(np.nan), "incident energy of row 2 is nan MeV"),
    "energy negative": (_energy(-5.0), "row 2 is -5 MeV"),
}


def _no_rows(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["showers"], file["incident_energies"] = np.ones((0, 368)), np.ones((0, 1))


BAD["no showers"] = (_no_rows, "holds no showers")


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_named_in_one_line(case: str, tmp_path: Path) -> None:
    make, message = BAD[case]
    path = tmp_path / "bad.h5"
    make(path)
    with pytest.raises(CaloforgeError, match=message) as caught, ShowerFile(path) as file:
        file.energies()
        file.read()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_writer_leaves_nothing_behind_on_failure(tmp_path: Path, small_showers: Showers) -> None:
    target = tmp_path / "out.h5"
    target.write_text("earlier")
    with pytest.raises(RuntimeError), ShowerWriter(target, small_showers.geometry) as out:
        out.append(small_showers.energies, small_showers.voxels)
        raise RuntimeError("interrupted")
    assert target.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_mismatched_showers_are_refused(small_showers: Showers) -> None:
    with pytest.raises(CaloforgeError, match="13 voxels, the showers have 12"):
        Showers(small_showers.energies, small_showers.voxels[:, :12], small_showers.geometry)
