"""The claims of docs/security.md: what files of strangers can and cannot do."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import h5py
import pytest
import torch

from caloforge.errors import CaloforgeError
from caloforge.evaluation.report import page
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.report.tables import Cell, Column, Table
from caloforge.geometry import Geometry
from caloforge.models.caloman import CaloMan
from caloforge.showers import ShowerFile, Showers
from caloforge.simulator import Simulator
from caloforge.sources.public import http, record
from caloforge.training.checkpoint import read_checkpoint
from caloforge.training.recipe import load_recipe
from caloforge.transforms import build_transforms
from record_server import TRAIN, publishing


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "trapped")


@pytest.fixture
def run(tmp_path: Path, small_geometry: Geometry, small_showers: Showers) -> Path:
    torch.manual_seed(0)
    chain = [{"kind": "incident_energy_fraction"}, {"kind": "linear_condition"}]
    x, c = torch.from_numpy(small_showers.voxels), torch.from_numpy(small_showers.energies).float()[:, None]
    transforms = build_transforms(chain, small_geometry).fit(x, c)
    model = CaloMan(13, 1, latent_dim=3, hidden=[8], flow_layers=2)
    Simulator(small_geometry, transforms, model, {}).save(tmp_path / "run")
    return tmp_path / "run"


def edit(run: Path, **changes: Any) -> None:
    path = run / "simulator.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# ---- runs -----------------------------------------------------------------------------------------------------------


def test_a_pickle_in_place_of_weights_is_not_unpickled(run: Path, tmp_path: Path) -> None:
    import hashlib

    packed = pickle.dumps(Trap(tmp_path / "trap"))
    (run / "weights.safetensors").write_bytes(packed)
    edit(run, weights_sha256=hashlib.sha256(packed).hexdigest())
    with pytest.raises(CaloforgeError, match="damaged"):
        Simulator.load(run)
    assert not (tmp_path / "trap").exists()


def test_a_pickle_in_place_of_a_checkpoint_is_not_unpickled(tmp_path: Path) -> None:
    torch.save({"format": 2, "model": Trap(tmp_path / "trap")}, tmp_path / "checkpoint.pt")
    with pytest.raises(CaloforgeError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))
    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(CaloforgeError, match="cannot be read as a checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))
    assert not (tmp_path / "trap").exists()


def test_a_run_imports_nothing_that_the_user_did_not_name(run: Path) -> None:
    edit(run, model={"kind": "this.Zen"})
    (run / "this.py").write_text("raise SystemExit")
    (run / "identity.json").write_text(json.dumps({"recipe_folder": str(run)}))
    with pytest.raises(CaloforgeError, match="trusted="):
        Simulator.load(run)
    assert "this" not in sys.modules


@pytest.mark.parametrize("size", [10**6, 10**15])
def test_a_model_of_absurd_size_is_refused(size: int, run: Path) -> None:
    model = json.loads((run / "simulator.json").read_text())["model"]
    edit(run, model={**model, "hidden": [size]})
    with pytest.raises(CaloforgeError, match=r"more than its weights|damaged"):
        Simulator.load(run)


def test_weights_of_another_shape_are_refused(run: Path) -> None:
    model = json.loads((run / "simulator.json").read_text())["model"]
    edit(run, model={**model, "hidden": [16]})
    with pytest.raises(CaloforgeError, match="do not fit"):
        Simulator.load(run)


# ---- recipes and reports --------------------------------------------------------------------------------------------


def test_yaml_constructs_plain_data_only(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'trap'}]")
    with pytest.raises(CaloforgeError, match="cannot be parsed"):
        load_recipe(path)
    assert not (tmp_path / "trap").exists()


def test_text_of_a_report_is_not_markup_on_its_page() -> None:
    hostile = "<script>alert(1)</script>"
    table = Table("t", hostile, hostile, (Column(hostile), Column("b")), [(Cell(hostile), Cell(hostile))])
    macros = page.environment().get_template("macros.html.j2")
    shown = str(macros.module.table(table, "h2"))  # type: ignore[attr-defined]
    assert hostile not in shown
    assert "&lt;script&gt;" in shown


def test_a_report_is_data(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(CaloforgeError):
        Report.load(tmp_path)
    assert not (tmp_path / "trap").exists()


# ---- shower files ---------------------------------------------------------------------------------------------------


def test_a_shower_file_does_not_choose_another_file_to_read(tmp_path: Path, small_showers: Showers) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2")
    small_showers.write(tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs["geometry"] = str(secret)
    with pytest.raises(CaloforgeError, match="unknown geometry") as caught:
        ShowerFile(tmp_path / "s.h5")
    assert "hunter2" not in str(caught.value)


def test_an_enormous_claim_costs_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("incident_energies", (10**12, 1), "f8", chunks=(1000, 1), fillvalue=1.0)
        file.create_dataset("showers", (10**12, 368), "f4", chunks=(1000, 368))
    with pytest.raises(CaloforgeError, match="1000000000000"):
        ShowerFile(tmp_path / "s.h5").energies()


# ---- downloads ------------------------------------------------------------------------------------------------------


def test_a_redirect_to_a_local_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    with publishing() as publisher:
        publisher.answers = [(302, {"Location": secret.as_uri()})]
        with pytest.raises(CaloforgeError):
            record.get("ds1-photons", tmp_path / "data", TRAIN, publisher.url)
    assert not list((tmp_path / "data").glob("*")) if (tmp_path / "data").exists() else True


def test_a_record_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_RECORD", 1000)
    with publishing() as publisher:
        publisher.record = {"files": ["x" * 5000]}
        with pytest.raises(CaloforgeError, match="does not end"):
            record.get("ds1-photons", tmp_path / "data", TRAIN, f"{publisher.url}/api/records")


@pytest.mark.parametrize(("key", "value"), [("size", "1e999"), ("size", float("inf")), ("key", None), ("links", [])])
def test_a_malformed_record_is_one_line(key: str, value: Any, tmp_path: Path) -> None:
    entry = {"key": TRAIN, "size": 5, "checksum": "md5:00", "links": {"self": "x"}} | {key: value}
    with publishing() as publisher:
        publisher.record = {"files": [entry]}
        with pytest.raises(CaloforgeError) as caught:
            record.get("ds1-photons", tmp_path / "data", TRAIN, f"{publisher.url}/api/records")
    assert "\n" not in str(caught.value)


def test_a_name_that_climbs_out_is_refused(tmp_path: Path) -> None:
    with publishing() as publisher:
        publisher.record = {
            "files": [{"key": "../out.xml", "size": 1, "checksum": "md5:00", "links": {"self": f"{publisher.url}/x"}}]
        }
        with pytest.raises(CaloforgeError):
            record.get("ds1-photons", tmp_path / "inner", "../out.xml", f"{publisher.url}/api/records")
    assert not (tmp_path / "out.xml").exists()
