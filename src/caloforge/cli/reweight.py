"""`caloforge reweight`: weight generated showers towards Geant4, or draw unweighted ones by such weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.choices import MOST_SEED
from caloforge.cli.completion import geometries

if TYPE_CHECKING:
    from rich.table import Table

    from caloforge.reweighting.reweight import Reweighted


def reweight(
    generated: Path = typer.Argument(..., metavar="GENERATED", help="HDF5 file of generated showers."),
    reference: Path = typer.Option(..., "--reference", "-r", help="HDF5 file of reference showers (Geant4)."),
    out: Path = typer.Option(..., "--out", "-o", help="HDF5 file to write."),
    unweight: bool = typer.Option(
        False,
        "--unweight",
        help="Write showers without weights, each accepted with probability weight / largest weight.",
    ),
    classifier: str = typer.Option(
        "trees", "--classifier", "-c", metavar="TEST", help="Classifier test that the weights come from."
    ),
    clip: float = typer.Option(5.0, "--clip", metavar="W", help="Lower larger weights to this."),
    folds: int = typer.Option(
        10, "--folds", min=2, help="Parts of the showers; each gets weights from classifiers trained on the others."
    ),
    repeats: int = typer.Option(5, "--repeats", min=1, help="Trainings per part, whose scores are averaged."),
    rounds: int = typer.Option(
        2, "--rounds", min=1, help="How often showers are weighted; each round starts from the weights before it."
    ),
    judge: Path | None = typer.Option(
        None,
        "--judge",
        metavar="FILE",
        help="Other Geant4 showers: AUC of a classifier trained on them, before and after.",
    ),
    judge_classifier: str = typer.Option(
        "trees", "--judge-classifier", metavar="TEST", help="Classifier test of --judge."
    ),
    geometry: str | None = typer.Option(
        None,
        "--geometry",
        "-g",
        autocompletion=geometries,
        help="Built-in geometry or geometry file, if a file does not name one; if it does, one with the same voxels.",
    ),
    seed: int = typer.Option(1, "--seed", min=0, max=MOST_SEED, help="Random seed."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an existing file."),
) -> None:
    """Weight generated showers by a classifier, so that they follow Geant4.

    Each shower gets w = C / (1 - C), with C the calibrated probability that it is
    Geant4's, from classifiers that were not trained on it. Weights have mean 1 at
    each incident energy, so the spectrum stays as it is. OUT has all showers and
    their `weights`, by which caloforge evaluate draws showers. With --unweight, OUT
    has only the accepted showers: about N divided by the largest weight.

    Both files must have the same incident-energy spectrum. --reference should not
    be the file that the result is evaluated with. The tests are those listed by
    caloforge evaluate --help.

    Example: caloforge reweight generated.h5 --reference train.h5 -o weighted.h5
    --judge test.h5

    Example: caloforge reweight generated.h5 --reference train.h5 -o better.h5
    --unweight --clip 3
    """
    import sys

    from caloforge.cli.console import progress_bar, stderr, stdout
    from caloforge.cli.evaluate import command_line
    from caloforge.errors import CaloforgeError
    from caloforge.evaluation.output import check_writable
    from caloforge.files import prepare_parent, printable, real, refuse_existing
    from caloforge.formatting import share, with_error
    from caloforge.reweighting.judging import independent_samples
    from caloforge.reweighting.judging import judge as run_judge
    from caloforge.reweighting.reweight import reweight as run_reweighting

    if real(out) in {real(path) for path in (generated, reference, judge) if path is not None}:
        raise CaloforgeError(f"{out} is an input file: give another file with -o")
    prepare_parent(out)
    refuse_existing(out, overwrite)
    check_writable(out)
    if judge is not None:
        if real(judge) == real(reference):
            raise CaloforgeError(f"--judge {judge} is the file of --reference: give other Geant4 showers")
        independent_samples(reference, judge, geometry)
    with progress_bar() as bar:
        task = bar.add_task(f"classifier {classifier}", total=rounds * folds * repeats, unit="trainings", remark="")
        found = run_reweighting(
            generated,
            reference,
            classifier=classifier,
            clip=clip,
            folds=folds,
            repeats=repeats,
            rounds=rounds,
            geometry=geometry,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    attributes = {"command": printable(command_line(sys.argv))}
    kept = found.unweighted(seed) if unweight else found.showers
    if unweight:
        kept.write(out, attributes)
    else:
        found.write(out, attributes)
    stdout.print(table(found))
    calibration = found.calibration
    stdout.print(
        f"before weighting, {classifier} has AUC {with_error(found.auc.value, found.auc.error)}; calibration error "
        f"{calibration.value:.4f} (by chance {calibration.expected:.4f})"
    )
    if found.clipped:
        whole = found.effective_size_unclipped / len(found.weights)
        stdout.print(
            f"{found.clipped:,} weights above {clip:g} were lowered to it, {share(found.lost)} of their sum; without "
            f"that the effective sample size is {share(whole)}"
        )
    if judge is not None:
        if judge_classifier != "trees":
            stderr.print(f"classifier {judge_classifier}: three trainings", markup=False)
        verdict = run_judge(found, reference, judge, classifier=judge_classifier, seed=seed + 1)
        before, after = (with_error(each.value, each.error) for each in (verdict.before, verdict.after))
        stdout.print(
            f"{verdict.classifier} on {judge}, {verdict.n:,} showers per sample: AUC {before} before, {after} after, "
            f"baseline {with_error(verdict.after.baseline or 0.0, verdict.after.baseline_error)}",
            markup=False,
        )
    what = f"{len(kept):,} of {len(found.weights):,} showers" if unweight else f"{len(kept):,} showers with weights"
    stdout.print(f"wrote {out}: {what}", markup=False)


def table(found: Reweighted) -> Table:
    """Effective sample sizes by incident energy."""
    from caloforge.evaluation.report.terminal import empty_table
    from caloforge.formatting import share

    sizes = empty_table("effective sample size (Σw)² / Σw²")
    for title in ("incident energy", "showers", "effective", "per shower", "largest weight"):
        sizes.add_column(title, justify="left" if title == "incident energy" else "right", no_wrap=True)
    for each in found.effective_sizes:
        sizes.add_row(each.label, f"{each.n:,}", f"{each.size:,.0f}", share(each.share), f"{each.largest:.2f}")
    return sizes
