"""Weights w = C / (1 − C) of a classifier: are they calibrated, how far do they spread, and what lies in their tails?

w is the density ratio Geant4 over generated. A generated shower with w ≤ 1/3 is of a kind three times as frequent among
the generated ones; a Geant4 shower with w ≥ 3 of a kind that is generated three times too seldom. Both tails are
divided into clusters (k-means) of their observables' normal scores, taken among all tested showers of equal energy, and
a cluster is described by its incident energies and by the observables that are farthest from usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from caloforge.distances.permutation_tests import normal_scores
from caloforge.energies.agreement import groups, strata_of
from caloforge.energies.weighted import effective_size
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics.base import Chart, Direction, Extra, Found, Metric, Section
from caloforge.evaluation.metrics.figure_data import MOST_LAYERS, gallery_data, selection
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.formatting import listed, share
from caloforge.observables import find, high_level
from caloforge.plots.layers import choose_layers
from caloforge.units import energy_span, format_energy

if TYPE_CHECKING:  # torch takes a second to import
    from caloforge.classifiers import ClassifierResult
    from caloforge.classifiers.scores import Scores

WEIGHTS = Section(
    "weights",
    "Weights w = C / (1 − C)",
    "Is the score C calibrated (calibration error: mean difference between C and the fraction that is Geant4's, beside "
    "that of chance)? The effective sample size (Σw)² / Σw² is the number of unweighted showers with the statistical "
    "precision of the generated showers weighted by w. The tails are showers of a kind that is at least three times "
    "more frequent in their own sample.",
    extra={"test": "test"},
    page="classifiers",
)
TAILS = Section(
    "weight_tails",
    "What lies in the tails of the weights",
    "Clusters of showers in a tail, as fractions of the tail: at which energies they are, and which observables are "
    "farthest from usual at their energy (in standard deviations of normal scores).",
    extra={"energies": "incident energies", "observables": "observables", "n": "showers"},
    direction="nearer",
    page="classifiers",
)
ANOMALIES = Section(
    "anomalies",
    "The generated showers least like Geant4",
    "Of the generated showers that the classifier was not trained on, those with the lowest score C.",
    extra={"energy_text": "incident energy", "row": "row in the file", "observables": "observables"},
    direction="nearer",
    page="classifiers",
)
SECTIONS = (WEIGHTS, TAILS, ANOMALIES)

TAIL = 3.0
"""Ratio of densities from which a shower lies in a tail."""

FEWEST_IN_TAIL, PER_CLUSTER, MOST_CLUSTERS = 20, 50, 3
FAR = 0.5
"""Mean normal score from which an observable of a cluster is named."""

NAMED = 3
MOST_ANOMALIES = 10

SIDES = {"low": ("generated", "too frequent"), "high": ("reference", "too rare")}
"""Tail → whose showers are in it, and what is wrong with how often their kind is generated."""

LABELS = {
    "calibration": "expected calibration error",
    "ess": "effective sample size per generated shower",
    "tail_low": "fraction of generated showers with w ≤ 1/3: of a kind generated three times too often",
    "tail_high": "fraction of reference showers with w ≥ 3: of a kind generated three times too rarely",
}


@dataclass(frozen=True)
class Tested:
    """The showers of a test's third part.

    Args:
        probabilities, raw: (m,) C, and the score before its calibration.
        generated: (m,) bool.
        energies: (m,) in MeV.
        rows: (m,) in the compared rows of their sample.
        names: (F,) observables; `scores` (m, F) their normal scores among showers of equal energy.
    """

    probabilities: np.ndarray
    raw: np.ndarray
    generated: np.ndarray
    energies: np.ndarray
    rows: np.ndarray
    names: tuple[str, ...]
    scores: np.ndarray

    @classmethod
    def of(cls, samples: SamplePair, found: ClassifierResult, rows: tuple[np.ndarray, np.ndarray]) -> Tested:
        """From a test that used the showers `rows` (n,), (n,) of both samples."""
        scores, tested = found.first.scores, found.first.rows
        generated = scores.labels == 0
        own = np.where(generated, rows[0][tested % found.n], rows[1][tested % found.n])
        names = tuple(high_level.observable_names(samples.geometry))
        columns = [
            np.where(
                generated,
                samples.generated.observables[name][np.where(generated, own, 0)],
                samples.reference.observables[name][np.where(generated, 0, own)],
            )
            for name in names
        ]
        energies = found.energies[tested]
        normal = normal_scores(np.stack(columns, axis=1), strata_of(energies))
        return cls(scores.probabilities, scores.raw, generated, energies, own, names, normal)


def weights(
    samples: SamplePair, found: ClassifierResult, baseline: ClassifierResult | None, rows: tuple[np.ndarray, np.ndarray]
) -> Iterator[Found]:
    """Calibration, effective sample size, tails with their clusters, and the most anomalous showers.

    Args:
        samples: what is compared.
        found: the test; its third part is looked at.
        baseline: the same between reference samples.
        rows: (n,), (n,) the showers of both samples that the test used.
    """
    from caloforge.classifiers.scores import Reliability

    scores, tested = found.first.scores, Tested.of(samples, found, rows)
    reliability = Reliability.of(scores.probabilities, scores.labels)
    chance, error = reliability.by_chance()
    level = None if baseline is None else baseline.first.scores
    numbers = {
        "calibration": Estimate(reliability.calibration_error, error, expected=chance),
        # Without a baseline, whose calibration comes from fewer showers and scatters more: a pull would mean nothing.
        "ess": Estimate(*_effective_share(scores)),
        **{
            f"tail_{side}": _with_level(_tail_share(scores, side), level, partial(_tail_share, side=side))
            for side in SIDES
        },
    }
    for name, estimate in numbers.items():
        direction: Direction = "higher" if name == "ess" else "lower"
        yield Metric(
            WEIGHTS.name,
            f"{name}_{found.test}",
            LABELS[name],
            estimate,
            extra={"test": found.title},
            direction=direction,
        )
    yield Chart(
        f"reliability_{found.test}",
        "reliability",
        WEIGHTS.name,
        f"Reliability, {found.title}",
        "Of the showers with score C the fraction C should be Geant4's: points on the diagonal.",
        {
            "label": found.title,
            "predicted": reliability.predicted,
            "observed": reliability.observed,
            "errors": reliability.errors,
        },
    )
    for side in SIDES:
        yield from _clusters(samples, tested, side, found)
    yield from _anomalies(samples, tested, found)


Number = tuple[float, float]
"""A value and its statistical error."""


def _with_level(found: Number, level: Scores | None, of: Callable[[Scores], Number]) -> Estimate:
    """A number next to the same one of the baseline's scores."""
    return Estimate(*found) if level is None else Estimate(*found, *of(level))


