"""Diffusion: schedule ∘ network ∘ sampler, any with any.

A `Schedule` defines how showers turn into noise, a score (a network, or a formula in the tests) its reversal, a
`Sampler` samples with both, and `log_likelihood` integrates the density. None of them depends on the kind of another.
`transport` has the paths and pairs of flow matching; `solvers` integrate the equations of both.
"""

from caloforge.diffusion.likelihood import log_likelihood
from caloforge.diffusion.probability_flow import Score, noise_field
from caloforge.diffusion.samplers import SAMPLERS, Sampler
from caloforge.diffusion.schedules import SCHEDULES, VE, VP, Schedule, SubVP, ratio_times, uniform_times

__all__ = [
    "SAMPLERS",
    "SCHEDULES",
    "VE",
    "VP",
    "Sampler",
    "Schedule",
    "Score",
    "SubVP",
    "log_likelihood",
    "noise_field",
    "ratio_times",
    "uniform_times",
]
