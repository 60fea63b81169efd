"""`expected:` of a recipe: the numbers that its trainings reached, and whether another training came out alike.

A training is described by one number per stage: the lowest value of what the stage selects its epoch by, or the
validation loss after its last epoch. With the mean m and the standard deviation s of n seeds, a further seed lies below
m + t s √(1 + 1/n) with a probability of 99 %, where t is that quantile of Student's distribution with n − 1 degrees of
freedom, if the values are normally distributed. A training above is worse than expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from caloforge.documents import parse_json, read_text
from caloforge.errors import CaloforgeError
from caloforge.training.callbacks import Callback, Trainer
from caloforge.training.settings import TrainingSettings

CONFIDENCE = 0.99
"""Probability that a training which is like the others is not called worse, for each number."""

LAST = "last"
VALIDATION_LOSS = "validation_loss"


class Expected(BaseModel):
    """Numbers that the trainings of a recipe reached.

    sample: showers of the trainings, in words. showers: how many, in the training file. seeds: how many trainings.
    stages: per stage the mean, and from two seeds on the standard deviation between them. evaluation: what `caloforge
    evaluate` gave, name → value, or value and error; for the reader.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    sample: str
    showers: int = Field(gt=0)
    seeds: int = Field(ge=1)
    stages: dict[str, list[float]]
    evaluation: dict[str, list[float]] = {}

    @field_validator("stages", "evaluation")
    @classmethod
    def _one_or_two(cls, value: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, numbers in value.items():
            if not 1 <= len(numbers) <= 2 or (len(numbers) == 2 and numbers[1] < 0):
                raise ValueError(f"{name}: give [value] or [value, spread], the spread not negative")
        return value

    def limit(self, stage: str) -> float | None:
        """The largest number of a stage that a further seed reaches with a probability of 99 %; None for one seed."""
        from scipy import stats

        mean, *spread = self.stages[stage]
        if not spread or self.seeds < 2:
            return None
        t = float(stats.t.ppf(CONFIDENCE, self.seeds - 1))
        return mean + t * spread[0] * math.sqrt(1 + 1 / self.seeds)


@dataclass(frozen=True)
class Comparison:
    """A stage of a training beside what was expected.

    Args:
        stage: its name. quantity: what its epoch was selected by.
        value: that the training reached. mean, spread: of earlier trainings; no spread for a single one.
        limit: above which it is worse than expected; None where there is no spread.
    """

    stage: str
    quantity: str
    value: float
    mean: float
    spread: float | None
    limit: float | None

    @property
    def worse(self) -> bool:
        return self.limit is not None and self.value > self.limit

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.2g}"
        verdict = (
            "no spread known"
            if self.limit is None
            else f"{'WORSE than expected' if self.worse else 'as expected'}, limit {self.limit:.5g}"
        )
        return f"{self.stage}: {self.quantity} {self.value:.5g}, expected {self.mean:.5g}{spread}: {verdict}"


class SameStages(Callback):
    """Refuses a training whose stages are not those that are expected, before it begins."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected

    def training_started(self, trainer: Trainer) -> None:
        _check_stages(self.expected, [stage.name for stage in trainer.model.stages()])


def _check_stages(expected: Expected, names: Sequence[str]) -> None:
    if set(names) != expected.stages.keys():
        raise CaloforgeError(
            f"the recipe expects the stages {', '.join(expected.stages)}, but the training has {', '.join(names)}"
        )


def reached(history: Sequence[Mapping[str, Any]], settings: TrainingSettings) -> dict[str, tuple[str, float]]:
    """Per stage of a training, what its epoch was selected by and the value of the epoch that was kept.

    Args:
        history: records of its epochs, as in `log.jsonl`. settings: of the training.
    """
    found: dict[str, tuple[str, float]] = {}
    for stage in dict.fromkeys(record["stage"] for record in history):
        records = [record for record in history if record["stage"] == stage]
        by = settings.for_stage(stage).select
        found[stage] = (
            (VALIDATION_LOSS, records[-1][VALIDATION_LOSS])
            if by == LAST
            else (by, min(record[by] for record in records))
        )
    return found


def history_of(run: Path) -> list[dict[str, Any]]:
    """Records of a run's epochs.

    Raises:
        CaloforgeError: its log cannot be read.
    """
    log = run / "log.jsonl"
    return [parse_json(line, str(log)) for line in read_text(log, "log").splitlines()]


def compared(expected: Expected, history: Sequence[Mapping[str, Any]], settings: TrainingSettings) -> list[Comparison]:
    """Each stage of a training beside what was expected of it.

    Raises:
        CaloforgeError: the training has other stages.
    """
    found = reached(history, settings)
    _check_stages(expected, list(found))
    return [
        Comparison(stage, by, value, expected.stages[stage][0], _spread(expected, stage), expected.limit(stage))
        for stage, (by, value) in found.items()
    ]


def _spread(expected: Expected, stage: str) -> float | None:
    numbers = expected.stages[stage]
    return numbers[1] if len(numbers) == 2 else None


def expected_of(
    runs: Sequence[Sequence[Mapping[str, Any]]], settings: TrainingSettings, sample: str, showers: int
) -> Expected:
    """The numbers of some trainings that differ in their seed, for the recipe.

    Args:
        runs: history of each. settings: of the trainings. sample: of showers, in words. showers: how many.
    """
    from numpy import mean, std

    values = [reached(history, settings) for history in runs]
    stages = {}
    for stage in values[0]:
        numbers = [found[stage][1] for found in values]
        # 6 digits: more than a repetition on another processor agrees to.
        stages[stage] = [float(f"{float(mean(numbers)):.6g}")]
        if len(numbers) > 1:
            stages[stage].append(float(f"{float(std(numbers, ddof=1)):.2g}"))
    return Expected(sample=sample, showers=showers, seeds=len(values), stages=stages)
