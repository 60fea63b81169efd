"""`reweight`: weights that bring generated showers to Geant4's distribution at given incident energy.

`cross_fitting` gives each generated shower a density ratio w. Divided by its mean at each incident energy, it changes
how showers of an energy are distributed, not how many there are. Ratios above `clip` are lowered to it, because a few
large ones take all statistical precision: the effective sample size is (Σw)² / Σw², and drawing unweighted showers with
probability w / w_max leaves N / w_max of N.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.classifiers.base import ClassifierTest, get_test
from caloforge.classifiers.scores import Reliability
from caloforge.energies.agreement import check_same, groups
from caloforge.energies.weighted import accepted, effective_size
from caloforge.errors import CaloforgeError, option
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.samples.shared import shared
from caloforge.evaluation.samples.summary import fingerprint
from caloforge.reweighting.cross_fitting import CrossFit, CrossFitting, Told
from caloforge.showers import Showers, ShowerWriter
from caloforge.showers.geometries import GivenGeometry
from caloforge.showers.inputs import AnySource, read
from caloforge.showers.reading import WEIGHTS
from caloforge.units import count

CLIP = 5.0
FOLDS, REPEATS, ROUNDS = 10, 5, 2

LARGEST = 100.0
"""Weight above which a clip is refused: one shower for more than a hundred."""


@dataclass(frozen=True)
class EffectiveSize:
    """Effective sample size of the showers at one energy, or of all.

    Args:
        label: the incident energy, or "all".
        n: showers.
        size: (Σw)² / Σw².
        largest: weight.
    """

    label: str
    n: int
    size: float
    largest: float

    @property
    def share(self) -> float:
        """Effective sample size per shower."""
        return self.size / self.n


@dataclass(frozen=True, repr=False)
class Reweighted:
    """Generated showers with weights; what `reweight` returns.

    Args:
        showers: the generated ones, all N.
        clip: largest density ratio that was left as it is.
        fit: what the classifiers said.
        facts: how the weights were made, for provenance.
    """

    showers: Showers
    clip: float
    fit: CrossFit
    facts: Mapping[str, Any]

    def __repr__(self) -> str:
        whole = self.effective_sizes[-1]
        return f"Reweighted({count(whole.n, 'shower')}, effective sample size {whole.share:.1%}, AUC {self.auc})"

    @property
    def weights(self) -> np.ndarray:
        """(N,) with mean 1 at each incident energy."""
        return self.fit.weights

    @property
    def ratios(self) -> np.ndarray:
        """(N,) weights before they were clipped."""
        return self.fit.ratios

    @property
    def auc(self) -> Estimate:
        """How well the classifiers distinguished both samples before weighting."""
        return Estimate(*self.fit.auc, expected=0.5)

    @property
    def calibration(self) -> Estimate:
        """Expected calibration error of their scores, next to that by chance."""
        reliability = Reliability.of(self.fit.probabilities, self.fit.labels)
        chance, error = reliability.by_chance()
        return Estimate(reliability.calibration_error, error, expected=chance)

    @property
    def clipped(self) -> int:
        """Number of showers whose ratio was lowered to `clip`."""
        return int(np.count_nonzero(self.ratios > self.clip))

    @property
    def lost(self) -> float:
        """Fraction of the sum of ratios that clipping took away."""
        return float(np.maximum(self.ratios - self.clip, 0).sum() / self.ratios.sum())

    @property
    def effective_sizes(self) -> tuple[EffectiveSize, ...]:
        """At each incident energy (in octaves of a continuous spectrum), and of all showers."""
        energies, weights = self.showers.energies, self.weights
        parts = [(label, weights[(energies >= low) & (energies < high)]) for label, low, high in groups(energies)]
        return tuple(
            EffectiveSize(label, len(part), effective_size(part), float(part.max()))
            for label, part in (*parts, ("all", weights))
            if len(part)
        )

    @property
    def effective_size_unclipped(self) -> float:
        """(Σw)² / Σw² of all showers without the clip."""
        return effective_size(self.ratios)

    def unweighted(self, seed: int = 1) -> Showers:
        """Showers without weights: each is accepted with probability w / w_max, in its order."""
        rows = accepted(self.weights, self.showers.energies, seed)
        chosen = self.showers[rows]
        facts = {**self.showers.attributes, **self.facts, "unweighted_seed": seed, "unweighted_from": len(self.weights)}
        return Showers.unchecked(chosen.energies, chosen.voxels, chosen.geometry, facts, chosen.conditions)

    def write(self, path: str | os.PathLike[str], attributes: Mapping[str, Any] | None = None) -> None:
        """Write all showers with a dataset `weights` (see `Showers.write`)."""
        facts = {**self.showers.attributes, **self.facts, **(attributes or {})}
        kinds = self.showers.conditions.kinds
        with ShowerWriter(path, self.showers.geometry, facts, columns=(WEIGHTS,), conditions=kinds) as out:
            columns = {WEIGHTS: self.weights}
            out.append(self.showers.energies, self.showers.voxels, self.showers.conditions, **columns)


def reweight(
    generated: AnySource,
    reference: AnySource,
    *,
    classifier: str | ClassifierTest = "trees",
    clip: float = CLIP,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    rounds: int = ROUNDS,
    geometry: GivenGeometry | None = None,
    seed: int = 1,
    progress: Told | None = None,
    device: str = "cpu",
) -> Reweighted:
    """Weight generated showers by a classifier, so that they follow the reference at each incident energy.

    >>> from caloforge import sample
    >>> found = reweight(sample("test", stop=600), sample("train", stop=600), folds=3, repeats=1, rounds=1)
    >>> found.weights.shape, round(float(found.weights.mean()), 6)
    ((600,), 1.0)
    >>> found.unweighted().attributes["weights_classifier"]
    'trees'

    Args:
        generated, reference: shower files, or showers in memory, of one geometry and one incident-energy spectrum.
        classifier: a test by name (`classifiers.TESTS`) or an object; it must be able to score given showers.
        clip: density ratios above are lowered to it; above 1.
        folds: the showers of each are scored by classifiers that were trained on the other folds.
        repeats: trainings per fold, whose scores are averaged.
        rounds: how often showers are weighted; each round starts from the weights of the one before.
        geometry: what the voxels are (see `evaluate`).
        seed: of everything random.
        progress: told (trainings done, trainings).
        device: where networks are trained.

    Raises:
        CaloforgeError: a file is bad, geometries or spectra differ, too few showers, or a setting is out of range.
    """
    if not 1 < clip <= LARGEST:
        raise CaloforgeError(f"{option('clip')} must be above 1 and at most {LARGEST:g}, not {clip:g}")
    for what, value, least in (("folds", folds, 2), ("repeats", repeats, 1), ("rounds", rounds, 1)):
        if value < least:
            raise CaloforgeError(f"{option(what)} must be at least {least}, not {value}")
    test = get_test(classifier)
    samples = read(generated, geometry), read(reference, geometry)
    names = name_of(generated, "the generated sample"), name_of(reference, "the reference sample")
    check_comparable(samples, names)
    fit = CrossFitting(test, folds, repeats, rounds, clip, seed, device).fit(*samples, progress)
    facts = {
        "weights_classifier": test.name,
        "weights_reference": names[1],
        "weights_clip": clip,
        "weights_folds": folds,
        "weights_repeats": repeats,
        "weights_rounds": rounds,
        "weights_seed": seed,
        "weights_effective_size": effective_size(fit.weights),
    }
    return Reweighted(samples[0], clip, fit, facts)


def name_of(source: AnySource, in_memory: str) -> str:
    """What to call a sample in a message."""
    return in_memory if isinstance(source, Showers) else str(source)


def check_comparable(samples: tuple[Showers, Showers], names: tuple[str, str]) -> None:
    """Require two samples to have one geometry, one incident-energy spectrum, and no shower in common.

    Raises:
        CaloforgeError: they do not.
    """
    first, second = samples
    if not first.geometry.has_voxels_of(second.geometry):
        raise CaloforgeError(
            f"{names[0]} has geometry '{first.geometry.name}', {names[1]} has '{second.geometry.name}'; "
            "give files of one geometry"
        )
    check_same(first.energies, second.energies, *names)
    if same := shared(fingerprint(first.voxels), fingerprint(second.voxels)):
        raise CaloforgeError(f"{names[0]} and {names[1]} share {count(same, 'shower')}: give independent samples")
