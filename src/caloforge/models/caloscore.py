"""CaloScore: score-based diffusion (Mikuni and Nachman, Phys. Rev. D 106, 092009, arXiv:2206.11898).

Showers turn into noise by x_t = α(t) x_0 + σ(t) z (`caloforge.diffusion.schedules`). A network ε(x_t, t, c) learns by
denoising score matching, with the weight 1/E‖∇ log p‖² = σ²,

    E_{t, x_0, z} ‖σ(t) s(x_t, t, c) + z‖² = E ‖ε − z‖²,     s = −ε/σ ≈ ∇ log p_t(x_t | c),

t evenly spread over [t_min, 1]. The network N sees x̂ = x_t / √(α² + σ²), of variance 1 where showers have it, and
gives ε, or the velocity v = (α z − σ x_0) / √(α² + σ²) (arXiv:2202.00512), so that ε = (σ x̂ + α N) / √(α² + σ²): then
what is linear in x_t, nearly all where noise prevails, need not be learned. Samplers
(`caloforge.diffusion.samplers`) walk back from noise with that score; the exact log-likelihood follows from the
probability-flow ODE (`caloforge.diffusion.likelihood`).

Schedule, network, sampler, steps and r are settings of their own; the last three, with corrector and tolerance, can
be changed in a trained run (`--set model.sampler=heun --set model.steps=50`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from caloforge.diffusion import SAMPLERS, SCHEDULES, log_likelihood
from caloforge.geometry import Geometry
from caloforge.models.base import ShowerModel
from caloforge.models.dataset import ShowerDataset
from caloforge.models.stages import Stage
from caloforge.networks.denoising import CPU_ROWS, denoising_network
from caloforge.networks.standardise import By, Standardise
from caloforge.networks.unet import FourierFeatures
from caloforge.sharing import part_of

ScheduleEntry = Annotated[str | dict[str, Any], AfterValidator(SCHEDULES.check)]
SamplerEntry = Annotated[str | dict[str, Any], AfterValidator(SAMPLERS.check)]


class CaloScore(ShowerModel):
    """A diffusion model of showers.

    Args:
        features: F, number of features after the transforms.
        conditions: C, number of conditions (1: the incident energy, in [0, 1]).
        geometry: supplies the grid of a cylinder.
        schedule: how showers turn into noise: `ve`, `vp`, `subvp`, with the paper's constants; the dotted path of a
            `Schedule` of your own; or a mapping of `kind` and its settings, as in `{kind: vp, beta_max: 10}`.
        network: `unet`, or `mlp`: a residual network on the plain features, not as published, but many times faster
            where there are a few hundred of them.
        grid: of the U-Net: `line` (1D, ds1), `cylinder` (layers × alpha × r, round in alpha; F must be the voxels of a
            regular polar geometry), or three numbers with product F (layers × x × y).
        channels: of each level of the U-Net.
        kernel: of its convolutions, odd.
        pooling: for each of its steps down, a factor per axis.
        positional_bias: learn a bias for each point of the grid, so that convolutions can depend on position. Not as
            published.
        width: hidden features of the `mlp`.
        blocks: of the `mlp`, residual.
        embedding: width of the Fourier features of time and conditions, and of the dense layers behind them.
        predicts: what the network gives, `noise` (as published) or `velocity` (trains faster).
        standardise: what features are scaled to mean 0 and width 1 with: `none` (as published), `all` one mean and
            width for all features, or `each` its own.
        sampler: `predictor_corrector` (as published), `euler_maruyama` (the plain reverse SDE), `heun` and `adaptive`
            (the probability-flow ODE), `ddim` and `multistep` (deterministic, for few steps); the dotted path of a
            `Sampler` of your own; or a mapping of `kind` and its settings.
        steps: of the sampler; `heun` needs two evaluations for each, `adaptive` ignores it.
        snr: r of the corrector.
        corrector: `langevin`, or `paper`: eq. 11 as printed, which widens what it should leave alone.
        tolerance: of `adaptive`.
        memory_gb: what the network may take, in 10⁹ bytes: batches are cut into pieces that fit.
        log_prob_steps: of the ODE that gives the log-likelihood, two evaluations with gradient each.

    Example:
        >>> from caloforge.geometry import load_geometry
        >>> model = CaloScore(369, 1, geometry=load_geometry("ds1-photons"), channels=[8, 16, 32], steps=4)
        >>> model.sample(torch.rand(2, 1)).shape
        torch.Size([2, 369])
    """

    renamed: ClassVar = {"locations": "positional_bias"}

    def __init__(
        self,
        features: int,
        conditions: int,
        *,
        geometry: Geometry,
        schedule: ScheduleEntry = "subvp",
        network: Literal["unet", "mlp"] = "unet",
        grid: Literal["line", "cylinder"] | list[PositiveInt] = "line",
        channels: Annotated[list[PositiveInt], Field(min_length=1)] = [80, 320, 1280],  # noqa: B006 - read only, and shown in the schema
        kernel: PositiveInt = 5,
        pooling: list[list[PositiveInt]] = [[4], [4]],  # noqa: B006
        positional_bias: bool = False,
        width: PositiveInt = 512,
        blocks: NonNegativeInt = 4,
        embedding: Annotated[int, Field(ge=2)] = 256,
        predicts: Literal["noise", "velocity"] = "noise",
        standardise: By = "none",
        sampler: SamplerEntry = "predictor_corrector",
        steps: PositiveInt = 100,
        snr: NonNegativeFloat = 0.2,
        corrector: Literal["langevin", "paper"] = "langevin",
        tolerance: PositiveFloat = 1e-3,
        memory_gb: PositiveFloat = 4.0,
        log_prob_steps: PositiveInt = 50,
    ) -> None:
        super().__init__()
        self.features, self.predicts, self.log_prob_steps = features, predicts, log_prob_steps
        self.schedule = SCHEDULES.build(SCHEDULES.entry(schedule), origin="schedule")
        settings = {"steps": steps, "snr": snr, "corrector": corrector, "tolerance": tolerance}
        entry = SAMPLERS.entry(sampler, **settings)
        self.sampler = SAMPLERS.build(entry, origin="sampler")
        self.of_sampler = frozenset(settings) & entry.keys()
        self.of_time = FourierFeatures(1, embedding)
        self.of_conditions = FourierFeatures(conditions, embedding)
        self.network, numbers = denoising_network(
            network,
            features,
            embedding,
            geometry,
            grid=grid,
            channels=channels,
            kernel=kernel,
            pooling=pooling,
            positional_bias=positional_bias,
            width=width,
            blocks=blocks,
        )
        self.rows_sampling, self.rows_training = (max(1, int(memory_gb * 1e9 / (4 * n))) for n in numbers)
        self.standardise = Standardise(features, standardise)

    # ---- the network -----------------------------------------------------------------------------------------

    def noise(self, x_t: Tensor, t: Tensor, e_c: Tensor) -> Tensor:
        """(B, F) the predicted noise ε.

        Args:
            x_t: (B, F) standardised showers with noise. t: (B,) or (1,).
            e_c: (B, E) embedded conditions.
        """
        alpha_t, sigma_t = self.schedule.alpha(t)[:, None], self.schedule.sigma(t)[:, None]
        size = torch.sqrt(alpha_t**2 + sigma_t**2)
        x_hat = x_t / size
        out = self.network(x_hat, functional.silu(self.of_time(t[:, None]) + e_c))
        return out if self.predicts == "noise" else (sigma_t / size) * x_hat + (alpha_t / size) * out

    def score(self, x_t: Tensor, t: Tensor, c: Tensor) -> Tensor:
        """(B, F) ∇ log p_t of standardised showers x_t (B, F) at a time t (), given conditions c (B, C)."""
        return self._score(x_t, t, self.of_conditions(c))

    def _score(self, x_t: Tensor, t: Tensor, e_c: Tensor) -> Tensor:
        t = t.to(x_t)[None]
        return -self.noise(x_t, t, e_c) / self.schedule.sigma(t)

    # ---- training --------------------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """One, `model`."""
        return [Stage("model", self.loss, self.parameters(), fit=self._fit)]

    def _fit(self, data: ShowerDataset) -> None:
        self.standardise.fit_chunks(x for x, _ in data.chunks())

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        """(B,) ‖ε − z‖² / F, at one time and one noise for each shower."""
        # Times spread evenly over the batch, from one random start: each is uniform, and their mean has less variance.
        part = part_of(x)
        u = (torch.rand((), device=x.device) + torch.arange(part.total, device=x.device)[part.rows] / part.total) % 1
        t = (1 - (1 - self.schedule.t_min) * u).to(x)
        z = torch.randn_like(x)
        rows = self.rows_training if torch.is_grad_enabled() else self.rows_sampling
        if len(x) <= rows:
            return self._loss(x, t, z, c)
        # Of each piece only the loss is kept, and the gradient computes the rest again: the memory is one piece's.
        pieces = zip(*(part.split(rows) for part in (x, t, z, c)), strict=True)
        return torch.cat([checkpoint(self._loss, *piece, use_reentrant=False) for piece in pieces])

    def rows_at_once(self, batch_size: int) -> int:
        return min(batch_size, self.rows_training)

    def _loss(self, x: Tensor, t: Tensor, z: Tensor, c: Tensor) -> Tensor:
        x_t = self.schedule.alpha(t)[:, None] * self.standardise(x) + self.schedule.sigma(t)[:, None] * z
        return ((self.noise(x_t, t, self.of_conditions(c)) - z) ** 2).mean(dim=1)

    export_obstacle = (
        "its sampler evaluates the network many times, which no format's graph holds; generate with the engine torch, "
        "or export the flagship, CaloMan, CaloFlow's student or a WGAN-GP"
    )

    # ---- sampling and density --------------------------------------------------------------------------------

    def sampling_settings(self) -> frozenset[str]:
        """`sampler`, `memory_gb`, and those of steps, snr, corrector and tolerance that the present sampler takes."""
        return frozenset({"sampler", "memory_gb"}) | self.of_sampler

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        rows = min(self.rows_sampling, CPU_ROWS) if c.device.type == "cpu" else self.rows_sampling
        return torch.cat([self._sample(part, generator) for part in c.split(rows)])

    def _sample(self, c: Tensor, generator: torch.Generator | None) -> Tensor:
        e_c = self.of_conditions(c)  # the same at all times
        shape = (len(c), self.features)
        z = torch.randn(shape, generator=generator, device=c.device, dtype=c.dtype)
        x_1 = self.schedule.prior_sigma() * z
        x_0 = self.sampler(lambda x_t, t: self._score(x_t, t, e_c), self.schedule, x_1, generator)
        return self.standardise.inverse(x_0)

    def log_prob(self, x: Tensor, c: Tensor, probes: int = 1, seed: int = 0) -> Tensor:
        """(B,) log density of x (B, F) by the probability-flow ODE.

        Args:
            x: features. c: (B, C) conditions.
            probes: random vectors of the Hutchinson trace estimator.
            seed: of those vectors.
        """
        generator = torch.Generator(x.device).manual_seed(seed)
        pieces = zip(x.split(self.rows_training), c.split(self.rows_training), strict=True)
        return torch.cat([self._log_prob(a, b, probes, generator) for a, b in pieces])

    def _log_prob(self, x: Tensor, c: Tensor, probes: int, generator: torch.Generator) -> Tensor:
        e_c = self.of_conditions(c).detach()
        log_density = log_likelihood(
            lambda x_t, t: self._score(x_t, t, e_c),
            self.schedule,
            self.standardise(x),
            steps=self.log_prob_steps,
            probes=probes,
            generator=generator,
        )
        return log_density + self.standardise.log_slope()