def _tail_share(scores: Scores, side: str) -> Number:
    """Fraction of its sample that lies in a tail, `low` or `high`."""
    inside = in_tail(scores.probabilities, scores.labels == 0, side)
    n = int(np.count_nonzero((scores.labels == 0) == (side == "low")))
    value = np.count_nonzero(inside) / n
    return value, float(np.sqrt(max(value * (1 - value), 1 / n) / n))


def in_tail(probabilities: np.ndarray, generated: np.ndarray, side: str) -> np.ndarray:
    """(m,) which showers lie in a tail: generated ones with w ≤ 1/3 (`low`), the reference's with w ≥ 3 (`high`)."""
    from caloforge.classifiers.scores import density_ratio

    w = density_ratio(probabilities)
    return np.asarray(generated & (w <= 1 / TAIL) if side == "low" else ~generated & (w >= TAIL))


def _effective_share(scores: Scores, groups: int = 20) -> Number:
    """Effective sample size per generated shower; its error by the jackknife over groups of showers."""
    from caloforge.classifiers.scores import density_ratio

    w = density_ratio(scores.probabilities[scores.labels == 0])

    index = np.arange(len(w)) % groups
    parts = [w, *(w[index != k] for k in range(groups))]
    whole, *left = [effective_size(part) / len(part) for part in parts]
    return whole, float(np.sqrt((groups - 1) * np.var(left)))


