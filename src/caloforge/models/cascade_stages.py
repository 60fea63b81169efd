"""Training stages of `Cascade`: each is a stage of a level's own model, and sees the level's numbers z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from caloforge.division.copula import GaussianCopula
from caloforge.division.hierarchy import CountedSplit, Hierarchy, Split
from caloforge.division.marginals import drawn
from caloforge.division.multipoles import Multipoles
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.stages import Losses, Stage, StageSettings, TrainingBatch

MOMENTS = "multipoles"
"""Name of the level of the moments."""

COPULA_ROWS = 20_000
"""At most so many showers tell a level's copula its constants."""

FIT_ROWS = 10_000
"""About so many showers tell a level's model its own constants; its numbers z are nearly N(0, 1) anyway."""


class Levels(Protocol):
    """What the stages use of a `Cascade`."""

    hierarchy: Hierarchy
    moments: Multipoles | None
    copulas: nn.ModuleDict

    def fit_tables(self, data: ShowerDataset, number: int) -> None: ...

    def fit_moments(self, x: Tensor, c: Tensor) -> None: ...

    def for_moments(self, energies: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]: ...

    def expecting(self, c: Tensor, rings: Tensor) -> Tensor | None: ...

    def given(self, split: Split, c: Tensor, wholes: Tensor, n: Tensor | None, name: str = "") -> Tensor: ...

    def with_moments(self, conditions: Tensor, of_moments: Tensor) -> Tensor: ...


class LevelStage(Stage):
    """A stage of a level's model, as one of the cascade.

    It is trained on numbers z of the level's parts, drawn from their intervals for every batch anew, given the energies
    of the level above; on those of voxels given the moments, too, if there are such.

    Args:
        cascade: that the level is one of.
        number: of the level.
        inner: the stage of the level's model.
        first: whether it is the model's first one, before which the tables are measured.
    """

    def __init__(self, cascade: Levels, number: int, inner: Stage, first: bool) -> None:
        split = [*cascade.hierarchy][number]
        super().__init__(f"{split.name}_{inner.name}", inner.loss, inner.parameters)
        self.cascade, self.number, self.split, self.inner, self.first = cascade, number, split, inner, first
        self.moments = cascade.moments if number == len([*cascade.hierarchy]) - 1 else None
        copula = dict(cascade.copulas.items()).get(split.name)
        assert copula is None or isinstance(copula, GaussianCopula)
        self.copula = copula

    def fit(self, data: ShowerDataset) -> None:
        if self.first:
            self.cascade.fit_tables(data, self.number)
            if self.copula is not None:
                intervals, given = data.subset(COPULA_ROWS).map(self._intervals).sample()
                self.copula.fit(intervals.transpose(0, 1), given[:, : self._n_given(given)])
        self.inner.fit(self._numbers(data.subset(FIT_ROWS)))  # from the whole file, whatever its order

    def prepare(self, data: ShowerDataset) -> ShowerDataset:
        return self.inner.prepare(self._numbers(data))

    def _numbers(self, data: ShowerDataset) -> ShowerDataset:
        return data.map(self._intervals).map(self._draw, "each batch")

    def _intervals(self, x: Tensor, c: Tensor) -> Pair:
        """(B, 2, numbers) intervals of u, and what the level's model is given."""
        energies = self.cascade.hierarchy.energies(x, c)
        following = [*self.cascade.hierarchy, None][self.number + 1]
        wholes, parts = energies[self.number : self.number + 2]
        intervals = self.split.intervals(parts, wholes)
        if isinstance(following, CountedSplit):
            intervals = torch.cat([intervals, following.hit_intervals(energies[self.number + 2], parts)], dim=2)
        n = self.split.numbers(parts) if isinstance(self.split, CountedSplit) else None
        conditions = self.cascade.given(self.split, c, wholes, n)
        if self.moments is not None:
            packed = self.moments.packed(*self.cascade.for_moments(energies))
            conditions = torch.cat([conditions, packed], dim=1)
        return intervals.transpose(0, 1), conditions

    def _draw(self, intervals: Tensor, c: Tensor) -> Pair:
        """(B, 2, parts) → (B, parts) numbers z, and moments blurred."""
        c, packed = c.tensor_split([self._n_given(c)], dim=1)
        intervals = intervals.transpose(0, 1)
        z = drawn(intervals) if self.copula is None else self.copula(intervals, c)
        if self.moments is not None:
            c = self.cascade.with_moments(c, self.moments.conditions(*self.moments.drawn(packed)))
        return z, c

    def _n_given(self, c: Tensor) -> int:
        """How many columns of c, from `_intervals`, are not moments."""
        return c.shape[1] - (0 if self.moments is None else self.moments.n_packed)

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        return self.inner.optimizers(settings)

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        return self.inner.step(batch, optimizers)


class MomentsStage(Stage):
    """A stage of the model of the moments, as one of the cascade: it is trained on fields around the circle.

    Args:
        cascade: with moments.
        inner: the stage of the model.
        first: whether it is the model's first one.
    """

    def __init__(self, cascade: Levels, inner: Stage, first: bool) -> None:
        assert cascade.moments is not None
        super().__init__(f"{MOMENTS}_{inner.name}", inner.loss, inner.parameters)
        self.cascade, self.moments, self.inner, self.first = cascade, cascade.moments, inner, first

    def fit(self, data: ShowerDataset) -> None:
        if self.first:
            self.cascade.fit_moments(*data.sample())
        self.inner.fit(self._fields(data.subset(FIT_ROWS)))

    def prepare(self, data: ShowerDataset) -> ShowerDataset:
        return self.inner.prepare(self._fields(data))

    def _fields(self, data: ShowerDataset) -> ShowerDataset:
        return data.map(self._moments).map(self._draw, "each batch")

    def _moments(self, x: Tensor, c: Tensor) -> Pair:
        energies = self.cascade.hierarchy.energies(x, c)
        split = [*self.cascade.hierarchy][-1]
        given = self.cascade.for_moments(energies)
        conditions = self.cascade.given(split, c, energies[-2], given[2], MOMENTS)
        packed = self.moments.packed(*given)
        if (expecting := self.cascade.expecting(c, energies[-2])) is not None:
            packed = torch.cat([packed, self.moments.expected(expecting).flatten(1)], dim=1)
        return packed, conditions

    def _draw(self, packed: Tensor, c: Tensor) -> Pair:
        """(B, ·) moments, and their means where they depend on conditions → (B, S · L) field, blurred."""
        packed, mean = packed.tensor_split([self.moments.n_packed], dim=1)
        moments = self.moments.drawn(packed)[0]
        if mean.shape[1]:
            moments = moments - mean.view(moments.shape)
        return self.moments.noisy_field(moments), c

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        return self.inner.optimizers(settings)

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        return self.inner.step(batch, optimizers)
