"""`evaluate`: compare generated showers with a reference, and return every number as a `Report`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from numbers import Integral
from typing import TYPE_CHECKING, Any

from hist import Hist

from caloforge.energies.agreement import EnergyChoice
from caloforge.errors import CaloforgeError, option
from caloforge.evaluation.clouds_of_points import evaluate_clouds, is_of_points
from caloforge.evaluation.clouds_of_points.evaluate_clouds import check_kinds, cloud_tests, refuse_others
from caloforge.evaluation.estimates import Estimate
from caloforge.evaluation.metrics import (
    after_reconstruction,
    by_condition,
    class_swap,
    classifier,
    correlations,
    duplicates,
    empty_voxels,
    energy_by_energy,
    figure_data,
    fpd_kpd,
    per_energy,
    precision_recall,
    profiles,
    response,
    separation,
    two_sample,
    w1_subsamples,
    wasserstein,
    worth,
)
from caloforge.evaluation.metrics.base import REGISTRY, Chart, Found, Metric, RegisteredMetric, Section
from caloforge.evaluation.report.about import SPLIT, About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.samples.opening import Opened, Request
from caloforge.evaluation.samples.pair import Progress, SamplePair
from caloforge.evaluation.samples.shared import shared
from caloforge.evaluation.samples.summary import Summary
from caloforge.files import printable
from caloforge.formatting import Plain
from caloforge.observables import Observable
from caloforge.points import PointClouds
from caloforge.reconstruction import Reconstruction, load_reconstruction
from caloforge.showers.geometries import GivenGeometry
from caloforge.showers.inputs import AnySource, open_source

if TYPE_CHECKING:  # torch takes a second to import
    from caloforge.classifiers import ClassifierTest

BUILTIN = (
    separation.separation,
    wasserstein.wasserstein,
    response.response,
    worth.worth,
    w1_subsamples.w1_subsamples,
    profiles.profiles,
    correlations.correlations,
    two_sample.two_sample,
    precision_recall.precision_recall,
    fpd_kpd.fpd_kpd,
    duplicates.duplicates,
    empty_voxels.empty_voxels,
    energy_by_energy.energy_by_energy,
    figure_data.figure_data,
)
"""The metrics of every report, in order; a user's own come after them."""


