"""Reports after a toy reconstruction: Geant4 agrees with itself, and what was changed is found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import caloforge as cf
from caloforge.cli import app
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.class_swap import Labelled, Swap
from caloforge.evaluation.report.figures import figures
from caloforge.evaluation.report.verdict.reconstruction import reconstruction
from caloforge.reconstruction import Reconstructed
from caloforge.showers import Showers

N = 700


def scaled(showers: Showers, factor: float) -> Showers:
    return Showers(showers.energies, showers.voxels * np.float32(factor), showers.geometry)


@pytest.fixture(scope="module")
def nothing_else() -> object:
    """No other metric is computed: seconds instead of a minute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caloforge.evaluation.evaluate.REGISTRY", {})
        yield


@pytest.fixture(scope="module")
def samples() -> dict[str, Showers]:
    whole = cf.sample("test", stop=2 * N)
    return {"generated": whole[:N], "reference": whole[N:], "baseline": cf.sample("train", stop=N)}


@pytest.fixture(scope="module")
def agreeing(nothing_else: object, samples: dict[str, Showers]) -> cf.Report:
    """Geant4 against itself."""
    others = cf.sample("train")[N : 3 * N]
    return cf.evaluate(**samples, reconstruct="toy-atlas-like", other=(others[:N], others[N:]))


def test_geant4_agrees_with_itself(agreeing: cf.Report) -> None:
    sections = ("reconstructed_response", "mean_reconstructed_power", "reconstructed_power", "class_swap")
    for section in sections:
        pulls = [m.pull for m in agreeing.section(section, at="")]
        assert len(pulls) >= 1
        assert max(abs(pull) for pull in pulls if pull is not None) < 4.5
    assert not any(point.level == "bad" for point in reconstruction(agreeing))


def test_the_references_own_response_is_one(agreeing: cf.Report) -> None:
    single = [m for m in agreeing.section("reconstructed_response") if m.at and m.name == "mean"]
    assert len(single) == 7
    np.testing.assert_allclose([float(m.extra["reference"] or 0) for m in single], 1, atol=1e-6)
    resolution = [
        m.extra["reference"] for m in agreeing.section("reconstructed_response") if m.at and m.name == "spread"
    ]
    assert resolution == sorted(resolution, reverse=True)  # type: ignore[type-var]
    settings = json.loads(str(agreeing["reconstructed_response", "mean"].extra["recipe"]))
    assert settings["noise_mev"]["1"] == 3


def test_class_swap_of_geant4_with_itself(agreeing: cf.Report) -> None:
    """Two overlaid photons are separated from one, by trees of either sample equally well; photons from photons not."""
    for name in ("double_from_reference", "double_from_generated"):
        estimate = agreeing["class_swap", name].estimate
        assert estimate is not None
        assert estimate.value > 0.8
        assert abs(estimate.pull or 0.0) < 3.5
    for name in ("other_from_reference", "other_from_generated"):
        estimate = agreeing["class_swap", name].estimate
        assert estimate is not None
        assert abs(estimate.value - 0.5) < 4 * (estimate.error or 0.0)
    at = [m.at for m in agreeing.section("class_swap") if m.at and m.name.startswith("double")]
    assert at[-1] == "16.38 GeV"
    assert "256 MeV" not in at  # no two showers have half of the lowest energy


def test_the_figures_are_drawn(agreeing: cf.Report) -> None:
    drawn = {figure.name: figure for figure in figures(agreeing)}
    names = ("reconstructed_response", "reconstructed_variables", "class_swap_double", "class_swap_other")
    assert [drawn[name].page for name in names] == ["reconstruction"] * 4
    panels = agreeing.plot("reconstructed_response").child_axes
    assert panels[0].get_ylabel() == r"$E_{rec}\,/\,E_{inc}$"
    curves = agreeing.plot("class_swap_double").get_lines()
    assert [curve.get_label().partition(",")[0] for curve in curves] == [  # type: ignore[union-attr]
        f"{one} on {other}" for one in ("Geant4", "generated") for other in ("Geant4", "generated")
    ]


def test_too_much_energy_and_wide_showers_are_found(nothing_else: object, samples: dict[str, Showers]) -> None:
    """The calibration is Geant4's, so that it does not correct the generated showers."""
    spoilt = {**samples, "generated": scaled(samples["generated"], 1.1)}
    report = cf.evaluate(**spoilt, reconstruct="toy-atlas-like")
    mean = report["reconstructed_response", "mean", "16.38 GeV"].estimate
    assert mean is not None
    assert mean.value == pytest.approx(0.1, abs=0.01)
    words = [point.text for point in reconstruction(report)]
    assert any("too high" in text for text in words)
    assert report.verdict.level == "bad"


