"""`caloforge evaluate`: evaluate generated showers against a reference."""

from __future__ import annotations

import glob
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import geometries, reconstructions

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


LINE_EVERY = 60.0
"""Interval between progress lines of one section in a log file, in seconds."""


def evaluate(
    generated: list[Path] = typer.Argument(
        ..., metavar="GENERATED", help="HDF5 file of generated showers, or several of one sample."
    ),
    reference: Path = typer.Option(..., "--reference", "-r", help="HDF5 file of reference showers (Geant4)."),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="Folder for the report (by default NAME-report for a file NAME.h5)."
    ),
    baseline: Path | None = typer.Option(
        None,
        "--baseline",
        help="Independent reference showers (Geant4) for the baselines; by default the reference is split in two.",
    ),
    older_baseline: Path | None = typer.Option(None, "--floor", hidden=True, help="Older name of --baseline."),
    train: Path | None = typer.Option(
        None,
        "--train",
        help="Training file of the generator: also tests whether generated showers are copies of its showers, and how "
        "many Geant4 showers the generated ones are worth per training shower.",
    ),
    classifiers: str | None = typer.Option(
        None,
        "--classifiers",
        metavar="NAMES",
        help="Comma-separated tests from the list above, or none; by default trees, or quick with --quick.",
    ),
    repeats: int = typer.Option(1, "--repeats", min=1, help="How many times to train each classifier, for mean ± std."),
    learning_curve: bool = typer.Option(
        False, "--learning-curve", help="Also report each classifier's AUC with 1/8, 1/4 and 1/2 of the showers."
    ),
    quick: bool = typer.Option(
        False, "--quick", help="Only separation powers, Wasserstein distances and one small classifier."
    ),
    plugin: list[Path] = typer.Option(
        [],
        "--plugin",
        metavar="FILE.py",
        help="Python file that registers your own metrics, observables or classifier tests (it is executed). "
        "May be repeated.",
    ),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if a file does not name one; if it does, one with the same voxels "
        "but another threshold.",
    ),
    only_energies: str | None = typer.Option(
        None, "--only-energies", metavar="LIST", help="Compare only these incident energies, e.g. 512,1GeV,4GeV:8GeV."
    ),
    match_energies: bool = typer.Option(
        False, "--match-energies", help="Subsample both files until their incident-energy spectra agree."
    ),
    per_energy: bool = typer.Option(False, "--per-energy", help="Also give numbers and figures per incident energy."),
    by: list[str] = typer.Option(
        [],
        "--by",
        metavar="NAME",
        help="Also give numbers in bins of a condition, such as theta, and in cells of it and the energy. "
        "May be repeated.",
    ),
    ignore_conditions: list[str] = typer.Option(
        [], "--ignore-conditions", metavar="NAME", help="A condition that need not agree. May be repeated."
    ),
    reconstruct: str | None = typer.Option(
        None,
        "--reconstruct",
        metavar="RECIPE",
        autocompletion=reconstructions,
        help="Also compare the samples after a toy reconstruction: a shipped recipe, or a YAML file.",
    ),
    other: tuple[Path, Path] | None = typer.Option(
        None,
        "--other",
        metavar="GENERATED REFERENCE",
        help="With --reconstruct: two files of another particle, generated and Geant4, with the same energies.",
    ),
    unit: str | None = typer.Option(
        None,
        "--unit",
        metavar="UNIT",
        help="For points: unit of energies in files that do not say, as GeV, or MeV,GeV for points and incident "
        "energies.",
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed."),
    overwrite: bool = typer.Option(
        False,
        "--overwrite",
        help="Replace a folder that is not an earlier report, and all in it; a report is replaced anyway.",
    ),
) -> None:
    """Evaluate generated showers against a reference, and write a report.

    Each metric is reported with its baseline (Geant4 vs Geant4): the same metric
    between two independent reference samples of equal size. The folder contains
    report.html (one file, works offline), report.json with every number, CSV
    tables, and figures as PNG and PDF. Voxels below the geometry's readout
    threshold are set to zero in both files.

    A sample may be in several files, such as shards: a folder of them, or a glob
    pattern ('shards/*.h5'), for GENERATED also one name after another. They are
    read by chunks, like one file.

    Files of points (see `caloforge convert`) are evaluated as such: 1-Wasserstein
    distances of their observables, the table over ten samples, for jets JetNet's
    W1M, W1P and W1EFP, and the classifiers trees (on the observables) and
    deep_sets (on the points themselves, which then stay in memory).

    With --reconstruct, all samples are also put through a toy reconstruction:
    noise, topological clusters (thresholds 4, 2, 0), calibration fitted to the
    reference. The report then has response, resolution and linearity of the
    calibrated energy, clusters, and variables of identification (R_eta, w_eta2,
    leakage, ...). Trees tell one shower from two overlaid ones (photon from pi0)
    and, with --other, one particle from another: trained on Geant4 and applied to
    generated showers, and the reverse. Shipped recipes: toy-atlas-like (ds1),
    toy-w-si (ds2, ds3). Your own is a YAML file:

      name: mine
      noise_mev: {0: 8, 1: 3, 2: 3, 3: 8, 12: 8}   # by layer; or one number
      front: [1]                   # strips: E_ratio, width
      middle: [2]                  # R_eta, w_eta2

    Classifier tests: input; classifier (origin of the test)

      caloman                  voxels/E_inc, standardised; MLP 3 x 512 (CaloMan)
      trees                    E_inc, observables; gradient-boosted trees (ours)
      rings                    the same, all rings; gradient-boosted trees (ours)
      challenge_low            voxels/E_inc; MLP 3 x 2048 (CaloChallenge)
      challenge_low_normalised voxels/E_layer, E_layer; MLP 3 x 2048 (same)
      challenge_high           observables; MLP 3 x 2048 (CaloChallenge)
      challenge_resnet         images, ds2 and ds3; 3D ResNet-18 (CaloChallenge)
      caloflow_dnn             voxels, E_layer; MLP 3 x 512 (CaloFlow)
      caloflow_dnn_normalised  voxels/E_layer, E_layer; MLP 3 x 512 (CaloFlow)
      caloflow_cnn             images, E_layer, as calogan; CNN (CaloFlow)
      caloflow_cnn_normalised  images/E_layer, E_layer; CNN (CaloFlow)
      caloflow_logit           logit(voxels/E_layer); MLP 3 x 512 (CaloFlow)
      caloflow_logit_cnn       logit(images/E_layer); CNN (CaloFlow)
      quick                    log voxels; MLP 2 x 128, half a minute (ours)
      everything               observables, log voxels; MLP 3 x 512 (ours)
      strong                   the best of trees, rings and everything (ours)

    Example: caloforge evaluate generated.h5 --reference geant4.h5 -o report
    --classifiers caloman,trees,challenge_high
    """
    import sys

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.errors import CaloforgeError
    from caloforge.evaluation.clouds_of_points import TABLES, is_of_points
    from caloforge.evaluation.evaluate import evaluate as run_evaluation
    from caloforge.evaluation.output import check_target
    from caloforge.evaluation.report.page import key_table
    from caloforge.evaluation.report.tables import section_tables
    from caloforge.evaluation.report.terminal import rich_table, verdict_lines
    from caloforge.registry import import_file
    from caloforge.showers import matching_files

    baseline = baseline or older_baseline
    others = [path for path in (reference, baseline, train, *(other or ())) if path is not None]
    inputs = [file for path in (*generated, *others) for file in matching_files([path])]
    target = out or Path(f"{sample_name(generated)}-report")
    folder = check_target(target, inputs, overwrite)
    for path in plugin:
        before = registered()
        if import_file(path) and registered() == before:
            stderr.print(f"note: {path} registers no metric, observable or classifier test", markup=False)
    tests = parse_names(classifiers)
    if tests is None:
        tests = ["quick" if quick else "trees"]
    if learning_curve and not tests:
        raise CaloforgeError("--learning-curve needs a classifier: give one with --classifiers")
    choice = parse_energies(only_energies) if only_energies is not None else None
    points = is_of_points(reference) or is_of_points(generated)
    for line in (
        [] if points else expected_times(tests, generated, reference, baseline, geometry, repeats, learning_curve)
    ):
        stderr.print(line, markup=False)
    with progress_bar() if stderr.is_terminal else nullcontext() as bar:
        tell = Sections(bar) if bar is not None else Lines()
        report = run_evaluation(
            generated,
            reference,
            baseline=baseline,
            train=train,
            classifiers=tests,
            repeats=repeats,
            learning_curve=learning_curve,
            quick=quick,
            geometry=geometry,
            only_energies=choice,
            match_energies=match_energies,
            per_energy=per_energy,
            by=by,
            ignore_conditions=ignore_conditions,
            reconstruct=reconstruct,
            other=other,
            unit=unit,
            seed=seed,
            command=command_line(sys.argv),
            progress=tell,
        )
        tell("figures and page", 0, 1)
        report.save(folder)
        tell("figures and page", 1, 1)
    if report.about.remark:
        stderr.print(f"note: {report.about.remark}", markup=False)
    stdout.print(rich_table(key_table(report), stdout.width))
    stdout.print()
    for name in TABLES if points else ():
        for table in section_tables(report, report.sections[name]) if name in report.sections else ():
            stdout.print(rich_table(table, stdout.width))
            stdout.print()
    for point in verdict_lines(report.verdict):
        stdout.print(point)
    stdout.print(f"report: {target / 'report.html'}", markup=False)


