"""Conditions beyond the energy: what they are, their columns in files, and the laws they are drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from caloforge.conditions import KNOWN, Columns, Condition
from caloforge.conditions.columns import difference
from caloforge.conditions.kinds import TURNING_FRAME, condition, superfluous
from caloforge.conditions.laws import parse_assignment, parse_law
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import ShowerFile, ShowerFiles, Showers, ShowerWriter
from caloforge.simulator.shards import merge


def with_angles(showers: Showers, n: int = 60) -> Showers:
    """The first n showers, with theta and a temperature."""
    angles = np.linspace(0, 1, n)
    return Showers(showers.energies[:n], showers.voxels[:n], showers.geometry, {}, {"theta": angles, "warmth": -angles})


# ---- what a condition is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("theta", "30deg", math.pi / 6),
        ("theta", "0.5", 0.5),
        ("theta", "0.5 rad", 0.5),
        ("x", "-1.5cm", -15.0),
        ("pdg", "-11", -11.0),
        ("warmth", "1e2", 100.0),
    ],
)
def test_values_have_units(name: str, text: str, value: float) -> None:
    assert condition(name).parse(text)[0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text", "facts"),
    [
        ("theta", "30mm", ["mm", "theta", "rad, deg"]),
        ("pdg", "11deg", ["deg", "no unit"]),
        ("tehta", "30deg", ["tehta; it has no unit, as theta"]),
        ("theta", "steep", ["steep", "30deg"]),
        ("theta", "1.2.3", ["1.2.3"]),
    ],
)
def test_wrong_values_are_named(name: str, text: str, facts: list[str]) -> None:
    with pytest.raises(CaloforgeError) as caught:
        condition(name).parse(text)
    assert all(fact in str(caught.value) for fact in facts)


def test_degrees_are_asked_about() -> None:
    with pytest.raises(CaloforgeError, match=r"theta of row 1 is 45, .*from 0 to 1.571 rad; is it in degrees"):
        KNOWN["theta"].check(np.array([0.1, 45.0]))
    KNOWN["theta"].check(np.array([0.0, math.pi / 2 * (1 + 1e-7)]))  # rounded in float32
    with pytest.raises(CaloforgeError, match=r"in\.h5: theta of row 7 is nan, not finite"):
        KNOWN["theta"].check(np.array([np.nan]), "in.h5: ", 7)


def test_a_known_condition_keeps_its_unit() -> None:
    with pytest.raises(CaloforgeError, match="theta is in deg, but must be in rad"):
        condition("theta", "deg")
    assert condition("warmth", "K").unit == "K"
    with pytest.raises(CaloforgeError, match="not a valid name"):
        condition("a b")


def test_the_azimuth_does_not_matter_where_the_mesh_turns() -> None:
    assert superfluous(["theta", "phi"], f"{TURNING_FRAME} from the entry point") == ["phi"]
    assert superfluous(["theta", "phi"], "detector") == []


def test_periodic_values_are_turned() -> None:
    turned = KNOWN["phi"].turned(np.array([0.1, 0.1 - 2 * math.pi, math.pi + 0.1]))
    assert turned == pytest.approx([0.1, 0.1, 0.1 - math.pi])


# ---- columns ---------------------------------------------------------------------------------------------------------


def test_columns_are_a_mapping() -> None:
    columns = Columns.of({"theta": [0.1, 0.2, 0.3], "warmth": 5}, 3)
    assert (list(columns), columns.n, len(columns)) == (["theta", "warmth"], 3, 2)
    assert columns["warmth"].tolist() == [5, 5, 5]
    assert columns.take(np.array([2, 0]))["theta"].tolist() == [0.3, 0.1]
    assert columns.only(["warmth"]).names == ("warmth",)
    assert Columns.joined([columns, columns]).n == 6
    assert columns == Columns.of(dict(columns), 3)
    assert columns != columns.take(slice(2))
    assert columns.with_column(KNOWN["theta"], np.zeros(3)).names == ("warmth", "theta")
    with pytest.raises(KeyError):
        columns["phi"]


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"theta": [0.1, 0.2]}, ["theta", "(2,)", "(3,)"]),
        ({"theta": ["a", "b", "c"]}, ["theta", "numbers"]),
        ({"theta": [1, 2, 3]}, ["theta of row 1 is 2", "degrees"]),
        ({"th eta": 1}, ["th eta"]),
        ([1, 2, 3], ["mapping", "list"]),
    ],
)
def test_what_columns_cannot_be_is_said(given: Any, facts: list[str]) -> None:
    with pytest.raises(CaloforgeError) as caught:
        Columns.of(given, 3)
    assert all(fact in str(caught.value) for fact in facts)


def test_differences_of_kinds() -> None:
    theta, warm = KNOWN["theta"], Condition("warmth", "K")
    assert difference([theta, warm], [warm, theta]) == ""
    assert difference([theta], []) == "only one of them has the condition theta"
    assert difference([warm], [Condition("warmth")]) == "warmth is in K and in no unit"


# ---- showers and files -----------------------------------------------------------------------------------------------


def test_conditions_follow_their_showers(small_showers: Showers) -> None:
    showers = with_angles(small_showers)
    assert showers[3:5].conditions["theta"].tolist() == showers.conditions["theta"][3:5].tolist()
    assert showers[[7]].conditions["warmth"] == -showers.conditions["theta"][7]
    assert "theta 0 deg … 57.3 deg" in repr(showers)
    assert showers != small_showers[:60]
    assert len(small_showers.conditions) == 0


def test_conditions_are_written_and_read(small_showers: Showers, tmp_path: Path) -> None:
    showers = with_angles(small_showers)
    showers.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["incident_theta"].shape == (60, 1)
        assert file["incident_theta"].attrs["unit"] == "rad"
    with ShowerFile(tmp_path / "s.h5") as file:
        assert [kind.name for kind in file.kinds] == ["theta", "warmth"]
        assert file.conditions() == showers.conditions
        assert file.read(10, 20) == showers[10:20]
        assert file.take(np.array([1, 40])) == showers[[1, 40]]
        assert next(file.chunks(7)).conditions == showers.conditions.take(slice(7))
    showers[:10].write(tmp_path / "t.h5")
    with ShowerFiles([tmp_path / "s.h5", tmp_path / "t.h5"]) as both:
        assert both.conditions()["theta"].tolist() == [*showers.conditions["theta"], *showers.conditions["theta"][:10]]
        assert both.read(58, 62) == Showers(
            both.energies()[58:62],
            np.concatenate([showers.voxels[58:], showers.voxels[:2]]),
            showers.geometry,
            {},
            both.conditions().take(slice(58, 62)),
        )


def test_files_without_conditions_are_as_before(small_showers: Showers, tmp_path: Path) -> None:
    small_showers.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        assert sorted(file) == ["incident_energies", "showers"]
    assert Showers.read(tmp_path / "s.h5") == small_showers


def test_files_are_merged_with_their_conditions(small_showers: Showers, tmp_path: Path) -> None:
    showers = with_angles(small_showers)
    showers[:20].write(tmp_path / "a.h5")
    showers[20:].write(tmp_path / "b.h5")
    merge([tmp_path / "a.h5", tmp_path / "b.h5"], tmp_path / "c.h5")
    assert Showers.read(tmp_path / "c.h5") == showers
    small_showers[:5].write(tmp_path / "d.h5")
    with pytest.raises(CaloforgeError, match=r"a\.h5 and .*d\.h5 differ in conditions: only one .* theta"):
        merge([tmp_path / "a.h5", tmp_path / "d.h5"], tmp_path / "e.h5")
    with pytest.raises(CaloforgeError, match=r"differ in conditions: only one of them has the condition theta"):
        ShowerFiles([tmp_path / "a.h5", tmp_path / "d.h5"])


def test_a_file_has_its_conditions_for_all_showers(small_showers: Showers, tmp_path: Path) -> None:
    with (
        pytest.raises(CaloforgeError, match=r"condition theta must be given for all"),
        ShowerWriter(tmp_path / "s.h5", small_showers.geometry, conditions=[KNOWN["theta"]]) as out,
    ):
        out.append(small_showers.energies[:1], small_showers.voxels[:1])
    assert list(tmp_path.iterdir()) == []


def _change(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def _replaced(name: str, values: Any, **attributes: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = values
        file[name].attrs.update(attributes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replaced("incident_theta", np.linspace(0, 60, 60)), r"theta of row 2 is 2.034, .* is it in degrees"),
        (_replaced("incident_theta", np.ones(60), unit="deg"), r"'incident_theta': theta is in deg, but must be in"),
        (_replaced("incident_theta", np.ones((60, 2))), r"'incident_theta' has the shape \(60, 2\); expected \(60,\)"),
        (_replaced("incident_theta", np.full(60, np.nan)), r"theta of row 0 is nan, not finite"),
        (_replaced("incident_theta", np.ones(59)), r"'incident_theta' has the shape \(59,\)"),
        (_replaced("incident_directions", np.ones((60, 4))), r"'incident_directions' has the shape \(60, 4\)"),
        (_replaced("incident_warmth", np.full(60, np.inf)), r"warmth of row 0 is inf, not finite"),
    ],
)
def test_bad_columns_are_one_line(
    change: Callable[[h5py.File], None], message: str, small_showers: Showers, tmp_path: Path
) -> None:
    with_angles(small_showers).write(tmp_path / "s.h5")
    _change(tmp_path / "s.h5", change)
    with pytest.raises(CaloforgeError, match=message) as caught, ShowerFile(tmp_path / "s.h5") as file:
        file.conditions()
    assert str(caught.value).startswith(str(tmp_path / "s.h5"))
    assert "\n" not in str(caught.value)


def test_the_unit_of_a_file_holds_for_its_angles(small_showers: Showers, tmp_path: Path) -> None:
    with_angles(small_showers).write(tmp_path / "s.h5")
    _change(tmp_path / "s.h5", lambda file: file.attrs.update({"angle_unit": "deg"}))
    _change(tmp_path / "s.h5", _replaced("incident_theta", np.ones(60)))
    with pytest.raises(CaloforgeError, match="theta is in deg"):
        ShowerFile(tmp_path / "s.h5")


def test_other_datasets_of_that_name_are_left_alone(small_showers: Showers, tmp_path: Path) -> None:
    small_showers.write(tmp_path / "s.h5")
    _change(tmp_path / "s.h5", _replaced("incident_particles", np.ones((600, 4))))
    _change(tmp_path / "s.h5", lambda file: file.create_group("incident_group"))
    with ShowerFile(tmp_path / "s.h5") as file:
        assert file.kinds == ()


def test_directions_and_positions_are_read_as_angles_and_coordinates(small_showers: Showers, tmp_path: Path) -> None:
    small_showers.write(tmp_path / "s.h5")
    theta, phi = np.linspace(0.1, 1, 600), np.linspace(-3, 3, 600)
    vectors = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    _change(tmp_path / "s.h5", _replaced("incident_directions", vectors))
    _change(tmp_path / "s.h5", _replaced("incident_position", np.stack([phi, -phi], axis=1)))
    with ShowerFile(tmp_path / "s.h5") as file:
        columns = file.conditions()
    assert set(columns) == {"theta", "phi", "x", "y"}
    assert columns["theta"] == pytest.approx(theta)
    assert columns["phi"] == pytest.approx(phi)
    assert columns["y"] == pytest.approx(-phi)


def test_lemurs_layout_is_read(tmp_path: Path) -> None:
    """Rows (r, phi, z) become (layer, alpha, r); its theta is the polar angle from the beam."""
    rng = np.random.default_rng(1)
    mesh = rng.random((5, 9, 16, 45), dtype=np.float32)
    with h5py.File(tmp_path / "l.h5", "w") as file:
        file["showers"], file["incident_energy"] = mesh, np.full(5, 1e4)
        file["incident_theta"], file["incident_phi"] = np.full(5, 1.9), np.full(5, 6.0)
    with ShowerFile(tmp_path / "l.h5") as file:
        showers = file.read(1, 4)
        assert file.layout == "lemurs"
    assert showers.geometry.name == "ds2"
    assert showers.conditions["polar"].tolist() == [1.9] * 3
    assert showers.conditions["phi"].tolist() == [6.0] * 3
    layer, alpha, r = 7, 3, 2
    assert showers.voxels[0].reshape(45, 16, 9)[layer, alpha, r] == mesh[1, r, alpha, layer]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("showers", np.ones((5, 6480)), r"'showers' has the shape \(5, 6480\); expected \(N, r, phi, z\)"),
        ("incident_energy", np.ones(4), r"'incident_energy' has the shape \(4,\); expected \(5,\)"),
    ],
)
def test_broken_lemurs_files(name: str, values: np.ndarray, message: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "l.h5", "w") as file:
        file["showers"], file["incident_energy"] = np.ones((5, 9, 16, 45), np.float32), np.ones(5)
        del file[name]
        file[name] = values
    with pytest.raises(CaloforgeError, match=message):
        ShowerFile(tmp_path / "l.h5")


def test_real_angles(real: Callable[[str], Path]) -> None:
    with ShowerFile(real("electrons-w-si-angles/test.h5")) as file:
        assert {kind.name for kind in file.kinds} == {"theta", "phi"}
        assert file.conditions()["theta"].max() < math.radians(60.001)


# ---- laws ------------------------------------------------------------------------------------------------------------


def _drawn(text: str, n: int = 4000, name: str = "theta") -> np.ndarray:
    return parse_law(name, text).draw(np.arange(n), np.random.default_rng(1))


def test_laws() -> None:
    assert set(_drawn("30deg")) == {math.radians(30)}
    assert set(_drawn("discrete:0,30,60deg")) == {0.0, math.radians(30), math.radians(60)}
    assert _drawn("list:0,30deg", 3).tolist() == [0, math.radians(30), 0]
    flat = _drawn("uniform:10:60deg")
    assert math.radians(10) < flat.min() < math.radians(11)
    assert flat.mean() == pytest.approx(math.radians(35), abs=0.02)
    solid = np.cos(_drawn("solid:0:60deg"))
    assert solid.mean() == pytest.approx(0.75, abs=0.01)
    beam = _drawn("gauss:1:3mm", name="x")
    assert (beam.mean(), beam.std()) == (pytest.approx(1, abs=0.2), pytest.approx(3, abs=0.2))


def test_a_law_is_drawn_by_rows() -> None:
    law = parse_assignment("theta=list:0,30,60deg")
    assert law.in_turn
    assert law.draw(np.array([2, 3]), np.random.default_rng(0)) == pytest.approx([math.radians(60), 0])
    assert not parse_law("theta", "uniform:0:1").in_turn


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("theta=uniform:0:60", ["uniform:0:60", "not 60 rad", "degrees? Write 60deg"]),
        ("theta=95deg", ["from 0 deg to 90 deg, not 95 deg"]),
        ("theta=uniform:60deg:0deg", ["lower limit"]),
        ("theta=uniform:0:30:60deg", ["3 values", "takes 2"]),
        ("theta=flat:0:60deg", ["flat:0:60deg", "uniform:0:60deg"]),
        ("theta=uniform:", ["uniform:"]),
        ("theta=", ["not a valid"]),
        ("theta", ["NAME=LAW"]),
        ("x=solid:0:60mm", ["solid:0:60mm"]),
        ("x=gauss:0:-3mm", ["negative"]),
        ("=30deg", ["name"]),
    ],
)
def test_wrong_laws_are_one_line(text: str, facts: list[str]) -> None:
    with pytest.raises(CaloforgeError) as caught:
        parse_assignment(text)
    assert all(fact in str(caught.value) for fact in facts)
    assert "\n" not in str(caught.value)


def test_geometry_of_a_file_is_still_checked(small_geometry: Geometry, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["showers"], file["incident_energies"] = np.ones((2, 13)), np.ones((2, 1))
        file.attrs["geometry"] = "ds2"
    with pytest.raises(CaloforgeError, match=r"13 voxels, but geometry 'ds2' \(the attribute of the file\) has 6480"):
        ShowerFile(tmp_path / "s.h5", small_geometry)
