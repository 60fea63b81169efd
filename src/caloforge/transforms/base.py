"""The interface of invertible preprocessing, between voxels in MeV and the space in which a model works.

A `Transform` maps a pair (x, c): features x (N, F) and conditions c (N, C). In physical space x is the voxels in MeV
and c the incident energy in MeV, (N, 1), followed by further conditions as a model gets them, if a run has any
(`caloforge.transforms.trained_conditions`). Forward and inverse are methods of one class; constants are fitted once and
kept in buffers, so that they are saved with the model and are part of an exported graph.

`Compose` applies a list in order, starting in physical space. In a recipe the list is called `transforms:`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self, cast

import numpy as np
from torch import Tensor, nn

from caloforge.configured import Configured
from caloforge.errors import CaloforgeError


class Transform(Configured, nn.Module, ABC):
    """An invertible map of (x, c).

    A subclass overrides `forward` and `inverse`, `fit` if it has constants from data, and `condition` if it changes the
    conditions. Its constructor arguments are the keys of its recipe entry and are saved with a run; constants from
    `fit` belong in buffers (`register_buffer`), which are saved with the weights.

    >>> class Scale(Transform):
    ...     def __init__(self, *, factor: float) -> None:
    ...         super().__init__()
    ...         self.factor = factor
    ...
    ...     def forward(self, x, c):
    ...         return x * self.factor, c
    ...
    ...     def inverse(self, x, c):
    ...         return x / self.factor, c
    >>> Scale(factor=2.0).to_config()
    {'factor': 2.0}
    """

    takes_clouds: ClassVar[bool | None] = False
    """Whether features are rows of point clouds (`caloforge.packed`), not of voxels; None: either, since left alone."""

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Take constants from training data, after the transforms before this one."""
        return self

    def fit_chunks(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> bool:
        """`fit` on (x, c) in chunks, in one pass; False if the transform does not support this.

        For a training set that does not fit in memory, a class that also overrides this method takes its constants from
        all of it, other classes from a random sample of it.
        """
        return False

    def fit_forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """`fit`, then `forward` of the same (x, c)."""
        return self.fit(x, c).forward(x, c)

    @abstractmethod
    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Towards the model: (x, c) → (x', c')."""

    @abstractmethod
    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Towards physics: (x', c') → (x, c)."""

    def condition(self, c: Tensor) -> Tensor:
        """The conditions returned by `forward`, from the conditions alone, since there is no x yet in generation."""
        return c


class Compose(Transform):
    """A sequence of transforms; nested compositions are flattened.

    >>> from caloforge.transforms.incident_energy import IncidentEnergyFraction
    >>> both = Compose([IncidentEnergyFraction()])
    >>> len(list(both))
    1
    """

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        super().__init__()
        parts = [[*transform] if isinstance(transform, Compose) else [transform] for transform in transforms]
        self.transforms = nn.ModuleList(itertools.chain(*parts))

    def __repr__(self) -> str:
        return f"Compose({', '.join(type(transform).__name__ for transform in self)})"

    def __iter__(self) -> Iterator[Transform]:
        return iter(cast(Iterable[Transform], self.transforms))

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Fit each transform on the output of those before it."""
        self.fit_forward(x, c)
        return self

    def fit_forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Fit each transform on the output of those before it and return the last output, in one pass over the data."""
        for transform in self:
            with only_buffers(transform):
                x, c = transform.fit_forward(x, c)
        return x, c

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in self:
            x, c = transform(x, c)
        return x, c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in reversed([*self]):
            x, c = transform.inverse(x, c)
        return x, c

    def condition(self, c: Tensor) -> Tensor:
        for transform in self:
            c = transform.condition(c)
        return c


@contextmanager
def only_buffers(transform: Transform) -> Iterator[None]:
    """Context in which a transform is fitted.

    Raises:
        CaloforgeError: the transform sets a number outside buffers, which would not be saved with a run.
    """
    before = _unsaved(transform)
    yield
    for name, value in _unsaved(transform).items():
        if name not in before or value is not before[name]:
            raise CaloforgeError(
                f"{type(transform).__name__}.fit sets '{name}' as a plain attribute, which is not "
                f"saved with a run: register it as a buffer in the constructor, and copy into it (self.{name}.copy_(…))"
            )


def _unsaved(transform: Transform) -> dict[str, Any]:
    """Numerical attributes outside buffers and parameters."""
    return {k: v for k, v in vars(transform).items() if _is_number(v) and k != "training"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Tensor | np.ndarray | np.generic) and not isinstance(value, bool)
