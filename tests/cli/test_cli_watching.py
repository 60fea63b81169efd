"""What a training shows: each stage's last line is that of its last epoch, and takes one line on any terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from caloforge.cli import console
from caloforge.cli.watching import TrainingBars
from caloforge.models.caloman import CaloMan
from caloforge.training import StageSettings, Trainer

SETTINGS = StageSettings(epochs=200, batch_size=8, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars, though the terminal here is only a buffer: it shows them once, as they are at the end."""
    monkeypatch.setattr(console, "is_watched", lambda: True)


def _trainer(stage: int, n_batches: int) -> Trainer:
    model = CaloMan(4, 1, latent_dim=2, hidden=[8])
    return Trainer(model, model.stages()[stage], SETTINGS, n_batches=n_batches)


def _batch(bars: TrainingBars, trainer: Trainer, loss: float) -> None:
    trainer.losses = {"loss": loss}
    bars.batch_done(trainer)


def _epoch(bars: TrainingBars, trainer: Trainer, loss: float) -> None:
    epoch = trainer.epoch + 1
    trainer.history.append({"epoch": epoch, "loss": loss, "validation_loss": 130.126, "separation_power": 0.0123})
    bars.epoch_done(trainer)
    trainer.epoch = epoch


def _shown(width: int, monkeypatch: pytest.MonkeyPatch, epochs: int = 3) -> list[str]:
    """The lines that stand at the end of two stages of four batches, both stopped early."""
    screen = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=screen, width=width, highlight=False, soft_wrap=True))
    with TrainingBars() as bars:
        for stage in (0, 1):
            trainer = _trainer(stage, n_batches=4)
            bars.stage_started(trainer)
            for _ in range(epochs):
                for loss in (1.0, 2.0, 3.0, 10.0):
                    _batch(bars, trainer, loss)
                _epoch(bars, trainer, 123.456)
    return [line.rstrip() for line in screen.getvalue().splitlines() if line.strip()]


def test_the_last_line_is_the_last_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _shown(140, monkeypatch)
    assert [line.split()[0] for line in lines] == ["autoencoder", "density"]
    for line in lines:
        assert line.endswith("epoch 3/200 loss 123.5 valid 130.1 S 0.0123")
        assert "12/12" in line  # ended early, not left at 12/800


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 120])
def test_one_line_on_any_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _shown(width, monkeypatch)
    assert len(lines) == 2
    for line in lines:
        assert len(line) <= width
        assert "12/12" in line
        assert " left " in line
    assert ("…" in lines[0]) == (width in (40, 60, 80))  # at 79 the bar has made room


def test_during_an_epoch_the_loss_is_its_mean_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "stderr", Console(file=io.StringIO(), width=140))
    bars = TrainingBars()
    with bars:
        trainer = _trainer(0, n_batches=2)
        bars.stage_started(trainer)
        _batch(bars, trainer, 5.0)
        _epoch(bars, trainer, 5.0)
        _batch(bars, trainer, 1.0)
        _batch(bars, trainer, 2.0)
        assert bars._bar.tasks[0].fields["remark"] == "epoch 2/200 loss 1.5 valid 130.1 S 0.0123"


def test_nothing_is_shown_before_there_is_something_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=screen, width=100))
    with TrainingBars():
        pass
    assert screen.getvalue() == ""
