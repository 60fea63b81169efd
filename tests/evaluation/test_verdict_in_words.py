"""Verdicts on Geant4 photons spoilt in known ways, word for word, and the energies that they name."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import caloforge as cf
from caloforge.evaluation.metrics.energy_by_energy import NAME
from caloforge.evaluation.report.verdict.energies import energies_of
from caloforge.plots import draw
from caloforge.showers import Showers

METRICS = ("separation", "wasserstein", "response", "duplicates", "energy_by_energy")


def part(showers: Showers, layer: int) -> slice:
    geometry = showers.geometry
    return geometry.slices[geometry.layers.index(geometry.layer(layer))]


def more_hits(showers: Showers) -> np.ndarray:
    """3 % of the empty voxels of layer 2 get 1.5 MeV, up to 512 MeV."""
    voxels, rng = showers.voxels.copy(), np.random.default_rng(1)
    inside = voxels[:, part(showers, 2)]
    inside[(showers.energies[:, None] <= 512) & (inside == 0) & (rng.random(inside.shape) < 0.03)] = 1.5
    return voxels


def one_energy(showers: Showers) -> np.ndarray:
    voxels = showers.voxels.copy()
    voxels[showers.energies == 16384, part(showers, 1)] *= 1.1
    return voxels


def everywhere(showers: Showers) -> np.ndarray:
    return showers.voxels * np.float32(0.97)


def outwards(showers: Showers) -> np.ndarray:
    """All energy of layer 2 one ring farther out, from 4.096 GeV."""
    voxels, layer = showers.voxels.copy(), showers.geometry.layer(2)
    rings = voxels[:, part(showers, 2)].reshape(len(voxels), *layer.shape)
    far = showers.energies >= 4096
    moved = np.roll(rings[far], 1, axis=2)
    moved[:, :, 0], moved[:, :, -1] = 0, moved[:, :, -1] + moved[:, :, 0]
    rings[far] = moved
    voxels[:, part(showers, 2)] = rings.reshape(len(voxels), -1)
    return voxels


def copies(showers: Showers) -> np.ndarray:
    voxels = showers.voxels.copy()
    for energy in np.unique(showers.energies):
        rows = np.flatnonzero(showers.energies == energy)
        voxels[rows[: len(rows) // 2]] = voxels[rows[len(rows) // 2 : 2 * (len(rows) // 2)]]
    return voxels


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (more_hits, "19 % too many voxels hit at 256 to 512 MeV (29 voxels instead of 24)"),
        (
            one_energy,
            "Energy response: E_dep/E_inc 0.81 ± 0.06 % too high (+13.6 σ), "
            "most significant: +1.86 ± 0.09 % at 16.38 GeV",
        ),
        (
            everywhere,
            "Main deviations: Energy response: E_dep/E_inc 3.09 ± 0.06 % too low (+56.0 σ); "
            "Whole shower: depth-weighted energy l_d 3.3 % too low.",
        ),
        (outwards, "Main deviations: Layer 2: 33 % too far from the axis at 4.096 to 16.38 GeV."),
        (copies, "Duplicates: 50 % of generated showers repeat another one exactly (reference 0)"),
    ],
)
def test_words(spoil: Callable[[Showers], np.ndarray], words: str, only: Callable[..., None]) -> None:
    only(*METRICS)
    test = cf.sample("test")
    report = cf.evaluate(Showers(test.energies, spoil(test), test.geometry), cf.sample("train"))
    verdict = report.verdict
    assert words in "\n".join([verdict.where, *(point.text for point in verdict.points)])


def test_the_map_is_drawn(only: Callable[..., None]) -> None:
    only("separation", "energy_by_energy")
    report = cf.evaluate(cf.sample("test", stop=600), cf.sample("train", stop=600), quick=True)
    [chart] = [chart for chart in report.charts if chart.name == NAME]
    assert np.shape(chart.data["values"]) == (len(chart.data["rows"]), len(chart.data["columns"]))
    assert np.shape(chart.data["generated"]["mean"]) == (len(chart.data["names"]), len(chart.data["columns"]))
    assert len(draw("heatmap", chart.data).child_axes) == 2


def records(shift: list[float], mean: float, std: float = 1.0, n: int = 10_000) -> Any:
    """One observable `x` at 1, 2, 4, 8 GeV whose means are shifted by so many of its standard deviations."""
    k = len(shift)
    row = {"mean": [[mean] * k], "std": [[std] * k], "n": [n] * k}
    data = {
        "names": ["x"],
        "columns": [f"{2**j} GeV" for j in range(k)],
        "reference": row,
        "generated": row | {"mean": [[mean + std * each for each in shift]]},
    }
    return SimpleNamespace(charts=[SimpleNamespace(name=NAME, data=data)])


@pytest.mark.parametrize(
    ("shift", "mean", "words"),
    [
        ([0.0, 0.5, 0.4, 0.0], 0.0, "2 to 4 GeV"),
        ([0.5, 0.0, 0.0, 0.4], 0.0, "1 GeV"),  # the largest, and its neighbours alone
        ([0.5, -0.5, 0.0, 0.0], 0.0, "1 GeV"),
        ([0.0, 0.0, 0.2, 0.4], 0.0, "4 to 8 GeV"),
        ([0.3, 0.3, 0.4, 0.4], 0.0, None),  # everywhere
        ([0.02, 0.0, 0.0, 0.03], 0.0, None),  # 0.03 standard deviations are 2 standard errors
    ],
)
def test_energies_by_hand(shift: list[float], mean: float, words: str | None) -> None:
    found = energies_of(records(shift, mean), "x")
    assert (None if found is None else found.words) == words


def test_the_same_percentage_everywhere_is_of_no_energy() -> None:
    """3 % of the mean at all energies, while the spread falls from 1/2 of the mean to 1/20."""
    std = np.array([0.5, 0.2, 0.1, 0.05])
    made = records([0.0] * 4, 1.0)
    data = made.charts[0].data
    data["reference"]["std"] = [std]
    data["generated"] = data["reference"] | {"mean": [[0.97] * 4]}
    assert energies_of(made, "x") is None
    data["generated"] = data["reference"] | {"mean": [[1.0, 1.0, 1.0, 0.97]]}
    found = energies_of(made, "x")
    assert found is not None
    assert found.words == "8 GeV"
    assert found.moments.mean_g == pytest.approx(0.97)


def test_without_the_map_there_are_no_energies() -> None:
    assert energies_of(SimpleNamespace(charts=[]), "x") is None  # type: ignore[arg-type]


def test_energies_where_the_reference_does_not_fluctuate() -> None:
    """As a width in a layer that gets nothing at the lowest energy: no shift in its terms, and no overflow."""
    made = records([0.0, 0.0, 0.0, 0.5], 1.0)
    data = made.charts[0].data
    data["reference"]["std"] = [[0.0, 1.0, 1.0, 1.0]]
    data["generated"] = data["generated"] | {"std": [[0.1, 1.0, 1.0, 1.0]], "mean": [[2.0, 1.0, 1.0, 1.5]]}
    found = energies_of(made, "x")
    assert found is not None
    assert found.words == "8 GeV"
