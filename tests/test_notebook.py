"""The Python API as a notebook uses it, cell by cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caloforge as cf
from caloforge.training import Trainer


class Counting(cf.Callback):
    """Counts epochs, and logs a number of its own."""

    def __init__(self) -> None:
        self.epochs = 0

    def epoch_done(self, trainer: Trainer) -> None:
        self.epochs += 1


def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train, test = cf.sample("train", stop=700), cf.sample("test", stop=700)
    assert train.layer_energies.shape == (700, 5)
    assert train.plot(0).has_data()

    counting = Counting()
    run = cf.train("caloman-demo", train, training={"epochs": 1}, callbacks=[counting])
    assert counting.epochs == 2  # one of each stage
    generated = run.generate(test.energies, seed=1)
    assert len(generated) == 700

    def n_bright(view: cf.observables.View, position: int) -> np.ndarray:
        return (view.part(position) > 100).sum(axis=1)

    try:
        mine = cf.observable("n_bright", per="layer", label="voxels above 100 MeV")(n_bright)
        report = cf.evaluate(generated, test, observables=[*cf.observables.challenge, mine], quick=True)
    finally:
        cf.observables.REGISTRY.pop("n_bright", None)
    assert report["separation_power", "n_bright_2"].estimate is not None
    assert "<table" in report._repr_html_()
    frame = report.to_frame()
    assert frame.loc[("separation_power", "ec_eta_1", ""), "value"] > 0
    assert len(report.plot("ec_eta_1").child_axes) == 2
    report.save("report")
    again = cf.Report.load("report")
    assert again["separation_power", "ec_eta_1"] == report["separation_power", "ec_eta_1"]
    assert len(again.plot("n_bright_2").child_axes) == 2


def test_a_model_class_without_a_recipe() -> None:
    from caloforge.transforms.incident_energy import IncidentEnergyFraction, LinearCondition
    from own_model import GaussianPerFeature

    run = cf.train(
        GaussianPerFeature,
        cf.sample("train", stop=300),
        transforms=[IncidentEnergyFraction(), LinearCondition()],
        training={"epochs": 1, "batch_size": 100, "learning_rate": 1e-3},
    )
    assert len(run.generate(np.array([256.0, 512.0]), seed=1)) == 2
