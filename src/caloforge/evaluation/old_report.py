"""`evaluate` judges generated showers against a reference; `Report` holds every number of it.

A report's data is plain: numbers, text, lists and mappings, written as `report.json`. A metric is a mapping with
`value`, `error`, `floor` and `floor_error` (see `resampling`), or {"unavailable": reason}. Sections:

    separation_power, kl     challenge's observables and voxel_energy (`sections.histograms`)
    mean_separation_power    "all" of them, and "table1", CaloMan's fourteen or so
    wasserstein, lecture_w1  every observable; the lecture's table (`sections.wasserstein`)
    response                 mean and spread of E_dep/E_inc (`sections.response`)
    profiles                 by layer and by radius (`sections.voxels`)
    correlations             `sections.correlations`
    fpd, kpd                 × 10³ (`sections.features`)
    prdc                     `sections.neighbours`
    duplicates               `sections.duplicates`
    always_zero_voxels       `sections.voxels`
    classifier               by test (`classifiers`)
    per_energy               where asked for (`sections.per_energy`)
    spectrum, timing, verdict, and what was compared: generated, reference, floor, geometry, threshold_mev;
    errors and binning say in words how errors and bins are defined
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.errors import CaloforgeError
from caloforge.evaluation import observables
from caloforge.evaluation.binning import DEFINITION
from caloforge.evaluation.comparison import Comparison, Progress, unavailable
from caloforge.evaluation.reading import AnySource, Opened, Request
from caloforge.evaluation.sections.classifiers import classifiers as classifier_tests
from caloforge.evaluation.sections.correlations import correlations
from caloforge.evaluation.sections.duplicates import duplicates
from caloforge.evaluation.sections.features import physics_distances
from caloforge.evaluation.sections.histograms import separations
from caloforge.evaluation.sections.neighbours import kept_points, precision_recall
from caloforge.evaluation.sections.per_energy import per_energy as energy_by_energy
from caloforge.evaluation.sections.response import response
from caloforge.evaluation.sections.voxels import always_zero, profiles
from caloforge.evaluation.sections.wasserstein import distances, lecture_table
from caloforge.evaluation.spectra import EnergyChoice
from caloforge.evaluation.summary import Summary
from caloforge.evaluation.verdict import verdict
from caloforge.files import atomic_folder, write_json
from caloforge.geometry import Geometry

ERRORS = (
    "error: delete-half jackknife; floor_error: spread over random partitions of the reference; precision … "
    "coverage: standard error over showers; KPD: 16–84 % range of batches; shares: binomial; lecture_w1: standard "
    "deviation over ten independent samples"
)


@dataclass
class Report:
    """Every number of an evaluation, and the summaries that its figures are drawn from.

    Args:
        data: plain data (see the module's opening).
        generated, reference, floor: summaries of the samples; `floor` None if the reference was cut in two.
    """

    data: dict[str, Any]
    generated: Summary
    reference: Summary
    floor: Summary | None = None

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `report.json` and the page with its tables and figures; an existing folder is replaced as a whole.

        Returns:
            the folder.

        Raises:
            CaloforgeError: the folder cannot be written.
        """
        from caloforge.evaluation import html

        with atomic_folder(folder) as partial:
            write_json(partial / "report.json", self.data)
            html.render(self, partial)
        return Path(folder)


def evaluate(
    generated: AnySource,
    reference: AnySource,
    *,
    floor: AnySource | None = None,
    train: AnySource | None = None,
    classifiers: Sequence[str] | None = None,
    repeats: int = 1,
    learning_curve: bool = False,
    quick: bool = False,
    geometry: Geometry | str | None = None,
    only_energies: EnergyChoice | None = None,
    match_energies: bool = False,
    per_energy: bool = False,
    seed: int = 1,
    command: str = "",
    progress: Progress | None = None,
) -> Report:
    """Judge generated showers against a reference.

    Args:
        generated, reference: shower files, or showers in memory, of one geometry.
        floor: an independent reference sample; without it the reference is cut in two for the floors.
        train: the file that the generator was trained on: does it repeat showers of it?
        classifiers: names of tests (`classifiers.TESTS`), empty for none; None takes `caloman`, or the one small
            network of a quick evaluation.
        repeats: trainings of each classifier.
        learning_curve: also each classifier's AUC at an eighth, a quarter and a half of the showers.
        quick: separation powers, Wasserstein distances and one small classifier only.
        geometry: what the voxels are where a file does not say; where it does, another threshold or other depths,
            but the same voxels.
        only_energies: compare these incident energies alone: numbers (MeV) and (low, high) ranges.
        match_energies: thin both samples until their incident-energy spectra agree.
        per_energy: also numbers at each incident energy.
        seed: of everything random.
        command: how it was called, for the report.
        progress: told (section, done, total).

    Raises:
        CaloforgeError: a file is bad, geometries or spectra differ, too few showers, an unknown classifier.
    """
    tests = classifiers if classifiers is not None else (["quick"] if quick else ["caloman"])
    _check_tests(tests, repeats)
    request = Request(generated, reference, floor, train, geometry, only_energies, match_energies, seed)
    timing: dict[str, float] = {}
    with Opened(request) as opened:
        c = _timed(timing, "reading", lambda: opened.compare(progress))
        data = _head(c, opened, command)
        data |= _metrics(c, timing, quick, per_energy)
        data["classifier"] = _timed(
            timing, "classifiers", lambda: classifier_tests(c, opened, tests, repeats, learning_curve)
        )
    data["timing"] = timing
    data["verdict"] = verdict(data)
    return Report(plain(data), c.generated, c.reference, c.floor)


def _check_tests(tests: Sequence[str], repeats: int) -> None:
    if repeats < 1:
        raise CaloforgeError(f"the number of repeats must be at least 1, not {repeats}")
    if tests:
        from caloforge.evaluation.classifiers import TESTS

        for name in tests:
            if name not in TESTS:
                raise CaloforgeError(f"unknown classifier '{name}'; known are {', '.join(TESTS)}")


def _timed(timing: dict[str, float], section: str, work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    timing[section] = round(time.perf_counter() - start, 3)
    return result


def _head(c: Comparison, opened: Opened, command: str) -> dict[str, Any]:
    from caloforge import __version__

    def described(summary: Summary) -> dict[str, Any]:
        return {
            "path": summary.path,
            "n": summary.n,
            "without_energy": summary.dark,
            "attributes": summary.attributes,
        }

    return {
        "caloforge_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "seed": c.seed,
        "geometry": c.geometry.name,
        **({"geometry_remark": opened.remark} if opened.remark else {}),
        "threshold_mev": c.threshold,
        "generated": described(c.generated),
        "reference": described(c.reference),
        "floor": {
            "source": "split" if c.floor is None else c.floor.path,
            "n": c.plan.n,
            "stratified": c.plan.stratified,
        },
        "spectrum": opened.spectrum,
        "errors": ERRORS,
        "binning": DEFINITION,
    }


def _metrics(c: Comparison, timing: dict[str, float], quick: bool, wants_energies: bool) -> dict[str, Any]:
    histograms = _timed(timing, "separation_power", lambda: separations(c))
    data: dict[str, Any] = {
        "separation_power": histograms.powers,
        "kl": histograms.divergences,
        "mean_separation_power": {
            "all": histograms.mean(list(histograms.powers)),
            "table1": histograms.mean(observables.table1_names(c.geometry)),
        },
        "wasserstein": _timed(timing, "wasserstein", lambda: distances(c)),
        "response": _timed(timing, "response", lambda: response(c)),
    }
    near = cache(lambda: kept_points(c))
    further: dict[str, Callable[[], Any]] = {
        "lecture_w1": lambda: lecture_table(c),
        "profiles": lambda: profiles(c),
        "correlations": lambda: correlations(c),
        "always_zero_voxels": lambda: always_zero(c),
        "prdc": lambda: precision_recall(c, near()),
        "duplicates": lambda: duplicates(c, near()),
    }
    for section, work in further.items():
        data[section] = unavailable("left out by --quick") if quick else _timed(timing, section, work)
    if quick:
        data["fpd"] = data["kpd"] = unavailable("left out by --quick")
    else:
        data["fpd"], data["kpd"] = _timed(timing, "fpd_kpd", lambda: physics_distances(c))
    if wants_energies:
        data["per_energy"] = _timed(timing, "per_energy", lambda: energy_by_energy(c))
    return data


def plain(value: Any) -> Any:
    """`value` as JSON knows it: numpy's numbers and arrays as plain ones, what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
