"""Class swap: can particles be identified in generated showers as in Geant4's, and by classifiers trained on them?

Boosted trees separate two classes of showers by the variables of a toy reconstruction and by E_inc, whose
spectrum is the same in both: a single shower against two overlaid ones of half its energy (for photons, the
photon against a pi0; see `reconstruction.overlay`), and showers of the file against those of another particle. The
trees are trained on Geant4 and applied to generated showers, and the reverse, as in arXiv:1712.10321. The showers are
divided in two halves: trees of one half are applied to the other, and AUCs are means over both.

The baselines are trees trained on the reference and applied to independent Geant4 showers, and trees trained on these
and applied to the reference; without independent showers, trees trained on one half of the reference and applied to
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from caloforge.energies import agreement
from caloforge.errors import CaloforgeError
from caloforge.evaluation.estimates import FEWEST, Estimate
from caloforge.evaluation.metrics.after_reconstruction import PAGE, SAMPLES, AfterChain
from caloforge.evaluation.metrics.base import Chart, Extra, Found, Metric, Section
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables import above_threshold
from caloforge.reconstruction import Reconstructed, Reconstruction, Reconstructor
from caloforge.reconstruction.overlay import Overlay, pairing
from caloforge.showers import Showers
from caloforge.showers.inputs import AnySource, open_source

SWAP = Section(
    "class_swap",
    "Identification after reconstruction (class swap)",
    "AUC of boosted trees on the variables of the reconstruction, trained on Geant4 and applied to generated showers, "
    "and the reverse; the baseline is Geant4 on Geant4. At the cut that keeps 80 % of Geant4's single showers: how "
    "many generated ones it keeps, and how many of the other class.",
    direction="nearer",
    extra={
        "same": "generated on generated",
        "efficiency": "efficiency [%]",
        "fakes": "other class, gen. [%]",
        "fakes_reference": "other class, ref. [%]",
        "n": "showers per class",
    },
    page=PAGE,
)

EFFICIENCY = 0.8
"""Fraction of the reference's single showers that the cut keeps."""

MOST_VALUES = 64_000_000
"""Voxel values (256 MB) of a sample that are held in memory to be overlaid."""

OVERLAID_VALUES = 2_000_000
"""Voxel values that are overlaid at once."""

FEWEST_OF_CLASS = 50
"""Fewest showers of each class in a half."""

TREES: dict[str, Any] = {"max_iter": 120, "learning_rate": 0.08, "max_leaf_nodes": 15, "min_samples_leaf": 40}

ROC_POINTS = 100


@dataclass(frozen=True)
class Labelled:
    """Showers of two classes.

    Args:
        showers: after reconstruction, m in all.
        labels: (m,) 1 for a single shower of the file's particle, 0 for the other class.
        half: (m,) 0 or 1.
    """

    showers: Reconstructed
    labels: np.ndarray
    half: np.ndarray

    def features(self, names: Sequence[str]) -> np.ndarray:
        """(m, 1 + F) log2 E_inc and variables."""
        columns = [np.log2(self.showers.incident), *(self.showers.variables[name] for name in names)]
        return np.stack(columns, axis=1)

    def smallest(self) -> int:
        """Showers of a class in a half, of the one with the fewest."""
        return min(int(np.sum((self.labels == k) & (self.half == h))) for k in (0, 1) for h in (0, 1))

    def thinned(self, n: int, rng: np.random.Generator) -> Labelled:
        """n showers of each class in each half, at random."""
        parts = [np.flatnonzero((self.labels == k) & (self.half == h)) for k in (0, 1) for h in (0, 1)]
        rows = np.sort(np.concatenate([rng.permutation(part)[:n] for part in parts]))
        return Labelled(self.showers.take(rows), self.labels[rows], self.half[rows])