def _clusters(samples: SamplePair, tested: Tested, side: str, found: ClassifierResult) -> Iterator[Metric]:
    """Of one tail, the largest first."""
    tail = np.flatnonzero(in_tail(tested.probabilities, tested.generated, side))
    if len(tail) < FEWEST_IN_TAIL:
        return
    from sklearn.cluster import KMeans

    k = int(np.clip(len(tail) // PER_CLUSTER, 1, MOST_CLUSTERS))
    which = KMeans(k, n_init=5, random_state=samples.seed).fit_predict(tested.scores[tail])
    sample, fault = SIDES[side]
    for number, cluster in enumerate(np.argsort(-np.bincount(which, minlength=k)), 1):
        rows = tail[which == cluster]
        if not len(rows):
            continue
        fraction = len(rows) / len(tail)
        extra: Extra = {
            "energies": energies_in_words(tested.energies[rows], samples.reference.energies),
            "observables": _far_in_words(samples, tested, tested.scores[rows].mean(axis=0)),
            "n": len(rows),
            "test": found.test,
        }
        label = f"{sample} showers that are {fault}, cluster {number}"
        yield Metric(TAILS.name, f"{side}_{number}_{found.test}", label, Estimate(fraction), extra=extra)


def energies_in_words(energies: np.ndarray, of_all: np.ndarray, most: float = 0.6) -> str:
    """The narrowest range that holds most of the showers, as "256 to 512 MeV (83 %)", or "all"."""
    slices = groups(of_all)
    counts = np.array([np.count_nonzero((energies >= low) & (energies < high)) for _, low, high in slices])
    total = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    for width in range(1, len(slices)):
        inside = total[width:] - total[:-width]
        first = int(np.argmax(inside))
        if inside[first] >= most:
            return f"{energy_span([slices[k][0] for k in (first, first + width - 1)])} ({share(float(inside[first]))})"
    return "all"


def _far_in_words(samples: SamplePair, tested: Tested, means: np.ndarray) -> str:
    """As "sparsity, layer 12 −1.8 σ", the farthest first; what hardly differs is left out."""
    order = np.argsort(-np.abs(means))[:NAMED]
    words = []
    for k in order[np.abs(means[order]) >= FAR]:
        label = find(samples.geometry, tested.names[k]).label.replace(", layer ", " of layer ")
        words.append(f"{label} {'+' if means[k] > 0 else '−'}{abs(means[k]):.1f} σ")
    return listed(words) if words else "none far from usual"


def _anomalies(samples: SamplePair, tested: Tested, found: ClassifierResult) -> Iterator[Found]:
    """The generated showers with the lowest scores, with pictures."""
    assert samples.load is not None
    generated = np.flatnonzero(tested.generated)
    worst = generated[np.argsort(tested.raw[generated], kind="stable")[:MOST_ANOMALIES]]
    showers = samples.load("generated", tested.rows[worst])
    positions = choose_layers(samples.geometry, samples.reference.voxels.energy, MOST_LAYERS)
    rows = []
    for number, (k, voxels) in enumerate(zip(worst, showers.voxels, strict=True), 1):
        energy, c = format_energy(float(tested.energies[k])), float(tested.probabilities[k])
        extra: Extra = {
            "energy_text": energy,
            "energy": float(tested.energies[k]),
            "row": int(tested.rows[k]),
            "observables": _far_in_words(samples, tested, tested.scores[k]),
            "test": found.test,
        }
        yield Metric(ANOMALIES.name, f"{number}_{found.test}", f"shower {number}", Estimate(c), extra=extra)
        rows.append((f"{energy}\nC = {c:.2g}", np.asarray(voxels), energy))
    yield Chart(
        f"anomalies_{found.test}",
        "showers",
        "classifiers",
        f"The generated showers least like Geant4, {found.title}",
        "Those with the lowest score C among the generated showers that the classifier was not trained on; the table "
        f"says by which observables they are unusual.{selection(samples.geometry, positions)}",
        gallery_data(samples.geometry, positions, rows, "energy [MeV]"),
    )
