"""`rings`: what it sees of each ring, and that it finds hits that do not lie together as they should."""

from __future__ import annotations

import numpy as np

import caloforge as cf
from caloforge.classifiers import run_test
from caloforge.classifiers.rings import of_rings
from caloforge.geometry import load_geometry
from caloforge.showers import Showers


def test_features_of_rings_counted_by_hand() -> None:
    geometry = load_geometry("ds1-photons")
    layer, part = geometry.layers[1], geometry.slices[1]
    voxels = np.zeros((2, geometry.n_voxels), dtype=np.float32)
    image = np.zeros((2, *layer.shape), dtype=np.float32)
    image[0, 2, 3], image[0, 7, 3] = 30, 69
    voxels[:, part] = image.reshape(2, -1)
    found = of_rings(Showers(np.full(2, 1000.0), voxels, geometry))
    np.testing.assert_allclose(found[f"e_ring_3_{layer.id}"][1], [2, 0], atol=1e-6)
    assert found[f"hits_ring_3_{layer.id}"][1].tolist() == [2, 0]
    np.testing.assert_allclose(found[f"brightest_ring_3_{layer.id}"][1], [69 / 99, 0], rtol=1e-6)
    assert found[f"hits_ring_3_{layer.id}"][0] == f"number of hits of ring 3, layer {layer.id}"
    assert not any(name.endswith(f"_{geometry.layer_ids[0]}") for name in found)  # one voxel in each ring


def test_rows_stand_for_rings_in_a_cartesian_layer() -> None:
    geometry = load_geometry("calogan")
    voxels = np.zeros((1, geometry.n_voxels), dtype=np.float32)
    rows, columns = geometry.layers[1].shape
    voxels[0, geometry.slices[1].start + 2 * columns : geometry.slices[1].start + 3 * columns] = 5
    found = of_rings(Showers(np.full(1, 1000.0), voxels, geometry))
    hits = [found[f"hits_row_{k}_{geometry.layers[1].id}"][1].item() for k in range(rows)]
    assert hits == [columns if k == 2 else 0 for k in range(rows)]


def test_rings_turned_against_each_other_are_found() -> None:
    train, test = cf.sample("train", stop=2000), cf.sample("test", stop=2000)
    rng, voxels = np.random.default_rng(1), train.voxels.copy()
    for layer, part in zip(train.geometry.layers, train.geometry.slices, strict=True):
        image = voxels[:, part].reshape(-1, *layer.shape)
        turns = rng.integers(0, layer.shape[0], size=(len(image), layer.shape[1]))
        rows = (np.arange(layer.shape[0])[None, :, None] + turns[:, None, :]) % layer.shape[0]
        voxels[:, part] = np.take_along_axis(image, rows, axis=1).reshape(len(image), -1)
    spoilt = Showers(train.energies, voxels, train.geometry)
    found = run_test("rings", spoilt, test)
    assert found.auc > 0.7
    assert found.explain is not None
    best = sorted(found.explain(), key=lambda importance: -importance.value)[:3]
    assert any("neighbouring" in importance.label or "clusters" in importance.label for importance in best)


def test_a_report_explains_the_strongest_of_several_tests_by_trees() -> None:
    train, test = cf.sample("train", stop=1000), cf.sample("test", stop=1000)
    turned = train.voxels.copy()
    part, layer = train.geometry.slices[2], train.geometry.layers[2]
    image = turned[:, part].reshape(-1, *layer.shape)
    image[:, :, ::2] = np.roll(image[:, :, ::2], 5, axis=1)
    report = cf.evaluate(Showers(train.energies, turned, train.geometry), test, classifiers=("trees", "rings"))
    aucs = {metric.name: metric.estimate.value for metric in report.section("auc") if not metric.at}
    explained = {metric.extra["test"] for metric in report.section("importance")}
    assert explained == {max(aucs, key=aucs.__getitem__)}
