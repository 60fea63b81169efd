"""Which of several generators comes nearest to Geant4? A classifier with one kind per generator.

It is trained on the generators' showers alone and never sees Geant4 before it is judged. For a Geant4 shower
x it gives the posterior p(generator | x) at equal odds; the mean of log p over Geant4's showers ranks the
generators: the higher, the likelier Geant4's showers are under that generator rather than under the others.
Generators that are all alike share log p = -ln K. The confusion matrix on the generators' own third parts says
how far they can be told apart at all: without that, the ranking means nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers.features import feature_matrix
from caloforge.evaluation.classifiers.networks import n_parameters
from caloforge.evaluation.classifiers.run import Progress, prepare, trainings
from caloforge.evaluation.classifiers.suite import ClassifierTest
from caloforge.evaluation.classifiers.training import predict
from caloforge.showers import Showers


def run_multiclass(
    name: str | ClassifierTest,
    generators: Mapping[str, Showers],
    reference: Showers,
    *,
    seed: int = 1,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train one classifier over all generators and let it assign Geant4's showers.

    Args:
        name: the test whose input, network and training settings are used (see `TESTS`).
        generators: name → showers, at least two, each thinned to the smallest sample.
        reference: Geant4's showers, in the same geometry.
        seed: decides everything random.
        progress: told after each epoch.
        device: where to train, as torch names it.

    Returns:
        plain data: `names`; `log_posterior` name → `value` and `error` (of the mean over Geant4's showers,
        nats) with `chance` = -ln K; `assigned` name → share of Geant4's showers put down to it; `confusion`
        (K, K), rows the true generator, columns the guess, each row summing to 1; `accuracy` on the third
        part; `n` showers per generator, `n_reference`, `n_parameters`, `best_epoch`, `seconds`.

    Raises:
        CaloforgeError: fewer than two generators, unknown test, geometries that differ, too few showers.
    """
    if len(generators) < 2:
        raise CaloforgeError(f"the multi-class test needs at least two generators, not {len(generators)}")
    start = time.perf_counter()
    names, kinds = list(generators), len(generators)
    task = prepare(name, [*generators.values()], seed, also=reference)
    ((_, fitted, parts),) = trainings(task, repeats=1, seed=seed, progress=progress, device=device)
    batch = task.test.settings.pass_size
    judged = torch.from_numpy(feature_matrix(task.test.features, [reference], task.scaling))

    def log_posterior(features: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        logits = predict(fitted.network, features, rows, batch)
        if kinds == 2:  # one logit, of the second kind
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return logits.double().log_softmax(dim=1).numpy()

    of_reference = log_posterior(judged, np.arange(len(judged)))
    guesses = log_posterior(task.features, parts.test).argmax(axis=1)
    truth = task.labels[parts.test].numpy()
    confusion = np.stack([np.bincount(guesses[truth == k], minlength=kinds) for k in range(kinds)])
    shares = np.bincount(of_reference.argmax(axis=1), minlength=kinds) / len(of_reference)
    errors = of_reference.std(axis=0) / math.sqrt(len(of_reference))
    return {
        "test": task.test.name,
        "names": names,
        "log_posterior": {
            key: {"value": float(value), "error": float(error)}
            for key, value, error in zip(names, of_reference.mean(axis=0), errors, strict=True)
        },
        "chance": -math.log(kinds),
        "assigned": dict(zip(names, shares.tolist(), strict=True)),
        "confusion": (confusion / confusion.sum(axis=1, keepdims=True)).tolist(),
        "accuracy": float((guesses == truth).mean()),
        "n": task.n,
        "n_reference": len(reference),
        "n_parameters": n_parameters(fitted.network),
        "best_epoch": fitted.best_epoch,
        "seconds": time.perf_counter() - start,
    }
