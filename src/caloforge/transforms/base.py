"""The interface of invertible preprocessing: from voxels in MeV to the space that a model works in, and back.

A `Transform` maps a pair (x, c): features x (N, F) and conditions c (N, C). At the physical end x is the voxels in
MeV and c the incident energy in MeV, (N, 1). Forward and inverse stand side by side in one class, constants are
fitted once and live in buffers, so that they are saved with the model and travel into an exported graph.

`Compose` applies a list in order: the first is nearest to physics. In a recipe the list is `transforms:`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, cast

from torch import Tensor, nn


class Transform(nn.Module, ABC):
    """An invertible map of (x, c).

    A subclass overrides `forward` and `inverse`, `fit` where constants come from data, and `condition` where the
    conditions change too. Its keyword-only constructor arguments are the keys of its recipe entry.
    """

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Take constants from training data that earlier transforms have already mapped."""
        return self

    def fit_forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """`fit`, then `forward` of the same (x, c)."""
        return self.fit(x, c)(x, c)

    @abstractmethod
    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Towards the model: (x, c) → (x', c')."""

    @abstractmethod
    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Towards physics: (x', c') → (x, c)."""

    def condition(self, c: Tensor) -> Tensor:
        """What `forward` makes of the conditions alone: needed to generate, where there is no x yet."""
        return c

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe keys that make this transform again (without `kind`)."""
        return {}


class Compose(Transform):
    """Transforms one after another."""

    def __init__(self, transforms: Sequence[Transform] = ()) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    def __iter__(self) -> Iterator[Transform]:
        return iter(cast(Iterable[Transform], self.transforms))

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Fit each transform on the output of those before it."""
        self.fit_forward(x, c)
        return self

    def fit_forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Fit each transform on the output of those before it, and return that of the last: one pass over the data."""
        for transform in self:
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
