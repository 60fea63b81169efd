"""One pass over a file gives what the whole file in memory would."""

from pathlib import Path

import numpy as np
import pytest

from caloforge import observables
from caloforge.evaluation.samples import summary
from caloforge.geometry import load_geometry
from caloforge.showers import Showers, inputs

GEOMETRY = load_geometry("ds1-photons")


def showers(n: int = 70, seed: int = 1) -> Showers:
    rng = np.random.default_rng(seed)
    voxels = rng.gamma(0.5, 8.0, (n, GEOMETRY.n_voxels)) * (rng.random((n, GEOMETRY.n_voxels)) < 0.3)
    voxels[3] = 0
    return Showers(rng.choice([256.0, 512.0], n), voxels.astype(np.float32), GEOMETRY, {"source": "made up"})


@pytest.mark.parametrize("chunk", [1, 17, 1000])
def test_streaming_equals_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(inputs, "CHUNK_VALUES", chunk * GEOMETRY.n_voxels)
    whole = showers()
    whole.write(tmp_path / "x.h5")
    rows = np.arange(2, 70, 3)
    seen: list[int] = []
    with inputs.open_source(tmp_path / "x.h5") as source:
        largest = inputs.largest_voxel(source, rows)
        edges = observables.find(GEOMETRY, "voxel_energy").edges(np.array([largest]))
        found = summary.summarise(
            source,
            rows,
            observables=observables.default(GEOMETRY),
            voxel_edges=edges,
            sample_rows=np.array([5, 0, 9]),
            example_rows=np.array([1]),
            progress=seen.append,
        )
    kept = whole[rows]
    cut = np.where(kept.voxels < 1, 0, kept.voxels).astype(np.float64)
    assert largest == kept.voxels.max()
    assert sum(seen) == 70
    assert found.n == len(rows)
    assert found.attributes["source"] == "made up"
    np.testing.assert_array_equal(found.energies, kept.energies)
    names = [o.name for o in observables.default(GEOMETRY) if o.observable.per != "voxel"]
    assert list(found.observables) == names
    for name, values in observables.compute(kept, names).items():
        # Products of matrices round otherwise for other numbers of rows: lengths cancel to a part of their 2 m.
        np.testing.assert_allclose(found.observables[name], values, rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.voxels.energy, cut.mean(axis=0))
    np.testing.assert_allclose(found.voxels.occupancy, (cut > 0).mean(axis=0))
    np.testing.assert_array_equal(found.voxel_counts, [0, *np.histogram(cut[cut > 0], edges)[0], 0])
    np.testing.assert_array_equal(found.voxel_rows.sum(axis=1), (cut > 0).sum(axis=1))
    np.testing.assert_array_equal(found.sample.showers.voxels, kept.voxels[[0, 5, 9]])
    np.testing.assert_array_equal(found.examples.showers.voxels, kept.voxels[[1]])
    np.testing.assert_allclose(found.radial.sum(axis=1), cut.sum(axis=1), rtol=1e-5)
    at_five = cut[:, np.isclose(GEOMETRY.r, 5.0)].sum(axis=1)
    np.testing.assert_allclose(found.radial[:, np.searchsorted(found.radii, 5.0)], at_five, rtol=1e-5)


@pytest.mark.parametrize(("name", "sectors"), [("ds1-photons", 10), ("ds2", 16), ("calogan", 0)])
def test_sectors_of_alpha(name: str, sectors: int) -> None:
    """Each voxel of a layer with alpha bins lies in the sector that its direction falls into."""
    geometry = load_geometry(name)
    matrix = summary.onto_sectors(geometry)
    assert matrix.shape == (geometry.n_voxels, sectors)
    if sectors:
        directed = np.repeat([layer.shape[0] > 1 for layer in geometry.layers], np.diff(geometry._offsets))
        direction = np.arctan2(geometry.phi, geometry.eta)[directed]
        expected = np.floor((direction + np.pi) / (2 * np.pi) * sectors).astype(int)
        np.testing.assert_array_equal(matrix[directed].argmax(axis=1), expected)
        np.testing.assert_array_equal(matrix.sum(axis=1), directed)


def test_voxels_above_the_references_largest_are_counted_apart() -> None:
    source = inputs.open_source(showers())
    found = summary.summarise(source, voxel_edges=np.geomspace(2.0, 10.0, 6))
    cut = showers().voxels.astype(np.float64)
    assert found.voxel_counts[-1] == (cut > 10).sum()
    assert found.voxel_counts[0] == ((cut >= 1) & (cut < 2)).sum()


def test_fingerprints_see_one_changed_bit_and_empty_showers() -> None:
    voxels = showers().voxels
    prints = summary.fingerprint(voxels)
    assert prints[3] == 0
    assert len(np.unique(prints)) == 70
    changed = voxels.copy()
    changed[0, 100] = np.nextafter(changed[0, 100], np.float32(np.inf))
    assert summary.fingerprint(changed)[0] != prints[0]
    np.testing.assert_array_equal(summary.fingerprint(changed)[1:], prints[1:])
    assert summary.summarise(inputs.open_source(showers())).without_energy == 1


def test_fingerprints_do_not_collide_where_only_exponents_differ() -> None:
    """Powers of two differ in few bits: a hash that drops high bits would take many of these for each other."""
    rng = np.random.default_rng(8)
    voxels = np.unique(2.0 ** rng.integers(-8, 8, (20_000, 6)), axis=0).astype(np.float32)
    prints = summary.fingerprint(voxels)
    assert len(np.unique(prints)) == len(voxels)
    low = np.bincount((prints & np.uint64(255)).astype(int), minlength=256)
    assert low.std() < 1.5 * np.sqrt(low.mean())  # the low bits are used evenly


@pytest.mark.parametrize("name", ["ds1-pions", "ds3", "calogan"])
def test_radial_bins_are_few_and_take_every_voxel(name: str) -> None:
    geometry = load_geometry(name)
    radii, index = summary.radial_bins(geometry)
    assert len(radii) <= summary.RADII
    assert index.shape == (geometry.n_voxels,)
    assert np.all(np.diff(radii) > 0)
    assert np.abs(radii[index] - geometry.r).max() <= (1e-6 if name != "calogan" else geometry.r.max() / 80 + 1e-6)


def test_a_part_of_a_summary_is_the_summary_of_the_part() -> None:
    rows = np.arange(0, 70, 2)
    options = {"observables": observables.default(GEOMETRY), "voxel_edges": np.geomspace(1.0, 100.0, 9)}
    whole = summary.summarise(inputs.open_source(showers()), **options, sample_rows=np.array([2, 5, 8, 60]))
    part = whole.take(rows)
    alone = summary.summarise(inputs.open_source(showers()[rows]), **options, sample_rows=np.array([1, 4, 30]))
    assert part.n == len(rows)
    assert (part.without_energy, part.below_threshold) == (alone.without_energy, alone.below_threshold)
    for name, values in alone.observables.items():
        np.testing.assert_allclose(part.observables[name], values, rtol=1e-9, atol=1e-9)
    for key in ("energies", "voxel_rows", "fingerprints"):
        np.testing.assert_array_equal(getattr(part, key), getattr(alone, key))
    np.testing.assert_array_equal(part.sample.rows, alone.sample.rows)
    np.testing.assert_array_equal(part.sample.showers.voxels, alone.sample.showers.voxels)
    with pytest.raises(ValueError, match="full samples"):
        _ = part.voxels
