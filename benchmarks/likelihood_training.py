"""What a training step costs by the likelihood of an ODE and by flow matching, with the same network.

    python benchmarks/likelihood_training.py               # one thread, the network of ffjord-ds1-photons-small
    python benchmarks/likelihood_training.py --batch 64

Prints milliseconds of CPU time per step (loss, gradient, optimiser) on noise, and their ratio.
"""

from __future__ import annotations

import argparse
import time

import torch

from caloforge.models.ffjord import FFJORD
from caloforge.models.flow_matching import FlowMatching
from caloforge.models.stages import TrainingBatch
from caloforge.training import Recipe, load_recipe

FEATURES = 369


def cost(model: FFJORD | FlowMatching, recipe: Recipe, batch: int, steps: int) -> float:
    """CPU milliseconds per step: the median of `steps`, after two that are not counted."""
    stage = model.stages()[0]
    optimizers = stage.optimizers(recipe.training.for_stage(stage.name))
    x, c, found = torch.randn(batch, FEATURES), torch.rand(batch, 1), []
    for k in range(steps + 2):
        started = time.process_time()
        stage.step(TrainingBatch(x, c, k), optimizers)
        found.append(1e3 * (time.process_time() - started))
    return sorted(found[2:])[steps // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256, help="showers of a step")
    parser.add_argument("--steps", type=int, default=15, help="steps that are timed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe("ffjord-ds1-photons-small")
    settings = {name: value for name, value in recipe.model.items() if name != "kind"}
    models = (
        FlowMatching(FEATURES, 1, width=settings["width"], blocks=settings["blocks"]),
        FFJORD(FEATURES, 1, **settings),
    )
    matching, likelihood = (cost(model, recipe, arguments.batch, arguments.steps) for model in models)
    print(f"ms per step: flow matching {matching:.1f}, likelihood {likelihood:.1f} ({likelihood / matching:.0f} times)")


if __name__ == "__main__":
    main()
