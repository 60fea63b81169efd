"""Files of points: round trips in every format, chunks, and every kind of bad file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.points import JET, PointClouds, PointFile, PointWriter, is_point_file, read_points, write_points
from caloforge.points.clouds import offsets_of
from caloforge.points.exchange import OUTPUTS


def hits(
    counts: list[int], names: tuple[str, ...] = ("x", "y", "layer", "energy", "time"), seed: int = 1
) -> PointClouds:
    """Showers with so many points, and the angles and codes that every format of showers can hold."""
    rng = np.random.default_rng(seed)
    n, total = len(counts), sum(counts)
    values = {name: rng.normal(0, 30, total) for name in ("x", "y", "z", "time")}
    values |= {"layer": rng.integers(0, 45, total), "energy": rng.exponential(1, total) + 1e-3}
    values |= {name: rng.uniform(0.01, 0.4, total) for name in JET}
    conditions = {"theta": rng.uniform(0.1, 1, n), "phi": rng.uniform(-3, 3, n), "pdg": rng.choice([22, 11], n)}
    kept = {"jet_eta": rng.normal(0, 1, n), "jet_mass": rng.uniform(1e4, 1e5, n)} if names == JET else conditions
    points = np.column_stack([values[name] for name in names])
    return PointClouds(rng.uniform(1e3, 1e4, n), points, offsets_of(np.array(counts)), names, conditions=kept)


COLUMNS = {"jetnet": JET, "step2point": ("x", "y", "z", "energy", "time"), "caloclouds": ("x", "y", "layer", "energy")}
"""Format → columns that it holds; others hold the hits' with the time."""


def written(layout: str, path: Path, counts: list[int]) -> PointClouds:
    clouds = hits(counts, COLUMNS.get(layout, ("x", "y", "layer", "energy", "time")))
    write_points(clouds, path, layout=layout, unit="GeV")
    return clouds


@pytest.mark.parametrize("layout", OUTPUTS)
@pytest.mark.parametrize(
    "counts", [[3, 1, 4], [0, 5, 0, 0, 2, 0], [2, 100_000, 1]], ids=["usual", "empty ones", "a large one"]
)
def test_round_trip(layout: str, counts: list[int], tmp_path: Path) -> None:
    clouds = written(layout, tmp_path / "p.h5", counts)
    assert is_point_file(tmp_path / "p.h5")
    with PointFile(tmp_path / "p.h5") as file:
        assert file.layout == layout
        back = file.read()
    assert back.counts.tolist() == counts
    assert set(back.names) == set(clouds.names)
    for name in clouds.names:
        np.testing.assert_allclose(back[name], clouds[name], rtol=3e-7, err_msg=name)
    np.testing.assert_allclose(back.energies, clouds.energies, rtol=3e-7)
    for name in back.conditions:
        np.testing.assert_allclose(back.conditions[name], clouds.conditions.get(name, 0), atol=1e-6, rtol=1e-6)
    assert layout == "caloclouds" or set(clouds.conditions) <= set(back.conditions)


@pytest.mark.parametrize("layout", OUTPUTS)
def test_chunks_are_bounded_and_complete(layout: str, tmp_path: Path) -> None:
    counts = [7, 0, 3, 9, 9, 0, 0, 2, 8, 1]
    written(layout, tmp_path / "p.h5", counts)
    with PointFile(tmp_path / "p.h5") as file:
        whole, parts = file.read(), list(file.chunks(points=10))
    assert PointClouds.joined(parts) == whole
    assert len(parts) > 4
    assert all(len(part.points) <= 10 for part in parts)


@pytest.mark.parametrize("layout", OUTPUTS)
def test_appending_in_parts_gives_the_same_file(layout: str, tmp_path: Path) -> None:
    clouds = written(layout, tmp_path / "whole.h5", [4, 0, 6, 2, 9])
    with PointWriter(tmp_path / "parts.h5", clouds.names, clouds.conditions.kinds, layout=layout, unit="GeV") as out:
        for part in (clouds[:2], clouds[2:3], clouds[3:]):
            out.append(part)
    assert read_points(tmp_path / "parts.h5") == read_points(tmp_path / "whole.h5")


@pytest.mark.parametrize("layout", OUTPUTS)
def test_a_truncated_file_is_one_line(layout: str, tmp_path: Path) -> None:
    written(layout, tmp_path / "p.h5", [400] * 50)
    whole = (tmp_path / "p.h5").read_bytes()
    (tmp_path / "p.h5").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(CaloforgeError, match=r"truncated|damaged") as raised:
        read_points(tmp_path / "p.h5")
    assert "\n" not in str(raised.value)


