"""A training stopped while a student learns, and resumed, ends with the weights of one that was not.

A student's stage is what is hardest to take up again: it begins with a fit (the teacher's weights, copied) and learns
from a view that is drawn at random, while a resumed stage is not fitted again and must yet have the same view.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.geometry import Geometry
from caloforge.models.base import ShowerModel
from caloforge.models.cascade import Cascade
from caloforge.models.dataset import Pair
from caloforge.models.flow_matching import FlowMatching
from caloforge.showers import Showers
from caloforge.training import Callback, Trainer, TrainingSettings, fit, stage_run

EPOCHS = 3
SETTINGS = TrainingSettings(epochs=EPOCHS, batch_size=50, learning_rate=1e-2, schedule="cosine", device="cpu", ema=0.9)
TINY: dict[str, Any] = {"width": 4, "blocks": 1, "steps": 2, "student_strides": 1, "student_pairs": 2}
Make = Callable[[], ShowerModel]


class _Interrupt(Callback):
    """Ctrl-C in the stage, in the second batch after so many of its epochs."""

    def __init__(self, stage: str, epochs: int) -> None:
        self.stage, self.left, self.batches, self.inside = stage, epochs, 2, False

    def stage_started(self, trainer: Trainer) -> None:
        self.inside = trainer.stage.name == self.stage

    def epoch_done(self, trainer: Trainer) -> None:
        self.left -= self.inside

    def batch_done(self, trainer: Trainer) -> None:
        if self.inside and self.left == 0:
            self.batches -= 1
            if self.batches == 0:
                raise KeyboardInterrupt


class _Resumed(Callback):
    """Where a training goes on, and after which epochs."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        self.stages: list[tuple[str, int]] = []

    def training_started(self, trainer: Trainer) -> None:
        self.found = list(trainer.history)

    def stage_started(self, trainer: Trainer) -> None:
        self.stages.append((trainer.stage.name, trainer.epoch))


def _resumed_equals_uninterrupted(
    make: Make, data: tuple[Pair, Pair], stage: str, epochs: int, checkpoint: Path
) -> None:
    def made(seed: int) -> ShowerModel:
        torch.manual_seed(seed)
        return make()

    whole, first, second = made(11), made(11), made(99)
    names = [each.name for each in whole.stages()]
    log = fit(whole, *data, SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        fit(first, *data, SETTINGS, checkpoint=checkpoint, callbacks=[_Interrupt(stage, epochs)])
    watch = _Resumed()
    torch.manual_seed(7)  # whatever the global state is when the training is taken up again
    resumed = fit(second, *data, SETTINGS, checkpoint=checkpoint, resume=True, callbacks=[watch])
    assert len(watch.found) == EPOCHS * names.index(stage) + epochs
    # Stopped in its first epoch, a stage has left no checkpoint: the end of the one before it is gone on from.
    assert (stage, epochs) in watch.stages
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    untimed = {"seconds": 0, "data_seconds": 0}
    assert [record | untimed for record in resumed] == [record | untimed for record in log]


@pytest.fixture(autouse=True)
def _checkpoint_after_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_run, "CHECKPOINT_SECONDS", 0.0)


@pytest.mark.parametrize("epochs", [0, 2])
def test_flow_matching_stopped_in_its_student(epochs: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    c = torch.rand(240, 1, generator=generator)
    x = c + 0.3 * torch.randn(240, 3, generator=generator)
    data = (x[:200], c[:200]), (x[200:], c[200:])
    _resumed_equals_uninterrupted(lambda: FlowMatching(3, 1, **TINY), data, "student", epochs, tmp_path / "c.pt")


@pytest.mark.parametrize(("stage", "epochs"), [("layers_student", 1), ("voxels_student", 2)])
def test_cascade_stopped_in_a_student(
    stage: str, epochs: int, small_geometry: Geometry, small_showers: Showers, tmp_path: Path
) -> None:
    level = {"kind": "flow_matching", **TINY}

    def make() -> ShowerModel:
        levels = {"layers": level, "rings": level, "voxels": level}
        return Cascade(small_geometry.n_voxels, 1, geometry=small_geometry, knots=4, **levels)

    x = torch.from_numpy(small_showers.voxels)[:240]
    c = torch.from_numpy(small_showers.energies).float()[:240, None]
    data = (x[:200], c[:200]), (x[200:], c[200:])
    _resumed_equals_uninterrupted(make, data, stage, epochs, tmp_path / "c.pt")