def test_trees_of_another_sample_are_worse() -> None:
    """A variable that separates in the opposite direction in generated showers, and one that is equal."""
    rng = np.random.default_rng(1)
    labels, half = np.tile([0, 1], 800), np.repeat([0, 1], 800)

    def sample(sign: float) -> Labelled:
        variables = {"a": sign * labels + rng.normal(0, 1, 1600), "b": rng.normal(0, 1, 1600)}
        return Labelled(Reconstructed(np.full(1600, 1e3), np.ones(1600), variables), labels, half)

    swap = Swap({"reference": sample(1.0), "generated": sample(-1.0)}, 1)
    expected = 0.76  # P(x > y) of normal variables one standard deviation apart, Φ(1/√2)
    assert swap.whole("reference", "reference")[0] == pytest.approx(expected, abs=0.06)
    assert swap.whole("generated", "generated")[0] == pytest.approx(expected, abs=0.06)
    assert swap.whole("reference", "generated")[0] == pytest.approx(1 - expected, abs=0.06)
    kept, fakes, fakes_reference = swap.at_cut()
    assert kept < 0.3  # at x > 0.16, which 12 % of the generated ones exceed, and 44 % of the other class
    assert (fakes, fakes_reference) == pytest.approx((0.44, 0.44), abs=0.13)
    assert swap.area("reference", "generated", 2e3) is None


def test_energies_without_sums_have_no_overlay(nothing_else: object, samples: dict[str, Showers]) -> None:
    one = {key: showers[showers.energies == 1024] for key, showers in samples.items()}
    report = cf.evaluate(**one, reconstruct={"name": "mine", "noise_mev": 3})
    metric = report["class_swap", "double_from_reference"]
    assert metric.estimate is None
    assert "energy of two others" in metric.reason
    assert report["reconstructed_response", "slope"].estimate is None
    assert "r_eta" not in {m.name for m in report.section("reconstructed_power")}  # no layers were given a role


def test_noise_that_hides_every_shower(nothing_else: object, samples: dict[str, Showers]) -> None:
    report = cf.evaluate(**samples, reconstruct={"name": "loud", "noise_mev": 1e6, "seed_sigma": 7})
    metric = report["reconstructed_response", "mean"]
    assert metric.estimate is None
    assert "noise_mev" in metric.reason


def test_mistakes(samples: dict[str, Showers]) -> None:
    pair = samples["generated"], samples["reference"]
    with pytest.raises(CaloforgeError, match="reconstruct="):
        cf.evaluate(*pair, other=pair)
    with pytest.raises(CaloforgeError, match="toy-w-si"):
        cf.evaluate(*pair, reconstruct="toy")
    with pytest.raises(CaloforgeError, match="two samples"):
        cf.evaluate(*pair, reconstruct="toy-w-si", other=pair[:1])  # type: ignore[arg-type]
    with pytest.raises(CaloforgeError, match="layer 0"):
        cf.evaluate(*pair, reconstruct={"name": "mine", "noise_mev": {1: 3}})


def test_a_mistake_on_the_command_line(tmp_path: Path, samples: dict[str, Showers]) -> None:
    for key in ("generated", "reference"):
        samples[key][:60].write(tmp_path / f"{key}.h5")
    files = [str(tmp_path / f"{key}.h5") for key in ("generated", "reference")]
    found = CliRunner().invoke(
        app, ["evaluate", files[0], "-r", files[1], "--other", *files, "-o", str(tmp_path / "r")]
    )
    assert isinstance(found.exception, CaloforgeError)
    assert "give one with --reconstruct toy-atlas-like" in str(found.exception)


def test_the_verdict_names_a_single_energy(agreeing: cf.Report) -> None:
    """A response that is right on average and far off at one energy, as χ² tells."""
    metric = agreeing["reconstructed_response", "mean"]
    extra = {"probability": 1e-12, "largest_at": "256 MeV", "largest_value": -0.09, "largest_error": 0.01}
    off = replace(metric, estimate=Estimate(1e-4, 1e-3, expected=0.0), extra=extra)
    records = replace(agreeing, metrics=[off])
    [point] = reconstruction(records)
    assert point.level == "bad"
    assert "-9.0 ± 1.0 % at 256 MeV" in point.text