def _set(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def _without(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def _with(name: str, index: Any, value: float) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    return change


def _replaced(name: str, values: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


def _long_row(values: list[float]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file["showers"][1] = np.array(values, dtype=np.float32)

    return change


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("points", _with("offsets", 2, 1), "offset 2 is 1, below offset 1, which is 3"),
        ("points", _with("offsets", -1, 9), "last offset is 9, but there are 8 points"),
        ("points", _without("energy"), "has no dataset 'energy'"),
        ("points", _replaced("x", np.zeros(5)), r"'y' has the shape \(8,\), but 'x' has \(5,\)"),
        ("points", _with("energy", 4, np.nan), "energy of point 1 of shower 2 is nan, not finite"),
        ("points", _with("energy", 4, -1), "energy of point 1 of shower 2 is -1, negative"),
        ("points", _with("layer", 0, -1), "layer of point 0 of shower 0 is -1, negative"),
        ("points", _with("incident_energies", 1, 0), "incident energy of row 1 is 0 MeV, not above zero"),
        ("points", _with("incident_theta", 1, np.nan), "theta of row 1 is nan"),
        ("points", _without("incident_energies"), "has no dataset 'incident_energies'"),
        ("showerdata", _long_row([1, 2, 3, 4]), "shower 1 has 4 numbers, not a multiple of 5"),
        ("showerdata", _long_row([0, 0, 1.5, np.nan, 0]), "energy of point 0 of shower 1 is nan"),
        ("showerdata", _long_row([0, 0, -2, 1, 0]), "layer of point 0 of shower 1 is -1, negative"),
        ("showerdata", _without("showers"), "incident particles only"),
        ("showerdata", _replaced("shape", [3, 4, 7]), r"'shape' is \[3, 4, 7\]"),
        ("showerdata", _replaced("energies", np.ones((2, 1))), r"'energies' has the shape \(2, 1\); expected \(3,\)"),
        ("caloclouds", _replaced("events", np.ones((3, 5, 7))), r"'events' has the shape \(3, 5, 7\)"),
        ("caloclouds", _with("events", (2, 3, 0), np.nan), "energy of point 0 of shower 2 is nan"),
        ("caloclouds", _without("energy"), "has no dataset 'energy'"),
        ("step2point", _with("steps/event_id", 0, 2), "step 1 is of event 0, after one of event 2: sort"),
        ("step2point", _with("steps/event_id", -1, 7), "event 7 has steps, but no primary"),
        ("step2point", _without("primary"), "has no dataset 'primary/event_id'"),
        ("step2point", _replaced("steps/position", np.ones((8, 2))), r"'steps/position' has the shape \(8, 2\)"),
        ("jetnet", _without("jet_features"), "has no dataset 'jet_features'"),
        ("jetnet", _with("particle_features", (1, 0, 2), np.inf), "ptrel of point 0 of shower 1 is inf"),
        ("jetnet", _replaced("particle_features", np.ones((3, 4, 3))), r"expected \(N, P, 4\)"),
    ],
)
def test_a_bad_file_is_one_line_that_names_the_value(
    layout: str, change: Callable[[h5py.File], None], message: str, tmp_path: Path
) -> None:
    written(layout, tmp_path / "p.h5", [3, 0, 5] if layout in ("points", "step2point") else [3, 2, 5])
    read_points(tmp_path / "p.h5")
    _set(tmp_path / "p.h5", change)
    with pytest.raises(CaloforgeError, match=message) as raised:
        read_points(tmp_path / "p.h5")
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "p.h5"))


