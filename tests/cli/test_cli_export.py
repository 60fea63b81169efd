"""`caloforge export`: what is written, what is printed, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.models.caloman import CaloMan
from caloforge.simulator import Simulator
from caloforge.transforms import build_transforms

MESH = Geometry("mesh", tuple(Layer(k, (0.0, 2.0, 4.0), 4) for k in range(3)), threshold=0.1)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction", "maximum": 1.0}]
    model = CaloMan(MESH.n_voxels, 1, latent_dim=2, hidden=[8], flow_layers=1, flow_width=8)
    facts = {"recipe": "tiny", "energy_range_mev": [100.0, 400.0]}
    Simulator(MESH, build_transforms(chain, MESH), model, facts).save(tmp_path / "run")
    return tmp_path / "run"


def invoke(*words: object) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["export", *map(str, words)])


def fails(*words: object) -> str:
    result = invoke(*words)
    assert isinstance(result.exception, CaloforgeError), result.output
    return str(result.exception)


def test_a_graph_and_its_card(run: Path, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="export needs the extra onnx")
    out = tmp_path / "new" / "p.onnx"
    result = invoke(run, "--format", "par04", "-o", out, "--exporter", "legacy")
    assert result.exit_code == 0, result.output
    assert "parity with PyTorch before the threshold: largest |difference|" in result.output
    assert json.loads((tmp_path / "new" / "p.onnx.json").read_text())["format"] == "par04"
    assert f"{out} exists: give another output or --overwrite" in fails(run, "--format", "par04", "-o", out)
    small = fails(run, "--precision", "int8", "-o", tmp_path / "small.onnx")
    assert "no matrix multiplication with" in small


def test_showers_for_playback(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    result = invoke(
        run, "-f", "ddml-hdf5", "--energies", "list:100,300", "-n", 7, "--set", "grid=own", "--cell-size", 1, "-o", out
    )
    assert result.exit_code == 0, result.output
    with h5py.File(out) as file:
        assert file["layers"].shape == (7, 8, 8, 3)
        assert file["incident_energies"][:3, 0].tolist() == [100, 300, 100]
    assert "warning" not in result.output
    result = invoke(run, "-f", "ddml-hdf5", "--energies", "list:100,800", "-n", 2, "-o", tmp_path / "e.h5")
    said = " ".join(result.output.split())
    assert "50.0 % of the incident energies lie outside the training range 100 MeV … 400 MeV; they are clipped" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-f", "ddml-hdf5", "--energies", "list:200", "--precision", "int8"], "--precision int8 applies to graphs"),
        (["-n", "5"], "-n is for --format ddml-hdf5, not onnx"),
        (["--cell-size", "5"], "--cell-size is for --format ddml-hdf5, not onnx"),
        (["-f", "ddml-hdf5"], "--energies list:1GeV"),
        (["-f", "ddml-hdf5", "--energies", "list:200", "--opset", "16"], "--opset applies to graphs"),
        (["-f", "ddml-hdf5", "--energies", "list:200", "--set", "unit=GeV"], "grid=bibae, grid=own and layers=NUMBER"),
        (["--set", "limits=low"], "--set limits: not a setting of the format onnx"),
        (["--set", "limits"], "--set takes"),
        (["-f", "atlas"], "accept it (--set uncovered=true)"),
        (["--scale", "-1"], "--scale -1: give a number above 0"),
        (["-f", "ddml-hdf5", "--energies", "uniform:1:2"], "needs the number of showers: add -n N"),
    ],
)
def test_mistakes(words: list[str], message: str, run: Path, tmp_path: Path) -> None:
    assert message in fails(run, "-o", tmp_path / "out", *words)
    assert not list(tmp_path.glob("out*"))
