"""Invertible preprocessing: from voxels in MeV to the space that a model works in, and back.

A `Transform` maps a pair (x, c): features x (N, F) and conditions c (N, C). At the physical end x is the voxels in
MeV and c the incident energy in MeV, (N, 1). Forward and inverse stand side by side in one class, constants are
fitted once and live in buffers, so that they are saved with the model and travel into an exported graph.

`Compose` applies a list in order: the first is nearest to physics. In a recipe the list is `transforms:`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.registry import Registry, checked_settings, wants_geometry


class Transform(nn.Module, ABC):
    """An invertible map of (x, c).

    A subclass overrides `forward` and `inverse`, `fit` where constants come from data, and `condition` where the
    conditions change too. Its keyword-only constructor arguments are the keys of its recipe entry.
    """

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Take constants from training data that earlier transforms have already mapped."""
        return self

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

    def __iter__(self) -> Any:
        return iter(self.transforms)

    def fit(self, x: Tensor, c: Tensor) -> Self:
        """Fit each transform on what the ones before it make of (x, c)."""
        for transform in self.transforms:
            x, c = transform.fit(x, c)(x, c)  # type: ignore[operator]
        return self

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in self.transforms:
            x, c = transform(x, c)
        return x, c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        for transform in reversed(self.transforms):
            x, c = transform.inverse(x, c)  # type: ignore[operator]
        return x, c

    def condition(self, c: Tensor) -> Tensor:
        for transform in self.transforms:
            c = transform.condition(c)  # type: ignore[operator]
        return c

    def specification(self) -> list[dict[str, Any]]:
        """The list that `build_transforms` makes this composition from."""
        return [{"kind": TRANSFORMS.name_of(type(t)), **t.settings} for t in self]


class ReadoutThreshold(Transform):
    """Zero for voxels below a threshold, applied on the way back to physics.

    Forward leaves x as it is: training sees the true showers.

    Args:
        value: the threshold in MeV; `geometry` takes the geometry's own. Zero still removes negative energies.
        geometry: the voxels' description.
    """

    def __init__(self, *, value: float | str = "geometry", geometry: Geometry) -> None:
        super().__init__()
        if isinstance(value, str):
            if value != "geometry":
                raise CaloforgeError(f"'value' of a threshold is a number of MeV or 'geometry', not '{value}'")
            value = geometry.threshold
        if value < 0:
            raise CaloforgeError(f"'value' of a threshold must not be negative, not {value} MeV")
        self.value = float(value)

    @property
    def settings(self) -> dict[str, Any]:
        return {"value": self.value}

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        # "Below" is strict, as in the challenge's evaluation: a voxel that equals the threshold stays. `threshold`
        # takes what is above, hence the next number below; it is one pass and several times as fast as `where`.
        value = np.array(self.value, dtype=np.float64 if x.dtype == torch.float64 else np.float32)
        below = np.nextafter(value, -np.inf, dtype=value.dtype)
        return functional.threshold(x, float(below), 0.0), c


class IncidentEnergyFraction(Transform):
    """Voxels as fractions of r_max · E_inc, r_max the largest E_dep / E_inc of the training set.

    CaloMan, arXiv:2211.15380, appendix; CaloScore's f plays the same part. All features and their sum lie in
    [0, 1] on the training set.

    Args:
        maximum: r_max; `auto` takes it from the training data.
    """

    maximum: Tensor

    def __init__(self, *, maximum: float | str = "auto") -> None:
        super().__init__()
        if isinstance(maximum, str) and maximum != "auto":
            raise CaloforgeError(f"'maximum' is a number or 'auto', not '{maximum}'")
        self._auto = maximum == "auto"
        self.register_buffer("maximum", torch.tensor(1.0 if isinstance(maximum, str) else float(maximum)))

    @property
    def settings(self) -> dict[str, Any]:
        return {"maximum": "auto" if self._auto else float(self.maximum)}

    def fit(self, x: Tensor, c: Tensor) -> Self:
        if self._auto:
            largest = (x.sum(dim=1, dtype=torch.float64) / c[:, 0]).max()
            if not largest > 0:
                raise CaloforgeError("no training shower deposits any energy; there is nothing to learn")
            self.maximum.copy_(largest)
        return self

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x / (self.maximum * c[:, :1]), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x * (self.maximum * c[:, :1]), c


