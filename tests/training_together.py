"""Trainings that one process and two go through alike; run by torchrun, the first process writes what came out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from caloforge.configured import wants_geometry
from caloforge.geometry import Geometry, Layer
from caloforge.models import MODELS
from caloforge.training import TrainingSettings, fit, train
from caloforge.training.distributed import processes

sys.path.insert(0, str(Path(__file__).parent / "models"))
from test_contract import FEATURES, ON_VOXELS, SMALL

TRAINED, HELD_OUT = 77, 21
"""Showers; neither is a multiple of the batch size, nor the remainder of the number of processes."""

MORE: dict[str, dict[str, Any]] = {
    "flow_matching, optimal": {"kind": "flow_matching", **SMALL["flow_matching"], "pairing": "optimal"},
    "caloflow, all dropout": {"kind": "caloflow", **SMALL["caloflow"], "dropout": 0.5, "noise": 1e-3},
}
"""What the small models do not have."""


def geometry() -> Geometry:
    """That of the fixture `small_geometry`."""
    layers = (Layer(0, (0, 5, 10, 30), 1), Layer(1, (0, 10, 40), 4), Layer(7, (0, 50, 100), 1))
    return Geometry("small", layers, threshold=0.5)


def train_all(**changes: Any) -> dict[str, tuple[list[dict[str, Any]], dict[str, Tensor]]]:
    """History and state of each model, in double precision."""
    before, found = torch.get_default_dtype(), {}
    torch.set_default_dtype(torch.float64)  # so that sums in another order do not matter, whatever the steps make of it
    settings = TrainingSettings(
        epochs=2, batch_size=32, learning_rate=1e-3, clip_norm=1.0, ema=0.9, select="validation_loss", device="cpu"
    ).model_copy(update=changes)
    for name, chosen in {**{kind: {"kind": kind, **SMALL[kind]} for kind in SMALL}, **MORE}.items():
        own = dict(chosen)
        kind = own.pop("kind")
        torch.manual_seed(3)
        cls, shape = MODELS.resolve(kind), geometry()
        features = shape.n_voxels if kind in ON_VOXELS else FEATURES
        model = cls(features, 1, **own, **({"geometry": shape} if wants_geometry(cls) else {}))
        c = torch.rand(TRAINED + HELD_OUT, 1)
        x = torch.rand(TRAINED + HELD_OUT, features) + c
        if kind in ON_VOXELS:
            x = 10 * c * torch.exp(x)  # MeV
        data = (x[:TRAINED], c[:TRAINED]), (x[TRAINED:], c[TRAINED:])
        found[name] = fit(model, *data, settings), model.state_dict()
    torch.set_default_dtype(before)
    return found


def train_from_file(folder: Path, run: str) -> None:
    """The recipe and the showers of the folder, with scratch files."""
    train(folder / "recipe.yaml", folder / "train.h5", folder / run, training={"memory_gb": 0})


if __name__ == "__main__":
    torch.set_num_threads(1)
    with processes() as team:
        result = train_all()
        if team.first:
            torch.save(result, Path(sys.argv[1]) / "two.pt")
        train_from_file(Path(sys.argv[1]), "two")
