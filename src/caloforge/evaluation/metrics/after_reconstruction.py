"""Both samples after a toy reconstruction (`caloforge.reconstruction`): what is left of their differences?

Noise is added to every voxel, clusters are made, and the sum of their energies is calibrated by a function that is
fitted to the reference and used on all samples. Reported are the response and the resolution of the calibrated energy
at each incident energy, as `response` does before reconstruction; how the response changes with the energy; the
fraction of showers with a cluster; and separation powers of the variables that identify particles. `class_swap`
distinguishes two classes of showers by these variables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from caloforge.distances.one_dimensional import separation_powers
from caloforge.energies.agreement import groups
from caloforge.evaluation.estimates import FEWEST, Draws, Estimate, draw, mean_of
from caloforge.evaluation.metrics.base import Chart, Extra, Found, Metric, Section
from caloforge.evaluation.metrics.figure_data import response_map
from caloforge.evaluation.metrics.response import AtEnergy, Moments, Slices, by_energy, combined
from caloforge.evaluation.metrics.separation import bins_in_words
from caloforge.evaluation.samples.pair import SamplePair
from caloforge.observables.axes import AxisRequest, of_reference
from caloforge.observables.binning import bin_numbers
from caloforge.reconstruction import EnergyScale, Reconstructed, Reconstruction, Reconstructor
from caloforge.reconstruction.identification import LABELS, UNITS

PAGE = "reconstruction"

RESPONSE = Section(
    "reconstructed_response",
    "Response after reconstruction",
    "Calibrated energy of all clusters over E_inc: mean and spread, generated over reference minus 1; slope of the "
    "mean response against log2 E_inc; fraction of showers with a cluster, generated minus reference. The calibration "
    "is fitted to the reference alone.",
    direction="nearer",
    extra={"generated": "generated", "reference": "reference", "probability": "p of χ²"},
    page=PAGE,
)
MEAN = Section(
    "mean_reconstructed_power",
    "Mean separation power after reconstruction",
    "Over the variables of clusters and showers that identify particles.",
    extra={"variables": "variables"},
    page=PAGE,
)
POWERS = Section(
    "reconstructed_power",
    "Separation powers after reconstruction",
    "Of clusters and of the variables that identify particles, in 50 bins over the range of the reference; what lies "
    "outside is counted in a bin on each side.",
    extra={"mean_generated": "mean, gen.", "mean_reference": "mean, ref."},
    page=PAGE,
)
SECTIONS = (RESPONSE, MEAN, POWERS)

LABELS_OF_RESPONSE = {
    "mean": "mean of E_rec / E_inc",
    "spread": "resolution of E_rec / E_inc",
    "slope": "linearity: slope of the response per octave",
    "efficiency": "fraction of showers with a cluster",
}

SAMPLES = {"generated": 0, "reference": 1, "baseline": 2}
"""Samples, with what their noise is seeded with."""


@dataclass(frozen=True)
class AfterChain:
    """All samples after reconstruction.

    Args:
        generated, reference: their showers.
        independent: those of the independent reference, None without one.
        scale: the calibration.
    """

    generated: Reconstructed
    reference: Reconstructed
    independent: Reconstructed | None
    scale: EnergyScale

    def pool(self) -> Reconstructed:
        """The reference's showers, then the independent reference's."""
        return Reconstructed.joined([self.reference, *([self.independent] if self.independent is not None else [])])

    def response(self, sample: Reconstructed) -> np.ndarray:
        """(N,) calibrated energy over E_inc; 0 without a cluster."""
        return np.asarray(self.scale(sample.energies) / sample.incident)


def reconstruct(samples: SamplePair, recipe: Reconstruction) -> AfterChain:
    """All samples through the chain, chunk by chunk, each with noise of its own."""
    assert samples.stream is not None
    chain = Reconstructor(recipe, samples.geometry)
    found: dict[str, Reconstructed] = {}
    keys = [key for key in SAMPLES if key != "baseline" or samples.independent is not None]
    for done, key in enumerate(keys):
        rng = np.random.default_rng([samples.seed, 23, SAMPLES[key]])
        found[key] = Reconstructed.joined([chain(chunk, rng) for chunk in samples.stream(key)])
        samples.tell("reconstruction", done + 1, len(keys))
    scale = EnergyScale.fit(recipe.calibration, found["reference"].incident, found["reference"].energies)
    return AfterChain(found["generated"], found["reference"], found.get("baseline"), scale)


def after_reconstruction(samples: SamplePair, recipe: Reconstruction, after: AfterChain) -> Iterator[Found]:
    """Response, resolution, linearity, efficiency, and separation powers of the variables."""
    if samples.unavailable:
        for key, label in LABELS_OF_RESPONSE.items():
            yield Metric(RESPONSE.name, key, label, None, reason=samples.unavailable)
        return
    yield from _response(samples, recipe, after)
    yield from _powers(samples, after)


# ---- energy ---------------------------------------------------------------------------------------------------------


def _response(samples: SamplePair, recipe: Reconstruction, after: AfterChain) -> Iterator[Found]:
    slices, pool = groups(samples.reference.energies), after.pool()
    first, second = (pool.take(rows) for rows in samples.plan.baseline[0])
    found, baseline = (
        _at_energies(slices, after, *pair) for pair in ((after.generated, after.reference), (first, second))
    )
    for key in ("mean", "spread"):
        if not any(found):
            reason = "no shower of the reference has a cluster: make noise_mev smaller"
            yield Metric(RESPONSE.name, key, LABELS_OF_RESPONSE[key], None, reason=reason)
            continue
        entry, level = combined(found, key), combined(baseline, key).estimate if baseline else None
        extra: Extra = {**entry.extra, **({"recipe": json.dumps(recipe.to_config())} if key == "mean" else {})}
        yield _told(entry, key, _with_level(entry.estimate, level, samples.plan.n), "", extra)
        for each in found:
            if key in each.differences:
                single = Estimate(*each.differences[key], expected=0.0)
                extra = {"energy": each.energy, **_absolute(after, each, slices, key)}
                yield _told(entry, key, single, each.label, extra)
    for of in (_slope, _efficiency):
        entry, level = of(slices, after, after.generated, after.reference), of(slices, after, first, second).estimate
        yield replace(entry, estimate=_with_level(entry.estimate, level, samples.plan.n))
    pairs = [(s.incident[s.found], after.response(s)[s.found]) for s in (after.generated, after.reference)]
    if all(len(energies) for energies, _ in pairs):
        chart = response_map(*pairs)
        yield replace(
            chart,
            name="reconstructed_response",
            section=RESPONSE.name,
            title="Reconstructed against incident energy",
            caption="Calibrated energy of all clusters over the incident energy, of showers with a cluster. The "
            "calibration is fitted to the reference, whose mean response it makes 1. Below: mean (linearity) and "
            "relative width (resolution), then how far both differ from the reference, whose error is the band.",
            data={**chart.data, "ratio": r"$E_{rec}\,/\,E_{inc}$"},
        )


def _told(entry: Metric, key: str, estimate: Estimate | None, at: str, extra: Extra) -> Metric:
    label = LABELS_OF_RESPONSE[key]
    return replace(entry, section=RESPONSE.name, label=label, estimate=estimate, at=at, extra=extra)


def _with_level(estimate: Estimate | None, level: Estimate | None, n: int) -> Estimate | None:
    """An estimate with its baseline, the same of two samples of n reference showers."""
    if estimate is None or level is None:
        return estimate
    return replace(estimate, baseline=level.value, baseline_error=level.error, n=n)


def _at_energies(slices: Slices, after: AfterChain, one: Reconstructed, other: Reconstructed) -> list[AtEnergy]:
    """Differences of the response at each energy, of showers with a cluster."""
    pairs = [(s.incident[s.found], after.response(s)[s.found]) for s in (one, other)]
    return by_energy(slices, *pairs) if all(len(energies) for energies, _ in pairs) else []


def _inside(sample: Reconstructed, slices: Slices, label: str) -> np.ndarray:
    """(N,) showers with a cluster at one energy; of all where none is called so."""
    for name, low, high in slices:
        if name == label:
            return np.asarray((sample.incident >= low) & (sample.incident < high) & sample.found)
    return sample.found


def _absolute(after: AfterChain, each: AtEnergy, slices: Slices, key: str) -> Extra:
    """Mean response, or relative resolution, of both samples at one energy."""
    found: Extra = {}
    for name, sample in (("generated", after.generated), ("reference", after.reference)):
        m = Moments.of(after.response(sample)[_inside(sample, slices, each.label)])
        found[name] = m.mean if key == "mean" else m.spread / m.mean
    return found


def _slope(slices: Slices, after: AfterChain, one: Reconstructed, other: Reconstructed) -> Metric:
    """Slope of the mean response against log2 E_inc, of one sample minus that of the other."""
    slopes: list[tuple[float, float]] = []
    for sample in (one, other):
        response, points = after.response(sample), []
        for label, low, high in slices:
            values = response[_inside(sample, slices, label)]
            if len(values) >= FEWEST and values.std() > 0:
                points.append((math.log2(low * high) / 2, values.mean(), values.std() / math.sqrt(len(values))))
        if len(points) < 2:
            reason = f"needs two incident energies with {FEWEST} reconstructed showers each"
            return Metric(RESPONSE.name, "slope", LABELS_OF_RESPONSE["slope"], None, reason=reason)
        x, y, error = np.array(points).T
        w = error**-2.0
        centred = x - (w * x).sum() / w.sum()
        curvature = float((w * centred**2).sum())
        slopes.append((float((w * centred * y).sum()) / curvature, curvature**-0.5))
    (a, of_a), (b, of_b) = slopes
    estimate = Estimate(a - b, math.hypot(of_a, of_b), expected=0.0)
    return Metric(RESPONSE.name, "slope", LABELS_OF_RESPONSE["slope"], estimate, extra={"generated": a, "reference": b})


def _efficiency(slices: Slices, after: AfterChain, one: Reconstructed, other: Reconstructed) -> Metric:
    """Fraction of showers with a cluster, of one sample minus that of the other."""
    fractions, both = (one.found.mean(), other.found.mean()), np.concatenate([one.found, other.found]).mean()
    error = math.sqrt(both * (1 - both) * (1 / len(one) + 1 / len(other)))
    estimate = Estimate(float(fractions[0] - fractions[1]), error, expected=0.0)
    extra: Extra = {"generated": float(fractions[0]), "reference": float(fractions[1])}
    return Metric(RESPONSE.name, "efficiency", LABELS_OF_RESPONSE["efficiency"], estimate, extra=extra)


# ---- variables ------------------------------------------------------------------------------------------------------


def _powers(samples: SamplePair, after: AfterChain) -> Iterator[Found]:
    """Separation power of each variable, their mean, and histograms."""
    draws: list[Draws] = []
    panels: list[Mapping[str, object]] = []
    pool = after.pool()
    for name, values in pool.variables.items():
        generated, reference = after.generated.variables[name], after.reference.variables[name]
        unit = UNITS.get(name, "")
        edges = of_reference(AxisRequest(samples.geometry, None, reference, samples.threshold))
        assert edges is not None
        width = len(edges) + 1
        bins = bin_numbers(generated, edges), bin_numbers(values, edges)

        def distance(a: np.ndarray, b: np.ndarray, width: int = width) -> np.ndarray:
            h, g = (np.bincount(part, minlength=width)[None] for part in (a, b))
            return separation_powers(h, g)

        drawn = draw(distance, *bins, samples.plan)
        draws.append(drawn)
        extra: Extra = {
            "bins": bins_in_words(edges),
            # A ratio to an energy near zero may be anything: what lies outside counts as the end of the range.
            "mean_generated": float(np.clip(generated, edges[0], edges[-1]).mean()),
            "mean_reference": float(np.clip(reference, edges[0], edges[-1]).mean()),
        }
        yield Metric(POWERS.name, name, LABELS[name], drawn.estimates()[0], extra=extra)
        counts = [np.bincount(part, minlength=width) for part in (bins[0], bins[1][: len(reference)])]
        label = f"{LABELS[name]} [{unit}]" if unit else LABELS[name]
        panels.append({"label": label, "edges": edges, "generated": counts[0], "reference": counts[1]})
    [mean] = mean_of(draws).estimates()
    yield Metric(MEAN.name, "all", "mean over the variables", mean, extra={"variables": len(draws)})
    yield Chart(
        "reconstructed_variables",
        "histograms",
        POWERS.name,
        "Clusters and identification variables",
        "Fractions of all showers after noise and clustering, with the ratio of generated to reference below.",
        {"panels": panels, "log": True},
    )
