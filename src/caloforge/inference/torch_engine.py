"""`TorchEngine`: PyTorch, eager or compiled."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from caloforge.errors import CaloforgeError, either
from caloforge.inference.engine import Batch, GeneratedBatch, Pipeline, rows_per_piece
from caloforge.inference.rewriting import optimised
from caloforge.models.base import LatentModel


class TorchEngine:
    """PyTorch with the current weights of the simulator, on their device and in their precision.

    Args:
        simulator: the simulator to run.
        compiled: compile model and postprocessing together with torch.compile; the first call is slow.

    Raises:
        CaloforgeError: the model is to be compiled but is not a `LatentModel`.
    """

    def __init__(self, simulator: Pipeline, compiled: bool = False) -> None:
        self.name = "compile" if compiled else "torch"
        self.energy_range: tuple[float, float] | None = None
        self.transforms, self.conditions = simulator.transforms, simulator.conditions
        self.model = simulator.model
        self.row_length = simulator.geometry.row_length
        if self.model.training:
            self.model.eval()
        parameter = next(self.model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        # A GPU is fastest with large pieces.
        self.rows = rows_per_piece(self.row_length) if self.device.type == "cpu" else 1_000_000
        self.decode: Callable[[Tensor, Tensor], Tensor] | None = optimised(self.model, traced=compiled)
        if self.decode is None and isinstance(self.model, LatentModel):
            self.decode = self.model.decode
        self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None
        if compiled:
            self._compiled = self._compile()

    def _compile(self) -> Callable[[Tensor, Tensor], Tensor]:
        decode = self.decode
        if decode is None:
            raise CaloforgeError(
                f"the model {type(self.model).__name__} draws its own noise (it is not a `LatentModel`), "
                f"so it cannot be compiled: use {either('--engine torch', 'the engine torch')}"
            )

        def whole(noise: Tensor, given: Tensor) -> Tensor:
            c = self.transforms.condition(given)
            return self.transforms.inverse(decode(noise, c), c)[0]

        return torch.compile(whole, dynamic=False)

    def generate(self, batch: Batch) -> GeneratedBatch:
        """The batch's showers."""
        with torch.inference_mode():
            given = self.given(batch)
            generator = torch.Generator(self.device).manual_seed(batch.seed)
            if self._compiled is not None:
                return self._generate_compiled(given, generator)
            return self._generate(given, generator)

    def given(self, batch: Batch) -> Tensor:
        """(B, 1 + further) what the transforms get: energies in MeV, and further conditions."""
        energies, values = (
            None if part is None else torch.as_tensor(part, dtype=self.dtype, device=self.device)
            for part in (batch.energies, batch.conditions)
        )
        assert energies is not None
        return self.conditions.inputs(energies[:, None], values)

    def sample(self, batch: Batch) -> None:
        """Only the model's part of `generate`, including the noise, for timing."""
        with torch.inference_mode():
            generator = torch.Generator(self.device).manual_seed(batch.seed)
            c = self.transforms.condition(self.given(batch))
            noise = None if self.decode is None else self._noise(len(c), generator)
            for start in range(0, len(c), self.rows):
                self._features(noise, c, slice(start, start + self.rows), generator)
            self._now()

    def _features(self, noise: Tensor | None, c: Tensor, rows: slice, generator: torch.Generator) -> Tensor:
        if self.decode is None or noise is None:
            return self.model.sample(c[rows], generator)
        return self.decode(noise[rows], c[rows])

    def _generate(self, given: Tensor, generator: torch.Generator) -> GeneratedBatch:
        model = postprocessing = 0.0
        found: Tensor | None = None
        begun = self._now()
        c = self.transforms.condition(given)
        noise = None if self.decode is None else self._noise(len(given), generator)
        for start in range(0, len(given), self.rows):
            rows = slice(start, start + self.rows)
            x = self._features(noise, c, rows, generator)
            modelled = self._now()
            piece = self.transforms.inverse(x, c[rows])[0]
            if piece.shape != (len(x), self.row_length):
                raise CaloforgeError(
                    f"the model {type(self.model).__name__} gave features of shape {tuple(x.shape)}, and the "
                    f"transforms turned them into {tuple(piece.shape)}; a row of the geometry has {self.row_length}"
                )
            if found is None:
                found = torch.empty((len(given), piece.shape[1]), dtype=torch.float32)
            found[rows] = piece
            ended = self._now()
            model, postprocessing, begun = model + modelled - begun, postprocessing + ended - modelled, ended
        assert found is not None
        return GeneratedBatch(found.numpy(), model, postprocessing)

    def _generate_compiled(self, given: Tensor, generator: torch.Generator) -> GeneratedBatch:
        begun = self._now()
        noise = self._noise(len(given), generator)
        n, rows = len(given), min(self.rows, len(given))
        assert self._compiled is not None
        pieces = []
        for start in range(0, n, rows):
            # One shape means one compilation: a short last piece is padded with copies of its last row.
            index = torch.arange(start, start + rows, device=self.device).clamp_max(n - 1)
            pieces.append(self._compiled(noise[index], given[index])[: n - start].float().cpu())
        return GeneratedBatch(torch.cat(pieces).numpy(), self._now() - begun, 0.0)

    def _noise(self, n: int, generator: torch.Generator) -> Tensor:
        assert isinstance(self.model, LatentModel)
        return torch.randn(n, self.model.latent_dim, generator=generator, device=self.device, dtype=self.dtype)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
