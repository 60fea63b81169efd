"""Evaluation by further conditions: bins, cells, the worst of them, and samples whose conditions do not agree."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from caloforge.classifiers import run_test
from caloforge.conditions import KNOWN, Columns, Condition
from caloforge.conditions.kinds import TURNING_FRAME
from caloforge.errors import CaloforgeError
from caloforge.evaluation.evaluate import evaluate
from caloforge.evaluation.report.tables import section_tables
from caloforge.evaluation.samples.regions import Region, regions
from caloforge.geometry import Geometry
from caloforge.showers import Showers


def sample(geometry: Geometry, n: int = 1200, seed: int = 1, fault: float = 0.0, **attributes: Any) -> Showers:
    """Showers at angles; with a `fault`, those above 40 degrees and 400 MeV have that much more energy."""
    rng = np.random.default_rng(seed)
    energies, theta = np.exp(rng.uniform(math.log(100), math.log(1600), n)), np.radians(rng.uniform(0, 60, n))
    response = (1 - 0.5 * theta) * rng.normal(1, 0.05, n)
    response *= 1 + fault * ((theta > math.radians(40)) & (energies > 400))
    voxels = rng.dirichlet(np.full(geometry.n_voxels, 5.0), n) * (energies * response)[:, None]
    conditions = {"theta": theta, "phi": rng.uniform(-math.pi, math.pi, n)}
    return Showers(energies, voxels, geometry, attributes, conditions)


def without(showers: Showers, *names: str) -> Showers:
    kept = showers.conditions.only([name for name in showers.conditions if name not in names])
    return Showers.unchecked(showers.energies, showers.voxels, showers.geometry, showers.attributes, kept)


# ---- regions ---------------------------------------------------------------------------------------------------------


def test_bins_of_an_angle_are_round(small_geometry: Geometry) -> None:
    showers = sample(small_geometry)
    found = regions(showers.energies, showers.conditions, ["theta"])
    bins = [region for region in found if region.by == "theta"]
    assert [region.label for region in bins] == ["theta 0 … 20 deg", "theta 20 … 40 deg", "theta 40 … 60 deg"]
    cells = [region for region in found if region.by == "energy × theta"]
    assert len(cells) == 4 * 3
    for kind in (bins, cells):
        inside = np.stack([region.inside(showers.energies, showers.conditions) for region in kind])
        assert inside.sum(axis=0).max() == 1
        assert inside.sum() >= len(showers) - 1  # energies are rounded to six digits
    assert bins[1].extra["theta_low"] == pytest.approx(math.radians(20))


def test_discrete_conditions_and_energies_have_a_bin_each() -> None:
    energies = np.resize([100.0, 200.0], 90)
    columns = Columns(
        [KNOWN["pdg"], Condition("depth", "mm")], np.stack([np.resize([11, -11, 22], 90), np.ones(90)], 1)
    )
    found = regions(energies, columns, ["pdg"])
    assert [region.label for region in found[:3]] == ["pdg -11", "pdg 11", "pdg 22"]
    assert found[3].label == "100 MeV, pdg -11"
    assert len(found) == 3 + 6
    with pytest.raises(CaloforgeError, match=r"depth is the same for all showers \(1 mm\)"):
        regions(energies, columns, ["depth"])


def test_periodic_conditions_are_turned() -> None:
    inside = Region("", "phi", {"phi": (-0.5, 0.5)}).inside(np.ones(3), Columns.of({"phi": [0.1, 6.2, 3.0]}, 3))
    assert inside.tolist() == [True, True, False]


# ---- evaluation ------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_theta(small_geometry: Geometry) -> Any:
    generated = sample(small_geometry, seed=2, fault=0.4, frame=f"{TURNING_FRAME} from the entry point")
    reference = sample(small_geometry, frame=f"{TURNING_FRAME} from the entry point")
    return evaluate(without(generated, "phi"), reference, by=["theta"], classifiers=["trees"], quick=True)


def test_numbers_are_repeated_in_bins_and_cells(by_theta: Any) -> None:
    good = by_theta["mean_separation_power", "table1", "theta 0 … 20 deg"]
    bad = by_theta["mean_separation_power", "table1", "theta 40 … 60 deg"]
    assert good.extra["n_generated"] > 300
    assert bad.pull > 3.5 > 2.5 > good.pull
    assert by_theta["separation_power", "e_tot_over_e_inc", "theta 40 … 60 deg"].extra["by"] == "theta"
    cells = [m for m in by_theta.section("mean_separation_power") if m.extra.get("by") == "energy × theta"]
    assert len(cells) == 12
    worst = max(cells, key=lambda m: m.estimate.value)
    assert "theta 40 … 60 deg" in worst.at
    assert by_theta["auc", "trees", "theta 40 … 60 deg"].estimate.value > 0.7
    assert by_theta["auc", "trees", "theta 0 … 20 deg"].estimate.value < 0.65


def test_the_verdict_names_the_worst_cell(by_theta: Any) -> None:
    (point,) = [point for point in by_theta.verdict.points if point.topic == "cells"]
    assert point.level == "bad"
    assert "theta 40 … 60 deg: " in point.text
    assert "mean separation power" in point.text or "AUC" in point.text


def test_tables_by_condition_stand_apart(by_theta: Any) -> None:
    records = by_theta
    names = [table.name for table in section_tables(records, records.sections["mean_separation_power"])]
    assert names == [
        "mean_separation_power",
        "mean_separation_power_by_theta",
        "mean_separation_power_by_energy_theta",
    ]
    table = section_tables(records, records.sections["auc"])[-1]
    assert table.title == "AUC of classifiers, by energy × theta"


def test_trees_see_the_conditions(small_geometry: Geometry) -> None:
    """A response that rises with the angle instead of falling, with the same distribution: only the angle tells."""
    reference = sample(small_geometry, 3000)
    mirrored = math.radians(60) - reference.conditions["theta"]
    generated = Showers(
        reference.energies, reference.voxels, reference.geometry, {}, {**reference.conditions, "theta": mirrored}
    )
    found = run_test("trees", generated, reference)
    assert found.auc > 0.9
    assert found.importances[1].feature == "theta"
    assert run_test("trees", without(generated, "theta", "phi"), reference).auc < 0.6


# ---- samples that do not agree ---------------------------------------------------------------------------------------


def test_conditions_that_differ_are_one_line(small_geometry: Geometry) -> None:
    reference = sample(small_geometry)
    steep = Showers(
        reference.energies, reference.voxels, small_geometry, {}, {**reference.conditions, "theta": 0.9 * np.ones(1200)}
    )
    cases = [
        (steep, {}, r"theta of the generated sample \(51.57 deg\) and the reference sample .* differ .*0\.\d+"),
        (without(reference, "theta"), {}, r"the reference sample has the condition theta .* the generated .* does not"),
        (reference, {"by": ["warmth"]}, r"no condition warmth to compare by; they have phi, theta|theta, phi"),
        (reference, {"by": "theta"}, r"by takes a list of names, as in \['theta'\]"),
    ]
    for generated, options, message in cases:
        with pytest.raises(CaloforgeError, match=message) as caught:
            evaluate(generated, reference, quick=True, **options)
        assert "\n" not in str(caught.value)
    evaluate(without(reference, "theta"), sample(small_geometry, seed=3), quick=True, ignore_conditions=["theta"])


def test_the_azimuth_need_not_agree_where_the_mesh_turns(small_geometry: Geometry) -> None:
    turning = sample(small_geometry, frame=f"{TURNING_FRAME} from the entry point")
    report = evaluate(without(sample(small_geometry, seed=2), "phi"), turning, quick=True)
    assert report["mean_separation_power", "table1"].estimate is not None
    with pytest.raises(CaloforgeError, match="condition phi"):
        evaluate(without(sample(small_geometry, seed=2), "phi"), sample(small_geometry), quick=True)


def test_a_constant_condition_may_be_absent(small_showers: Showers) -> None:
    shower = Showers(small_showers.energies, small_showers.voxels, small_showers.geometry, {}, {"theta": 0.0})
    assert evaluate(small_showers[:300], shower[300:], quick=True).metrics


def test_units_have_to_agree(small_showers: Showers) -> None:
    def warm(unit: str) -> Showers:
        columns = Columns([Condition("warmth", unit)], np.linspace(0, 1, 600)[:, None])
        parts = small_showers.energies, small_showers.voxels, small_showers.geometry
        return Showers.unchecked(*parts, {}, columns)

    with pytest.raises(CaloforgeError, match="warmth is in K in the generated sample, in C in the reference sample"):
        evaluate(warm("K"), warm("C"), quick=True)