class AppendDepositedEnergy(Transform):
    """One more feature: the sum of the voxels (CaloMan, arXiv:2211.15380, appendix).

    After `IncidentEnergyFraction` this is E_dep / (r_max E_inc), in [0, 1] like the voxels; the paper does not state
    its scale.

    Args:
        rescale: on the way back, scale the voxels so that they sum to the feature; otherwise drop the feature. The
            paper does not state which.
    """

    def __init__(self, *, rescale: bool = False) -> None:
        super().__init__()
        self.rescale = rescale

    @property
    def settings(self) -> dict[str, Any]:
        return {"rescale": self.rescale}

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([x, x.sum(dim=1, keepdim=True)], dim=1), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        voxels, total = x[:, :-1], x[:, -1:]
        if self.rescale:
            voxels = voxels.clamp_min(0)
            voxels = voxels * (total.clamp_min(0) / voxels.sum(dim=1, keepdim=True).clamp_min(1e-16))
        return voxels, c


class DepositedEnergyShares(Transform):
    """Voxels as shares of their sum, and the sum as one more feature (CaloScore on data set 1, arXiv:2206.11898).

    After `IncidentEnergyFraction` the feature is E_dep / (f E_inc). A shower without energy has shares of 0. The way
    back divides shares by their sum, so that E_dep is the feature's; the paper does not state whether.
    """

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        total = x.sum(dim=1, keepdim=True)
        return torch.cat([x / total.clamp_min(1e-16), total], dim=1), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        shares, total = x[:, :-1].clamp_min(0), x[:, -1:].clamp_min(0)
        return shares * (total / shares.sum(dim=1, keepdim=True).clamp_min(1e-16)), c


class Logit(Transform):
    """u → logit(α + (1 − 2α) u) for features u in [0, 1] (CaloFlow, arXiv:2106.05285; CaloScore uses it too).

    Args:
        alpha: α, above 0 and below 1/2: keeps 0 and 1 finite.
    """

    def __init__(self, *, alpha: float = 1e-6) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise CaloforgeError(f"'alpha' of a logit must lie between 0 and 0.5, not {alpha}")
        self.alpha = alpha

    @property
    def settings(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return torch.logit(self.alpha + (1 - 2 * self.alpha) * x.clamp(0, 1)), c

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return (torch.sigmoid(x) - self.alpha) / (1 - 2 * self.alpha), c


class LinearCondition(Transform):
    """The incident energy, mapped linearly from the training range to [0, 1] (CaloMan, CaloScore)."""

    low: Tensor
    span: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(0.0))
        self.register_buffer("span", torch.tensor(1.0))

    def fit(self, x: Tensor, c: Tensor) -> Self:
        self.low.copy_(c.min())
        span = c.max() - c.min()
        self.span.copy_(span if span > 0 else torch.ones(()))  # one single energy maps to 0
        return self

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, self.condition(c)

    def inverse(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        return x, c * self.span + self.low

    def condition(self, c: Tensor) -> Tensor:
        return (c - self.low) / self.span


TRANSFORMS = Registry(
    "transform",
    Transform,  # type: ignore[type-abstract]
    {
        "append_deposited_energy": "caloforge.transforms.AppendDepositedEnergy",
        "cartesian_cells": "caloforge.square_cells.CartesianCells",
        "deposited_energy_shares": "caloforge.transforms.DepositedEnergyShares",
        "incident_energy_fraction": "caloforge.transforms.IncidentEnergyFraction",
        "linear_condition": "caloforge.transforms.LinearCondition",
        "logit": "caloforge.transforms.Logit",
        "readout_threshold": "caloforge.transforms.ReadoutThreshold",
    },
)


def build_transforms(
    specification: Sequence[Mapping[str, Any]],
    geometry: Geometry,
    trusted: Collection[str] = (),
    origin: str = "transforms",
) -> Compose:
    """A composition from a recipe's list.

    Args:
        specification: mappings with `kind` (registered name or trusted dotted path) and that transform's settings.
        geometry: given to the transforms that ask for it.
        trusted: dotted paths of classes that the user named.
        origin: what to call the list in an error.

    Raises:
        CaloforgeError: a kind is unknown or a key is wrong.
    """
    built = []
    for number, entry in enumerate(specification):
        where = f"{origin}[{number}]"
        settings = dict(entry)
        if "kind" not in settings:
            raise CaloforgeError(f"{where}: missing key 'kind'")
        try:
            cls = TRANSFORMS.resolve(str(settings.pop("kind")), trusted)
            context = {"geometry": geometry} if wants_geometry(cls) else {}
            built.append(cls(**checked_settings(cls, settings, where), **context))
        except CaloforgeError as error:
            message = str(error)
            raise CaloforgeError(message if message.startswith(where) else f"{where}: {message}") from None
    return Compose(built)
