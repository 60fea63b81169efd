"""`caloforge train --check-expected`: whether a training came out as those that its recipe tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caloforge.training.expected import Expected
    from caloforge.training.recipe import Recipe

FREE = {"seed", "device", "memory_gb"}
"""Settings of the training that do not change what is to be expected."""


@dataclass(frozen=True)
class Expectation:
    """What is to be expected of a training.

    Args:
        expected: the recipe's.
        recipe: as it is trained.
    """

    expected: Expected
    recipe: Recipe

    @classmethod
    def of(cls, recipe: Recipe, name: str, files: Sequence[Path]) -> Expectation:
        """For a recipe as it is trained (`name` without overrides) and its training files.

        Raises:
            CaloforgeError: nothing is to be expected, or it cannot be compared with.
        """
        from caloforge.errors import CaloforgeError
        from caloforge.training import load_recipe
        from caloforge.units import count

        expected, plain = recipe.expected, load_recipe(name)
        if expected is None:
            raise CaloforgeError(f"--check-expected: the recipe {recipe.name} does not say what to expect (expected:)")
        if _decisive(plain) != _decisive(recipe):
            raise CaloforgeError(
                f"--check-expected compares with the recipe {recipe.name} as it is, and --set changes it: leave out one"
            )
        showers = _number_of_showers(files)
        if showers != expected.showers:
            raise CaloforgeError(
                f"--check-expected: the recipe {recipe.name} was trained on {count(expected.showers, 'shower')} "
                f"({expected.sample}), and the training file has {showers:,}"
            )
        return cls(expected, recipe)

    def met(self, run: Path) -> bool:
        """Compare a finished run and say so, a line per stage."""
        from caloforge.cli.console import stdout
        from caloforge.training.expected import compared, history_of

        own = self.expected
        seeds = f"{own.seeds} seeds" if own.seeds > 1 else "one training"
        stdout.print(f"{run}, and what the recipe expects after {seeds} ({own.sample}):", markup=False)
        stages = compared(own, history_of(run), self.recipe.training)
        for stage in stages:
            stdout.print(f"  {stage}", markup=False)
        if own.evaluation:
            numbers = ", ".join(
                f"{name} {' ± '.join(f'{x:g}' for x in value)}" for name, value in own.evaluation.items()
            )
            stdout.print(f"  caloforge evaluate gave {numbers}", markup=False)
        return not any(stage.worse for stage in stages)


def _decisive(recipe: Recipe) -> dict[str, object]:
    return recipe.model_dump(exclude={"training": FREE})


def _number_of_showers(files: Sequence[Path]) -> int:
    from caloforge.representation import open_file
    from caloforge.showers import matching_files

    total = 0
    for path in matching_files(files):
        with open_file(path) as file:
            total += len(file)
    return total