def evaluate(
    generated: AnySource | PointClouds,
    reference: AnySource | PointClouds,
    *,
    baseline: AnySource | PointClouds | None = None,
    train: AnySource | None = None,
    observables: Sequence[str | Observable] | None = None,
    classifiers: Sequence[str | ClassifierTest] = (),
    repeats: int = 1,
    learning_curve: bool = False,
    quick: bool = False,
    geometry: GivenGeometry | None = None,
    only_energies: EnergyChoice | None = None,
    match_energies: bool = False,
    per_energy: bool = False,
    by: Sequence[str] = (),
    ignore_conditions: Sequence[str] = (),
    reconstruct: str | os.PathLike[str] | Mapping[str, Any] | Reconstruction | None = None,
    other: tuple[AnySource, AnySource] | None = None,
    unit: str | None = None,
    seed: int = 1,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Compare generated showers with a reference; as voxels, or as points (`PointClouds` or files of them).

    >>> from caloforge import sample
    >>> report = evaluate(sample("test", stop=200), sample("train", stop=200), quick=True)
    >>> report["mean_separation_power", "all"].estimate.n
    100

    Args:
        generated, reference: shower files, or showers in memory, of one geometry. A folder, a glob pattern or a list
            of files is one sample, such as the shards of a production.
        baseline: an independent reference sample; without it the reference is split in two for the baselines.
        train: the file that the generator was trained on: does it repeat showers of it?
        observables: what separation powers, Wasserstein distances and histograms are taken of (names, on all layers or
            with a layer as `ec_eta_1`, or `Observable`s); None takes the challenge's and every other registered one.
        classifiers: tests to train, by name (`classifiers.TESTS`) or as objects; none by default.
        repeats: trainings of each classifier.
        learning_curve: also each classifier's AUC at an eighth, a quarter and a half of the showers.
        quick: separation powers, Wasserstein distances, the response and classifiers only.
        geometry: what the voxels are; where a file says so itself, it may have another threshold or other depths, but
            the same voxels.
        only_energies: compare these incident energies alone: numbers (MeV) and (low, high) ranges.
        match_energies: thin both samples until their incident-energy spectra agree.
        per_energy: also numbers at each incident energy.
        by: names of further conditions, such as theta: also numbers in bins of each, and in cells of it and the energy.
        ignore_conditions: names of conditions that need not agree, and are not compared by.
        reconstruct: recipe of a toy reconstruction (a shipped one by name, a file, settings), through which all
            samples are put: response, resolution, variables and identification after it.
        other: generated and reference showers of another particle, from which those of the files are distinguished
            after reconstruction; of the same geometry or one with the same layers.
        unit: of points, the unit of energies in files that do not store it, as `GeV`.
        seed: of everything random.
        command: how it was called, for the report.
        progress: told (section, done, total).

    Raises:
        CaloforgeError: a file is bad, geometries or spectra differ, too few showers, an unknown classifier or
            observable.
    """
    for what, value, least in (("repeats", repeats, 1), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            raise CaloforgeError(f"{what} must be an integer of at least {least}, not {value!r}")
    lists = {"classifiers": classifiers, "observables": observables, "by": by, "ignore_conditions": ignore_conditions}
    for what, names in lists.items():
        if isinstance(names, str):
            raise CaloforgeError(f"{what} takes a list of names, as in ['{names}'], not the text '{names}'")
    if learning_curve and not classifiers:
        raise CaloforgeError(
            f"{option('learning_curve', True)} needs a classifier: give one with {option('classifiers')}"
        )
    if other is not None:
        class_swap.check_other(other)
        if reconstruct is None:
            raise CaloforgeError(
                f"{option('other')} needs a reconstruction: give one with {option('reconstruct', 'toy-atlas-like')}"
            )
    if is_of_points(generated) or is_of_points(reference) or is_of_points(baseline):
        check_kinds({"generated": generated, "reference": reference, "baseline": baseline})
        refuse_others(
            {
                "train": train,
                "observables": observables,
                "learning_curve": learning_curve,
                "geometry": geometry,
                "only_energies": only_energies,
                "match_energies": match_energies,
                "per_energy": per_energy,
                "by": by,
                "ignore_conditions": ignore_conditions,
                "reconstruct": reconstruct,
            }
        )
        return evaluate_clouds(
            generated,
            reference,
            baseline=baseline,
            classifiers=cloud_tests(classifiers),
            repeats=repeats,
            quick=quick,
            unit=unit,
            seed=seed,
            command=command,
            progress=progress,
        )
    assert not isinstance(generated, PointClouds)
    assert not isinstance(reference, PointClouds)
    assert not isinstance(baseline, PointClouds)
    if unit is not None:
        raise CaloforgeError(f"{option('unit', unit)} is for files of points, and these hold voxels: leave it out")
    recipe = None if reconstruct is None else load_reconstruction(reconstruct)
    if recipe is not None:
        _check_noise(recipe, [(reference, geometry), *((source, None) for source in other or ())])
    tests = _tests(classifiers)
    timing: dict[str, float] = {}
    request = Request(
        generated,
        reference,
        baseline,
        train,
        observables,
        geometry,
        only_energies,
        match_energies,
        seed,
        by,
        ignore_conditions,
    )
    with Opened(request) as opened:
        with _timed(timing, "reading"):
            samples = opened.read(progress)
        found = _Found()
        for entry in _in_order(REGISTRY.values()):
            if entry.quick or not quick or entry.function not in BUILTIN:  # one's own are wanted, quick or not
                with _timed(timing, entry.name):
                    found.add(entry.function(samples), entry.sections, entry.name)
        if per_energy:
            with _timed(timing, "per_energy"):
                found.add(_per_energy(samples))
        if by:
            with _timed(timing, "by_condition"):
                found.add(by_condition.by_condition(samples))
        if recipe is not None:
            with _timed(timing, "reconstruction"):
                after = after_reconstruction.reconstruct(samples, recipe)
                found.add(
                    after_reconstruction.after_reconstruction(samples, recipe, after), after_reconstruction.SECTIONS
                )
                found.add(class_swap.class_swap(samples, recipe, after, other), [class_swap.SWAP])
        if tests:
            with _timed(timing, "classifiers"):
                found.add(classifier.classifiers(samples, tests, repeats, learning_curve), classifier.SECTIONS)
        about = _about(samples, opened, timing, command)
    return Report(about, found.metrics, found.hists, found.charts, found.present())


_per_energy = per_energy.per_energy


def _check_noise(recipe: Reconstruction, sources: Iterable[tuple[AnySource, GivenGeometry | None]]) -> None:
    """Refuse a recipe without noise for a layer before anything is computed."""
    for source, geometry in sources:
        with open_source(source, geometry) as opened:
            try:
                recipe.noise_of(opened.geometry)
            except CaloforgeError as error:
                raise CaloforgeError(f"{opened.path}: {error}") from None


def _tests(wanted: Sequence[str | ClassifierTest]) -> list[ClassifierTest]:
    if not wanted:
        return []
    from caloforge.classifiers import get_test

    return [get_test(each) for each in wanted]


def _in_order(entries: Iterable[RegisteredMetric]) -> list[RegisteredMetric]:
    own = [entry for entry in entries if entry.function not in BUILTIN]
    return [entry for function in BUILTIN for entry in entries if entry.function is function] + own


@contextmanager
def _timed(timing: dict[str, float], section: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timing[section] = round(time.perf_counter() - start, 3)


class _Found:
    """What the metrics yield, sorted by kind."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []
        self.charts: list[Chart] = []
        self.hists: dict[str, Hist[Any]] = {}
        self._sections: dict[str, Section] = {}

    def add(self, found: Iterable[Found], sections: Iterable[Section] = (), name: str = "") -> None:
        """Take in everything of the metric called `name`.

        Raises:
            CaloforgeError: it yields something else than metrics, charts and histograms, a section that is not
                declared, or one number twice.
        """
        if isinstance(found, str) or not isinstance(found, Iterable):
            raise CaloforgeError(
                f"the metric '{name}' returned {type(found).__name__}; it must yield Metric, Chart or Hist objects"
            )
        self._sections |= {section.name: section for section in sections}
        known = {metric.key for metric in self.metrics}
        for entry in found:
            if isinstance(entry, Chart):
                self.charts.append(entry)
            elif isinstance(entry, Hist):
                self.hists[str(entry.name)] = entry
            elif not isinstance(entry, Metric):
                raise CaloforgeError(
                    f"the metric '{name}' yielded {type(entry).__name__}; it must yield Metric, Chart or Hist objects"
                )
            elif entry.section not in self._sections:
                raise CaloforgeError(
                    f"the metric '{name}' yielded a number of section '{entry.section}', which its @metric does not "
                    f"declare; it declares {', '.join(section.name for section in sections)}"
                )
            elif entry.key in known:
                raise CaloforgeError(f"the metric '{name}' yielded {entry.key} a second time")
            elif not isinstance(entry.estimate, Estimate | None):
                raise CaloforgeError(
                    f"the metric '{name}' yielded {entry.key} with {type(entry.estimate).__name__}, not an Estimate"
                )
            else:
                known.add(entry.key)
                self.metrics.append(entry)

    def present(self) -> dict[str, Section]:
        """Sections that have metrics or charts, in the order in which they are listed."""
        names = {metric.section for metric in self.metrics} | {chart.section for chart in self.charts}
        return {name: section for name, section in self._sections.items() if name in names}


def _about(samples: SamplePair, opened: Opened, timing: Mapping[str, float], command: str) -> About:
    from caloforge import __version__

    def sample(summary: Summary, copies: int = 0) -> Sample:
        attributes = {key: _plain(value) for key, value in summary.attributes.items()}
        return Sample(summary.path, summary.n, summary.below_threshold, attributes, copies)

    agreement, source = opened.agreement, SPLIT if samples.independent is None else samples.independent.path
    return About(
        generated=sample(samples.generated, shared(samples.generated.fingerprints, samples.reference.fingerprints)),
        reference=sample(samples.reference),
        geometry=samples.geometry,
        geometry_name=samples.geometry.name,
        threshold_mev=samples.threshold,
        baseline=BaselineSample(source, samples.plan.n, samples.plan.stratified),
        spectrum=Spectrum(opened.request.match_energies, agreement.distance, agreement.probability, agreement.kept),
        seed=samples.seed,
        command=printable(command),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        caloforge_version=__version__,
        remark=opened.remark,
        timing=timing,
    )


def _plain(value: object) -> Plain:
    """An attribute of a file as JSON knows it; what it cannot hold as text."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "size", 1) == 1:
        value = item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
