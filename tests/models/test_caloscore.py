"""CaloScore: what its network predicts, its loss, pieces of batches, settings of a trained run, and what it learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.diffusion import VP
from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry, Layer
from caloforge.models.caloscore import CaloScore
from caloforge.registry import trusting
from caloforge.simulator import Simulator
from caloforge.simulator.trained import CHANGED
from caloforge.training import TrainingSettings, fit
from caloforge.transforms import build_transforms

SMALL: dict[str, Any] = {"channels": [4, 8], "pooling": [[4]], "kernel": 3, "embedding": 8, "steps": 4}
RING = Geometry("ring", tuple(Layer(k, (0, 1, 2), 4) for k in range(3)), threshold=0.1)


def _model(features: int = 13, geometry: Geometry = RING, **changes: Any) -> CaloScore:
    torch.manual_seed(0)
    return CaloScore(features, 1, geometry=geometry, **{**SMALL, **changes}).eval()


def _batch(features: int = 13, n: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(n, features, generator=generator), torch.rand(n, 1, generator=generator)


@pytest.mark.parametrize("schedule", ["ve", "vp", "subvp"])
def test_from_the_true_velocity_follows_the_true_noise(schedule: str) -> None:
    model = _model(schedule=schedule, predicts="velocity")
    x_0, c = _batch()
    z, t = torch.randn_like(x_0), torch.linspace(0.01, 1, len(x_0))
    alpha_t, sigma_t = model.schedule.alpha(t)[:, None], model.schedule.sigma(t)[:, None]
    velocity = (alpha_t * z - sigma_t * x_0) / torch.sqrt(alpha_t**2 + sigma_t**2)
    model.network.forward = lambda x, e: velocity  # type: ignore[method-assign, assignment]
    found = model.noise(alpha_t * x_0 + sigma_t * z, t, model.of_conditions(c))
    torch.testing.assert_close(found, z, atol=2e-5, rtol=1e-4)


def test_the_loss_is_that_of_denoising() -> None:
    """A network that predicts no noise has E z² = 1, at every time; one that knows x_0 has 0."""
    model, (x, c) = _model(), _batch(n=2000)
    model.network.forward = lambda x, e: torch.zeros_like(x)  # type: ignore[method-assign, assignment]
    assert float(model.loss(x, c).mean()) == pytest.approx(1, abs=0.03)

    def knowing(x_t: Tensor, t: Tensor, e_c: Tensor) -> Tensor:
        return (x_t - model.schedule.alpha(t)[:, None] * x) / model.schedule.sigma(t)[:, None]

    model.noise = knowing  # type: ignore[method-assign, assignment]
    assert float(model.loss(x, c).max()) < 1e-3


def test_the_score_is_minus_the_noise_over_sigma() -> None:
    model, (x, c) = _model(), _batch()
    t = torch.tensor(0.4)
    noise = model.noise(x, t.expand(len(x)), model.of_conditions(c))
    torch.testing.assert_close(model.score(x, t, c), -noise / model.schedule.sigma(t))


@pytest.mark.parametrize("network", ["unet", "mlp"])
def test_pieces_that_fit_the_memory_change_nothing_in_training(network: str) -> None:
    x, c = _batch()
    found = []
    for memory_gb in (4.0, 1e-9):
        model = _model(network=network, memory_gb=memory_gb, width=16, blocks=1).train()
        torch.manual_seed(3)
        loss = model.loss(x, c)
        loss.mean().backward()
        found.append((loss.detach(), [p.grad for p in model.parameters()]))
    assert model.rows_training == model.rows_sampling == 1
    torch.testing.assert_close(found[0][0], found[1][0])
    for a, b in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_sampling_in_pieces_makes_every_shower() -> None:
    _, c = _batch()
    made = _model(memory_gb=1e-9).sample(c, torch.Generator().manual_seed(2))
    assert made.shape == (12, 13)
    assert len(made.unique(dim=0)) == 12


def test_conditions_are_embedded_once_and_the_network_runs_once_a_step() -> None:
    model, (_, c) = _model(steps=7), _batch()
    calls = {"conditions": 0, "network": 0}
    model.of_conditions.register_forward_hook(lambda *_: calls.update(conditions=calls["conditions"] + 1))
    model.network.register_forward_hook(lambda *_: calls.update(network=calls["network"] + 1))
    with torch.no_grad():
        model.sample(c, torch.Generator().manual_seed(2))
    assert calls == {"conditions": 1, "network": 7}


@pytest.mark.parametrize("standardise", ["none", "all", "each"])
@pytest.mark.parametrize("schedule", ["ve", "vp", "subvp"])
def test_log_prob_of_a_gaussian(standardise: str, schedule: str) -> None:
    """With the exact noise of standardised features N(0, s²), the density is known, in the features' own units."""
    model = _model(3, standardise=standardise, schedule=schedule, log_prob_steps=150, pooling=[[2]])
    generator = torch.Generator().manual_seed(4)
    centre, width = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.5, 1.0])
    model.standardise.fit(centre + width * torch.randn(5000, 3, generator=generator))
    s = 0.7

    def exact(x_t: Tensor, t: Tensor, e_c: Tensor) -> Tensor:
        alpha_t, sigma_t = model.schedule.alpha(t), model.schedule.sigma(t)
        return x_t * (sigma_t / (alpha_t**2 * s**2 + sigma_t**2))[:, None]

    model.noise = exact  # type: ignore[method-assign]
    x = model.standardise.inverse(torch.randn(8, 3, generator=generator))
    mean, width = model.standardise.constants()
    truth = torch.distributions.Normal(mean, s * width).log_prob(x).sum(dim=1)
    torch.testing.assert_close(model.log_prob(x, torch.zeros(8, 1)), truth, atol=0.04, rtol=0)


