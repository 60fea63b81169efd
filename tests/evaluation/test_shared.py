"""Samples that share showers, and samples in other units, are refused or remarked on."""

from __future__ import annotations

import numpy as np
import pytest

from caloforge.errors import CaloforgeError
from caloforge.evaluation.evaluate import evaluate
from caloforge.showers import Showers


@pytest.fixture
def parts(small_showers: Showers) -> tuple[Showers, Showers, Showers]:
    """Three independent samples of the same incident energies."""
    return small_showers[:198], small_showers[198:396], small_showers[396:594]


def remark(*samples: Showers, **more: Showers) -> str:
    return evaluate(*samples, quick=True, **more).about.remark


def test_independent_samples_need_no_remark(parts: tuple[Showers, Showers, Showers]) -> None:
    generated, reference, baseline = parts
    assert remark(generated, reference, baseline=baseline) == ""


@pytest.mark.parametrize("which", [0, 1])
def test_a_baseline_that_is_one_of_the_samples_is_refused(which: int, parts: tuple[Showers, Showers, Showers]) -> None:
    generated, reference, _ = parts
    with pytest.raises(CaloforgeError, match="share 198 showers"):
        evaluate(generated, reference, baseline=(generated, reference)[which], quick=True)


def test_a_reference_that_was_trained_on_is_told(parts: tuple[Showers, Showers, Showers]) -> None:
    generated, reference, _ = parts
    assert "the reference sample and the training sample share showers: 198 of 198" in remark(
        generated, reference, train=reference
    )
    assert "the generated sample and the reference sample share showers" in remark(reference, reference)


@pytest.mark.parametrize("quick", [True, False])
def test_copies_of_the_reference_get_no_verdict(quick: bool, parts: tuple[Showers, Showers, Showers]) -> None:
    verdict = evaluate(parts[0], parts[0], quick=quick).verdict
    assert verdict.level == "bad"
    assert "198 of 198 generated showers are showers of the reference" in verdict.headline


def test_empty_showers_are_not_shared(parts: tuple[Showers, Showers, Showers]) -> None:
    generated, reference, baseline = (Showers(p.energies, p.voxels.copy(), p.geometry) for p in parts)
    for showers in (generated, reference, baseline):
        showers.voxels[:50] = 0
    assert "share" not in remark(generated, reference, baseline=baseline)


@pytest.mark.parametrize(
    ("voxels", "energies", "fact"), [(1e-3, 1.0, "E_dep / E_inc"), (1e-3, 1e-3, "are they in GeV")]
)
def test_units_are_doubted(voxels: float, energies: float, fact: str, parts: tuple[Showers, Showers, Showers]) -> None:
    samples = [Showers(p.energies * energies, p.voxels * np.float32(voxels), p.geometry) for p in parts[:2]]
    assert fact in remark(*samples)
