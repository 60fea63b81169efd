"""Exported graphs read by the loops of the consumers' own classes, rewritten from what they do.

Geant4's Par04 takes the graph's only input, copies as many floats of the first output as its mesh has cells, and goes
through them with r outermost and z innermost. FastCaloSim's ONNX handler fills a node from a map of names to numbers,
takes symbolic dimensions as 1, and returns a map from `<output>_<i>` to numbers whose common prefix is removed; its
slot of GANs then counts voxels layer by layer, r outer and alpha inner. (DDML's loops: test_ddml.py.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.export.graph import checked_graph
from caloforge.geometry import Geometry, Layer, load_geometry
from caloforge.inference.onnx_engine import onnx_session
from export.test_conditions_in_graphs import HIGH, LOW, a_run, a_run_with_noise, by_run, mesh

ENERGY = 4000.0
LEAST = 0.0005
"""MeV: Par04 places cells above this."""

NOISE = np.random.default_rng(3).normal(size=(1, 4)).astype("f4")


@pytest.fixture(autouse=True)
def _with_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")


def par04_cells(content: bytes, row: list[float], cells: tuple[int, int, int], mev: float) -> dict[Any, float]:
    """(r, phi, z) → MeV of the cells that Par04 places.

    Args:
        content: of the graph.
        row: what Par04 passes.
        cells: numbers of r, phi, z in its macro.
        mev: what it multiplies with.
    """
    session = onnx_session(content)
    (only,) = session.get_inputs()
    assert only.shape == [1, len(row)]
    flat = session.run(None, {only.name: np.array([row], "f4")})[0].ravel()
    placed, index = {}, 0
    for r in range(cells[0]):
        for phi in range(cells[1]):
            for z in range(cells[2]):
                if flat[index] * mev > LEAST:
                    placed[r, phi, z] = float(flat[index]) * mev
                index += 1
    assert index == len(flat)
    return placed


def fastcalosim_voxels(content: bytes, inputs: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Name of a voxel → number, as its ONNX handler returns them."""
    session = onnx_session(content)
    assert {node.type for node in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}
    fed = {}
    for node in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in node.shape]
        values = [inputs[node.name][key] for key in sorted(inputs[node.name])]  # of a std::map
        fed[node.name] = np.array(values, "f4").reshape(shape)
    outputs: dict[str, float] = {}
    for node, found in zip(session.get_outputs(), session.run(None, fed), strict=True):
        size = math.prod(each for each in node.shape if isinstance(each, int))
        outputs |= {f"{node.name}_{k}": float(found.ravel()[k]) for k in range(size)}
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*outputs, strict=False))
    prefix = "".join(letters[0] for letters in alike)
    return {name.removeprefix(prefix): value for name, value in outputs.items()}


def test_par04_places_every_cell_where_it_belongs() -> None:
    run = a_run(mesh(), {})
    content = checked_graph(run, "par04", showers=8).content
    row = [*NOISE[0].tolist(), ENERGY / 1_024_000, 1.0, 0.0, 1.0]
    placed = par04_cells(content, row, (3, 4, 3), ENERGY)
    expected = by_run(run, NOISE, ENERGY).reshape(3, 4, 3)  # z, alpha, r
    assert len(placed) == (expected > LEAST).sum() > 10
    for (r, phi, z), value in placed.items():
        assert value == pytest.approx(float(expected[z, phi, r]), abs=1e-5 * ENERGY)


def test_par04_places_showers_of_calodit2_within_its_mesh() -> None:
    """The noise is drawn inside: means over showers, layer by layer, are those of the run."""
    run = a_run(load_geometry("ds2"), {})
    content = checked_graph(run, "calodit2", showers=4, settings={"seed": 3}).content
    row = [ENERGY / 1000, 0.3, 1.5, 0, 0, 0, 0, 1]
    placed = par04_cells(content, row, (9, 16, 45), 1000.0)
    assert max(placed) <= (8, 15, 44)
    voxels = run.generate(np.full(200, ENERGY), 1).voxels.sum(axis=1)
    assert voxels.min() < sum(placed.values()) < voxels.max()


@pytest.mark.parametrize(("asked", "shower_at"), [(10.0, LOW), (ENERGY, ENERGY), (1e6, HIGH)])
def test_calodit2_makes_and_loses_no_energy_outside_the_training_range(asked: float, shower_at: float) -> None:
    """The run's decoder ignores its noise, which the graph draws, so that each voxel is known."""
    run = a_run_with_noise(load_geometry("ds2"), {}, 4)
    with torch.no_grad():
        run.model.autoencoder.decoder[0].weight[:, :4] = 0
    checked = checked_graph(run, "calodit2", showers=4)
    placed = par04_cells(checked.content, [asked / 1000, 0.3, 1.5, 0, 0, 0, 0, 1], (9, 16, 45), 1000.0)
    expected = by_run(run, NOISE, shower_at).reshape(45, 16, 9) * (asked / shower_at)
    assert (expected > LEAST).sum() > 100
    found = np.zeros_like(expected)
    for (r, phi, z), value in placed.items():
        found[z, phi, r] = value
    np.testing.assert_allclose(found, expected, atol=max(LEAST, 1e-5 * asked))
    assert found.sum() == pytest.approx(float(expected.sum()), rel=1e-3)
    said = "the shower is that of the nearer end of the range, scaled to the energy asked for"
    assert checked.card["outside_the_range"] == said
    assert checked.card["energy_range_mev"] == [LOW, HIGH]


def two_layers() -> Geometry:
    """r and alpha bins of different numbers in two layers, so that no other order fits."""
    return Geometry("two", (Layer(0, (0, 5, 10, 30), 2), Layer(12, (0, 10, 40), 4)), threshold=0.5)


def test_fastcalosim_fills_layer_by_layer() -> None:
    run = a_run(two_layers(), {})
    content = checked_graph(run, "atlas", showers=8, settings={"limits": "trained"}).content
    # Noise arrives in the order of its names as text, which with fewer than ten numbers is their own.
    noise = {str(k): 0.5 + 0.5 * float(z) for k, z in enumerate(NOISE[0])}
    position = math.log(ENERGY / LOW) / math.log(HIGH / LOW)
    outputs = fastcalosim_voxels(content, {"Noise": noise, "mycond": {"0": position}})
    expected = np.split(by_run(run, NOISE, ENERGY)[0], [6])
    voxel = 0
    for shower, (n_alpha, n_r) in zip(expected, ((2, 3), (4, 2)), strict=True):
        for r in range(n_r):
            for alpha in range(n_alpha):
                wanted = float(shower.reshape(n_alpha, n_r)[alpha, r])
                assert outputs[str(voxel)] * ENERGY == pytest.approx(wanted, abs=1e-5 * ENERGY)
                voxel += 1
    assert voxel == len(outputs)
    assert len({round(value, 4) for value in outputs.values()}) > 5
