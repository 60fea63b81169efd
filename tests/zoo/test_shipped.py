"""The models in the package: small, described, and as good as their cards say in what is quick to check."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

import caloforge as cf
from caloforge.export.card import incidence_of
from caloforge.simulator.packing import PACKED_FROM
from caloforge.zoo.model_card import Card
from caloforge.zoo.shelf import SHIPPED

FOLDERS = sorted(path for path in SHIPPED.iterdir() if path.is_dir())


def test_they_are_small() -> None:
    sizes = {folder.name: sum(path.stat().st_size for path in folder.iterdir()) for folder in FOLDERS}
    assert sizes
    assert max(sizes.values()) < 4e6
    assert sum(sizes.values()) < 8e6


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_is_that_of_the_weights(folder: Path) -> None:
    card = Card.read(folder)
    weights = (folder / "weights.safetensors.xz").read_bytes()
    assert (card.name, card.weights_sha256) == (folder.name, hashlib.sha256(weights).hexdigest())
    assert card.licence
    assert card.citation
    assert card.description
    assert card.training["command"].startswith("caloforge train ")
    assert not re.search(r"(?<![\w.])/\w", (folder / "card.json").read_text(encoding="utf-8"))  # no path of a machine


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_showers_are_sane(folder: Path) -> None:
    run = cf.load(folder.name)
    assert PACKED_FROM in run.provenance
    assert incidence_of(run) == "0 rad from the shower axis"  # normal, as docs/zoo.md says
    assert run.energy_range is not None
    energies = np.geomspace(*run.energy_range, 40)
    showers = run.generate(energies, seed=1)
    assert ((showers.voxels == 0) | (showers.voxels >= run.geometry.threshold)).all()
    assert np.mean(showers.deposited / energies) == pytest.approx(0.96, abs=0.06)  # 0.984 and 0.954 in Geant4
