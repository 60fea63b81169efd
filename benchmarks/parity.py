"""Agreement of exported graphs with PyTorch on thousands of showers, for every model that can be exported.

    python benchmarks/parity.py                          # the shipped recipes, each trained for a few epochs
    python benchmarks/parity.py caloman-demo --seeds 3   # one of them, from three seeds
    python benchmarks/parity.py --run RUN                # a trained run

Prints a row per model: the largest and the typical difference of a voxel before the readout threshold between
onnxruntime and PyTorch, as a fraction of the incident energy. The status is 1 if a graph disagrees.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from caloforge import sample, train
from caloforge.errors import CaloforgeError
from caloforge.export.graph import GeneratorGraph, decoder_of, make_format, target_of, traced
from caloforge.export.parity import Disagreement, Parity, check_parity
from caloforge.simulator import Simulator
from caloforge.training import load_recipe

RECIPES = (
    "caloman-demo",
    "flagship-demo",
    "flagship",
    "flagship-fast",
    "caloflow-ds1-photons-small",
    "consistency-training-ds1-photons-small",
    "ffjord-ds1-photons-small",
    "l2lflows-ds1-photons-small",
    "mean-flow-ds1-photons-small",
    "realnvp-ds1-photons-small",
    "vae-ds1-photons-small",
    "bib-ae-ds1-photons-small",
    "gan-ds1-photons-small",
    "wgan-gp-ds1-photons-small",
    "calogan-ds1-photons-small",
)

AT_ONCE = 1000
"""Showers of a comparison, which holds them all in memory."""


def trained(recipe: str, seed: int, epochs: int, showers: int) -> Simulator:
    """A run of a shipped recipe on the embedded sample, every stage with so many epochs."""
    stages = {name: {**own, "epochs": epochs} for name, own in load_recipe(recipe).training.stages.items()}
    training = {"seed": seed, "epochs": epochs, "stages": stages}
    return train(recipe, sample("train", stop=showers), training=training)


def compared(simulator: Simulator, showers: int) -> list[Parity]:
    """Comparisons of one graph with PyTorch, each with its own noise.

    Raises:
        Disagreement: a voxel differs by too much.
    """
    form = make_format("onnx", target_of(simulator), {})
    decode = decoder_of(simulator.model)
    graph = traced(GeneratorGraph(form, decode, simulator.transforms).eval(), "legacy").SerializeToString()
    return [check_parity(graph, form, simulator, AT_ONCE, seed) for seed in range(1, max(1, showers // AT_ONCE) + 1)]


def row(name: str, simulator: Simulator, showers: int) -> tuple[str, bool]:
    """A row of the table, and whether the graph agrees."""
    begun = time.monotonic()
    try:
        found = compared(simulator, showers)
    except Disagreement as error:
        return f"| {name} | | {error} | | |", False
    except CaloforgeError as error:
        return f"| {name} | | not exported: {error} | | |", True
    largest = max(each.largest for each in found)
    typical = float(np.sqrt(np.mean([each.typical**2 for each in found])))
    n = sum(each.showers for each in found)
    return f"| {name} | {n} | {largest:.1e} | {typical:.1e} | {time.monotonic() - begun:.0f} |", True


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("recipes", nargs="*", help="shipped recipes; by default one of each model")
    arguments.add_argument("--run", action="append", default=[], type=Path, help="folder of a trained run")
    arguments.add_argument("-n", type=int, default=4000, help="showers to compare")
    arguments.add_argument("--seeds", type=int, default=1, help="trainings of each recipe")
    arguments.add_argument("--epochs", type=int, default=3, help="of every stage")
    arguments.add_argument("--train", type=int, default=2000, help="showers to train on")
    chosen = arguments.parse_args()
    print("| model | showers | largest, E_inc | root mean square | seconds |\n|---|---|---|---|---|", flush=True)
    agree = True
    for run in chosen.run:
        words, good = row(run.name, Simulator.load(run), chosen.n)
        print(words, flush=True)
        agree = agree and good
    for recipe in chosen.recipes or ([] if chosen.run else RECIPES):
        for seed in range(1, chosen.seeds + 1):
            name = recipe if chosen.seeds == 1 else f"{recipe}, seed {seed}"
            words, good = row(name, trained(recipe, seed, chosen.epochs, chosen.train), chosen.n)
            print(words, flush=True)
            agree = agree and good
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
