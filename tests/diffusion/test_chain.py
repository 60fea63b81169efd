"""The noising chain: marginals of its steps against the closed form, posteriors by Bayes, exact Gaussians recovered."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.diffusion.chain import Betas, Chain, Variance, beta_schedule

KINDS: list[Any] = ["linear", "cosine"]


def test_published_constants() -> None:
    """arXiv:2006.11239, section 4: β from 10⁻⁴ to 0.02 in 1000 steps, almost nothing of the shower is left."""
    betas = beta_schedule("linear", 1000)
    assert (float(betas[0]), float(betas[-1])) == pytest.approx((1e-4, 0.02))
    assert float(Chain("linear", 1000).alpha_bar[-1]) == pytest.approx(4.04e-5, rel=0.01)


def test_cosine_in_closed_form() -> None:
    """arXiv:2102.09672, eq. 17, where β is not cut off."""
    t, chain = torch.arange(0, 990), Chain("cosine", 1000)
    f = torch.cos(0.5 * math.pi * (t.double() / 1000 + 0.008) / 1.008) ** 2
    torch.testing.assert_close(chain.alpha_bar[:990], f / f[0])
    assert float(chain.betas.max()) == 0.999


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1, 7, 1000])
def test_marginals_of_the_steps_are_those_of_the_closed_form(kind: Betas, length: int) -> None:
    """q(x_t | x_{t−1}) applied t times to a point: mean √ᾱ_t, variance 1 − ᾱ_t."""
    chain = Chain(kind, length)
    mean, variance = 1.0, 0.0
    for t in range(1, length + 1):
        beta = float(chain.betas[t])
        mean, variance = math.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        alpha_bar = float(chain.alpha_bar[t])
        assert (mean, variance) == pytest.approx((math.sqrt(alpha_bar), 1 - alpha_bar), rel=1e-9)
    x_0, z, t_each = torch.ones(2, 3), torch.tensor([[0.0], [1.0]]).expand(2, 3), torch.full((2,), length)
    signal, both = chain.noised(x_0, t_each, z)
    torch.testing.assert_close(signal, torch.full((3,), mean))
    torch.testing.assert_close(both - signal, torch.full((3,), math.sqrt(variance)))


def test_posterior_by_bayes() -> None:
    """q(x_{t−1} | x_t, x_0) ∝ q(x_t | x_{t−1}) q(x_{t−1} | x_0), a product of two Gaussians in x_{t−1}."""
    chain, t, x_t, x_0 = Chain("linear", 20), 8, 0.7, -0.4
    beta, before = float(chain.betas[t]), float(chain.alpha_bar[t - 1])
    precision = (1 - beta) / beta + 1 / (1 - before)
    mean = (math.sqrt(1 - beta) * x_t / beta + math.sqrt(before) * x_0 / (1 - before)) / precision
    found, variance = chain.posterior(torch.tensor([[x_t]]), torch.tensor([[x_0]]), t)
    assert (float(found), variance) == pytest.approx((mean, 1 / precision), rel=1e-6)


@pytest.mark.parametrize("t", [1, 2, 9, 20])
def test_an_ancestral_step_is_the_posterior_of_the_denoised_shower(t: int) -> None:
    chain = Chain("cosine", 20)
    x_t, noise, z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    alpha_bar = float(chain.alpha_bar[t])
    clean = (x_t - math.sqrt(1 - alpha_bar) * noise) / math.sqrt(alpha_bar)
    mean, variance = chain.posterior(x_t, clean, t)
    torch.testing.assert_close(chain.ancestral(x_t, noise, t, None, "small"), mean)
    torch.testing.assert_close(chain.ancestral(x_t, noise, t, z, "small"), mean + math.sqrt(variance) * z)
    torch.testing.assert_close(chain.ddim(x_t, noise, t, t - 1, 1.0, z), mean + math.sqrt(variance) * z)


def _exact_noise(chain: Chain, t: int, mean: float, width: float) -> tuple[float, float]:
    """(slope, offset) of E[z | x_t] for showers from N(mean, width²)."""
    alpha_bar = float(chain.alpha_bar[t])
    slope = math.sqrt(1 - alpha_bar) / (alpha_bar * width**2 + 1 - alpha_bar)
    return slope, -slope * math.sqrt(alpha_bar) * mean


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("variance", "eta", "steps"), [("small", 1.0, 1000), ("large", 1.0, 1000), ("small", 0.0, 100)]
)
def test_a_gaussian_with_its_exact_noise_is_recovered(kind: Betas, variance: Variance, eta: float, steps: int) -> None:
    """Every step is linear, so mean and variance follow without sampling. μ = 0.5, σ = 0.2."""
    chain = Chain(kind, 1000)
    times = chain.subsequence(steps)
    mean, spread = 0.0, 1.0
    probe = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for t, s in itertools.pairwise(times):
        slope, offset = _exact_noise(chain, t, 0.5, 0.2)
        noise = slope * probe + offset

        def step(z: Tensor | None, t: int = t, s: int = s, noise: Tensor = noise) -> Tensor:
            if eta == 0:
                return chain.ddim(probe, noise, t, s, 0.0, None)
            return chain.ancestral(probe, noise, t, z, variance)

        at_0, at_1 = step(None)[:, 0].tolist()
        fresh = 0.0 if eta == 0 or t == 1 else float((step(torch.ones_like(probe)) - step(None))[0])
        mean, spread = at_0 + (at_1 - at_0) * mean, math.hypot((at_1 - at_0) * spread, fresh)
    assert mean == pytest.approx(0.5, abs=0.01)
    assert spread == pytest.approx(0.2, rel=0.1 if eta == 0 else 0.05)  # the fewer steps, the rougher


def test_subsequences() -> None:
    chain = Chain("linear", 10)
    assert chain.subsequence(10) == chain.subsequence(50) == list(range(10, -1, -1))
    assert chain.subsequence(5) == [10, 8, 6, 4, 2, 0]
    assert chain.subsequence(1) == [10, 0]