def halves(energies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) 0 or 1 for showers of either half, which have the same spectrum."""
    half = np.empty(len(energies), dtype=np.int64)
    half[np.lexsort([rng.random(len(energies)), energies])] = np.arange(len(energies)) % 2
    return half


def overlaid(samples: SamplePair, key: str, recipe: Reconstruction, n: int) -> Labelled:
    """Single showers of a sample, and pairs of them overlaid, out of n showers; none in both halves."""
    assert samples.load is not None
    rng = np.random.default_rng([samples.seed, 29, SAMPLES[key]])
    of_sample = {"generated": samples.generated, "reference": samples.reference, "baseline": samples.independent}[key]
    assert of_sample is not None
    rows = agreement.thin(of_sample.energies, n, rng, samples.plan.stratified)
    energies, half = of_sample.energies[rows], halves(of_sample.energies[rows], rng)
    voxels = above_threshold(samples.load(key, rows).voxels, samples.threshold)
    chain, overlay = Reconstructor(recipe, samples.geometry), Overlay(samples.geometry, recipe.separation_mm)
    step = max(1, OVERLAID_VALUES // samples.geometry.n_voxels)
    parts, labels, of_half = [], [], []
    for h in (0, 1):
        members = np.flatnonzero(half == h)
        chosen = pairing(energies[members], rng)
        single, first, second = (members[part] for part in (chosen.single, chosen.first, chosen.second))
        for k in range(0, len(single), step):
            one, a, b = (part[k : k + step] for part in (single, first, second))
            for label, incident, found in (
                (1, energies[one], overlay.single(voxels[one])),
                (0, energies[a] + energies[b], overlay.double(voxels[a], voxels[b])),
            ):
                parts.append(chain(Showers.unchecked(incident, found, samples.geometry), rng, threshold=0.0))
                labels.append(np.full(len(one), label))
                of_half.append(np.full(len(one), h))
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Labelled(Reconstructed(np.zeros(0), np.zeros(0), {}), empty, empty)
    return Labelled(Reconstructed.joined(parts), np.concatenate(labels), np.concatenate(of_half))


def of_particles(own: Reconstructed, other: Reconstructed, rng: np.random.Generator) -> Labelled:
    """Showers of two particles with one spectrum of incident energies.

    Raises:
        CaloforgeError: they have no incident energy in common.
    """
    rows = agreement.match(own.incident, other.incident, rng)
    pair = own.take(rows[0]), other.take(rows[1])
    labels = np.repeat([1, 0], [len(each) for each in pair])
    return Labelled(Reconstructed.joined(pair), labels, np.concatenate([halves(each.incident, rng) for each in pair]))


def reconstruct_other(source: AnySource, recipe: Reconstruction, seed: Sequence[int]) -> Reconstructed:
    """A file of another particle through the chain; its geometry may be another, with the same layer ids."""
    rng = np.random.default_rng(seed)
    with open_source(source) as opened:
        chain = Reconstructor(recipe, opened.geometry)
        return Reconstructed.joined([chain(chunk, rng) for chunk in opened.chunks()])


def class_swap(
    samples: SamplePair,
    recipe: Reconstruction,
    after: AfterChain,
    other: tuple[AnySource, AnySource] | None = None,
) -> Iterator[Found]:
    """Both tests.

    Args:
        samples: what is compared.
        recipe: of the reconstruction.
        after: the samples after it.
        other: generated and reference showers of another particle.
    """
    keys = ["generated", "reference", *(["baseline"] if samples.independent is not None else [])]
    plan = samples.plan
    n = min(plan.n_generated, plan.n_reference, MOST_VALUES // samples.geometry.n_voxels)
    if samples.independent is not None:
        n = min(n, samples.independent.n)

    def of_file() -> dict[str, Labelled]:
        found: dict[str, Labelled] = {}
        for done, key in enumerate(keys):
            found[key] = overlaid(samples, key, recipe, n)
            samples.tell("overlaid showers", done + 1, len(keys))
        return found

    yield from _test(
        samples, "double", "one shower against two overlaid", of_file, "no shower has the energy of two others"
    )
    if other is None:
        return
    rng = np.random.default_rng([samples.seed, 31])

    def of_others() -> dict[str, Labelled]:
        sources = zip(("generated", "reference"), (after.generated, after.reference), other, strict=True)
        return {
            key: of_particles(own, reconstruct_other(source, recipe, [samples.seed, 37, SAMPLES[key]]), rng)
            for key, own, source in sources
        }

    yield from _test(samples, "other", "against the other particle", of_others, "energies in common are too few")


def _test(
    samples: SamplePair, name: str, label: str, make: Callable[[], dict[str, Labelled]], none: str
) -> Iterator[Found]:
    """Numbers and ROC curves of one pair of classes."""
    words = {
        f"{name}_from_reference": f"{label}: trained on Geant4, applied to generated",
        f"{name}_from_generated": f"{label}: trained on generated, applied to Geant4",
    }
    reason = samples.empty_reference
    if not reason:
        found = make()
        smallest = min(each.smallest() for each in found.values())
        if smallest < FEWEST_OF_CLASS:
            reason = f"needs {FEWEST_OF_CLASS} showers of each class in each half, there are {smallest}"
            reason += f" ({none})" if smallest == 0 else ""
    if reason:
        for key, text in words.items():
            yield Metric(SWAP.name, key, text, None, reason=reason)
        return
    rng = np.random.default_rng([samples.seed, 41])
    swapped = Swap({key: each.thinned(smallest, rng) for key, each in found.items()}, samples.seed)
    samples.tell(f"class swap, {label}", 1, 1)
    independent = "baseline" if "baseline" in found else "reference"
    levels = swapped.whole("reference", independent), swapped.whole(independent, "reference")
    areas = swapped.whole("reference", "generated"), swapped.whole("generated", "reference")
    same = swapped.whole("generated", "generated")
    efficiency, fakes, fakes_reference = swapped.at_cut()
    n = 2 * smallest
    extra: Extra = {"same": same[0], "same_error": same[1], "n": n}
    cut: Extra = {"efficiency": efficiency, "fakes": fakes, "fakes_reference": fakes_reference}
    for (key, text), area, level, further in zip(words.items(), areas, levels, ({**extra, **cut}, extra), strict=True):
        estimate = Estimate(*area, *level, n=n, smallest_error=1e-3)
        yield Metric(SWAP.name, key, text, estimate, extra=further)
    for at, low, high in agreement.groups(found["reference"].showers.incident):
        here, there = (swapped.area("reference", applied, low, high) for applied in ("generated", independent))
        if here is not None and there is not None:
            key, text = next(iter(words.items()))
            single: Extra = {"energy": float(np.sqrt(low * high))}
            yield Metric(SWAP.name, key, text, Estimate(*here, *there, smallest_error=1e-3), at=at, extra=single)
    yield swapped.chart(f"class_swap_{name}", label)


class Swap:
    """Trees trained on each half of each sample, and their scores of the other half of every sample.

    Args:
        samples: name → showers of both classes, equally many in all.
        seed: of the trees.
    """

    def __init__(self, samples: dict[str, Labelled], seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        self._samples = samples
        tables = [each.showers.variables for each in samples.values()]
        names = [name for name in tables[0] if all(name in table for table in tables)]
        features = {key: each.features(names) for key, each in samples.items()}
        self._scores: dict[tuple[str, str], np.ndarray] = {
            (trained, applied): np.zeros(len(each.labels)) for trained in samples for applied, each in samples.items()
        }
        for trained, sample in samples.items():
            for half in (0, 1):
                mine = sample.half == half
                trees = HistGradientBoostingClassifier(**TREES, early_stopping=False, random_state=seed)
                trees.fit(features[trained][mine], sample.labels[mine])
                for applied, each in samples.items():
                    rest = each.half != half
                    self._scores[trained, applied][rest] = trees.decision_function(features[applied][rest])

    def whole(self, trained: str, applied: str) -> tuple[float, float]:
        """`area` of all showers."""
        found = self.area(trained, applied)
        assert found is not None
        return found

    def area(self, trained: str, applied: str, low: float = 0.0, high: float = np.inf) -> tuple[float, float] | None:
        """(AUC, standard error) of trees trained on one sample and applied to another; means over both halves.

        Of showers with low ≤ E_inc < high (MeV); None where they are too few.
        """
        from caloforge.classifiers.scores import auc

        sample, scores = self._samples[applied], self._scores[trained, applied]
        found = []
        for half in (0, 1):
            inside = (sample.half == half) & (sample.showers.incident >= low) & (sample.showers.incident < high)
            labels = sample.labels[inside]
            if min(labels.sum(), (1 - labels).sum()) < FEWEST:
                return None
            found.append(auc(scores[inside], labels))
        values, errors = np.array(found).T
        return float(values.mean()), float(np.hypot(*errors) / 2)

    def at_cut(self) -> tuple[float, float, float]:
        """At the cut of 80 % efficiency on the reference: generated efficiency, other class generated and reference."""
        (generated, of_g), (reference, of_r) = (
            (self._scores["reference", key], self._samples[key].labels) for key in ("generated", "reference")
        )
        cut = np.quantile(reference[of_r == 1], 1 - EFFICIENCY)
        kept = [
            (scores[labels == k] > cut).mean() for scores, labels, k in ((generated, of_g, 1), (generated, of_g, 0))
        ]
        return float(kept[0]), float(kept[1]), float((reference[of_r == 0] > cut).mean())

    def chart(self, name: str, label: str) -> Chart:
        """ROC curves of trees from both samples on both."""
        words = {"reference": "Geant4", "generated": "generated"}
        curves = []
        for trained in words:
            for applied in words:
                scores, labels = self._scores[trained, applied], self._samples[applied].labels
                kept = np.linspace(0.02, 1, ROC_POINTS)
                cuts = np.quantile(scores[labels == 1], 1 - kept)
                fakes = np.array([(scores[labels == 0] >= cut).mean() for cut in cuts])
                seen = fakes > 5 / (labels == 0).sum()  # fewer showers tell nothing
                value, _ = self.whole(trained, applied)
                curves.append(
                    {
                        "label": f"{words[trained]} on {words[applied]}, AUC {value:.3f}",
                        "efficiency": kept[seen],
                        "rejection": 1 / fakes[seen],
                    }
                )
        return Chart(
            name,
            "rejection",
            SWAP.name,
            f"Class swap: {label}",
            "One over the fraction of the other class that passes, against the fraction of single showers kept, of "
            "trees trained on one sample and applied to another. Four curves on each other: generated showers can "
            "stand in for Geant4's in identification.",
            {"curves": curves},
        )


def check_other(other: object) -> None:
    """Refuse what is not a pair of samples with incident energies in common, before anything is computed.

    Raises:
        CaloforgeError: it is not, or a file cannot be read.
    """
    if not isinstance(other, tuple | list) or len(other) != 2:
        raise CaloforgeError(f"other takes two samples, generated and reference, not {other!r}")
    energies, names = [], []
    for source in other:
        with open_source(source) as opened:
            energies.append(opened.energies())
            names.append(opened.path)
    try:
        agreement.match(energies[0], energies[1], np.random.default_rng(0))
    except CaloforgeError:
        raise CaloforgeError(
            f"{names[0]} and {names[1]}, of the other particle, have no incident energy in common: give the generated "
            "and the Geant4 showers of one spectrum"
        ) from None
