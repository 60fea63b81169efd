"""`ShowerModel`: the interface of generators; `LatentModel`: those that decode noise.

A model works in transformed space: features x (B, F), conditions c (B, C). It owns no optimiser, no path and no
plot. It needs `loss` and `sample`, and offers `log_prob(x, c)`, the log density (B,), where it can. A model whose
showers are a function of Gaussian noise derives from `LatentModel`, which can be exported and compiled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from caloforge.configured import Configured
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Stage


class ShowerModel(Configured, nn.Module, ABC):
    """A conditional generator of showers in transformed space.

    The constructor takes `features` (F) and `conditions` (C), then the model's own settings, with types and defaults:
    they are the keys of `model:` in a recipe. An argument `geometry` is supplied where there is one.

    >>> import torch
    >>> class Constant(ShowerModel):
    ...     def __init__(self, features: int, conditions: int, *, value: float = 1.0) -> None:
    ...         super().__init__()
    ...         self.features = features
    ...         self.value = torch.nn.Parameter(torch.tensor(value))
    ...
    ...     def loss(self, x, c):
    ...         return ((x - self.value) ** 2).sum(dim=1)
    ...
    ...     def sample(self, c, generator=None):
    ...         return self.value.expand(len(c), self.features)
    >>> Constant(3, 1, value=2.0).sample(torch.zeros(2, 1)).shape
    torch.Size([2, 3])
    """

    sizes = ("features", "conditions")

    takes_clouds: ClassVar[bool] = False
    """Whether features are rows of point clouds (`caloforge.packed`) rather than of voxels; the argument `geometry` is
    then a `PointGeometry`."""

    export_obstacle: str | None = None
    """Why the model cannot be exported as a graph, if so."""

    def __repr__(self) -> str:
        """One line; the tree of its networks is `torch.nn.Module.__repr__(model)`."""
        return f"{type(self).__name__}({n_parameters([self]):,} parameters)"

    @classmethod
    def settings_from_data(cls, settings: dict[str, Any], data: ShowerDataset, geometry: Any) -> dict[str, Any]:
        """Replace the settings that follow from the training set (those written `auto`).

        Args:
            settings: checked settings, complete.
            data: the training set in transformed space.
            geometry: of the showers, `Geometry` or `PointGeometry` as the model takes.
        """
        return settings

    def stages(self) -> Sequence[Stage]:
        """The parts of the training, in order; by default one, named `model`."""
        return [Stage("model", self.loss, self.parameters())]

    def absent_stages(self) -> frozenset[str]:
        """Stages that the model would have with other settings or in another geometry; a recipe may name them."""
        return frozenset()

    def rows_at_once(self, batch_size: int) -> int:
        """How many showers of a training batch pass through the networks together, for the estimate of memory."""
        return batch_size

    @abstractmethod
    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) loss per shower; the sum of the objectives where there are several stages."""

    @abstractmethod
    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, F) one sample for each row of conditions c (B, C); randomness from `generator` alone."""

    def sampling_settings(self) -> frozenset[str]:
        """Settings that only `sample` uses, and that can therefore be changed in a trained run.

        They do not include those on which the training or the weights depend, nor those that the present sampler does
        not use. Settings inside settings are dotted, as in `voxels.steps`.
        """
        return frozenset()

    def training_only(self) -> frozenset[str]:
        """Submodules, by dotted path, that `sample` does not use with the present settings.

        A packed run is stored without them (`caloforge.simulator.packing`), so `log_prob` and `loss` may need them.
        """
        return frozenset()


class LatentModel(ShowerModel):
    """A model whose showers are a function of noise: x = decode(z, c), each element of z drawn from N(0, 1).

    A subclass sets `latent_dim` in its constructor, and overrides `loss` and `decode`. Engines draw z themselves, and
    exported graphs take it as an input.
    """

    latent_dim: int
    """D: dimension of z."""

    @abstractmethod
    def decode(self, z: Tensor, c: Tensor) -> Tensor:
        """z (B, D) from N(0, 1), c (B, C) → x (B, F)."""

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """(B, F) `decode` of z drawn from N(0, 1)."""
        return self.decode(torch.randn(len(c), self.latent_dim, generator=generator, device=c.device, dtype=c.dtype), c)


def n_parameters(modules: Iterable[nn.Module]) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for module in modules for p in module.parameters() if p.requires_grad)
