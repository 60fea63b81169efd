"""What the small recipes reach in minutes on the showers of the package: numbers of the models' pages (docs/models).

    python benchmarks/short_trainings.py                 # every recipe of the table below, one thread, minutes each
    python benchmarks/short_trainings.py vae gan         # some of them; the others keep their numbers

Each is trained on the 8 000 Geant4 photons of `caloforge.sample("train")` for the epochs below, seed 1, and evaluated
on 2 000 showers of "test"; the baseline is 2 000 showers of "train" against these. Writes docs/models/short.json, from
which the pages are built, with the hash of each recipe, so that a test notices when a recipe has changed since.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any

import torch

import caloforge as cf
from caloforge.training import load_recipe

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "models" / "short.json"
EPOCHS = {
    "vae": 60,
    "realnvp": 20,
    "mean-flow": 20,
    "gan": 10,
    "calogan": 10,
    "ddpm": 20,
    "l2lflows": 10,
    "consistency-training": 40,
    "ffjord": 5,
    "bib-ae": 15,
}
"""Of `NAME-ds1-photons-small`: what takes a few minutes on one core."""

SHOWERS = 2000
KEYS = {
    "mean separation power": ("mean_separation_power", "all"),
    "AUC trees": ("auc", "trees"),
    "FPD × 10³": ("fpd", "fpd"),
    "precision": ("prdc", "precision"),
    "recall": ("prdc", "recall"),
    "coverage": ("prdc", "coverage"),
}


def recipe_hash(name: str) -> str:
    """Of the recipe's file, less the numbers that its trainings reached (`expected:`, at the end)."""
    text = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    return hashlib.sha256(re.sub(r"(?<=\n)expected:\n.*", "", text, flags=re.DOTALL).encode()).hexdigest()[:16]


def measure(kind: str, train: cf.Showers, test: cf.Showers) -> dict[str, Any]:
    """Train one recipe and evaluate it."""
    name = f"{kind}-ds1-photons-small"
    stages = load_recipe(name).training.stages
    training = {"epochs": EPOCHS[kind], "stages": {stage: {"epochs": EPOCHS[kind]} for stage in stages}}
    started = time.process_time()
    run = cf.train(name, train, training=training)
    trained = time.process_time() - started
    reference = test[:SHOWERS]
    started = time.process_time()
    generated = run.generate(reference.incident_energies, seed=1)
    each = (time.process_time() - started) / SHOWERS
    report = cf.evaluate(generated, reference, baseline=train[:SHOWERS], classifiers=["trees"])
    numbers = {}
    for label, key in KEYS.items():
        estimate = report[key].estimate
        if estimate is not None:
            numbers[label] = [estimate.value, estimate.error, estimate.baseline, estimate.baseline_error]
    return {
        "recipe": name,
        "recipe_sha256": recipe_hash(name),
        "epochs": EPOCHS[kind],
        "parameters": run.n_parameters,
        "training_cpu_seconds": round(trained),
        "cpu_ms_per_shower": round(1e3 * each, 3),
        "metrics": numbers,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("kinds", nargs="*", choices=[*EPOCHS, []], help="which; all without")
    chosen = arguments.parse_args().kinds or list(EPOCHS)
    torch.set_num_threads(1)
    train, test = cf.sample("train"), cf.sample("test")
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for kind in chosen:
        results[kind] = measure(kind, train, test)
        print(kind, json.dumps(results[kind], indent=2), flush=True)
        RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
