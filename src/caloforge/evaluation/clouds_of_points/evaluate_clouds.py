"""`evaluate_clouds`: compare generated point clouds with a reference, and return every number as a `Report`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
from hist import Hist

from caloforge.energies import agreement
from caloforge.errors import CaloforgeError, either, option
from caloforge.evaluation.clouds_of_points.all_observables import TOGETHER, together
from caloforge.evaluation.clouds_of_points.cloud_distances import distances, over_ten_samples
from caloforge.evaluation.clouds_of_points.cloud_profiles import profile_chart
from caloforge.evaluation.clouds_of_points.cloud_samples import (
    AnyClouds,
    CloudPair,
    CloudSource,
    CloudSummary,
    shape_of,
    summarise_clouds,
)
from caloforge.evaluation.clouds_of_points.jet_distances import JETNET, jet_distances
from caloforge.evaluation.clouds_of_points.single_clouds import single_clouds
from caloforge.evaluation.metrics.base import Chart, Metric, Section
from caloforge.evaluation.metrics.classifier import AUC, IMPORTANCE, JSD
from caloforge.evaluation.metrics.w1_subsamples import SUBSAMPLES
from caloforge.evaluation.metrics.wasserstein import DISTANCES
from caloforge.evaluation.report.about import SPLIT, About, BaselineSample, Sample, Spectrum
from caloforge.evaluation.report.report import Report
from caloforge.evaluation.samples.pair import Progress
from caloforge.evaluation.samples.plan import make_plan
from caloforge.files import printable
from caloforge.points import PointClouds, is_point_file
from caloforge.showers import matching_files
from caloforge.showers.attributes import plain_attribute
from caloforge.units import count

SECTIONS: tuple[Section, ...] = (DISTANCES, SUBSAMPLES, JETNET, TOGETHER, AUC, JSD, IMPORTANCE)

CLOUD_TESTS = ("trees", "deep_sets")
"""Classifier tests of points."""

TABLES = (SUBSAMPLES.name, JETNET.name)
"""Sections that the command prints."""

GEOMETRY = "point clouds"
"""Stands for the geometry in a report of points."""


def is_of_points(source: object) -> bool:
    """Whether something to evaluate is point clouds, or files of them, by the first."""
    if isinstance(source, PointClouds):
        return True
    given: list[Any] = list(source) if isinstance(source, list | tuple) else [source]
    if not given or not all(isinstance(each, str | os.PathLike) for each in given):
        return False
    first = matching_files(given)[0]
    return first.is_file() and is_point_file(first)


def check_kinds(samples: Mapping[str, object]) -> None:
    """Require all samples that are given to be of points.

    Raises:
        CaloforgeError: one holds voxels.
    """
    given = {key: sample for key, sample in samples.items() if sample is not None}
    points = [key for key, sample in given.items() if is_of_points(sample)]
    for key in given.keys() - set(points):
        raise CaloforgeError(
            f"the {points[0]} sample holds points, the {key} sample does not: convert one of them ("
            + either("caloforge convert", "caloforge.points.conversion.convert")
            + ")"
        )


def refuse_others(given: Mapping[str, object]) -> None:
    """Refuse arguments of `evaluate` that are for voxels.

    Raises:
        CaloforgeError: one is given.
    """
    for name, value in given.items():
        if value is not None and value is not False and value != () and value != []:
            raise CaloforgeError(f"{option(name)} is for voxels, and these samples are of points: leave it out")


def cloud_tests(classifiers: Sequence[object]) -> list[str]:
    """Names of the classifier tests that are wanted; `quick` is `trees`.

    Raises:
        CaloforgeError: one needs voxels, or is unknown.
    """
    names = []
    for test in classifiers:
        name = getattr(test, "name", test)
        if name not in (*CLOUD_TESTS, "quick"):
            raise CaloforgeError(f"there is no classifier test '{name}' of points; there are {', '.join(CLOUD_TESTS)}")
        names.append("trees" if name == "quick" else str(name))
    return list(dict.fromkeys(names))


def evaluate_clouds(
    generated: object,
    reference: object,
    *,
    baseline: object = None,
    classifiers: Sequence[str] = ("trees",),
    repeats: int = 1,
    quick: bool = False,
    unit: str | None = None,
    seed: int = 1,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Compare generated point clouds with a reference.

    Args:
        generated, reference: files of points (several of one sample, too), or clouds in memory, of showers or of jets.
        baseline: an independent reference sample; without it the reference is split in two for the baselines.
        classifiers: tests to train (`CLOUD_TESTS`); for deep_sets, points stay in memory.
        repeats: trainings of each.
        quick: leave out the distances of all observables together.
        unit: of energies in files that do not store it.
        seed: of everything random.
        command: how it was called, for the report.
        progress: told (section, done, total).

    Raises:
        CaloforgeError: a file is bad, or of another kind than the others; energies differ; too few showers.
    """
    timing: dict[str, float] = {}
    start = time.perf_counter()
    given = {"generated": generated, "reference": reference, **({} if baseline is None else {"baseline": baseline})}
    sources = {key: CloudSource(cast(AnyClouds, each), unit) for key, each in given.items()}
    _check_alike(sources)
    for key, source in sources.items():
        fewest = 4 if key == "reference" and baseline is None else 2
        if source.n < fewest:
            raise CaloforgeError(
                f"{source.path} has {count(source.n, source.noun)} to compare; at least {fewest} are needed"
            )
    tell = progress or (lambda section, done, total: None)
    shape = shape_of(sources["reference"])
    keep = "deep_sets" in classifiers
    summaries = {
        key: summarise_clouds(
            source,
            shape,
            lambda done, total, key=key: tell(f"reading the {key} {shape.noun}s", done, total),  # type: ignore[misc]
            keep,
        )
        for key, source in sources.items()
    }
    energies = {key: each.energies for key, each in summaries.items()}
    agree = _distance if shape.noun == "jet" else agreement.check_same
    spectra = {
        key: agree(energies[key], energies["reference"], sources[key].path, sources["reference"].path)
        for key in energies
        if key != "reference"
    }
    plan = make_plan(
        energies["generated"], energies["reference"], energies.get("baseline"), np.random.default_rng([seed, 2])
    )
    pair = CloudPair(
        summaries["generated"], summaries["reference"], summaries.get("baseline"), shape, plan, seed, progress
    )
    timing["reading"] = round(time.perf_counter() - start, 3)
    metrics: list[Metric] = []
    charts: list[Chart] = []
    hists: dict[str, Hist[Any]] = {}
    parts: dict[str, Callable[[], Iterator[Metric | Chart | Hist[Any]]]] = {"wasserstein": lambda: distances(pair)}
    if shape.noun == "jet":
        parts["jetnet"] = lambda: jet_distances(pair)
    else:
        parts["w1_subsamples"] = lambda: over_ten_samples(pair)
        parts["profiles"] = lambda: profile_chart(pair)
    parts["single"] = lambda: single_clouds(pair, sources["generated"], sources["reference"])
    if not quick:
        parts["together"] = lambda: together(pair)
    if classifiers:
        parts["classifiers"] = lambda: _classifiers(pair, classifiers, repeats)
    for name, work in parts.items():
        start = time.perf_counter()
        for found in work():
            if isinstance(found, Metric):
                metrics.append(found)
            elif isinstance(found, Chart):
                charts.append(found)
            else:
                hists[str(found.name)] = found
        timing[name] = round(time.perf_counter() - start, 3)
    present = {metric.section for metric in metrics}
    sections = {section.name: section for section in SECTIONS if section.name in present}
    about = _about(pair, spectra["generated"], timing, command)
    return Report(about, metrics, hists, charts, sections)


