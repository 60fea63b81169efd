"""How well another classifier tells weighted showers from Geant4 showers that the weights were not made from.

It judges unweighted showers: drawn by their weights after weighting, and as many drawn at random before. The baseline
is the same between both Geant4 samples. An AUC grows with the number of showers to learn from, so all three have the
same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from caloforge.classifiers import run_test
from caloforge.classifiers.base import ClassifierTest, get_test
from caloforge.energies.agreement import thin
from caloforge.evaluation.estimates import Estimate
from caloforge.reweighting.reweight import Reweighted, check_comparable, name_of
from caloforge.showers import Showers
from caloforge.showers.geometries import GivenGeometry
from caloforge.showers.inputs import AnySource, read


def independent_samples(
    reference: AnySource, independent: AnySource, geometry: GivenGeometry | None = None
) -> tuple[Showers, Showers]:
    """Both Geant4 samples, checked before hours are spent on weights.

    Raises:
        CaloforgeError: they cannot be read, are not comparable, or share showers.
    """
    names = name_of(reference, "the reference sample"), name_of(independent, "the independent sample")
    known = read(reference, geometry)
    other = read(independent, known.geometry)
    check_comparable((known, other), names)
    return known, other


@dataclass(frozen=True)
class Judgement:
    """AUC of one classifier before and after weighting, each with its baseline.

    Args:
        classifier: name of the test.
        before, after: with the baseline at equal sample size.
        n: showers per sample.
    """

    classifier: str
    before: Estimate
    after: Estimate
    n: int


def judge(
    found: Reweighted,
    reference: AnySource,
    independent: AnySource,
    *,
    classifier: str | ClassifierTest = "trees",
    repeats: int = 1,
    seed: int = 2,
) -> Judgement:
    """Train a classifier on independent Geant4 showers against the showers before and after weighting.

    Args:
        found: weighted showers.
        reference: the Geant4 showers that the weights were made from, for the baseline.
        independent: others.
        classifier: a test by name or an object.
        repeats: trainings.
        seed: of everything random; another one than that of the weights.

    Raises:
        CaloforgeError: the samples are not comparable, share showers, or are too few.
    """
    test = get_test(classifier)
    known, other = independent_samples(reference, independent, found.showers.geometry)
    drawn = found.unweighted(seed)
    n = min(len(drawn), len(known), len(other))
    rng = np.random.default_rng([seed, 7])

    def cut(showers: Showers) -> Showers:
        return showers[thin(showers.energies, n, rng, stratified=True)]

    truth = cut(other)
    areas = []
    for sample in (found.showers, drawn, known):
        result = run_test(test, cut(sample), truth, repeats=repeats, seed=seed)
        areas.append((result.auc, result.auc_std))
    level, level_error = areas[2]
    before, after = (
        Estimate(*area, baseline=level, baseline_error=level_error, n=n, smallest_error=1e-3) for area in areas[:2]
    )
    return Judgement(test.name, before, after, n)
