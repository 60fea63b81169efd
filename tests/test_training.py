"""The training loop: resume equals uninterrupted, selection, patience, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.inference.devices import choose_device
from caloforge.models.base import ShowerModel
from caloforge.models.caloman import CaloMan
from caloforge.models.dataset import Pair
from caloforge.training import Callback, Metric, Trainer, TrainingSettings, derived_seed, fit, stage_run
from own_model import GaussianPerFeature


def _data(n: int = 300) -> tuple[Pair, Pair]:
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(n + 60, 1, generator=generator)
    x = c + 0.3 * torch.randn(n + 60, 4, generator=generator)
    return (x[:n], c[:n]), (x[n:], c[n:])


def _caloman() -> CaloMan:
    torch.manual_seed(11)
    return CaloMan(4, 1, latent_dim=2, hidden=[8], flow_layers=2, flow_width=8, flow_blocks=1)


def _settings(**changes: Any) -> TrainingSettings:
    plain = {
        "epochs": 4,
        "batch_size": 64,
        "learning_rate": 1e-2,
        "clip_norm": 10,
        "device": "cpu",
        "stages": {"autoencoder": {"schedule": "cosine"}, "density": {"select": "validation_loss"}},
    }
    return TrainingSettings(**{**plain, **changes})


class _Interrupt(Callback):
    """Ctrl-C in the middle of the given epoch, counted over all stages."""

    def __init__(self, epoch: int) -> None:
        self.left = epoch

    def epoch_done(self, trainer: Trainer) -> None:
        self.left -= 1

    def batch_done(self, trainer: Trainer) -> None:
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize("stopped_in", [1, 3, 4, 6])
def test_resumed_equals_uninterrupted(
    stopped_in: int, ema: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_run, "CHECKPOINT_SECONDS", 0.0)
    data, settings = _data(), _settings(ema=ema)
    whole = _caloman()
    log = fit(whole, *data, settings)
    first = _caloman()
    with pytest.raises(KeyboardInterrupt):
        fit(first, *data, settings, checkpoint=tmp_path / "c.pt", callbacks=[_Interrupt(stopped_in)])
    torch.manual_seed(99)
    second = CaloMan(4, 1, latent_dim=2, hidden=[8], flow_layers=2, flow_width=8, flow_blocks=1)
    resumed = fit(second, *data, settings, checkpoint=tmp_path / "c.pt", resume=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    drop = {"seconds", "data_seconds"}
    assert [{k: v for k, v in r.items() if k not in drop} for r in resumed] == [
        {k: v for k, v in r.items() if k not in drop} for r in log
    ]


def test_the_average_of_the_weights_is_kept() -> None:
    """Three steps of one epoch, one batch each: the average worked out from the weights after each step."""
    seen: list[Tensor] = []

    class Watch(Callback):
        def batch_done(self, trainer: Trainer) -> None:
            seen.append(model.autoencoder.encoder[0].weight.detach().clone())

    model = _caloman()
    average = model.autoencoder.encoder[0].weight.detach().clone()
    stages = {"density": {"ema": None}}
    fit(model, *_data(192), _settings(epochs=1, ema=0.25, stages=stages), callbacks=[Watch()])
    for step, weight in enumerate(seen[:3], start=1):
        decay = min(0.25, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weight
    torch.testing.assert_close(model.autoencoder.encoder[0].weight.detach(), average)


def test_same_seed_same_weights_and_another_seed_others() -> None:
    weights = []
    for seed in (1, 1, 2):
        model = _caloman()
        fit(model, *_data(), _settings(seed=seed))
        weights.append(model.density.steps[2].network.last.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_global_random_state_is_left_alone() -> None:
    model = _caloman()
    before = torch.get_rng_state()
    fit(model, *_data(), _settings())
    assert torch.equal(before, torch.get_rng_state())


def test_best_epoch_of_a_metric_is_kept_and_patience_stops() -> None:
    """A metric that is lowest in its second epoch: those weights come back, and two worse epochs end the stage."""
    values = [3.0, 1.0, 2.0, 2.0, 0.0, 0.0]
    model = GaussianPerFeature(4, 1)
    snapshots: list[Tensor] = []

    def metric(trainer: Trainer) -> float:
        snapshots.append(model.mean.bias.detach().clone())
        return values[trainer.epoch]

    settings = _settings(epochs=6, stages={}, select="odd", patience=2)
    log = fit(model, *_data(), settings, metrics={"odd": metric})
    assert [record["odd"] for record in log] == [3.0, 1.0, 2.0, 2.0]
    assert torch.equal(model.mean.bias, snapshots[1])
    assert not torch.equal(snapshots[1], snapshots[3])


def test_every_metric_is_evaluated_and_changes_nothing() -> None:
    """Also one that `select` does not name, that draws random numbers, or that has a value in some epochs only."""
    settings = _settings(stages={"density": {"select": "validation_loss"}})
    plain, measured = _caloman(), _caloman()
    fit(plain, *_data(), settings)
    metrics: dict[str, Metric] = {
        "random": lambda trainer: float(torch.rand(())),
        "rare": lambda trainer: None if trainer.epoch % 3 else float(trainer.epoch),
    }
    log = fit(measured, *_data(), settings, metrics=metrics)
    assert [record.get("rare") for record in log] == 2 * [0.0, None, None, 3.0]
    assert len({record["random"] for record in log}) == len(log) == 8
    for name, value in plain.state_dict().items():
        assert torch.equal(value, measured.state_dict()[name]), name
    again = fit(_caloman(), *_data(), settings, metrics=metrics)
    assert [record["random"] for record in again] == [record["random"] for record in log]


def test_a_metric_that_selects_must_have_a_value() -> None:
    with pytest.raises(CaloforgeError, match="'rare'"):
        fit(_caloman(), *_data(), _settings(stages={}, select="rare"), metrics={"rare": lambda trainer: None})


def test_learns_the_known_answer() -> None:
    """x = c + 0.3 noise: slope 1, offset 0, standard deviation 0.3."""
    model = GaussianPerFeature(4, 1)
    fit(model, *_data(2000), _settings(epochs=30, batch_size=32, stages={}, schedule="cosine"))
    with torch.no_grad():
        probe = torch.tensor([[0.25], [0.75]])
        torch.testing.assert_close(model.mean(probe), probe.expand(2, 4), atol=0.03, rtol=0)
        torch.testing.assert_close(model.log_std(probe).exp(), torch.full((2, 4), 0.3), atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": {"density": {"select": "beauty"}}}, "stage 'density' selects by 'beauty'"),
        (
            {"stages": {"encoder": {"epochs": 3}}},
            r"unknown key 'encoder' \(the model has: autoencoder, density\)",
        ),
        ({"stages": {"density": {"epoch": 3}}}, "training.stages.density: unknown key 'epoch'"),
        ({"stages": {}, "patience": 3}, "gives it nothing to watch"),
        ({"device": "abacus"}, "device 'abacus' is not known: give cpu, cuda, cuda:N, mps or auto"),
        ({"device": "xla"}, "device 'xla' is not known"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        fit(_caloman(), *_data(), _settings(**changes))


class _Explodes(ShowerModel):
    def __init__(self, features: int, conditions: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        return torch.log(self.weight - 1) * x[:, 0]

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return c


def test_a_loss_that_is_not_finite_is_named() -> None:
    with pytest.raises(CaloforgeError, match=r"stage 'model' became nan in epoch 1: lower the learning rate"):
        fit(_Explodes(4, 1), *_data(), _settings(stages={}))


class _Breaks(ShowerModel):
    """A model that goes wrong in its own way."""

    def __init__(self, features: int, conditions: int, *, way: str) -> None:
        super().__init__()
        self.way = way
        if way != "empty":
            self.weight = torch.nn.Parameter(torch.ones(()))

    def loss(self, x: Tensor, c: Tensor) -> Tensor:
        if self.way == "mean":
            return (self.weight * x).mean()
        if self.way == "constant":
            return x[:, 0]
        # Finite where it is trained, and not a number for the validation set.
        return self.weight * x[:, 0] * (1.0 if self.training else float("nan"))

    def sample(self, c: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return c


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("empty", "stage 'model' has no parameters to train"),
        ("mean", r"loss of stage 'model' has the shape \(\); it must be one number per shower, \(64,\)"),
        ("constant", "loss of stage 'model' depends on none of the model's parameters"),
        ("validation", "the validation loss of stage 'model' became nan in epoch 1"),
    ],
)
def test_models_that_cannot_be_trained_are_told_why(way: str, message: str) -> None:
    with pytest.raises(CaloforgeError, match=message):
        fit(_Breaks(4, 1, way=way), *_data(), _settings(stages={}))


def test_the_remedy_for_a_loss_that_is_not_finite_is_an_override_that_works() -> None:
    """It names the stage, since a stage's own learning rate would hide the one of all stages."""
    settings = _settings(stages={"model": {"learning_rate": 0.5, "clip_norm": None}})
    with pytest.raises(CaloforgeError) as caught:
        fit(_Explodes(4, 1), *_data(), settings)
    assert "(training.stages.model.learning_rate=0.05, now 0.5" in str(caught.value)
    assert "(training.stages.model.clip_norm=1, now none" in str(caught.value)


def test_a_checkpoint_that_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_text("no")
    with pytest.raises(CaloforgeError, match=r"c.pt cannot be read as a checkpoint"):
        fit(_caloman(), *_data(), _settings(), checkpoint=tmp_path / "c.pt", resume=True)


def test_derived_seeds_differ_for_each_combination() -> None:
    seeds = {
        derived_seed(*words)
        for words in [(1,), (2,), (1, "autoencoder"), (1, "automaton"), (1, "a", 0), (1, "a", 1), (1, 0)]
    }
    assert len(seeds) == 7
    assert derived_seed(1, "a") == derived_seed(1, "a")


def test_auto_device_exists() -> None:
    assert choose_device("auto").type in ("cpu", "cuda")
