"""`caloforge train`: from a recipe and a file of showers to a run."""

from __future__ import annotations

from pathlib import Path

import typer


def train(
    recipe: str = typer.Argument(..., help="Recipe file, or the name of a shipped one (caloman-ds1-photons)."),
    train_files: list[Path] = typer.Option(
        ...,
        "--train",
        metavar="FILE...",
        help="HDF5 file of training showers, or several, parts of one sample.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="Folder of the run, created."),
    valid: list[Path] = typer.Option(
        [], "--valid", metavar="FILE...", help="The same for validation; by default a share of --train is set aside."
    ),
    overrides: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Override a key of the recipe, as in training.epochs=10. Repeatable."
    ),
    exclude_energies: str | None = typer.Option(
        None, "--exclude-energies", metavar="LIST", help="Incident energies to leave out, as in 512,4096 or 1GeV."
    ),
    resume: bool = typer.Option(False, "--resume", help="Continue an interrupted run in the same folder."),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace an earlier run in the folder."),
    tensorboard: bool = typer.Option(
        False, "--tensorboard", help="Write TensorBoard logs into the run (extra: caloforge\\[tensorboard])."
    ),
) -> None:
    """Train a generator from a recipe.

    Shows losses, rate and time left for each stage, writes a line per epoch to RUN/log.jsonl, and checkpoints. Ctrl-C
    stops cleanly; the same command with --resume ends with the same weights as an uninterrupted run.

    Showers that do not fit in memory (training.memory_gb, by default half of what is free) are read from scratch files
    next to RUN, which are removed at the end. The result does not depend on it. A sample in several files is trained on
    as a whole: --train 'dataset_3_*.hdf5', or their names one after another.

    Example: caloforge train caloman-ds1-photons --train train.h5 -o run --set training.epochs=50
    """
    import shlex

    from caloforge.cli.console import stderr, stdout
    from caloforge.cli.stopping import sigterm_interrupts
    from caloforge.cli.watching import TensorBoard, TrainingBars
    from caloforge.errors import CaloforgeError
    from caloforge.training import Callback, load_recipe
    from caloforge.training import train as run_training
    from caloforge.units import parse_energy

    if resume and overwrite:
        raise CaloforgeError("--resume and --overwrite exclude each other")
    checked = load_recipe(recipe, overrides)
    bars = TrainingBars()
    callbacks: list[Callback] = [bars, TensorBoard(out / "tensorboard")] if tensorboard else [bars]
    try:
        with sigterm_interrupts(), bars:
            simulator = run_training(
                checked,
                train_files,
                out,
                validation=valid or None,
                exclude_energies=[parse_energy(word) for word in (exclude_energies or "").split(",") if word],
                callbacks=callbacks,
                resume=resume,
                overwrite=overwrite,
            )
    except KeyboardInterrupt:
        if (out / "recipe.yaml").exists():
            stderr.print(f"stopped; continue with the same command and --resume (the run is in {out})", markup=False)
        else:
            stderr.print("stopped before anything was worth keeping; the same command starts anew", markup=False)
        raise
    facts = simulator.provenance
    seconds = ", ".join(f"{stage} {s:.0f} s" for stage, s in facts["training_seconds"].items())
    stdout.print(
        f"trained {simulator.n_parameters:,} parameters: {seconds}; waiting for data {facts['waiting_for_data']:.1%} "
        f"of the time; peak {facts['peak_memory_mb']} MB"
    )
    stdout.print(f"run: {out}", markup=False)
    following = ["caloforge", "generate", str(out), "--energies", f"like:{train_files[0]}", "-o", "generated.h5"]
    for own in dict.fromkeys(checked.trusted):
        following += ["--trust", own]
    stdout.print(f"next: {shlex.join(following)}", markup=False)