def test_the_unit_is_asked_for_where_it_is_not_stored(tmp_path: Path) -> None:
    clouds = written("showerdata", tmp_path / "p.h5", [3, 2])
    _set(tmp_path / "p.h5", lambda file: file.attrs.__delitem__("energy_unit"))
    with pytest.raises(CaloforgeError, match="do not store the unit of energies: give unit='GeV'"):
        read_points(tmp_path / "p.h5")
    np.testing.assert_allclose(read_points(tmp_path / "p.h5", "GeV")["energy"], clouds["energy"], rtol=3e-7)
    mixed = read_points(tmp_path / "p.h5", "MeV,GeV")
    np.testing.assert_allclose(mixed["energy"], clouds["energy"] / 1e3, rtol=3e-7)
    np.testing.assert_allclose(mixed.energies, clouds.energies, rtol=3e-7)
    written("points", tmp_path / "q.h5", [3, 2])
    with pytest.raises(CaloforgeError, match="energies are in MeV: leave out unit='GeV'"):
        read_points(tmp_path / "q.h5", "GeV")
    np.testing.assert_array_equal(read_points(tmp_path / "q.h5", "MeV").points, clouds.points)
    with PointFile(tmp_path / "q.h5", "GeV", if_needed=True) as file:
        np.testing.assert_array_equal(file.read().points, clouds.points)
    with pytest.raises(CaloforgeError, match="'joule' is not a unit of energy"):
        read_points(tmp_path / "p.h5", "joule")


def test_padding_of_showerdata_is_not_read_and_layers_are_rounded_as_there(tmp_path: Path) -> None:
    written("showerdata", tmp_path / "p.h5", [1, 1])
    _set(tmp_path / "p.h5", _long_row([1, 2, 2.95, 4, 0, 1, 2, 3.2, 5, 0, 0, 0, 0, 0, 0]))
    clouds = read_points(tmp_path / "p.h5")[1]
    assert clouds["layer"].tolist() == [3, 3]


def test_caloclouds_with_the_columns_last(tmp_path: Path) -> None:
    written("caloclouds", tmp_path / "p.h5", [3, 7])
    before = read_points(tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5") as file:
        events = file["events"][...]
    assert events.shape == (2, 4, 7)
    _set(tmp_path / "p.h5", _replaced("events", events.transpose(0, 2, 1)))
    assert read_points(tmp_path / "p.h5") == before


def test_a_failed_writing_leaves_nothing(tmp_path: Path) -> None:
    clouds = hits([2, 3])
    with (
        pytest.raises(CaloforgeError, match="columns x, y, layer, energy do not fit"),
        PointWriter(tmp_path / "p.h5", clouds.names, clouds.conditions.kinds) as out,
    ):
        out.append(clouds)
        out.append(hits([1], ("x", "y", "layer", "energy")))
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_needs_a_column_names_it(tmp_path: Path) -> None:
    with pytest.raises(CaloforgeError, match="step2point needs a column z"):
        write_points(hits([1]), tmp_path / "p.h5", layout="step2point")
    with pytest.raises(CaloforgeError, match="'root' is not a format of points"):
        write_points(hits([1]), tmp_path / "p.h5", layout="root")
    with pytest.raises(CaloforgeError, match=r"p\.root: the format is not root; name the file p\.h5"):
        write_points(hits([1]), tmp_path / "p.root")


def test_files_of_other_kinds(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "voxels.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.ones((2, 368)), np.ones((2, 1))
    assert not is_point_file(tmp_path / "voxels.h5")
    with pytest.raises(CaloforgeError, match=r"not in a format of points that is known .*incident_energies, showers"):
        read_points(tmp_path / "voxels.h5")
    (tmp_path / "e.root").write_bytes(b"root" + bytes(100))
    with pytest.raises(CaloforgeError, match=r"caloforge\[root\]|damaged|no tree"):
        read_points(tmp_path / "e.root")


def test_real_photons_are_the_same_in_both_formats(real: Callable[[str], Path]) -> None:
    flat = read_points(real("photons-w-si-points/test.h5"))
    other = read_points(real("photons-w-si-points/test.showerdata.h5"), "GeV")
    np.testing.assert_array_equal(flat.offsets, other.offsets)
    np.testing.assert_allclose(flat.points, other.points, rtol=3e-7)
    np.testing.assert_allclose(flat.energies, other.energies, rtol=3e-7)


def test_real_jets(real: Callable[[str], Path], tmp_path: Path) -> None:
    jets = read_points(real("jets-pythia/g-test.h5"), stop=500)
    assert jets.noun == "jet"
    assert 0.8 < np.median(jets.deposited) < 1.05
    write_points(jets, tmp_path / "j.h5", layout="jetnet")
    with h5py.File(tmp_path / "j.h5") as mine, h5py.File(real("jets-pythia/g-test.h5")) as theirs:
        assert np.array_equal(mine["particle_features"], theirs["particle_features"][:500])
        np.testing.assert_allclose(mine["jet_features"], theirs["jet_features"][:500], rtol=3e-7)
