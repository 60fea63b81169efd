"""Points to voxels and back: exact sums, what lies outside, positions within a voxel; whole files, and their losses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.cli.choices import PointFormatChoice
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.geometry.bins import voxel_index
from caloforge.geometry.layers import CartesianLayer
from caloforge.points import JET, PointClouds, read_points, write_points
from caloforge.points.conversion import FORMATS, Wanted, convert
from caloforge.points.voxelisation import points_of, voxelised
from caloforge.showers import Showers

MIXED = Geometry(
    "mixed",
    (
        Layer(3, (0, 5, 10, 30), 1, (0, 10)),
        Layer(0, (5, 20), 4, (10, 20)),
        CartesianLayer(7, (-20, 0, 30), (-10, 10), (20, 40)),
    ),
)
"""Layers out of order, with a hole in the middle, and of both kinds."""


def cloud(n: int = 4000, seed: int = 3) -> PointClouds:
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-40, 40, (n, 2)), rng.choice([0, 3, 5, 7], n), rng.exponential(1, n)])
    offsets = np.sort(np.concatenate([[0, 0, n], rng.integers(0, n, 18)]))
    return PointClouds(np.full(20, 1e3), points, offsets)


def test_sums_are_those_of_the_points_and_the_rest_is_counted() -> None:
    clouds = cloud()
    showers, outside = voxelised(clouds, MIXED)
    np.testing.assert_allclose(showers.deposited.sum() + outside.energy, outside.of_energy, rtol=1e-6)
    assert 0 < outside.points < outside.of_points == 4000
    expected = np.zeros((20, MIXED.n_voxels))
    lost = 0
    for row, (x, y, layer, energy) in zip(clouds.rows, clouds.points.astype(float), strict=True):
        k = MIXED.layer_ids.index(int(layer)) if layer != 5 else -1
        index = voxel_index(MIXED.layers[k], np.array([x]), np.array([y]))[0] if k >= 0 else -1
        if index < 0:
            lost += 1
        else:
            expected[row, MIXED.slices[k].start + index] += energy
    assert lost == outside.points
    np.testing.assert_allclose(showers.voxels, expected, rtol=1e-6, atol=1e-7)
    assert showers.deposited[0] == 0


def test_a_sampling_fraction_divides() -> None:
    whole, divided = (voxelised(cloud(), MIXED, sampling_fraction=f)[0] for f in (1.0, 0.25))
    np.testing.assert_allclose(divided.voxels, 4 * whole.voxels, rtol=1e-6)
    with pytest.raises(CaloforgeError, match="sampling_fraction=… 0: it must be above 0"):
        voxelised(cloud(), MIXED, sampling_fraction=0)


def test_depths_stand_for_layers() -> None:
    clouds = PointClouds(
        [1], [[6, 0, 5, 2], [6, 0, 15, 3], [6, 0, 25, 4], [6, 0, 45, 9]], [0, 4], ("x", "y", "z", "energy")
    )
    showers, outside = voxelised(clouds, MIXED)
    np.testing.assert_array_equal(showers.layer_energies, [[2, 3, 4]])
    assert outside.energy == 9
    flat = Geometry("flat", (Layer(0, (0, 10)), Layer(1, (0, 10))))
    with pytest.raises(CaloforgeError, match="layer is needed: say where layers lie with geometry=…"):
        voxelised(clouds, flat)
    assert voxelised(clouds, flat, pitch=10)[0].layer_energies.tolist() == [[2, 3]]


@pytest.mark.parametrize(
    "geometry", [MIXED, load_geometry("ds1-photons"), load_geometry("calogan")], ids=lambda g: g.name
)
@pytest.mark.parametrize("centre", [True, False])
def test_voxels_to_points_and_back_is_exact(geometry: Geometry, centre: bool) -> None:
    rng = np.random.default_rng(4)
    voxels = rng.exponential(1, (30, geometry.n_voxels)) * (rng.random((30, geometry.n_voxels)) < 0.3)
    voxels[5] = 0
    showers = Showers(np.full(30, 1e3), voxels, geometry, conditions={"theta": np.full(30, 0.3)})
    clouds = points_of(showers, None if centre else np.random.default_rng(1))
    back, outside = voxelised(clouds, geometry)
    assert outside.points == 0
    assert back == showers
    assert clouds.counts[5] == 0


def test_positions_are_even_over_the_area_of_a_voxel() -> None:
    """In a ring from 10 to 20 mm and a quarter of alpha, r² and alpha are uniform: mean and variance of each."""
    geometry = Geometry("ring", (Layer(0, (0, 10, 20), 4),))
    voxels = np.zeros((40_000, 8))
    voxels[:, 5] = 1  # alpha from 0 to pi / 2, the outer ring
    clouds = points_of(Showers(np.ones(40_000), voxels, geometry), np.random.default_rng(7))
    x, y = clouds["x"].astype(float), clouds["y"].astype(float)
    u = (x**2 + y**2 - 100) / 300
    v = np.arctan2(y, x) / (np.pi / 2)
    for each in (u, v):
        assert abs(each.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 40_000)
        assert abs(each.var() - 1 / 12) < 5 * np.sqrt(1 / 180 / 40_000)
    assert abs(np.corrcoef(u, v)[0, 1]) < 5 / np.sqrt(40_000)


def test_positions_do_not_depend_on_how_a_file_is_read() -> None:
    geometry = load_geometry("ds1-photons")
    showers = Showers(np.ones(20), np.random.default_rng(1).integers(0, 2, (20, 368)), geometry)
    rng = np.random.default_rng(9)
    parts = PointClouds.joined([points_of(showers[:7], rng), points_of(showers[7:], rng)])
    assert parts == points_of(showers, np.random.default_rng(9))


def test_the_command_lists_every_format() -> None:
    assert [choice.value for choice in PointFormatChoice] == list(FORMATS)


def run(*words: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["convert", *map(str, words)])
    error = " ".join(str(result.exception).split()) if result.exception is not None else ""
    return result.exit_code, result.stdout, result.stderr + error


def test_files_through_every_format_of_hits(tmp_path: Path) -> None:
    clouds = PointClouds(
        [1e3, 2e3, 3e3],
        [[0, 5, 0, 3, 1], [5, 5, 1, 4, 2], [0, 0, 2, 8, 3]],
        [0, 2, 2, 3],
        ("x", "y", "layer", "energy", "time"),
        {"particle": "gamma", "layer_pitch_mm": 10.0},
        {"theta": [0.1, 0.2, 0.3]},
    )
    write_points(clouds, tmp_path / "a.h5")
    path = tmp_path / "a.h5"
    for form in ("showerdata", "step2point", "points", "caloclouds", "showerdata", "points"):
        target = tmp_path / f"{form}-{path.stem}.h5"
        assert run(path, target, "--to", form, "--layer-pitch", "10")[0] == 0
        path = target
    back = read_points(path)
    order = [back.names.index(name) for name in ("x", "y", "layer", "energy")]
    np.testing.assert_allclose(back.points[:, order], clouds.points[:, :4], rtol=1e-6)
    np.testing.assert_array_equal(back.offsets, clouds.offsets)
    np.testing.assert_allclose(back.energies, clouds.energies, rtol=1e-6)
    assert back.attributes["particle"] == "gamma"


def test_points_get_a_layer_from_their_depth_and_back(tmp_path: Path) -> None:
    clouds = PointClouds([1], [[6, 0, 5, 2], [6, 0, 15, 3], [6, 0, -1, 9]], [0, 3], ("x", "y", "z", "energy"))
    write_points(clouds, tmp_path / "z.h5")
    assert run(tmp_path / "z.h5", tmp_path / "same.h5", "--to", "points")[0] == 0
    assert read_points(tmp_path / "same.h5") == clouds
    _, _, said = run(tmp_path / "z.h5", tmp_path / "l.h5", "--to", "points", "--layer-pitch", "10")
    assert "the layer of a point follows from its z" in said
    assert "points in no layer are left out: 1" in said
    found = read_points(tmp_path / "l.h5")
    assert found["layer"].tolist() == [0, 1]
    assert found["z"].tolist() == [5, 15]


def test_losses_are_said(tmp_path: Path) -> None:
    clouds = cloud()
    clouds = PointClouds(
        clouds.energies, clouds.points, clouds.offsets, conditions={"theta": np.zeros(20), "x": np.zeros(20)}
    )
    write_points(clouds.with_column("time", np.zeros(4000)), tmp_path / "p.h5")
    _, out, said = run(tmp_path / "p.h5", tmp_path / "c.h5", "--to", "caloclouds")
    assert "columns of points that caloclouds cannot hold are lost: time" in said
    assert "conditions are lost: theta, x" in said
    assert "20 showers in the format caloclouds" in out
    found = convert(tmp_path / "p.h5", tmp_path / "v.h5", Wanted("voxels", MIXED))
    assert any("points, with" in loss and "lie outside the voxels and are left out" in loss for loss in found.losses)
    assert Showers.read(tmp_path / "v.h5") == voxelised(clouds, MIXED)[0]
    steps: list[tuple[int, int]] = []
    found = convert(tmp_path / "v.h5", tmp_path / "q.h5", Wanted("points"), progress=lambda *two: steps.append(two))
    assert steps[0] == (0, 20)
    assert steps[-1] == (20, 20)
    bare = tmp_path / "bare.h5"
    with h5py.File(bare, "w") as file:
        file["showers"], file["incident_energies"] = np.ones((2, 368)), np.ones((2, 1))
    assert convert(bare, tmp_path / "b.h5", Wanted("points", "ds1-photons")).n == 2
    assert any("a random position in its voxel (seed 1)" in loss for loss in found.losses)
    assert read_points(tmp_path / "q.h5").deposited == pytest.approx(Showers.read(tmp_path / "v.h5").deposited)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["v.h5", "--to", "voxels"], "voxels need a geometry: give --geometry, e.g. --geometry ds2"),
        (["v.h5", "--to", "step2point"], "say where layers lie with --geometry (with z_edges), or --layer-pitch in mm"),
        (["v.h5", "--to", "step2point", "--layer-pitch", "0"], "--layer-pitch 0: the depth"),
        (["v.h5", "--to", "jetnet"], "jetnet needs a column etarel"),
        (["there.h5", "--to", "points"], "there.h5 exists: give another output or --overwrite"),
        (["p.h5", "--to", "points", "--overwrite"], "is the file to convert"),
        (["v.h5", "--to", "showerdata", "--to-unit", "erg"], "'erg' is not a unit of energy"),
        (["v.h5", "--to", "points", "--unit", "erg"], "'erg' is not a unit of energy"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_points(cloud(), "p.h5")
    Path("there.h5").touch()
    code, _, said = run("p.h5", *words)
    assert code != 0
    assert message in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.h5", "there.h5"]


def test_jets_have_no_voxels(tmp_path: Path) -> None:
    write_points(PointClouds([1e6], [[0, 0, 0.5]], [0, 1], JET), tmp_path / "j.h5")
    with pytest.raises(CaloforgeError, match="no column 'x'; they have etarel, phirel, ptrel"):
        convert(tmp_path / "j.h5", tmp_path / "v.h5", Wanted("voxels", MIXED))


def test_real_photons_in_voxels_of_ds2_have_the_energy_of_the_electrons(real: Callable[[str], Path]) -> None:
    """Photons and electrons of the same silicon, divided by the same sampling fraction, deposit about E_inc."""
    clouds = read_points(real("photons-w-si-points/test.h5"), stop=300)
    showers, outside = voxelised(clouds, load_geometry("ds2"), sampling_fraction=0.033)
    assert 0.9 < (showers.deposited / showers.energies).mean() < 1.0
    assert outside.energy / outside.of_energy < 0.02
