"""Worth in Geant4 showers, from shower files to the sentence of the verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from caloforge import evaluate
from caloforge.evaluation.report.report import Report
from caloforge.geometry import Geometry
from caloforge.plots import draw
from caloforge.showers import Showers


def showers(geometry: Geometry, n: int, seed: int, layer_1: float = 1.0) -> Showers:
    """Made-up showers of two energies; the energy of layer 1 is `layer_1` times what it should be at 400 MeV."""
    rng = np.random.default_rng(seed)
    energies = np.resize([100.0, 400.0], n)
    shares = rng.dirichlet(np.full(geometry.n_voxels, 2.0), n)
    voxels = shares * energies[:, None] * rng.normal(0.9, 0.05, (n, 1))
    voxels[energies == 400, 3:11] *= layer_1
    return Showers(energies, voxels.astype(np.float32), geometry)


def worth(report: Report, at: str = "") -> dict[str, float | str | None]:
    metric = report["worth", "kolmogorov_smirnov", at]
    assert metric.estimate is not None
    return {"value": metric.estimate.value, **metric.extra}


def sentence(report: Report) -> str:
    [text] = [point.text for point in report.verdict.points if point.topic == "worth"]
    return text


@pytest.fixture(autouse=True)
def _worth_alone(only: Callable[..., None]) -> None:
    only("separation", "wasserstein", "worth")


@pytest.fixture
def reference(small_geometry: Geometry) -> Showers:
    return showers(small_geometry, 6000, 1)


def test_geant4_is_worth_itself(small_geometry: Geometry, reference: Showers) -> None:
    generated = showers(small_geometry, 1000, 2)
    report = evaluate(generated, reference, train=showers(small_geometry, 500, 3))
    found = worth(report)
    assert found["value"] == pytest.approx(1000, rel=0.5)
    assert found["amplification"] == pytest.approx(float(found["value"]) / 500)  # type: ignore[arg-type]
    assert (found["resolved"], found["n_generated"], found["n_train"]) == (6000, 1000, 500)
    assert sentence(report).startswith("Worth: 1\u202f000 generated showers are worth ")
    assert "per training shower" in sentence(report)
    assert next(p.level for p in report.verdict.points if p.topic == "worth") == "good"


def test_an_error_is_worth_less_and_found(small_geometry: Geometry, reference: Showers) -> None:
    report = evaluate(showers(small_geometry, 6000, 4, layer_1=1.1), reference)
    metrics = {at: report["worth_of_observables", "e_layer_1", at] for at in ("100 MeV", "400 MeV")}
    values = {at: metric.estimate.value for at, metric in metrics.items() if metric.estimate is not None}
    assert values["400 MeV"] < 100
    assert values["100 MeV"] > 300
    assert worth(report, "400 MeV")["least"] in ("e_layer_1", "e_tot_over_e_inc", "l_d", "fraction_layer_1")
    assert "amplification" not in worth(report)
    assert ", least for " in sentence(report)
    assert sentence(report).endswith(" for 3\u202f000)")
    assert " at 400 MeV (" in sentence(report)


def test_what_the_reference_cannot_resolve_is_a_limit(small_geometry: Geometry, reference: Showers) -> None:
    report = evaluate(showers(small_geometry, 8000, 5), reference[:800])
    found = worth(report)
    assert found["high"] is None
    assert str(found["interval"]).startswith("> ")
    assert sentence(report).startswith("Worth: 8\u202f000 generated showers are worth more than ")


def test_its_map_is_drawn(small_geometry: Geometry, reference: Showers) -> None:
    report = evaluate(showers(small_geometry, 600, 6), reference)
    [chart] = [each for each in report.charts if each.name == "worth"]
    assert chart.data["columns"] == ["all", "100 MeV", "400 MeV"]
    assert len(chart.data["values"]) == len(chart.data["rows"]) == len(chart.data["texts"])
    assert len(draw("heatmap", chart.data).child_axes) == 2


def test_too_few_showers_are_said(small_geometry: Geometry, reference: Showers) -> None:
    report = evaluate(reference[:30], reference)
    assert report["worth", "wasserstein"].reason == "needs at least 40 showers per sample, there are 30"
