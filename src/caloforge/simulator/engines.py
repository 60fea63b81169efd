"""Engines: what carries a batch of incident energies through a model and back to voxels in MeV.

An engine works through a batch in pieces that stay in a processor's cache, and says how long model and
postprocessing took. `TorchEngine` is PyTorch, as it is or compiled; `caloforge.export.engine` has onnxruntime's.
All draw a batch's noise at once from the batch's own generator, so that they make the same showers up to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.models.base import LatentModel

if TYPE_CHECKING:
    from caloforge.simulator.core import Simulator

VOXELS = 920_000
"""Voxels per piece on a CPU, 2 500 showers of data set 1: few enough for caches, enough to hide the cost of calls."""


@dataclass(frozen=True)
class Batch:
    """Showers to make.

    Args:
        number: of the batch, from 0.
        energies: (B,) incident energies in MeV.
        seed: of the batch's noise.
    """

    number: int
    energies: np.ndarray
    seed: int


@dataclass(frozen=True)
class Made:
    """A finished batch.

    Args:
        voxels: (B, V) float32 in MeV.
        model: seconds in the model, noise included.
        postprocessing: seconds of undoing the preprocessing, threshold included; 0 where one graph does both.
    """

    voxels: np.ndarray
    model: float
    postprocessing: float


class Engine(Protocol):
    """Makes batches; safe to call from several threads at once.

    `energy_range` has the ends in MeV of the incident energies that it takes, None for any.
    """

    name: str
    energy_range: tuple[float, float] | None

    def make(self, batch: Batch) -> Made:
        """The batch's showers."""


def rows_per_piece(n_voxels: int) -> int:
    """Showers of so many voxels that a CPU makes at a time."""
    return max(1, VOXELS // n_voxels)


class TorchEngine:
    """PyTorch on the device and in the precision of the simulator's weights, as they are now.

    Args:
        simulator: what to run.
        compiled: let torch.compile make one kernel chain of model and postprocessing; the first call takes long.

    Raises:
        CaloforgeError: to be compiled, a model must be a `LatentModel`.
    """

    def __init__(self, simulator: Simulator, compiled: bool = False) -> None:
        self.name = "compile" if compiled else "torch"
        self.energy_range: tuple[float, float] | None = None
        self.transforms = simulator.transforms
        self.model = simulator.model
        if self.model.training:
            self.model.eval()
        parameter = next(self.model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        # A GPU wants as much at once as there is.
        self.rows = rows_per_piece(simulator.geometry.n_voxels) if self.device.type == "cpu" else 1_000_000
        self.decode: Callable[[Tensor, Tensor], Tensor] | None = self.model.lowered(graph=compiled)
        if self.decode is None and isinstance(self.model, LatentModel):
            self.decode = self.model.decode
        self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None
        if compiled:
            self._compiled = self._compile()

    def _compile(self) -> Callable[[Tensor, Tensor], Tensor]:
        decode = self.decode
        if decode is None:
            raise CaloforgeError(
                f"the model {type(self.model).__name__} draws its noise itself (no `LatentModel`), which cannot "
                "be compiled: use --engine torch"
            )

        def whole(noise: Tensor, energies: Tensor) -> Tensor:
            c = self.transforms.condition(energies)
            return self.transforms.inverse(decode(noise, c), c)[0]

        return torch.compile(whole, dynamic=False)

    def make(self, batch: Batch) -> Made:
        with torch.inference_mode():
            energies = torch.as_tensor(batch.energies, dtype=self.dtype, device=self.device)[:, None]
            generator = torch.Generator(self.device).manual_seed(batch.seed)
            if self._compiled is not None:
                return self._make_compiled(energies, generator)
            return self._make(energies, generator)

    def sample(self, batch: Batch) -> None:
        """Only the model's part of `make`, noise included: to time it."""
        with torch.inference_mode():
            energies = torch.as_tensor(batch.energies, dtype=self.dtype, device=self.device)[:, None]
            generator = torch.Generator(self.device).manual_seed(batch.seed)
            c = self.transforms.condition(energies)
            noise = None if self.decode is None else self._noise(len(c), generator)
            for start in range(0, len(c), self.rows):
                self._features(noise, c, slice(start, start + self.rows), generator)
            self._now()

    def _features(self, noise: Tensor | None, c: Tensor, rows: slice, generator: torch.Generator) -> Tensor:
        if self.decode is None or noise is None:
            return self.model.sample(c[rows], generator)
        return self.decode(noise[rows], c[rows])

    def _make(self, energies: Tensor, generator: torch.Generator) -> Made:
        model = postprocessing = 0.0
        voxels: Tensor | None = None
        begun = self._now()
        c = self.transforms.condition(energies)
        noise = None if self.decode is None else self._noise(len(energies), generator)
        for start in range(0, len(energies), self.rows):
            rows = slice(start, start + self.rows)
            x = self._features(noise, c, rows, generator)
            modelled = self._now()
            piece = self.transforms.inverse(x, c[rows])[0]
            if voxels is None:
                voxels = torch.empty((len(energies), piece.shape[1]), dtype=torch.float32)
            voxels[rows] = piece
            ended = self._now()
            model, postprocessing, begun = model + modelled - begun, postprocessing + ended - modelled, ended
        assert voxels is not None
        return Made(voxels.numpy(), model, postprocessing)

    def _make_compiled(self, energies: Tensor, generator: torch.Generator) -> Made:
        begun = self._now()
        noise = self._noise(len(energies), generator)
        n, rows = len(energies), min(self.rows, len(energies))
        assert self._compiled is not None
        pieces = []
        for start in range(0, n, rows):
            # One shape, one compilation: a short last piece is made longer by repeating its last row.
            index = torch.arange(start, start + rows, device=self.device).clamp_max(n - 1)
            pieces.append(self._compiled(noise[index], energies[index])[: n - start].float().cpu())
        return Made(torch.cat(pieces).numpy(), self._now() - begun, 0.0)

    def _noise(self, n: int, generator: torch.Generator) -> Tensor:
        assert isinstance(self.model, LatentModel)
        return torch.randn(n, self.model.latent_dim, generator=generator, device=self.device, dtype=self.dtype)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