def test_a_trained_run_takes_another_sampler(tmp_path: Path) -> None:
    """And says so; what would need other weights is refused."""
    transforms = build_transforms([{"kind": "readout_threshold"}], RING)
    model = _model(24, RING, grid="cylinder", pooling=[[3, 2, 2]])
    Simulator(RING, transforms, model).save(tmp_path)
    settings = {"sampler": "heun", "steps": 2}
    changed = Simulator.load(tmp_path, settings=settings)
    assert type(changed.model.sampler).__name__ == "Heun"  # type: ignore[attr-defined]
    assert json.loads(changed.provenance[CHANGED]) == settings
    assert changed.generate([1.0, 2.0], seed=1).voxels.shape == (2, 24)  # type: ignore[arg-type]
    for wrong, message in (
        ({"sampler": "magic"}, "'sampler' is 'magic'"),
        ({"steps": 0}, "'steps' is 0"),
        ({"snr": -0.1}, "'snr' is -0.1"),
        ({"channels": [4, 4]}, "model.channels is fixed by the training.*: corrector, .*snr, steps"),
        ({"predicts": "velocity"}, "model.predicts is fixed by the training"),
        ({"schedule": "ve"}, "model.schedule is fixed by the training"),
        ({"sampler": "adaptive", "steps": 5}, "model.steps .*not used in sampling.*sampler, tolerance"),
        ({"sampler": "ddim", "snr": 0.1}, "model.snr .*not used in sampling.*sampler, steps"),
    ):
        with pytest.raises(CaloforgeError, match=message):
            Simulator.load(tmp_path, settings=wrong)


def test_a_sampler_and_a_schedule_with_settings_of_their_own(tmp_path: Path) -> None:
    """In one file outside the package, named by its dotted path; loading runs its code only where it is trusted."""
    own = {"kind": "own_sampler.Euler", "power": 3.0}
    schedule = {"kind": "vp", "beta_max": 10.0}
    with pytest.raises(CaloforgeError, match=r"'sampler' is .*trusted=.*own_sampler.Euler"):
        _model(24, sampler=own)
    with trusting("own_sampler.Euler"):
        model = _model(24, sampler=own, schedule=schedule)
        by_name = _model(24, sampler="own_sampler.Euler")
    assert (type(model.sampler).__name__, model.sampler.to_config()) == ("Euler", {"steps": 4, "power": 3.0})
    assert by_name.sampler.to_config() == {"steps": 4, "power": 7.0}
    assert model.schedule == VP(beta_max=10.0)
    assert "steps" in model.sampling_settings()
    transforms = build_transforms([{"kind": "readout_threshold"}], RING)
    Simulator(RING, transforms, model).save(tmp_path)
    with pytest.raises(CaloforgeError, match=r"trusted=.*own_sampler.Euler"):
        Simulator.load(tmp_path)
    loaded = Simulator.load(tmp_path, trusted=["own_sampler.Euler"], settings={"sampler": {"power": 5.0}, "steps": 3})
    assert isinstance(loaded.model, CaloScore)
    assert loaded.model.sampler.to_config() == {"steps": 3, "power": 5.0}


def test_turning_the_noise_turns_the_shower() -> None:
    """On a cylinder nothing distinguishes a direction, so that generated profiles in alpha are flat."""
    model = _model(24, RING, grid="cylinder", pooling=[[3, 2, 2]], positional_bias=True, predicts="velocity").double()
    x, c = torch.randn(5, 24).double(), torch.rand(5, 1).double()

    def turned(x: Tensor) -> Tensor:
        return x.view(5, 3, 4, 2).roll(2, dims=2).flatten(1)

    t = torch.tensor(0.3).double()
    with torch.no_grad():
        torch.testing.assert_close(model.score(turned(x), t, c), turned(model.score(x, t, c)))


def test_learns_means_widths_and_the_condition() -> None:
    """x_k ~ N(c + k, 0.4²) for k = 0 … 3: what is sampled has the same moments, at both ends of c."""
    generator = torch.Generator().manual_seed(5)
    c = torch.rand(3000, 1, generator=generator)
    x = c + torch.arange(4.0) + 0.4 * torch.randn(3000, 4, generator=generator)
    model = _model(
        4, network="mlp", width=48, blocks=2, embedding=32, standardise="each", predicts="velocity", steps=60
    )
    settings = TrainingSettings(epochs=25, batch_size=100, learning_rate=3e-3, schedule="cosine", device="cpu")
    fit(model, (x, c), (x[:100], c[:100]), settings)
    with torch.no_grad():
        made = model.sample(c, generator)
    torch.testing.assert_close(made.mean(dim=0), x.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close((made - c).std(dim=0), torch.full((4,), 0.4), atol=0.04, rtol=0)
    for low, high in ((0.0, 0.2), (0.8, 1.0)):
        rows = (c[:, 0] > low) & (c[:, 0] < high)
        torch.testing.assert_close(made[rows].mean(dim=0), x[rows].mean(dim=0), atol=0.1, rtol=0)