def _distance(first: np.ndarray, second: np.ndarray, name: str, other: str) -> tuple[float, float]:
    """Of the p_T of jets, which may differ: what is compared is relative to it."""
    return agreement.distance(first, second)


def _classifiers(pair: CloudPair, wanted: Sequence[str], repeats: int) -> Iterator[Metric | Chart]:
    """See `cloud_classifiers`, which imports torch: a second that evaluations without a classifier save."""
    from caloforge.evaluation.clouds_of_points.cloud_classifiers import classifier_tests

    return classifier_tests(pair, wanted, repeats)


def _check_alike(sources: Mapping[str, CloudSource]) -> None:
    """Require all samples to be showers, or jets, with the columns of the reference.

    Raises:
        CaloforgeError: one is something else.
    """
    reference = sources["reference"]
    for source in sources.values():
        if source.noun != reference.noun:
            raise CaloforgeError(
                f"{source.path} holds {source.noun}s, {reference.path} {reference.noun}s: give files of one kind"
            )
        if source.noun == "shower":
            needed = ("x", "y", "layer" if "layer" in reference.names else "z", "energy")
            for name in needed:
                if name not in source.names:
                    raise CaloforgeError(
                        f"{source.path} has no column {name} of its points (it has {', '.join(source.names)}): convert "
                        f"it first with {option('layer_pitch')}"
                    )


def _about(pair: CloudPair, spectrum: tuple[float, float], timing: Mapping[str, float], command: str) -> About:
    from caloforge import __version__

    def sample(summary: CloudSummary) -> Sample:
        attributes = {key: plain_attribute(value) for key, value in summary.attributes.items()}
        kept = {key: value for key, value in attributes.items() if not isinstance(value, list)}
        return Sample(summary.path, summary.n, summary.empty, kept)

    return About(
        generated=sample(pair.generated),
        reference=sample(pair.reference),
        geometry=None,
        geometry_name=GEOMETRY,
        threshold_mev=0.0,
        baseline=BaselineSample(
            SPLIT if pair.independent is None else pair.independent.path, pair.plan.n, pair.plan.stratified
        ),
        spectrum=Spectrum(False, *spectrum, {}),
        seed=pair.seed,
        command=printable(command),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        caloforge_version=__version__,
        timing=timing,
    )
