"""Samplers: from noise x_1 back to showers x_0, given any schedule and any score.

*By the reverse SDE* (Song et al., arXiv:2011.13456), dx = (a x − g² s) dt + g dw̄, in steps of Δ > 0 down in time:

    predictor (Euler–Maruyama)     x ← x − a x Δ + g² s Δ + g √Δ z
    corrector (Langevin)           x ← x + ε s + √(2ε) z′,     ε = 2 r² (⟨‖z′‖⟩ / ⟨‖s‖⟩)²

with ⟨ ⟩ the average over the batch. As in CaloScore (arXiv:2206.11898) the corrector reuses the predictor's score
s(x, t), so that it costs nothing. The paper's eq. 11 has ε s g instead of ε s. That form (`paper`) does not leave a
Gaussian with its exact score invariant; the Langevin step (`langevin`) does, up to O(ε).

*By the probability-flow ODE* (`caloforge.diffusion.probability_flow`): Heun's method, an adaptive one, and

    multistep    x̄ ← (ρ′/ρ) x̄ + (1 − ρ′/ρ) D,     D = x̂ + (x̂ − x̂_before) h′/(2h),     x̂ = x̄ − ρ ε,

where x̂ is the denoised shower, h and h′ the previous and the present step in log ρ. It is exact where x̂ is linear in
log ρ, and needs one evaluation per step (DPM-Solver++, arXiv:2211.01095). With D = x̂ it is DDIM (arXiv:2010.02502).
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from caloforge.configured import Configured
from caloforge.diffusion.probability_flow import Score, noise_field
from caloforge.diffusion.schedules import Schedule, ratio_times, uniform_times
from caloforge.diffusion.solvers import bogacki_shampine, solve_on_grid
from caloforge.registry import ConfiguredRegistry

Corrector = Literal["langevin", "paper"]


class Sampler(Configured, ABC):
    """Draws samples of p_{t_min} from noise.

    The arguments of a subclass's constructor are its settings.
    """

    @abstractmethod
    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """(B, F) noise of standard deviation `schedule.prior_sigma()` → (B, F) samples.

        Args:
            score: the score, exact or learned.
            schedule: what it belongs to.
            x_1: the noise.
            generator: of all further noise.
        """


@dataclass(frozen=True)
class EulerMaruyama(Sampler):
    """The plain reverse SDE by Euler–Maruyama steps, evenly spaced in time; one evaluation per step.

    The last step adds no noise.

    Args:
        steps: at least 1.
    """

    steps: PositiveInt

    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        x_t = x_1
        times = uniform_times(schedule, self.steps)
        for k, (t, step) in enumerate(zip(times[:-1], times[:-1] - times[1:], strict=True)):
            a_t, g_t = schedule.drift(t), schedule.diffusion(t)
            s_t = score(x_t, t)
            x_t = (1 - a_t * step) * x_t + (g_t**2 * step) * s_t
            if k + 1 == self.steps:
                break
            x_t = x_t + g_t * step.sqrt() * noise_like(x_t, generator)
            x_t = self._corrected(x_t, s_t, g_t, generator)
        return x_t

    def _corrected(self, x_t: Tensor, s_t: Tensor, g_t: Tensor, generator: torch.Generator | None) -> Tensor:
        return x_t


@dataclass(frozen=True)
class PredictorCorrector(EulerMaruyama):
    """Euler–Maruyama steps, each followed by a corrector; one evaluation per step.

    Args:
        snr: r of the corrector; 0 leaves it out.
        corrector: its form, see above.
    """

    snr: NonNegativeFloat = 0.2
    corrector: Corrector = "langevin"

    def _corrected(self, x_t: Tensor, s_t: Tensor, g_t: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.snr == 0:
            return x_t
        z = noise_like(x_t, generator)
        size = 2 * (self.snr * z.norm(dim=1).mean() / s_t.norm(dim=1).mean().clamp_min(1e-30)) ** 2
        drift = size * g_t if self.corrector == "paper" else size
        return x_t + drift * s_t + torch.sqrt(2 * size) * z


@dataclass(frozen=True)
class Heun(Sampler):
    """The probability-flow ODE by Heun's method; two evaluations per step.

    Args:
        steps: at least 1.
    """

    steps: PositiveInt

    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        times = ratio_times(schedule, self.steps)
        grid, alpha = schedule.ratio(times), schedule.alpha(times)
        return alpha[-1] * solve_on_grid(noise_field(score, schedule), x_1 / alpha[0], grid, "heun")


@dataclass(frozen=True)
class Adaptive(Sampler):
    """The probability-flow ODE by an adaptive method; the tolerance decides how many evaluations there are.

    Args:
        tolerance: of a step's relative error.
    """

    tolerance: PositiveFloat = 1e-3

    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        ends = uniform_times(schedule, 1)
        (start, end), alpha = schedule.ratio(ends), schedule.alpha(ends)
        field = noise_field(score, schedule)
        return alpha[-1] * bogacki_shampine(field, x_1 / alpha[0], start, end, self.tolerance)


@dataclass(frozen=True)
class Multistep(Sampler):
    """Deterministic few-step sampling, extrapolated from the step before; one evaluation per step.

    Args:
        steps: at least 1.
    """

    steps: PositiveInt
    extrapolates: ClassVar[bool] = True

    def __call__(
        self, score: Score, schedule: Schedule, x_1: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        field = noise_field(score, schedule)
        times = ratio_times(schedule, self.steps)
        grid, alpha = schedule.ratio(times), schedule.alpha(times)
        x_bar, before = x_1 / alpha[0], None
        log_steps = torch.diff(grid.log())
        for k, (here, there) in enumerate(itertools.pairwise(grid)):
            clean = x_bar - here * field(x_bar, here)
            extrapolated = clean
            if self.extrapolates and before is not None:
                extrapolated = clean + (clean - before) * (log_steps[k] / (2 * log_steps[k - 1]))
            x_bar = torch.lerp(extrapolated, x_bar, (there / here).to(x_bar))
            before = clean
        return alpha[-1] * x_bar


@dataclass(frozen=True)
class DDIM(Multistep):
    """`Multistep` without the extrapolation."""

    extrapolates: ClassVar[bool] = False


def noise_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Numbers from N(0, 1), of the shape, type and device of x."""
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)


SAMPLERS: ConfiguredRegistry[Sampler] = ConfiguredRegistry(
    "sampler",
    Sampler,
    {
        "predictor_corrector": "caloforge.diffusion.samplers.PredictorCorrector",
        "euler_maruyama": "caloforge.diffusion.samplers.EulerMaruyama",
        "heun": "caloforge.diffusion.samplers.Heun",
        "adaptive": "caloforge.diffusion.samplers.Adaptive",
        "ddim": "caloforge.diffusion.samplers.DDIM",
        "multistep": "caloforge.diffusion.samplers.Multistep",
    },
)
"""By name; a recipe may name a class of the user's own by its dotted path."""
