"""Diffusion: schedule ∘ network ∘ sampler, any with any.

A `Schedule` defines how showers turn into noise, a score (a network, or a formula in the tests) its reversal, a
`Sampler` samples with both, and `log_likelihood` integrates the density. None of them depends on the kind of another.
`transport` has the paths and pairs of flow matching; `solvers` integrate the equations of both.
"""

from caloforge.diffusion.likelihood import log_likelihood
from caloforge.diffusion.samplers import Sampler, SamplerName, make_sampler, sampler_settings
from caloforge.diffusion.schedules import SCHEDULES, VE, VP, Schedule, SubVP

__all__ = [
    "SCHEDULES",
    "VE",
    "VP",
    "Sampler",
    "SamplerName",
    "Schedule",
    "SubVP",
    "log_likelihood",
    "make_sampler",
    "sampler_settings",
]
