"""Evaluation of Geant4 showers: five ways to spoil a sample, each of which the verdict should name."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from caloforge.evaluation.evaluate import evaluate
from caloforge.showers import Showers
from caloforge.sources.sample import sample_path

Spoil = Callable[[Showers, np.ndarray], None]


def permute_layer_2(showers: Showers, voxels: np.ndarray) -> None:
    part = showers.geometry.slices[2]
    order = np.random.default_rng(3).permutation(part.stop - part.start)
    voxels[:, part] = voxels[:, part][:, order]


def scale(showers: Showers, voxels: np.ndarray) -> None:
    voxels *= 1.05


def copy_a_tenth(showers: Showers, voxels: np.ndarray) -> None:
    copied = len(showers) // 10
    for energy in np.unique(showers.energies):
        rows = np.flatnonzero(showers.energies == energy)
        n = round(copied * len(rows) / len(showers))
        voxels[rows[:n]] = voxels[rows[n : 2 * n]]


def clear_layer_12(showers: Showers, voxels: np.ndarray) -> None:
    voxels[:, showers.geometry.slices[4]] = 0


def turn_layer_1(showers: Showers, voxels: np.ndarray) -> None:
    layer, part = showers.geometry.layers[1], showers.geometry.slices[1]
    rings = voxels[:, part].reshape(len(voxels), 10, -1)
    assert rings[0].size == layer.n_voxels
    voxels[:, part] = np.roll(rings, 5, axis=1).reshape(len(voxels), -1)


TABLE: list[tuple[Spoil, str, str]] = [
    (permute_layer_2, "observables", r"Layer 2: .*too (wide|narrow) in"),
    (scale, "response", r"Energy response: .* (4\.[89]|5\.[01])\d* ± \S+ % too high"),
    (copy_a_tenth, "duplicates", r"Duplicates: (9|10)(\.\d)? % of generated showers repeat"),
    (clear_layer_12, "empty_voxels", r"Layer 12: no energy in any generated shower"),
    (turn_layer_1, "correlations", r"ec_(eta_1 and ec_eta|phi_1 and ec_phi)_2: -0\.\d\d, reference 0\.\d\d"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "topic", "words"), TABLE, ids=[row[0].__name__ for row in TABLE])
def test_spoilt_showers_are_distinguished_by_what_was_spoilt(spoil: Spoil, topic: str, words: str) -> None:
    generated, reference = Showers.read(sample_path("test")), Showers.read(sample_path("train"))
    voxels = generated.voxels.copy()
    spoil(generated, voxels)
    verdict = evaluate(Showers(generated.energies, voxels, generated.geometry), reference).verdict
    assert verdict.level == "bad"
    found = [point.text for point in verdict.points if point.topic == topic]
    assert any(re.search(words, text) for text in found), verdict.points
