"""`atlas-binned` read by the loops of FastCaloSim's TFCSMLCalorimeterSimulator and TFCSBinnedShowerONNX, rewritten.

The simulator passes four maps of `variable_<i>` to numbers, and goes through the voxels with the layers' boundaries.
The shower reads four datasets per layer and draws a hit's position within the bins of its voxel.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from scipy.stats import kstest
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.export.card import card_path
from caloforge.export.derived_noise import derived_noise
from caloforge.export.graph import checked_graph, export_graph
from caloforge.geometry import CartesianLayer, Geometry, Layer, load_geometry
from export.test_conditions_in_graphs import HIGH, LOW, THETA, a_run, a_run_with_noise, by_run
from export.test_consumers import fastcalosim_voxels, two_layers

ENERGY = 4000.0

MANY = 40
"""Numbers of noise of a run that takes more than the 16 that are passed."""


@pytest.fixture(autouse=True)
def _with_onnx() -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")


def variables(values: np.ndarray) -> dict[str, float]:
    return {f"variable_{k}": float(value) for k, value in enumerate(values)}


def predicted(content: bytes, eta: float, energy: float, z_shape: np.ndarray, z_energy: np.ndarray) -> dict[str, float]:
    """Voxel → MeV, as the simulator gets it."""
    inputs = {
        "inn_eta_in": variables(np.array([abs(eta) * 10])),
        "inn_einc_in": variables(np.array([energy])),
        "cfm_z_shape": variables(z_shape),
        "inn_z_energy": variables(z_energy),
    }
    return fastcalosim_voxels(content, inputs)


def as_seen(values: np.ndarray) -> np.ndarray:
    """Noise in the order in which a std::map passes it: variable_0, variable_1, variable_10, …"""
    return values[[int(name.removeprefix("variable_")) for name in sorted(variables(values))]]


def event(
    outputs: dict[str, float], energy: float, starts: list[int], layers: list[int]
) -> dict[int, dict[int, float]]:
    """Layer → voxel in it → fraction of E, as getEvent fills it."""
    found: dict[int, dict[int, float]] = {}
    position = 0
    for voxel in range(starts[-1]):
        if voxel == starts[position + 1]:
            position += 1
        if outputs[str(voxel)] > 0:
            found.setdefault(layers[position], {})[voxel - starts[position]] = outputs[str(voxel)] / energy
    return found


def noises(geometry: Geometry, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=size).astype("f4") for size in (geometry.n_voxels, geometry.n_layers))


@pytest.mark.parametrize("latent_dim", [4, 15, MANY])
def test_fastcalosim_puts_every_hit_where_it_belongs(latent_dim: int, tmp_path: Path) -> None:
    geometry, path = two_layers(), tmp_path / "g.onnx"
    run = a_run_with_noise(geometry, {}, latent_dim)
    graph = export_graph(run, "atlas-binned", path, showers=8)
    z_shape, z_energy = noises(geometry)
    outputs = predicted(path.read_bytes(), 0.2, ENERGY, z_shape, z_energy)
    given = np.concatenate([as_seen(z_shape), as_seen(z_energy)])[None]
    taken = graph.form.latent(torch.from_numpy(given)).numpy()
    np.testing.assert_array_equal(taken[:, :16], given[:, :latent_dim])
    expected = by_run(run, taken, ENERGY)[0]
    card = json.loads(card_path(path).read_text())
    starts, layers = card["layer_boundaries"], card["layers"]
    assert (starts, layers) == ([0, 6, 14], [0, 12])
    hits = 0
    with h5py.File(tmp_path / "g.binning.h5") as file:
        for number, voxels in event(outputs, ENERGY, starts, layers).items():
            k = layers.index(number)
            layer = geometry.layers[k]
            assert isinstance(layer, Layer)
            shower = expected[starts[k] : starts[k + 1]].reshape(layer.shape)
            bins = {
                name: file[f"{name}_layer_{number}"][:].astype(float)
                for name in ("binstart_radius", "binsize_radius", "binstart_alpha", "binsize_alpha")
            }
            assert {values.shape for values in bins.values()} == {(layer.n_voxels,)}
            for voxel, fraction in voxels.items():
                r = bins["binstart_radius"][voxel] + 0.7 * bins["binsize_radius"][voxel]
                alpha = bins["binstart_alpha"][voxel] + 0.7 * bins["binsize_alpha"][voxel]
                row = int((alpha + math.pi) / (2 * math.pi) * layer.n_alpha)
                column = int(np.searchsorted(layer.r_edges, r)) - 1
                assert fraction == pytest.approx(float(shower[row, column]) / ENERGY, abs=1e-5)
                hits += 1
            rings = (bins["binstart_radius"] + bins["binsize_radius"]) ** 2 - bins["binstart_radius"] ** 2
            assert (rings * bins["binsize_alpha"] / 2).sum() == pytest.approx(math.pi * layer.r_edges[-1] ** 2)
    assert hits == (expected > 0).sum() >= 5


def test_showers_differ_with_each_number_that_is_passed() -> None:
    """Of a run that takes more numbers; one that takes fewer ignores the others."""
    geometry = two_layers()
    for latent_dim, sensitive in ((MANY, True), (4, False)):
        content = checked_graph(a_run_with_noise(geometry, {}, latent_dim), "atlas-binned", showers=4).content
        z_shape, z_energy = noises(geometry)
        first = predicted(content, 0.2, ENERGY, z_shape, z_energy)
        z_energy[1] += np.float32(2e-6)
        assert (predicted(content, 0.2, ENERGY, z_shape, z_energy) != first) == sensitive


def test_derived_numbers_are_normal_and_independent() -> None:
    """Correlations within 6 standard errors of 0; the numbers are fixed, so that this never fails by chance."""
    n, given = 4000, torch.randn(4000, 16, generator=torch.Generator().manual_seed(1))
    derived = derived_noise(given, 41)
    assert derived.shape == (n, 41)
    assert kstest(derived.numpy().ravel(), "norm").pvalue > 1e-3
    assert kstest((derived**2).numpy().ravel(), "chi2", args=(1,)).pvalue > 1e-3
    near = given.clone()
    near[:, 5] += 2e-6  # two or more of its digits
    columns = torch.cat([given, derived, derived_noise(near, 41)], dim=1).double().numpy()
    for values in (columns, (columns**2 - 1) / 2**0.5, np.abs(columns) - (2 / math.pi) ** 0.5):
        correlations = np.corrcoef(values.T) - np.eye(98)
        assert np.abs(correlations).max() < 6 / n**0.5
    assert np.abs(np.mean(columns, axis=0)).max() < 6 / n**0.5
    again = derived_noise(given[:9].double(), 41)
    np.testing.assert_array_equal(again.float(), derived[:9])


def test_sums_do_not_overflow() -> None:
    """The largest numbers of the largest mesh: the integers of Python give the same."""
    from caloforge.export.derived_noise import PRIME, _integers

    given = torch.full((1, 7000), -300.0)
    first, second, shift = (part.tolist() for part in _integers(7000, 4))
    state = [sum(-(2**24) * row[i] for row in first) % PRIME for i in range(16)]
    whole = [pow(sum(s * row[j] for s, row in zip(state, second, strict=True)) + shift[j], 5, PRIME) for j in range(4)]
    uniform = [(each + 0.5) / PRIME for each in whole]
    radius, angle = (-2 * math.log(uniform[0])) ** 0.5, 2 * math.pi * uniform[2]
    assert float(derived_noise(given, 3)[0, 0]) == pytest.approx(radius * math.cos(angle), abs=1e-5)


@pytest.mark.parametrize(("asked", "shower_at"), [(LOW / 10, LOW), (ENERGY, ENERGY), (4 * HIGH, HIGH)])
def test_energies_outside_the_training_range_are_scaled(asked: float, shower_at: float) -> None:
    run = a_run(two_layers(), {})
    content = checked_graph(run, "atlas-binned", showers=4).content
    z_shape, z_energy = noises(run.geometry)
    total = sum(predicted(content, 0.2, asked, z_shape, z_energy).values())
    expected = by_run(run, as_seen(z_shape)[None, :4], shower_at).sum()
    assert total / asked == pytest.approx(float(expected) / shower_at, rel=1e-4)


def test_eta_is_the_angle_in_a_barrel_for_a_run_that_knows_it() -> None:
    run = a_run(two_layers(), THETA)
    graph = checked_graph(run, "atlas-binned", showers=8)
    assert graph.form.ignored() == ""
    z_shape, z_energy = noises(run.geometry)
    seen = []
    for eta in (0.0, -0.4, 0.9, 3.0):
        theta = min(math.atan(math.sinh(abs(eta))), THETA["theta"][1])
        outputs = predicted(graph.content, eta, ENERGY, z_shape, z_energy)
        expected = by_run(run, as_seen(z_shape)[None, :4], ENERGY, theta=theta)[0]
        assert [outputs[str(k)] for k in range(14)] == pytest.approx(expected.tolist(), abs=1e-5 * ENERGY)
        seen.append(sum(outputs.values()))
    assert len(np.unique(seen)) == 4


def test_what_does_not_suit_is_one_line() -> None:
    flat = Geometry("flat", (CartesianLayer(3, (-5, 0, 5), (-5, 0, 5)),), threshold=0.1)
    with pytest.raises(CaloforgeError, match="layer 3 is Cartesian: export onnx") as caught:
        checked_graph(a_run(flat, {}), "atlas-binned")
    assert "\n" not in str(caught.value)
    with pytest.raises(CaloforgeError, match="polar, which the consumer of atlas-binned does not pass: fix it"):
        checked_graph(a_run(two_layers(), {"polar": [0.9, 2.2]}), "atlas-binned")


def settings_of(snippet: str) -> dict[str, Any]:
    """What the function in C++ sets."""
    shapes = re.search(r"setInputShapes\(\{(.*?)\}, \{(.*?)\}\)", snippet)
    layers = re.search(r"layers = \{(.*?)\};", snippet)
    assert shapes is not None
    assert layers is not None
    numbers = [[int(each) for each in text.split(",")] for text in (*shapes.groups(), layers[1])]
    files = re.findall(r'load_(?:simulator|meta_data)\("(.*?)"', snippet)
    return {"boundaries": numbers[0], "layers": numbers[1], "read": numbers[2], "files": files}


def test_the_command_writes_what_fastcalosim_needs(tmp_path: Path) -> None:
    run = a_run(load_geometry("ds1-photons"), {})
    run.save(tmp_path / "run")
    words = ["export", str(tmp_path / "run"), "--format", "atlas-binned", "-o", str(tmp_path / "g.onnx")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "note: the graph ignores eta; incidence in training: unknown" in done.output
    card = json.loads(card_path(tmp_path / "g.onnx").read_text())
    assert card["other_files"] == ["g.binning.h5", "g.C"]
    assert {name: entry["shape"] for name, entry in card["inputs"].items()} == {
        "inn_eta_in": [1, 1],
        "inn_einc_in": [1, 1],
        "cfm_z_shape": [1, 368],
        "inn_z_energy": [1, 5],
    }
    assert card["output"]["voxels"] == {"shape": [1, 368], "unit": "MeV", "mev_per_unit": 1.0, "times_energy": False}
    assert card["noise"] == "the first 4 of 373 numbers given"
    snippet = (tmp_path / "g.C").read_text()
    assert settings_of(snippet) == {
        "boundaries": [0, 8, 168, 358, 363, 368],
        "layers": [0, 1, 2, 3, 12],
        "read": [0, 1, 2, 3, 12],
        "files": ["g.onnx", "g.binning.h5"],
    }
    (tmp_path / "g.onnx").unlink()
    card_path(tmp_path / "g.onnx").unlink()
    refused = CliRunner().invoke(app, words)
    assert "g.binning.h5 exists: give another output or --overwrite" in str(refused.exception)
