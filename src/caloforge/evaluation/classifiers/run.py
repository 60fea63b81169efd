"""Run a classifier test on two samples: can a network tell generated showers from Geant4's?

Label 1 is Geant4 (the reference), 0 generated. Both samples are cut to the same number of showers, so that the
calibrated score C is the probability at equal odds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers import metrics
from caloforge.evaluation.classifiers.features import feature_matrix
from caloforge.evaluation.classifiers.networks import n_parameters
from caloforge.evaluation.classifiers.suite import ClassifierTest, get_test
from caloforge.evaluation.classifiers.training import Epoch, Fit, Parts, fit, part_sizes, predict, split
from caloforge.geometry import Geometry
from caloforge.showers import Showers

Progress = Callable[[Epoch], None]


def run_test(
    name: str | ClassifierTest,
    generated: Showers,
    reference: Showers,
    *,
    repeats: int = 1,
    seed: int = 1,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a classifier `repeats` times and report how well it tells the samples apart.

    Args:
        name: one of `TESTS`, or a test of one's own.
        generated: N showers, thinned at random to the smaller of the two samples.
        reference: Geant4's, in the same geometry.
        repeats: trainings, each with its own split and initialisation.
        seed: decides everything random; the same seed, machine and number of threads give the same result.
        progress: told after each epoch.
        device: where to train, as torch names it.

    Returns:
        plain data: `auc` and `auc_std`, `jsd` and `jsd_std` (bits); `error` says what the two `_std` are (over
        repeats, or the statistical error of the third part for one training); `n` showers a side, `n_features`,
        `n_parameters`, `repeats`, `settings`, `runs` (per training: auc, jsd, accuracy on the second part, best
        epoch, epochs), `seconds`; `roc` and `weights` of the first training (see `metrics`).

    Raises:
        CaloforgeError: unknown test, geometries that differ or do not suit the test, too few showers.
    """
    test = get_test(name)
    start = time.perf_counter()
    if repeats < 1:
        raise CaloforgeError(f"the number of repeats must be at least 1, not {repeats}")
    features, n = prepare(test, [generated, reference], seed)
    labels = torch.arange(2).repeat_interleave(n)
    runs: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for repeat, fitted, parts in trainings(
        test, features, labels, generated.geometry, n, repeats=repeats, seed=seed, progress=progress, device=device
    ):
        scored = judge(test, fitted, features, labels, parts)
        first = first or {key: scored[key] for key in ("roc", "weights", "n_parameters")}
        keys = ("auc", "auc_error", "jsd", "jsd_error", "accuracy", "best_epoch", "epochs")
        runs.append({"repeat": repeat, **{key: scored[key] for key in keys}})
    result: dict[str, Any] = {}
    for key in ("auc", "jsd"):
        values = [run[key] for run in runs]
        result[key] = float(np.mean(values))
        result[f"{key}_std"] = float(np.std(values, ddof=1)) if repeats > 1 else runs[0][f"{key}_error"]
    return {
        **result,
        "error": f"standard deviation of {repeats} trainings" if repeats > 1 else "statistics of the third part",
        "test": test.name,
        "summary": test.summary,
        "n": n,
        "n_features": features.shape[1],
        "repeats": repeats,
        "seed": seed,
        "settings": asdict(test.settings),
        **first,
        "runs": runs,
        "seconds": time.perf_counter() - start,
    }


def prepare(test: ClassifierTest, samples: Sequence[Showers], seed: int) -> tuple[Tensor, int]:
    """Features of samples cut to one size: ((K n, F) float32, n), sample k in rows k n … (k + 1) n.

    Raises:
        CaloforgeError: geometries that differ or do not suit the test, too few showers.
    """
    geometry = samples[0].geometry
    for other in samples[1:]:
        if other.geometry != geometry:
            raise CaloforgeError(
                f"showers of geometry '{geometry.name}' cannot be judged against '{other.geometry.name}'; "
                "give two files of one geometry"
            )
    test.check(geometry)
    n = min(len(sample) for sample in samples)
    n = n if test.max_showers is None else min(n, test.max_showers)
    part_sizes(n)  # refuses too few before the features are made
    rng = np.random.default_rng([seed, 0])
    cut = [s if len(s) == n else s[np.sort(rng.choice(len(s), n, replace=False))] for s in samples]
    return torch.from_numpy(feature_matrix(test.features, cut, test.standardise)), n


def trainings(
    test: ClassifierTest,
    features: Tensor,
    labels: Tensor,
    geometry: Geometry,
    n: int,
    *,
    repeats: int,
    seed: int,
    progress: Progress | None,
    device: str,
    kinds: int = 2,
) -> Any:
    """Iterate over (repeat from 1, `Fit`, `Parts`) of independent trainings."""
    sizes = part_sizes(n, published_n=test.published_n if geometry.name == "ds1-photons" else None)
    start, done = time.perf_counter(), 0
    for repeat in range(1, repeats + 1):
        state = np.random.SeedSequence([seed, repeat]).generate_state(2)
        parts = split(n, kinds, sizes, np.random.default_rng([seed, repeat]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(state[0]))
            network = test.network(geometry, features.shape[1], 1 if kinds == 2 else kinds)

        def on_epoch(epoch: int, loss: float, accuracy: float, seconds: float, repeat: int = repeat) -> None:
            nonlocal done
            done += 1
            left = test.settings.epochs - epoch + (repeats - repeat) * test.settings.epochs
            rate = (time.perf_counter() - start) / done
            if progress is not None:
                entry = Epoch(test.name, repeat, repeats, epoch, test.settings.epochs, loss, accuracy, rate * left)
                progress(entry)

        fitted = fit(network.to(device), features, labels, parts, test.settings, int(state[1]), on_epoch)
        yield repeat, fitted, parts


def judge(test: ClassifierTest, fitted: Fit, features: Tensor, labels: Tensor, parts: Parts) -> dict[str, Any]:
    """Calibrate a two-kind classifier on the second part and judge it on the third."""
    batch = test.settings.micro_batch or test.settings.batch_size

    def scores(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return predict(fitted.network, features, rows, batch)[:, 0].double().numpy(), labels[rows].numpy()

    calibrated = metrics.Calibration(*scores(parts.validate))
    raw, truth = scores(parts.test)
    probabilities = calibrated(raw)
    area, area_error = metrics.auc(probabilities, truth)
    divergence, divergence_error = metrics.jsd(probabilities, truth)
    return {
        "auc": area,
        "auc_error": area_error,
        "jsd": divergence,
        "jsd_error": divergence_error,
        "accuracy": fitted.accuracy,
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs_run,
        "n_parameters": n_parameters(fitted.network),
        "roc": metrics.roc(probabilities, truth),
        "weights": metrics.weights(probabilities, truth),
    }
