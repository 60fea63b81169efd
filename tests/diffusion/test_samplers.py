"""Samplers: given the exact score, they give back the distribution, at the order that theory says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_scores import Mixture, gaussian_score
from torch import Tensor

from caloforge.configured import constructor_parameters
from caloforge.diffusion import SAMPLERS, SCHEDULES, VP, Sampler, Schedule, samplers, solvers
from caloforge.errors import CaloforgeError

MIXTURE = Mixture([0.3, 0.7], [[-1.2, 0.4], [0.8, -0.2]], [0.5, 0.3])
N = 4_000

ENOUGH: dict[str, dict[str, Any]] = {
    "predictor_corrector": {"steps": 200, "snr": 0.1},
    "euler_maruyama": {"steps": 200},
    "heun": {"steps": 30},
    "adaptive": {"tolerance": 1e-3},
    "ddim": {"steps": 120},
    "multistep": {"steps": 40},
}
"""Steps that suffice for a mixture; a sampler without an entry fails the first test."""


@pytest.fixture(params=list(SCHEDULES))
def schedule(request: pytest.FixtureRequest) -> Schedule:
    return SCHEDULES.resolve(request.param)()


def make_sampler(name: str, **settings: Any) -> Sampler:
    return SAMPLERS.build({"kind": name, **settings}, origin="sampler")


def _noise(schedule: Schedule, n: int = N, features: int = 2) -> tuple[Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(6)
    return schedule.prior_sigma() * torch.randn(n, features, generator=generator, dtype=torch.float64), generator


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_gives_back_a_mixture_of_gaussians(name: str, schedule: Schedule) -> None:
    """Mean, width (3 %), share of each side, and quantiles of both features."""
    x_1, generator = _noise(schedule)
    x = make_sampler(name, **ENOUGH[name])(MIXTURE.score(schedule), schedule, x_1, generator)
    assert x.shape == (N, 2)
    torch.testing.assert_close(x.mean(dim=0), MIXTURE.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(x.std(dim=0), MIXTURE.std, rtol=0.03, atol=0)
    normal = torch.distributions.Normal(MIXTURE.means, MIXTURE.widths[:, None])
    for quantile in (0.1, 0.3, 0.5, 0.9):
        below = normal.cdf(x.quantile(quantile, dim=0)[None].expand(2, 2))
        torch.testing.assert_close(MIXTURE.weights @ below, torch.full((2,), quantile).double(), atol=0.02, rtol=0)


def _width(schedule: Schedule, **settings: Any) -> float:
    """Standard deviation of samples of N(0, 1) in 100 dimensions."""
    x_1, generator = _noise(schedule, 150, 100)

    def score(x_t: Tensor, t: Tensor) -> Tensor:
        return -x_t / (schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2)

    return float(make_sampler("predictor_corrector", **settings)(score, schedule, x_1, generator).std())


@pytest.mark.parametrize("steps", [50, 200])
def test_only_the_langevin_corrector_leaves_a_gaussian_alone(schedule: Schedule, steps: int) -> None:
    """At the published r = 0.2, for any number of steps; eq. 11 as printed widens it without bound as they grow."""
    assert _width(schedule, steps=steps, snr=0.2) == pytest.approx(1, abs=0.03)
    if steps == 200:
        assert _width(schedule, steps=steps, snr=0.2, corrector="paper") > 1.05


def _order(errors: list[float]) -> float:
    """p of error ∝ steps^−p, from a last doubling."""
    return math.log2(errors[-2] / errors[-1])


@pytest.mark.parametrize("kind", ["vp", "subvp"])
def test_euler_maruyama_is_of_weak_order_1(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the variance halves with the step.

    With a Gaussian's score the sampler is linear in its noises. Row k of the batch gets 1 for the k-th noise and 0
    for the others, and so becomes the k-th coefficient; the sum of their squares is the exact variance.
    """
    schedule, width = SCHEDULES.resolve(kind)(), 0.6
    score = gaussian_score(torch.tensor([[width**2]], dtype=torch.float64), schedule)
    end = torch.tensor(schedule.t_min, dtype=torch.float64)
    start = torch.ones((), dtype=torch.float64)
    exact = float((schedule.alpha(end) * width) ** 2 + schedule.sigma(end) ** 2)
    spread = float(((schedule.alpha(start) * width) ** 2 + schedule.sigma(start) ** 2).sqrt())
    errors = []
    for steps in (200, 400, 800):
        turn = iter(range(1, steps))
        unit = torch.eye(steps, dtype=torch.float64)
        monkeypatch.setattr(samplers, "noise_like", lambda x, g, turn=turn, unit=unit: unit[:, [next(turn)]])
        x = make_sampler("euler_maruyama", steps=steps)(score, schedule, spread * unit[:, [0]])
        errors.append(abs(float((x**2).sum()) - exact))
    assert _order(errors) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("name", "order", "steps"), [("heun", 2, 40), ("multistep", 2, 80), ("ddim", 1, 80)])
