"""Which of several generators comes nearest to Geant4? A classifier with one kind per generator.

It is trained on the generators' showers alone and never sees Geant4 before it is judged. For a Geant4 shower
x it gives the posterior p(generator | x) at equal odds; the mean of log p over Geant4's showers ranks the
generators: the higher, the likelier Geant4's showers are under that generator rather than under the others.
Generators that are all alike share log p = -ln K. The confusion matrix on the generators' own third parts says
how far they can be told apart at all: without that, the ranking means nothing.

Logits z are calibrated on the second part, log p = log softmax(s² z + b) with s and b of maximum likelihood: a network
that leans towards one of two equal generators would else prefer it by many standard errors. The error of log p holds
the spread over Geant4's showers and that over `RESAMPLES` calibrations on showers drawn with repetition.
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

RESAMPLES = 20


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
        nats; see above) with `chance` = -ln K; `assigned` name → share of Geant4's showers put down to it; `confusion`
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

    def logits(features: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        found = predict(fitted.network, features, rows, batch)
        if kinds == 2:  # one logit, of the second kind
            found = torch.cat([torch.zeros_like(found), found], dim=1)
        return found.double()

    held, labels = logits(task.features, parts.validate), task.labels[torch.from_numpy(parts.validate)]
    calibration = calibrate(held, labels)
    raw = logits(judged, np.arange(len(judged)))
    of_reference = _posterior(raw, calibration).numpy()
    rng = np.random.default_rng([seed, 2])
    draws = [torch.from_numpy(rng.integers(0, len(held), len(held))) for _ in range(RESAMPLES)]
    means = [_posterior(raw, calibrate(held[rows], labels[rows])).mean(dim=0).numpy() for rows in draws]
    guesses = _posterior(logits(task.features, parts.test), calibration).numpy().argmax(axis=1)
    truth = task.labels[torch.from_numpy(parts.test)].numpy()
    confusion = np.stack([np.bincount(guesses[truth == k], minlength=kinds) for k in range(kinds)])
    shares = np.bincount(of_reference.argmax(axis=1), minlength=kinds) / len(of_reference)
    errors = np.hypot(of_reference.std(axis=0) / math.sqrt(len(of_reference)), np.std(means, axis=0, ddof=1))
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


def calibrate(logits: torch.Tensor, kinds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(s, b) of greatest likelihood of `kinds` (n,) given float64 `logits` (n, K); b (K,) sums to 0."""
    s = torch.ones((), dtype=torch.float64, requires_grad=True)
    b = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([s, b], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        # The first term is far below the statistics; it keeps b and s finite where the kinds are told apart fully.
        value = 1e-6 * (b.square().sum() + s**2) - _posterior(logits, (s, b)).gather(1, kinds[:, None]).mean()
        value.backward()
        return value

    optimiser.step(loss)
    return s.detach(), b.detach() - b.detach().mean()


def _posterior(logits: torch.Tensor, calibration: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """(n, K) log posteriors."""
    s, b = calibration
    return (s**2 * logits + b).log_softmax(dim=1)
