"""Diffusion: schedule ∘ network ∘ sampler, any with any.

A `Schedule` says how showers turn into noise, a score (a network, or a formula in the tests) points back, a `Sampler`
walks back, and `log_likelihood` measures the way. None of them knows of showers or of each other's kind.
`transport` has what flow matching needs instead: paths, pairs and solvers.
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