def test_orders_of_the_deterministic_samplers(name: str, order: int, steps: int, schedule: Schedule) -> None:
    """Against the exact path of a Gaussian, along which x keeps its place in units of the width of p_t."""
    width = 0.6
    score = gaussian_score(torch.tensor([[width**2]], dtype=torch.float64), schedule)
    ends = torch.tensor([1.0, schedule.t_min], dtype=torch.float64)
    spread = ((schedule.alpha(ends) * width) ** 2 + schedule.sigma(ends) ** 2).sqrt()
    x_1 = spread[0] * torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    exact = x_1 / spread[0] * spread[1]
    errors = []
    for k in (steps, 2 * steps):
        x = make_sampler(name, steps=k)(score, schedule, x_1)
        errors.append(float((x - exact).abs().max()))
    assert _order(errors) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_the_adaptive_solver_keeps_its_tolerance(tolerance: float, schedule: Schedule) -> None:
    """Globally within ten times what each step may err, and with more evaluations for a smaller error."""
    score = gaussian_score(torch.eye(1, dtype=torch.float64) * 0.36, schedule)
    ends = torch.tensor([1.0, schedule.t_min], dtype=torch.float64)
    spread = ((schedule.alpha(ends) * 0.6) ** 2 + schedule.sigma(ends) ** 2).sqrt()
    x_1 = spread[0] * torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    x = make_sampler("adaptive", tolerance=tolerance)(score, schedule, x_1)
    assert float((x - x_1 / spread[0] * spread[1]).norm() / x.norm()) < 10 * tolerance


@pytest.mark.parametrize(
    ("name", "evaluations"),
    [("predictor_corrector", 10), ("euler_maruyama", 10), ("heun", 20), ("ddim", 10), ("multistep", 10)],
)
def test_no_needless_evaluations(name: str, evaluations: int) -> None:
    """The corrector reuses the predictor's score."""
    calls = 0

    def counted(x_t: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return -x_t

    make_sampler(name, steps=10)(counted, VP(), torch.ones(3, 2))
    assert calls == evaluations


def test_an_endless_adaptive_integration_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solvers, "MOST_STEPS", 100)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(CaloforgeError, match=r"no progress .* model.tolerance \(now 1e-06\)"):
        make_sampler("adaptive", tolerance=1e-6)(
            lambda x, t: torch.randn(x.shape, generator=generator), VP(), torch.ones(8, 2)
        )


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("magic", {"steps": 3}, "sampler: unknown sampler 'magic': give one of predictor_corrector, euler_maruyama"),
        ("heun", {"steps": 0}, "sampler: 'steps' is 0"),
        ("heun", {"steps": 3, "snr": 0.1}, "sampler: unknown key 'snr'"),
        ("predictor_corrector", {"steps": 3, "snr": -1}, "'snr' is -1"),
        ("adaptive", {"tolerance": 0.0}, "'tolerance' is 0"),
    ],
)
def test_bad_settings(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        make_sampler(name, **settings)


def test_a_sampler_says_what_it_looks_at() -> None:
    found = {name: set(constructor_parameters(SAMPLERS.resolve(name))) for name in SAMPLERS}
    assert found["predictor_corrector"] == {"steps", "snr", "corrector"}
    assert found["adaptive"] == {"tolerance"}
    assert all(found[name] == {"steps"} for name in ("euler_maruyama", "heun", "ddim", "multistep"))
