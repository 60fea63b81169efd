"""Several trainings of one recipe that differ in their seed alone: `RUN/seed-1`, `RUN/seed-2`, …

Everything random follows the seed: the weights at the start, the order of the batches, and which showers are set aside
for validation. How the results scatter is an uncertainty of the generator (`caloforge.evaluation.report.trainings`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from caloforge.errors import CaloforgeError, option
from caloforge.files import as_path
from caloforge.formatting import listed
from caloforge.locations import is_run, runs_in
from caloforge.registry import IDENTITY
from caloforge.simulator.stored import read_description
from caloforge.training.carried import INITIAL, InitialRun
from caloforge.training.folder import RunFolder
from caloforge.training.recipe import Recipe
from caloforge.training.run import FileName, in_detail
from caloforge.training.training_set import file_names


@dataclass(frozen=True)
class SeedRun:
    """One of several trainings.

    Args:
        seed: of everything random in it.
        folder: of the run.
        begun: whether it is to be resumed. finished: whether nothing is left to do.
    """

    seed: int
    folder: Path
    begun: bool = False
    finished: bool = False

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with this seed."""
        own = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": self.seed})})
        own._folder = recipe.folder
        return own


def seed_runs(
    recipe: Recipe,
    showers: FileName | Sequence[FileName],
    out: FileName,
    seeds: int,
    *,
    validation: FileName | Sequence[FileName] | None = None,
    initial: FileName | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> list[SeedRun]:
    """Where the trainings with the recipe's seed and the `seeds` − 1 next ones go, and how far they are.

    Everything that would stop a later training is found before the first begins. Nothing is written.

    Args:
        recipe: of all of them.
        showers: training files.
        out: folder of the runs.
        seeds: how many.
        validation: validation files, if they are given.
        initial: folder of the run whose weights they start from.
        resume: keep what is finished, continue what was begun, begin the others.
        overwrite: replace earlier runs.

    Raises:
        CaloforgeError: a folder cannot take its run, there is nothing to resume, or a finished run is of another
            recipe, another start or other training files.
    """
    path = as_path(out, "folder of the runs")
    if seeds < 1:
        raise CaloforgeError(f"seeds must be at least 1, not {seeds}")
    if path.exists() and not path.is_dir():
        raise CaloforgeError(f"{path} is a file; give a folder for the runs")
    if (path / IDENTITY).exists():
        raise CaloforgeError(f"{path} holds a single run; give another folder for several")
    first = recipe.training.seed
    plan = [SeedRun(seed, path / f"seed-{seed}") for seed in range(first, first + seeds)]
    if resume:
        plan = [SeedRun(r.seed, r.folder, (r.folder / IDENTITY).exists(), is_run(r.folder)) for r in plan]
        if not any(run.begun for run in plan):
            raise CaloforgeError(
                f"{path} holds no run of seed {first} … {plan[-1].seed} to resume; start without "
                f"{option('resume', True)}"
            )
    elif overwrite and (kept := [run for run in runs_in(path) if run not in {each.folder for each in plan}]):
        names = listed([run.name for run in kept])
        raise CaloforgeError(f"{path} also holds {names}, which would stay: remove it, or give another folder")
    for run in plan:
        RunFolder(run.folder, resume=run.begun, overwrite=overwrite)
    if any(run.finished for run in plan):
        source, complete = in_detail(recipe, showers, validation)
        start = {} if initial is None else {INITIAL: InitialRun.of(initial).facts[INITIAL]}
        for run in plan:
            if run.finished:
                own = {"recipe": recipe.name, "recipe_yaml": run.of(complete).to_yaml(), **start}
                RunFolder(run.folder, resume=True).check_identity(own)
                _check_files(run.folder, ", ".join(file_names(source)))
    return plan


def _check_files(folder: Path, now: str) -> None:
    before = read_description(folder).get("provenance", {}).get("training_file")
    if before != now:
        raise CaloforgeError(f"{folder} was trained on {before}, not on {now}; give the same, or another folder")