def registered() -> int:
    """Number of metrics, observables and classifier tests that are registered."""
    from caloforge import observables
    from caloforge.classifiers import TESTS
    from caloforge.evaluation.metrics.base import REGISTRY
    from caloforge.observables.of_clouds import CLOUD_OBSERVABLES

    return len(observables.REGISTRY) + len(CLOUD_OBSERVABLES) + len(REGISTRY) + len(TESTS)


class Lines:
    """Progress for log files: a line at the start of each section, then one a minute."""

    def __init__(self) -> None:
        self._latest = ""
        self._start = self._told = 0.0

    def __call__(self, section: str, done: int, total: int) -> None:
        from caloforge.cli.console import stderr

        now = time.monotonic()
        if section != self._latest:
            self._latest, self._start, self._told = section, now, now
            stderr.print(section, markup=False)
        elif now - self._told > LINE_EVERY and 0 < done < total:
            self._told = now
            left = duration((now - self._start) / done * (total - done))
            stderr.print(f"{section}: {done} of {total}, about {left} left", markup=False)


class Sections:
    """One bar per section of an evaluation; if a section stops early, its bar is filled when the next begins."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}
        self._latest = ""
        self._start = 0.0

    def __call__(self, section: str, done: int, total: int) -> None:
        if section != self._latest:
            self.finish()
            self._start = time.monotonic()
        if section not in self._tasks:
            self._tasks[section] = self._bar.add_task(section, total=total, unit="", remark="")
        passed = time.monotonic() - self._start
        # With steps of many seconds there are too few for the bar's own estimate of the remaining time.
        slow = 0 < done < total and passed > 10 * done
        remark = f"about {duration(passed / done * (total - done))}" if slow else ""
        self._bar.update(self._tasks[section], completed=done, total=total, remark=remark)
        self._latest = section

    def finish(self) -> None:
        """Fill the latest section's bar, even if it stopped early."""
        if self._latest:
            task = self._bar.tasks[self._tasks[self._latest]]
            self._bar.update(task.id, total=max(task.completed, 1), completed=max(task.completed, 1), remark="")


def duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def command_line(argv: list[str]) -> str:
    """The command as typed, without the path of the program."""
    import shlex

    return shlex.join(["caloforge", *argv[1:]])


def parse_names(text: str | None) -> list[str] | None:
    """Names of classifier tests; None if not given, empty for `none`.

    Raises:
        CaloforgeError: a name is empty, or `none` is combined with others.
    """
    from caloforge.errors import CaloforgeError

    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if names == ["none"]:
        return []
    if "none" in names or not all(names):
        raise CaloforgeError(f"--classifiers '{text}': give names separated by commas, or none")
    return list(dict.fromkeys(names))


def parse_energies(text: str) -> list[float | tuple[float, float]]:
    """Incident energies and energy ranges, in MeV, from text such as `512,1GeV,4GeV:8GeV`.

    Raises:
        CaloforgeError: an energy cannot be parsed, or the limits of a range are not increasing.
    """
    from caloforge.errors import CaloforgeError
    from caloforge.units import parse_energy

    found: list[float | tuple[float, float]] = []
    for word in text.split(","):
        low, colon, high = word.partition(":")
        if not colon:
            found.append(parse_energy(low))
            continue
        ends = parse_energy(low), parse_energy(high)
        if ends[0] >= ends[1]:
            raise CaloforgeError(f"--only-energies '{word.strip()}': the lower energy must be below the upper one")
        found.append(ends)
    return found


def sample_name(files: list[Path]) -> str:
    """Name of a sample: of its file without the extension, or of the folder with its files."""
    from caloforge.files import real

    if len(files) > 1 or (glob.has_magic(str(files[0])) and not files[0].exists()):
        return real(files[0]).parent.name
    return real(files[0]).name if files[0].is_dir() else files[0].stem


def expected_times(
    tests: list[str],
    generated: list[Path],
    reference: Path,
    baseline: Path | None,
    geometry: str | None,
    repeats: int,
    learning_curve: bool,
) -> list[str]:
    """Upper limits on the training time of the networks on this machine, one line each; tests of seconds are skipped.

    Tests that cannot be estimated (unknown, or not applicable to the geometry) are left for the evaluation to report.
    """
    from caloforge.errors import CaloforgeError
    from caloforge.showers.inputs import open_source

    named = [test for test in tests if test not in ("quick", "trees")]
    if not named:
        return []
    from caloforge.classifiers import expected_seconds
    from caloforge.evaluation.metrics.classifier import CURVE_WORK

    with open_source(generated, geometry) as showers, open_source(reference, geometry) as others:
        n, half, shape = min(len(showers), len(others)), len(others) // 2, showers.geometry
        if others.geometry.layers != shape.layers:
            return []  # the evaluation will raise
        if baseline is not None:
            with open_source(baseline, geometry) as independent:
                half = min(len(others), len(independent))
    lines = []
    for test in named:
        try:
            whole, at_baseline = (expected_seconds(test, k, shape, repeats=repeats) for k in (n, min(half, n)))
        except CaloforgeError:
            continue
        seconds = whole * (1 + CURVE_WORK * learning_curve) + at_baseline
        extra = "its baseline and learning curve" if learning_curve else "its baseline"
        lines.append(f"classifier {test}: at most about {duration(seconds)} with {extra}")
    return lines
