"""Shower files: round trips, chunks, the three ways to a geometry, and every kind of bad file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.showers import ShowerFile, ShowerFiles, Showers, ShowerWriter


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
    with pytest.raises(CaloforgeError, match=r"no built-in geometry has 7 voxels.*name one with geometry="):
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
    "not HDF5": (lambda path: path.write_text("energy,showers\n"), "not an HDF5 file"),
    "empty": (lambda path: path.write_bytes(b""), "not an HDF5 file"),
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
    "absurd": (_voxel(1e38), "voxel 17 of row 3 is 1e\\+38 MeV, above 1e\\+18 MeV"),
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


# --- showers from Python

TWO = Geometry("two", (Layer(3, (0, 10, 20), 1), Layer(5, (0, 40), 2)))
ROWS = [[20, 10, 30, 0], [50, 30, 40, 60]]


@pytest.mark.parametrize(
    ("energies", "voxels"),
    [
        ([100, 200], ROWS),
        ((100.0, 200.0), np.array(ROWS, dtype=np.float64)),
        (np.array([[100], [200]], dtype=np.float32), np.array(ROWS, dtype=np.float16)),
        (np.array([100, 200], dtype=">f8"), np.array(ROWS, dtype=">i4")),
        (torch.tensor([100.0, 200.0]), torch.tensor(ROWS)),
    ],
)
def test_numbers_of_any_kind_are_taken(energies: Any, voxels: Any) -> None:
    showers = Showers(energies, voxels, TWO)
    assert (showers.energies.dtype, showers.voxels.dtype) == (np.float64, np.float32)
    assert showers == Showers([100, 200], ROWS, TWO)
    assert showers.layer_energies.tolist() == [[30, 30], [80, 100]]
    assert showers.deposited.tolist() == [60, 180]


def test_arrays_of_the_right_kind_are_not_copied() -> None:
    energies, voxels = np.array([1.0, 2.0]), np.ones((2, 4), np.float32)
    showers = Showers(energies, voxels, TWO)
    assert np.shares_memory(showers.energies, energies)
    assert np.shares_memory(showers.voxels, voxels)
    assert np.shares_memory(showers[1:].voxels, voxels)


@pytest.mark.parametrize(
    ("energies", "voxels", "facts"),
    [
        ([100, 0], ROWS, ["incident energy of row 1", "0 MeV"]),
        ([100, -1], ROWS, ["row 1", "-1 MeV"]),
        ([np.nan, 1], ROWS, ["incident energy of row 0", "nan"]),
        ([np.inf, 1], ROWS, ["incident energy of row 0", "inf"]),
        ([1, 1], [[0, 0, 0, 0], [0, -2, 0, 0]], ["voxel 1 of row 1", "-2 MeV", "negative"]),
        ([1, 1], [[0, 0, np.nan, 0], [0, 0, 0, 0]], ["voxel 2 of row 0", "nan"]),
        ([1, 1], [[0, 0, 1e39, 0], [0, 0, 0, 0]], ["voxel 2 of row 0", "inf"]),  # beyond float32
        ([1, 1], [[1, 2, 3], [1, 2, 3]], ["4 voxels", "3"]),
        ([1, 1, 1], ROWS, ["(3,)", "(2, 4)"]),
        (1, ROWS, ["()"]),
        ([[1, 1]], ROWS, ["(1, 2)"]),
        ([1, 1], [[1, 2, 3, 4], [1]], ["voxels"]),
        (["a", "b"], ROWS, ["incident energies"]),
        ([1, 1], None, ["voxels"]),
        ([1, 1j], ROWS, ["incident energies", "complex"]),
        ([1, 1], torch.ones(2, 4, requires_grad=True), ["voxels", "grad"]),
    ],
)
def test_what_showers_cannot_be_is_said_by_name(energies: Any, voxels: Any, facts: list[str]) -> None:
    with pytest.raises(CaloforgeError) as caught:
        Showers(energies, voxels, TWO)
    assert all(fact in str(caught.value) for fact in facts)
    assert "\n" not in str(caught.value)


def test_showers_are_chosen_by_number_slice_list_and_mask(small_showers: Showers) -> None:
    assert len(small_showers[0]) == len(small_showers[np.int64(599)]) == len(small_showers[-1]) == 1
    assert small_showers[-1] == small_showers[599] == small_showers[599:]
    assert small_showers[[3, 1]].voxels.tolist() == small_showers.voxels[[3, 1]].tolist()
    assert small_showers[small_showers.energies == 100] == small_showers[::3]
    assert len(small_showers[[]]) == 0
    assert small_showers[::-1].voxels.strides[0] > 0  # PyTorch takes no other
    assert [len(one) for one in small_showers[:4]] == [1, 1, 1, 1]
    assert list(small_showers[:2]) == [small_showers[0], small_showers[1]]


@pytest.mark.parametrize("rows", [(0, 3), 1.5, [0.5], "first", True, [[0]], None, np.zeros((2, 2), int)])
def test_other_choices_of_showers_are_refused(rows: Any, small_showers: Showers) -> None:
    with pytest.raises((CaloforgeError, IndexError)) as caught:
        small_showers[rows]
    assert "shower" in str(caught.value)


def test_no_such_shower(small_showers: Showers) -> None:
    for row in (600, -601):
        with pytest.raises(IndexError, match=str(row)):
            small_showers[row]


def test_equality_is_of_values_and_geometry(small_showers: Showers) -> None:
    again = Showers(small_showers.energies.copy(), small_showers.voxels.copy(), small_showers.geometry, {"seed": 1})
    assert again == small_showers
    assert again != small_showers[:-1]
    assert again != Showers(2 * again.energies, again.voxels, again.geometry)
    assert Showers([1], [[1, 2]], Geometry("a", (Layer(0, (0, 1, 2)),))) != Showers(
        [1], [[1, 2]], Geometry("a", (Layer(0, (0, 1, 3)),))
    )
    assert again != "showers"
    with pytest.raises(TypeError, match="unhashable"):
        hash(again)


def test_a_representation_fits_a_line(small_showers: Showers) -> None:
    assert repr(small_showers) == "Showers(600 showers, 100 MeV … 400 MeV, 13 voxels in 3 layers of 'small')"
    assert "1 shower, 100 MeV, 13 voxels" in repr(small_showers[0])
    assert "0 showers, 13 voxels" in repr(small_showers[:0])


def test_values_that_no_file_may_have_are_not_written(tmp_path: Path) -> None:
    broken = Showers.unchecked(np.ones(1), np.full((1, 4), np.nan, np.float32), TWO)
    with pytest.raises(CaloforgeError, match="voxel 0 of row 0"):
        broken.write(tmp_path / "s.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_plot_of_one_shower(small_showers: Showers) -> None:
    assert small_showers.plot(-1).has_data()
    layer = small_showers.geometry.layer_ids[1]
    canvas = small_showers.plot(0, layers=[layer])
    assert f"layer {layer}" in [text.get_text() for text in canvas.texts]
    with pytest.raises(IndexError):
        small_showers.plot(600)


def test_rows_are_taken_from_the_chunks_that_hold_them(
    tmp_path: Path, small_showers: Showers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored in chunks of 16 showers: rows of two neighbouring chunks and of two single ones are three reads."""
    path = tmp_path / "showers.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("showers", data=small_showers.voxels, chunks=(16, 5), compression="gzip")
        file["incident_energies"] = small_showers.energies[:, None]
    reads: list[tuple[int, int]] = []
    with ShowerFile(path, small_showers.geometry) as opened:
        assert opened.chunk_rows == 16
        read = opened.read
        monkeypatch.setattr(opened, "read", lambda start, stop: reads.append((start, stop)) or read(start, stop))
        rows = np.array([3, 15, 16, 20, 100, 599])
        assert opened.take(rows) == small_showers[rows]
        assert reads == [(3, 21), (100, 101), (599, 600)]
        assert len(opened.take(np.array([], dtype=int))) == 0
    with ShowerFiles([path, path], small_showers.geometry) as twice:
        assert twice.take(np.append(rows, 600 + rows)).voxels.tobytes() == 2 * small_showers[rows].voxels.tobytes()


def test_points_in_place_of_voxels_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "p.h5", "w") as file:
        file["offsets"] = np.zeros(2)
    with pytest.raises(CaloforgeError, match=r"p\.h5: holds points, not voxels"):
        ShowerFile(tmp_path / "p.h5")
