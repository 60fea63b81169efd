"""`caloforge train`: train a generator from a recipe and a shower file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from caloforge.cli.completion import recipes, runs

if TYPE_CHECKING:
    from caloforge.simulator import AnySimulator
    from caloforge.training.distributed import Processes


def train(
    recipe: str = typer.Argument(
        ..., autocompletion=recipes, help="Recipe file, or the name of a shipped one (caloman-ds1-photons)."
    ),
    train_files: list[Path] = typer.Option(
        ...,
        "--train",
        metavar="FILE...",
        help="HDF5 file of training showers, or several files of one sample.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the run; it is created."),
    valid: list[Path] = typer.Option(
        [], "--valid", metavar="FILE...", help="Validation showers; by default a fraction of --train is set aside."
    ),
    overrides: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Override a key of the recipe, e.g. training.epochs=10. May be repeated."
    ),
    exclude_energies: str | None = typer.Option(
        None,
        "--exclude-energies",
        metavar="LIST",
        help="Incident energies to exclude from training, e.g. 512,4096 or 1GeV.",
    ),
    initial: Path | None = typer.Option(
        None,
        "--from",
        metavar="RUN",
        autocompletion=runs,
        help="Start from the weights of this run where they fit: same kind of model, any detector.",
    ),
    seeds: int | None = typer.Option(
        None, "--seeds", min=1, metavar="N", help="Train N times, with seeds that follow each other: RUN/seed-1 …"
    ),
    resume: bool = typer.Option(False, "--resume", help="Continue an interrupted run in the same folder."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier run in the folder."),
    check_expected: bool = typer.Option(
        False,
        "--check-expected",
        help="Afterwards, compare with what the recipe's own trainings reached; exit status 1 if it came out worse.",
    ),
    tensorboard: bool = typer.Option(
        False, "--tensorboard", help="Write TensorBoard logs to the run folder (needs caloforge\\[tensorboard])."
    ),
) -> None:
    """Train a generator from a recipe.

    Shows losses, rate and remaining time for each stage, logs every epoch to
    RUN/log.jsonl, and writes checkpoints. Ctrl-C stops cleanly; the same command
    with --resume gives the same weights as an uninterrupted run.

    Showers that do not fit in memory (training.memory_gb, by default half of the
    free memory) are read from scratch files next to RUN, which are removed at the
    end; the result is the same. For a sample in several files, give them all:
    --train 'dataset_3_*.hdf5', or one name after another.

    With --from, the training starts from the weights of another run, and needs fewer
    showers (docs/conditions.md); training.carried_rate is the factor on their learning
    rate, for all stages or for some, and 0 keeps them.

    With --seeds 5, five trainings follow each other into RUN/seed-1 … RUN/seed-5 (from
    the recipe's training.seed on). Each has other weights at the start and another
    order of batches, and sets aside other showers for validation unless --valid is
    given. --resume keeps those that are finished. What they differ by is the
    generator's uncertainty: see caloforge compare.

    With --check-expected, the loss that each stage reached is compared with those of the
    trainings that the recipe tells of (expected:), on the same number of showers.

    With torchrun, or srun with several tasks, the processes train together and each
    takes a part of every batch; the result is that of one process (docs/cluster.md).

    Example: caloforge train caloman-ds1-photons --train train.h5 -o run --set training.epochs=50
    """
    import shlex

    from caloforge.cli.console import stderr, stdout
    from caloforge.cli.expectation import Expectation
    from caloforge.cli.watching import TensorBoard, TrainingBars
    from caloforge.errors import CaloforgeError
    from caloforge.training import Callback, load_recipe
    from caloforge.training import train as run_training
    from caloforge.training.distributed import restarted
    from caloforge.training.expected import SameStages
    from caloforge.training.seeds import SeedRun, seed_runs
    from caloforge.units import parse_energy

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite are mutually exclusive")
    place = _Place(out)
    with _speaking_once(place) as team:
        checked = load_recipe(recipe, overrides)
        if check_expected and (exclude_energies or valid or initial):
            raise CaloforgeError(
                "--check-expected compares trainings on the whole file from the start: leave out --exclude-energies, "
                "--valid and --from"
            )
        expectation = Expectation.of(checked, recipe, train_files) if check_expected else None
        plan = [SeedRun(checked.training.seed, out, resume)]
        if seeds is not None:
            again = team.total([float(restarted())])[0] > 0 and out.exists()
            plan = team.from_first(
                lambda: seed_runs(
                    checked,
                    train_files,
                    out,
                    seeds,
                    validation=valid or None,
                    initial=initial,
                    resume=resume or again,
                    overwrite=overwrite and not again,
                )
            )
        for number, run in enumerate(plan, 1):
            if team.first and seeds is not None:
                state = "finished earlier" if run.finished else "continued" if run.begun else "training"
                stderr.print(f"seed {run.seed} ({number} of {seeds}): {state}, {run.folder}", markup=False)
            place.done |= run.finished
            if run.finished:
                continue
            place.folder = run.folder
            bars = TrainingBars()
            callbacks: list[Callback] = [bars, TensorBoard(run.folder / "tensorboard")] if tensorboard else [bars]
            if expectation is not None:
                callbacks.append(SameStages(expectation.expected))
            with bars:
                simulator = run_training(
                    checked if seeds is None else run.of(checked),
                    train_files,
                    run.folder,
                    validation=valid or None,
                    exclude_energies=[parse_energy(word) for word in (exclude_energies or "").split(",") if word],
                    callbacks=callbacks,
                    initial=initial,
                    resume=run.begun,
                    overwrite=overwrite,
                    command=shlex.join(["caloforge", *sys.argv[1:]]),
                )
            place.done = seeds is not None
            if team.first:
                _tell(simulator, run.folder)
    if not team.first:
        return
    met = expectation is None or sum(not expectation.met(run.folder) for run in plan) == 0
    if seeds is not None:
        stdout.print(f"runs: {', '.join(str(run.folder) for run in plan)}", markup=False)
    following = ["caloforge", "generate", str(plan[0].folder)]
    following += ["--energies", f"like:{train_files[0]}", "-o", "generated.h5"]
    for own in dict.fromkeys(checked.trusted):
        following += ["--trust", own]
    stdout.print(f"next: {shlex.join(following)}", markup=False)
    if not met:
        raise typer.Exit(1)


def _tell(simulator: AnySimulator, folder: Path) -> None:
    from caloforge.cli.console import stdout

    facts = simulator.provenance
    seconds = ", ".join(f"{stage} {s:.0f} s" for stage, s in facts["training_seconds"].items())
    stdout.print(
        f"trained {simulator.n_parameters:,} parameters: {seconds}; waiting for data {facts['waiting_for_data']:.1%} "
        f"of the time; peak {facts['peak_memory_mb']} MB"
    )
    known = simulator.conditions
    if known.entries:
        stdout.print(f"conditions: {', '.join(f'{e.kind.name} {e.span}' for e in known.entries)}", markup=False)
    if known.superfluous:
        names = ", ".join(known.superfluous)
        stdout.print(f"left out: {names}, on which showers do not depend where the mesh turns with the particle")
    stdout.print(f"run: {folder}", markup=False)


@dataclass
class _Place:
    """Where a training is when it is interrupted: the folder of the run, and whether others are finished."""

    folder: Path
    done: bool = False


@contextmanager
def _speaking_once(place: _Place) -> Iterator[Processes]:
    """Join the processes of the training; what several of them would say is said once."""
    from caloforge.cli.stopping import INTERRUPTED
    from caloforge.errors import CaloforgeError
    from caloforge.training.distributed import noticing_loss, processes

    with processes() as team:
        try:
            with noticing_loss():
                yield team
        except CaloforgeError as error:
            if not team.tells(error):
                raise SystemExit(2) from None
            raise
        except KeyboardInterrupt as stop:
            if not team.first:
                raise SystemExit(INTERRUPTED) from None
            _say_how_to_go_on(place, stop)
            raise


def _say_how_to_go_on(place: _Place, stop: KeyboardInterrupt) -> None:
    from caloforge.cli.console import stderr
    from caloforge.training.store import scratch_folder

    if notes := getattr(stop, "__notes__", None):
        stderr.print(*notes)
    elif (place.folder / "recipe.yaml").exists():
        scratch = scratch_folder(place.folder)
        kept = f"the run is in {place.folder}" + (f", its scratch files in {scratch}" if scratch.exists() else "")
        stderr.print(f"stopped; to continue, repeat the command with --resume ({kept})", markup=False)
    elif place.done:
        stderr.print("stopped; to continue, repeat the command with --resume (what is finished is kept)")
    else:
        stderr.print("stopped before the run was set up; run the same command again to start over", markup=False)
