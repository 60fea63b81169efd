"""`caloforge train`: train a generator from a recipe and a shower file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from caloforge.cli.completion import recipes, runs


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
    resume: bool = typer.Option(False, "--resume", help="Continue an interrupted run in the same folder."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier run in the folder."),
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

    With torchrun, or srun with several tasks, the processes train together and each
    takes a part of every batch; the result is that of one process (docs/cluster.md).

    Example: caloforge train caloman-ds1-photons --train train.h5 -o run --set training.epochs=50
    """
    import shlex

    from caloforge.cli.console import stdout
    from caloforge.cli.watching import TensorBoard, TrainingBars
    from caloforge.errors import CaloforgeError
    from caloforge.training import Callback, load_recipe
    from caloforge.training import train as run_training
    from caloforge.units import parse_energy

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite are mutually exclusive")
    with _speaking_once(out) as first:
        checked = load_recipe(recipe, overrides)
        bars = TrainingBars()
        callbacks: list[Callback] = [bars, TensorBoard(out / "tensorboard")] if tensorboard else [bars]
        with bars:
            simulator = run_training(
                checked,
                train_files,
                out,
                validation=valid or None,
                exclude_energies=[parse_energy(word) for word in (exclude_energies or "").split(",") if word],
                callbacks=callbacks,
                initial=initial,
                resume=resume,
                overwrite=overwrite,
                command=shlex.join(["caloforge", *sys.argv[1:]]),
            )
    if not first:
        return
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
    stdout.print(f"run: {out}", markup=False)
    following = ["caloforge", "generate", str(out), "--energies", f"like:{train_files[0]}", "-o", "generated.h5"]
    for own in dict.fromkeys(checked.trusted):
        following += ["--trust", own]
    stdout.print(f"next: {shlex.join(following)}", markup=False)


@contextmanager
def _speaking_once(out: Path) -> Iterator[bool]:
    """Join the processes of the training; what several of them would say is said once.

    Yields whether this is the first process.
    """
    from caloforge.cli.stopping import INTERRUPTED
    from caloforge.errors import CaloforgeError
    from caloforge.training.distributed import noticing_loss, processes

    with processes() as team:
        try:
            with noticing_loss():
                yield team.first
        except CaloforgeError as error:
            if not team.tells(error):
                raise SystemExit(2) from None
            raise
        except KeyboardInterrupt as stop:
            if not team.first:
                raise SystemExit(INTERRUPTED) from None
            _say_how_to_go_on(out, stop)
            raise


def _say_how_to_go_on(out: Path, stop: KeyboardInterrupt) -> None:
    from caloforge.cli.console import stderr
    from caloforge.training.store import scratch_folder

    if notes := getattr(stop, "__notes__", None):
        stderr.print(*notes)
    elif (out / "recipe.yaml").exists():
        scratch = scratch_folder(out)
        kept = f"the run is in {out}" + (f", its scratch files in {scratch}" if scratch.exists() else "")
        stderr.print(f"stopped; to continue, repeat the command with --resume ({kept})", markup=False)
    else:
        stderr.print("stopped before the run was set up; run the same command again to start over", markup=False)
