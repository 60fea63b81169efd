"""How many points a cloud has, and the numbers of whole clouds that go with it: p(n, s | c).

A table has the frequencies of n in the training set, whatever the conditions. A latent model of (n + u, s), with u
uniform in [0, 1) so that there is a density to learn, knows the conditions; of what it draws, n is the whole part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from caloforge.errors import CaloforgeError
from caloforge.models.base import LatentModel
from caloforge.models.dataset import Pair, ShowerDataset
from caloforge.models.inner import inner_model
from caloforge.models.stages import Losses, Stage, StageSettings, TrainingBatch
from caloforge.packed import Packed

PREFIX = "numbers"


class NumbersOfPoints(nn.Module):
    """The first part of a model of point clouds.

    Args:
        wanted: `table`, or a latent model, `kind` and its settings.
        others: K, numbers of the whole cloud. conditions: C.
        most: largest number of points.

    Raises:
        CaloforgeError: the model is not one for this, or a table is asked for where there are further numbers.
    """

    frequencies: Tensor

    def __init__(self, wanted: Literal["table"] | dict[str, Any], others: int, conditions: int, most: int) -> None:
        super().__init__()
        if wanted == "table" and others:
            raise CaloforgeError(
                "model.numbers: a table has the number of points alone; with transforms that add numbers of the whole "
                "shower, give a model, as {kind: flow_matching}"
            )
        self.others, self.most = others, most
        self.register_buffer("frequencies", torch.full((most + 1,), 1 / (most + 1)))
        self.model: LatentModel | None = None
        if isinstance(wanted, dict):
            self.model = inner_model(wanted, 1 + others, conditions, "model.numbers")

    def fit(self, data: ShowerDataset) -> None:
        """Take the table from the training set."""
        if self.model is None:
            found = torch.zeros_like(self.frequencies)
            for x, _ in data.pieces():
                found += torch.bincount(x[:, 0].round().long(), minlength=self.most + 1).to(found)
            self.frequencies.copy_(found / found.sum())

    def stages(self) -> list[Stage]:
        """Those of the latent model, if there is one: `numbers_velocity` of a flow matching."""
        return [] if self.model is None else [_InnerStage(self, stage) for stage in self.model.stages()]

    def absent_stages(self) -> frozenset[str]:
        """`numbers_velocity`, of the usual model."""
        return frozenset({f"{PREFIX}_velocity"})

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) loss of the latent model, if there is one, for rows x (B, features)."""
        return x.new_zeros(len(x)) if self.model is None else self.model.loss(*self.numbers(x, c))

    def numbers(self, x: Tensor, c: Tensor) -> Pair:
        """(B, 1 + K) the dequantised n, and the numbers of whole clouds, of rows x."""
        u = torch.rand(len(x), 1, device=x.device, dtype=x.dtype)
        return torch.cat([x[:, :1] + u, x[:, 1 : 1 + self.others]], dim=1), c

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """n (B,), int64, and the numbers of whole clouds (B, K)."""
        if self.model is None:
            u = torch.rand(len(c), generator=generator, device=c.device, dtype=torch.float64)
            return self._counts(u), c.new_zeros(len(c), 0)
        return self._split(self.model.sample(c, generator))

    @property
    def latent_dim(self) -> int:
        """Numbers from N(0, 1) that `decode` needs for a cloud."""
        return 1 if self.model is None else self.model.latent_dim

    def decode(self, z: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """What `sample` gives, as a function of z (B, `latent_dim`) from N(0, 1)."""
        if self.model is None:
            return self._counts(torch.special.ndtr(z[:, 0].double())), c.new_zeros(len(c), 0)
        return self._split(self.model.decode(z, c))

    def _counts(self, u: Tensor) -> Tensor:
        """(B,) the table's quantiles at u (B,)."""
        edges = torch.cumsum(self.frequencies.double(), 0)
        return torch.searchsorted(edges / edges[-1], u, right=True).clamp_max(self.most)

    def _split(self, found: Tensor) -> tuple[Tensor, Tensor]:
        return found[:, 0].floor().clamp(0, self.most).long(), found[:, 1:]


def given_of(clouds: Packed, c: Tensor) -> Tensor:
    """(B, C + 1 + K) what networks of points are told of each cloud: its conditions, log(1 + n), and its numbers."""
    return torch.cat([c, torch.log1p(clouds.counts.to(c))[:, None], clouds.others], dim=1)


class _InnerStage(Stage):
    """A stage of the latent model, on numbers instead of rows."""

    def __init__(self, numbers: NumbersOfPoints, inner: Stage) -> None:
        super().__init__(f"{PREFIX}_{inner.name}", inner.loss, inner.parameters)
        self.numbers, self.inner = numbers, inner

    def fit(self, data: ShowerDataset) -> None:
        self.inner.fit(self._of(data))

    def prepare(self, data: ShowerDataset) -> ShowerDataset:
        return self.inner.prepare(self._of(data))

    def _of(self, data: ShowerDataset) -> ShowerDataset:
        return data.map(self.numbers.numbers, "each batch")

    def optimizers(self, settings: StageSettings) -> list[torch.optim.Optimizer]:
        return self.inner.optimizers(settings)

    def step(self, batch: TrainingBatch, optimizers: Sequence[torch.optim.Optimizer]) -> Losses:
        return self.inner.step(batch, optimizers)
