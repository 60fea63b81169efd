"""Train EPiC flow matching on jets and generate as many as a test file has: the numbers of docs/points.md.

    python benchmarks/epic_jets.py g-train.h5 g-test.h5 -o epic-g
    caloforge evaluate epic-g/generated.h5 --reference g-test.h5 --baseline g-train.h5 -o epic-g/report

The files are JetNet's or of any other format of points. The run is left in FOLDER/run (`PointSimulator.load`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from caloforge import read_points, write_points
from caloforge.geometry import PointGeometry
from caloforge.models.epic_flow import EPiCFlow
from caloforge.packed import Packed
from caloforge.simulator import PointSimulator
from caloforge.training import TrainingSettings, fit
from caloforge.transforms import build_transforms

VALIDATION = 1000
"""Jets of the training file that are set aside."""


def main() -> None:
    """Train, save, generate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--steps", type=int, default=12, help="of Heun's method")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    jets, test = read_points(chosen.train), read_points(chosen.test)
    geometry = PointGeometry(jets.names, int(jets.counts.max()))
    rows = Packed.of(torch.from_numpy(jets.points), torch.from_numpy(jets.counts)).rows(geometry.most)
    transforms = build_transforms([{"kind": "point_log", "column": "ptrel"}, {"kind": "linear_condition"}], geometry)
    x, c = transforms.fit_forward(rows, torch.from_numpy(jets.energies).float()[:, None])
    torch.manual_seed(chosen.seed)
    model = EPiCFlow(x.shape[1], c.shape[1], geometry=geometry, width=96, layers=6, steps=chosen.steps)
    settings = TrainingSettings(
        epochs=chosen.epochs,
        batch_size=256,
        learning_rate=2e-3,
        schedule="cosine",
        clip_norm=1.0,
        ema=0.999,
        seed=chosen.seed,
        device="cpu",
    )
    order = torch.from_numpy(np.random.default_rng(chosen.seed).permutation(len(x)))
    held, kept = order[:VALIDATION], order[VALIDATION:]
    begun = time.perf_counter()
    history = fit(model, (x[kept], c[kept]), (x[held], c[held]), settings, checkpoint=chosen.out / "checkpoint.pt")
    print(f"trained {len(history)} epochs in {time.perf_counter() - begun:.0f} s: {history[-1]}")
    run = PointSimulator(
        geometry, transforms, model, {"recipe": "epic-jets"}, (jets.energies.min(), jets.energies.max())
    )
    run.save(chosen.out / "run")
    begun = time.perf_counter()
    generated = run.generate(test.energies, seed=chosen.seed)
    print(f"generated {len(generated)} jets in {time.perf_counter() - begun:.0f} s")
    write_points(generated, chosen.out / "generated.h5")


if __name__ == "__main__":
    main()
