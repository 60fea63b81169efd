"""A program that knows nothing but the card fills the inputs of each format as the format itself does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from caloforge.conditions import Columns
from caloforge.export import GRAPHS
from caloforge.export.barrel import NORMAL
from caloforge.export.formats import GraphFormat, Target, example_conditions
from caloforge.geometry import Geometry, load_geometry
from caloforge.transforms import TrainedConditions

LOW, HIGH = 500.0, 8000.0


def form_of(name: str, columns: dict[str, Any], geometry: str = "ds2") -> GraphFormat:
    """A format for a run on ds2 that was trained at conditions."""
    known = TrainedConditions.of(Columns.of(columns, 2))
    settings = {"limits": "trained"} if name == "atlas" else {}
    return GRAPHS.resolve(name)(Target(load_geometry(geometry), 3, LOW, HIGH, conditions=known), **settings)


def filled(columns: list[dict[str, Any]], noise: list[float], energy: float, given: dict[str, float]) -> list[float]:
    """The row of an input, by its entry on the card; removes the noise that it takes."""
    row: list[float] = []
    for part in columns:
        match part["kind"]:
            case "noise":
                row += [part["mean"] + part["deviation"] * noise.pop(0) for _ in range(part["size"])]
            case "energy":
                row.append(part["offset"] + part["factor"] * (math.log(energy) if part["logarithm"] else energy))
            case "condition":
                assert any(low <= given[part["name"]] <= high for low, high in part["accepted"])
                row.append(part["factor"] * given[part["name"]])
            case "constant":
                row += part["values"]
    return row


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("onnx", {}),
        ("onnx", {"theta": [0.1, 1.0], "phi": [-3.1, 3.1], "pdg": [11, 22], "depth": [5.0, 5.0]}),
        ("atlas", {}),
        ("atlas-binned", {}),
        ("atlas-binned", {"theta": [0.1, 1.0]}),
        ("par04", {}),
        ("par04", {"theta": [0.3, 1.0]}),
        ("calodit2", {"theta": [0.3, 1.0]}),
        ("calodit2", {"polar": [0.9, 2.2], "phi": [-3.1, 3.1]}),
    ],
)
def test_inputs_follow_from_the_card(name: str, columns: dict[str, Any]) -> None:
    form = form_of(name, columns)
    noise = torch.randn(5, form.noise_size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    energies = torch.logspace(np.log10(LOW), np.log10(HIGH), 5, dtype=torch.float64)[:, None]
    known = {key: value.double() for key, value in example_conditions(form.target, 5).items()}
    passed = form.passed(known)
    inputs = dict(zip(form.layout, form.inputs(noise, energies, known), strict=True))
    card = form.describe()
    assert list(card["inputs"]) == [key for key in form.layout if (name, key) != ("calodit2", "noise")]
    left = noise.tolist()
    for key, entry in card["inputs"].items():
        assert entry["shape"][1] == inputs[key].shape[1]
        for k in range(5):
            given = {each: float(value[k]) for each, value in passed.items()}
            row = filled(entry["columns"], left[k], float(energies[k]), given)
            assert row == pytest.approx(inputs[key][k].tolist())
    assert name == "calodit2" or not any(left)


@pytest.mark.parametrize("name", list(GRAPHS))
def test_mev_follow_from_the_card(name: str) -> None:
    form = form_of(name, {})
    voxels, energies = torch.rand(2, 6480, dtype=torch.float64), torch.tensor([[600.0], [7000.0]])
    (output,) = form.describe()["output"].values()
    found = form.write(voxels, energies, energies) * output["mev_per_unit"]
    found = found * energies if output["times_energy"] else found
    assert found.sum(dim=1).tolist() == pytest.approx(voxels.sum(dim=1).tolist(), rel=1e-6)


def test_angles_of_a_barrel_are_accepted_on_both_sides_of_the_normal() -> None:
    ((before, after),) = (part["accepted"] for part in _parts("par04") if part["kind"] == "condition")
    assert before == pytest.approx([NORMAL - 1.0, NORMAL - 0.3], abs=0.02)
    assert after == pytest.approx([NORMAL + 0.3, NORMAL + 1.0], abs=0.02)


def _parts(name: str) -> list[dict[str, Any]]:
    (entry,) = form_of(name, {"theta": [0.3, 1.0]}).describe()["inputs"].values()
    return list(entry["columns"])


def test_accepted_energies_include_rounding(small_geometry: Geometry) -> None:
    form = GRAPHS.resolve("onnx")(Target(small_geometry, 3, 1000.1, 15996.9))
    ((low, high),) = form.describe()["inputs"]["incident_energy"]["columns"][0]["accepted"]
    assert low <= 1000
    assert high >= 16000
