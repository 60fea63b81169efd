"""Which of several generators comes nearest to Geant4? A classifier with one kind per generator.

It is trained on the generators' showers alone and never sees Geant4 before it is tested. For a Geant4 shower
x it gives the posterior p(generator | x) at equal odds; the mean of log p over Geant4's showers ranks the
generators: the higher, the likelier Geant4's showers are under that generator rather than under the others.
Generators that are all alike share log p = -ln K. The confusion matrix on the generators' own third parts says
how well they can be distinguished at all: without that, the ranking means nothing.

Logits z are calibrated on the second part, log p = log softmax(s² z + b) with s and b of maximum likelihood: a network
that leans towards one of two equal generators would else prefer it by many standard errors. The error of log p holds
the spread over Geant4's showers and that over `RESAMPLES` calibrations on showers drawn with repetition.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from caloforge.classifiers.architectures import n_parameters
from caloforge.classifiers.base import ClassifierTest, EpochProgress, get_test
from caloforge.classifiers.features import feature_matrix
from caloforge.classifiers.fitting import predict
from caloforge.classifiers.network_test import NetworkTest, fits, prepare
from caloforge.errors import CaloforgeError
from caloforge.showers import Showers

RESAMPLES = 20


@dataclass(frozen=True)
class Assignment:
    """One generator's part of Geant4's showers.

    Args:
        value, error: mean log posterior over Geant4's showers in nats, and its error.
        assigned: fraction of Geant4's showers that are classified as this generator's; a shower whose posteriors agree
            within twice the calibration's error is shared.
    """

    value: float
    error: float
    assigned: float


@dataclass(frozen=True)
class MulticlassResult:
    """What a classifier over K generators found.

    Args:
        test: its name.
        generators: name → `Assignment`.
        guess: −ln K, the log posterior without any knowledge.
        confusion: (K, K), rows the true generator, columns the predicted one, each row summing to 1.
        accuracy: on the third part.
        n, n_reference: showers per generator, and of Geant4.
        n_parameters, best_epoch, seconds: of the training.
    """

    test: str
    generators: Mapping[str, Assignment]
    guess: float
    confusion: np.ndarray
    accuracy: float
    n: int
    n_reference: int
    n_parameters: int
    best_epoch: int
    seconds: float


def run_multiclass(
    name: str | ClassifierTest,
    generators: Mapping[str, Showers],
    reference: Showers,
    *,
    seed: int = 1,
    progress: EpochProgress | None = None,
    device: str = "cpu",
) -> MulticlassResult:
    """Train one classifier over all generators and let it assign Geant4's showers.

    Args:
        name: the test whose input, network and training settings are used (see `TESTS`).
        generators: name → showers, at least two, each thinned to the smallest sample.
        reference: Geant4's showers, in the same geometry.
        seed: decides everything random.
        progress: told after each epoch.
        device: where to train, as torch names it.

    Raises:
        CaloforgeError: fewer than two generators, an unknown test or one without a network, geometries that differ,
            too few showers.
    """
    if len(generators) < 2:
        raise CaloforgeError(f"the multi-class test needs at least two generators, not {len(generators)}")
    start = time.perf_counter()
    names, kinds, test = list(generators), len(generators), get_test(name)
    if not isinstance(test, NetworkTest):
        raise CaloforgeError(f"the classifier test '{test.name}' has no network; choose another, as caloman")
    task = prepare(test, [*generators.values()], seed, also=[reference])
    ((fitted, parts),) = fits(task, repeats=1, seed=seed, progress=progress, device=device)
    batch = test.settings.pass_size
    examined = torch.from_numpy(feature_matrix(test.features, [reference], task.scaling))

    def logits(features: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        found = predict(fitted.network, features, rows, batch)
        if kinds == 2:  # one logit, of the second kind
            found = torch.cat([torch.zeros_like(found), found], dim=1)
        return found.double()

    held, labels = logits(task.features, parts.validate), task.labels[torch.from_numpy(parts.validate)]
    calibration = calibrate(held, labels)
    raw = logits(examined, np.arange(len(examined)))
    of_reference = _posterior(raw, calibration).numpy()
    rng = np.random.default_rng([seed, 2])
    draws = [torch.from_numpy(rng.integers(0, len(held), len(held))) for _ in range(RESAMPLES)]
    resampled = torch.stack([_posterior(raw, calibrate(held[rows], labels[rows])) for rows in draws]).numpy()
    guesses = _posterior(logits(task.features, parts.test), calibration).numpy().argmax(axis=1)
    truth = task.labels[torch.from_numpy(parts.test)].numpy()
    confusion = np.stack([np.bincount(guesses[truth == k], minlength=kinds) for k in range(kinds)])
    shares = assigned_shares(of_reference, resampled)
    errors = np.hypot(
        of_reference.std(axis=0) / math.sqrt(len(of_reference)), resampled.mean(axis=1).std(axis=0, ddof=1)
    )
    columns = zip(of_reference.mean(axis=0).tolist(), errors.tolist(), shares.tolist(), strict=True)
    return MulticlassResult(
        test=test.name,
        generators={key: Assignment(*column) for key, column in zip(names, columns, strict=True)},
        guess=-math.log(kinds),
        confusion=confusion / confusion.sum(axis=1, keepdims=True),
        accuracy=float((guesses == truth).mean()),
        n=task.n,
        n_reference=len(reference),
        n_parameters=n_parameters(fitted.network),
        best_epoch=fitted.best_epoch,
        seconds=time.perf_counter() - start,
    )


def assigned_shares(posterior: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """(K,) fractions of showers assigned to each generator; those within two errors of the best share a shower.

    Args:
        posterior: (n, K) log posteriors.
        resampled: (R, n, K) the same with resampled calibrations.
    """
    best = posterior.argmax(axis=1)[:, None]
    gap = np.take_along_axis(posterior, best, axis=1) - posterior
    spread = (np.take_along_axis(resampled, best[None], axis=2) - resampled).std(axis=0)
    tied = gap <= 2 * spread
    return np.asarray((tied / tied.sum(axis=1, keepdims=True)).mean(axis=0))


def calibrate(logits: torch.Tensor, kinds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(s, b) of greatest likelihood of `kinds` (n,) given float64 `logits` (n, K); b (K,) sums to 0."""
    s = torch.ones((), dtype=torch.float64, requires_grad=True)
    b = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([s, b], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        # The first term is far below the statistics; it keeps b and s finite where the kinds are separated completely.
        value = 1e-6 * (b.square().sum() + s**2) - _posterior(logits, (s, b)).gather(1, kinds[:, None]).mean()
        value.backward()
        return value

    optimiser.step(loss)
    return s.detach(), b.detach() - b.detach().mean()


def _posterior(logits: torch.Tensor, calibration: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """(n, K) log posteriors."""
    s, b = calibration
    return (s**2 * logits + b).log_softmax(dim=1)
