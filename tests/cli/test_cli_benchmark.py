"""`caloforge benchmark` on an untrained CaloMan of the ds1-photons geometry, alone and against Geant4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.models.caloman import CaloMan
from caloforge.showers import Showers
from caloforge.simulator import Simulator
from caloforge.sources.sample import sample_path
from caloforge.transforms import build_transforms

FROM_GEANT4 = {
    "recipe": "tiny",
    "energy_range_mev": [256.0, 16384.0],
    "training_source": "Geant4 11.4.1",
    "particle": "gamma",
    "detector": "atlas-like",
}


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caloforge.timing.generator.TURN_SECONDS", 0.02)


def save_run(folder: Path, provenance: dict) -> Path:
    torch.manual_seed(0)
    showers = Showers.read(sample_path("test"), stop=70)
    chain = [{"kind": "readout_threshold"}, {"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    x, c = torch.from_numpy(showers.voxels), torch.from_numpy(showers.energies).float()[:, None]
    transforms = build_transforms(chain, showers.geometry).fit(x, c)
    model = CaloMan(368, 1, latent_dim=2, hidden=[8])
    Simulator(showers.geometry, transforms, model, provenance).save(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_run(tmp_path_factory.mktemp("benchmark") / "run", FROM_GEANT4)


def invoke(*words: object, command: str = "benchmark") -> Any:
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [command, *map(str, words)])


def fails(*words: object, command: str = "benchmark") -> str:
    result = invoke(*words, command=command)
    assert isinstance(result.exception, CaloforgeError), result.output
    return str(result.exception)


def test_the_generator_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "b.json"
    result = invoke(run, "--batches", "10,1", "-o", out)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert found["energies_mev"] == [256 * 2**k for k in range(7)]
    assert [(g["batch"], g["threads"], g["clock"]) for g in found["generator"]] == [(1, 1, "cpu"), (10, 1, "cpu")]
    one, ten = (g["ms"]["torch"]["median"] for g in found["generator"])
    assert one > 2 * ten > 0  # a small network's call costs the same for ten showers as for one, or nearly
    for row in found["generator"]:
        assert set(row["ms"]) == {"torch", "model", "lower_bound"}
        assert 0 < row["ms"]["lower_bound"]["median"] < row["ms"]["torch"]["median"]
        assert 0 <= row["postprocessing"] < 1
    assert found["peak_memory_mb"]["after_a_batch"] >= found["peak_memory_mb"]["loaded"] > 50
    assert found["simulator"]["n_parameters"] == Simulator.load(run).n_parameters
    assert len(found["simulator"]["weights_sha256"]) == 64
    assert found["machine"]["torch"] == torch.__version__
    assert "per_energy" not in found
    assert f"{found['simulator']['n_parameters']:,} parameters" in result.output


def test_against_geant4_with_what_the_run_knows(run: Path, geant4_tables: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.json"
    words = ["--geant4-data", geant4_tables, "-e", "list:100,50", "-n", "2", "--batches", "1,50"]
    result = invoke(run, *words, "-o", out, "--seed", "4", command="benchmark-geant4")
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    facts = found["geant4"]
    assert (facts["detector"], facts["particle"], facts["physics_list"]) == (
        "atlas-like",
        "gamma",
        "G4EmStandardPhysics",
    )
    assert [row["energy"] for row in found["per_energy"]] == [50, 100]
    for row in found["per_energy"]:
        for timing in row["generator"]:
            ratio = row["geant4"]["cpu"] / timing["cpu"]["median"]
            assert row["speed_up"][str(timing["batch"])] == pytest.approx(ratio)
        assert row["geant4"]["showers"] == 2
        assert 0 < row["geant4"]["cpu"] < 1000
    lines = result.output.splitlines()
    head = next(line.split() for line in lines if "E_inc" in line)
    assert head.count("ratio") == 2
    assert any(line.split()[:2] == ["100", "MeV"] for line in lines)
    assert "gamma in atlas-like, 2 showers per energy" in result.output


def test_the_plot(run: Path, tmp_path: Path) -> None:
    result = invoke(run, "--batches", "1,5", "--threads", "1", "--plot", tmp_path / "t.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert "t.png exists: give another output or --overwrite" in fails(run, "--plot", tmp_path / "t.png")


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["--batches", "1,x"], ["--batches", "'1,x'", "1,1000"]),
        (["--batches", "0"], ["--batches", "'0'"]),
        (["--plot", "times.xyz"], ["times.xyz", ".png, .pdf, .svg"]),
        (["--energies", "uniform:1GeV:2GeV"], ["'uniform:1GeV:2GeV'", "list:"]),
        (["--threads", "0"], ["--threads", "'0'"]),
        (["--engines", "jax"], ["'jax'", "compile, onnx, onnx-int8"]),
        (["--reference-path", "x"], ["--reference-path x", "--reference nflows"]),
    ],
)
def test_mistakes(run: Path, words: list[str], facts: list[str]) -> None:
    message = fails(run, *words)
    assert all(fact in message for fact in facts), message


def test_choices_are_listed(run: Path) -> None:
    result = invoke(run, "--reference", "zuko")
    assert result.exit_code == 2
    assert "nflows" in result.output


def test_a_run_that_does_not_record_what_it_learnt(geant4_tables: Path, tmp_path: Path) -> None:
    silent = save_run(tmp_path / "silent", {})
    assert "add --energies list:" in fails(silent)
    start = [silent, "-e", "list:50", "--geant4-data", geant4_tables]
    assert "add --particle" in fails(*start, command="benchmark-geant4")
    assert "add --detector atlas-like" in fails(*start, "-p", "gamma", command="benchmark-geant4")
    message = fails(*start, "-p", "gamma", "-d", "w-si", command="benchmark-geant4")
    assert all(fact in message for fact in ("'w-si'", "ds2", "ds1-photons"))
