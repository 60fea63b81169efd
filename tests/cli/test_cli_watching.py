"""What a training shows: each stage's last line is that of its last epoch, and takes one line on any terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from caloforge.cli import console
from caloforge.cli.watching import TrainingBars
from caloforge.training import StageSettings

SETTINGS = StageSettings(epochs=200, batch_size=8, learning_rate=1e-3)


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars, though the terminal here is only a buffer: it shows them once, as they are at the end."""
    monkeypatch.setattr(console, "is_watched", lambda: True)


def _record(epoch: int, loss: float) -> dict[str, float]:
    return {"epoch": epoch, "loss": loss, "validation_loss": 130.126, "separation_power": 0.0123}


def _shown(width: int, monkeypatch: pytest.MonkeyPatch, epochs: int = 3) -> list[str]:
    """The lines that stand at the end of two stages of four batches, both stopped early."""
    screen = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=screen, width=width, highlight=False, soft_wrap=True))
    with TrainingBars() as bars:
        for stage in ("autoencoder", "density"):
            bars.stage_started(stage, SETTINGS, 0, 4)
            for epoch in range(epochs):
                for loss in (1.0, 2.0, 3.0, 10.0):
                    bars.batch_done(loss)
                bars.epoch_done(_record(epoch + 1, 123.456))
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
        bars.stage_started("model", SETTINGS, 0, 2)
        bars.batch_done(5.0)
        bars.epoch_done(_record(1, 5.0))
        bars.batch_done(1.0)
        bars.batch_done(2.0)
        assert bars._bar.tasks[0].fields["remark"] == "epoch 2/200 loss 1.5 valid 130.1 S 0.0123"


def test_nothing_is_shown_before_there_is_something_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=screen, width=100))
    with TrainingBars():
        pass
    assert screen.getvalue() == ""
