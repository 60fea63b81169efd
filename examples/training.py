"""Train a generator from Python: a recipe as a mapping, a callback, and the run in a folder.

    python examples/training.py

The model is far too small for showers of use; `cf.train("flagship", "train.h5", "run")` trains the recommended one.
"""

from __future__ import annotations

import caloforge as cf

RECIPE = {
    "name": "tiny",
    "geometry": "file",  # that of the training showers
    "transforms": [
        {"kind": "readout_threshold"},
        {"kind": "incident_energy_fraction"},
        {"kind": "linear_condition"},
    ],
    "model": {"kind": "caloman", "latent_dim": 8, "hidden": [64, 64]},
    "training": {"epochs": 20, "batch_size": 200, "learning_rate": 1e-3},
}


class Watching(cf.Callback):
    """Prints the validation loss, and ends a stage that does not improve by a thousandth in an epoch."""

    def __init__(self) -> None:
        self.before = float("inf")

    def stage_started(self, trainer: cf.Trainer) -> None:
        self.before = float("inf")

    def epoch_done(self, trainer: cf.Trainer) -> None:
        loss = float(trainer.record["validation_loss"])
        print(f"{trainer.stage.name}, epoch {trainer.epoch + 1}: {loss:.4g}")
        if self.before - loss < 1e-3 * abs(self.before) and trainer.epoch > 0:
            trainer.stop_stage()
        self.before = loss


def main(n: int = 4000) -> None:
    """Train on n showers, and generate from the saved run."""
    run = cf.train(RECIPE, cf.sample("train", stop=n), "tiny", callbacks=[Watching()], overwrite=True)
    print(run)
    print(cf.load("tiny").generate("loguniform:256MeV:16GeV", n=10, seed=1))


if __name__ == "__main__":
    main()
