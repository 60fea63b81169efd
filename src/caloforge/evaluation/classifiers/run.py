"""Run a classifier test on two samples: can a network tell generated showers from Geant4's?

Label 1 is Geant4 (the reference), 0 generated. Both samples are cut to the same number of showers, so that
the calibrated score C is the probability at equal odds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import CaloforgeError
from caloforge.evaluation.classifiers import metrics
from caloforge.evaluation.classifiers.features import Scaling, feature_matrix
from caloforge.evaluation.classifiers.networks import n_parameters
from caloforge.evaluation.classifiers.suite import ClassifierTest, get_test
from caloforge.evaluation.classifiers.training import Epoch, Fit, Parts, fit, part_sizes, predict, split
from caloforge.geometry import Geometry
from caloforge.showers import Showers

Progress = Callable[[Epoch], None]


@dataclass(frozen=True)
class Task:
    """A classifier's data: K samples of n showers each, sample k in rows k n … (k + 1) n.

    Args:
        test: the test that they are made for.
        geometry: of all samples.
        features: (K n, F) float32.
        labels: (K n,) int64, 0 … K - 1.
        n: showers per sample.
        scaling: what standardised the features, None where the test does not.
    """

    test: ClassifierTest
    geometry: Geometry
    features: Tensor
    labels: Tensor
    n: int
    scaling: Scaling | None


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
        generated: showers to be judged; the larger of the two samples is thinned at random to the smaller.
        reference: Geant4's, in the same geometry.
        repeats: trainings, each with its own split and initialisation.
        seed: decides everything random; the same seed, machine and number of threads give the same result.
        progress: told after each epoch.
        device: where to train, as torch names it.

    Returns:
        plain data: `auc` and `auc_std`, `jsd` and `jsd_std` (bits); `error` says what the two `_std` are
        (over trainings, or the statistical error of the third part for a single one); `n` showers a side,
        `n_features`, `n_parameters`, `repeats`, `settings`, `runs` (per training: auc, jsd, accuracy on the
        second part, best epoch, epochs), `seconds`; `roc` and `weights` of the first training (see
        `metrics`).

    Raises:
        CaloforgeError: unknown test, geometries that differ or do not suit the test, too few showers.
    """
    if repeats < 1:
        raise CaloforgeError(f"the number of repeats must be at least 1, not {repeats}")
    start = time.perf_counter()
    task = prepare(name, [generated, reference], seed)
    runs: list[dict[str, Any]] = []
    first: dict[str, Any] = {}
    for repeat, fitted, parts in trainings(task, repeats=repeats, seed=seed, progress=progress, device=device):
        scored = judge(task, fitted, parts)
        first = first or {key: scored[key] for key in ("n_parameters", "roc", "weights")}
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
        "test": task.test.name,
        "summary": task.test.summary,
        "n": task.n,
        "n_features": task.features.shape[1],
        "repeats": repeats,
        "seed": seed,
        "settings": asdict(task.test.settings),
        **first,
        "runs": runs,
        "seconds": time.perf_counter() - start,
    }


def prepare(name: str | ClassifierTest, samples: Sequence[Showers], seed: int, also: Showers | None = None) -> Task:
    """Cut samples to one size at random and make their features.

    Args:
        name: the test.
        samples: one per kind.
        seed: of the thinning.
        also: further showers whose geometry has to agree.

    Raises:
        CaloforgeError: unknown test, geometries that differ or do not suit the test, too few showers.
    """
    test = get_test(name)
    geometry = samples[0].geometry
    for other in (*samples[1:], *([also] if also is not None else [])):
        if other.geometry != geometry:
            raise CaloforgeError(
                f"showers of geometry '{geometry.name}' cannot be judged against '{other.geometry.name}'; "
                "give files of one geometry"
            )
    test.check(geometry)
    n = test.showers_used(min(len(sample) for sample in samples))
    part_sizes(n)  # refuses too few before the features are made
    rng = np.random.default_rng([seed, 0])
    cut = [s if len(s) == n else s[np.sort(rng.choice(len(s), n, replace=False))] for s in samples]
    rows = feature_matrix(test.features, cut)
    scaling = Scaling.fit(rows) if test.standardise else None
    if scaling is not None:
        scaling.apply(rows)
    labels = torch.arange(len(samples)).repeat_interleave(n)
    return Task(test, geometry, torch.from_numpy(rows), labels, n, scaling)


def trainings(
    task: Task, *, repeats: int, seed: int, progress: Progress | None, device: str
) -> Iterator[tuple[int, Fit, Parts]]:
    """Independent trainings, each with its own split and initialisation: (number from 1, fit, parts)."""
    test, kinds, n_features = task.test, int(task.labels[-1]) + 1, task.features.shape[1]
    sizes = part_sizes(task.n, test.published_n if task.geometry.name == "ds1-photons" else None)
    total = repeats * test.settings.epochs
    start, done = time.perf_counter(), 0
    for repeat in range(1, repeats + 1):
        first_seed, second_seed = (int(s) for s in np.random.SeedSequence([seed, repeat]).generate_state(2))
        parts = split(task.n, kinds, sizes, np.random.default_rng([seed, repeat]))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(first_seed)
            network = test.network(task.geometry, n_features, 1 if kinds == 2 else kinds)

        def on_epoch(epoch: int, loss: float, accuracy: float, repeat: int = repeat) -> None:
            nonlocal done
            done += 1
            if progress is not None:
                epochs = test.settings.epochs
                left = (total - (repeat - 1) * epochs - epoch) * (time.perf_counter() - start) / done
                progress(Epoch(test.name, repeat, repeats, epoch, epochs, loss, accuracy, left))

        network = network.to(device)
        yield (
            repeat,
            fit(network, task.features, task.labels, parts, test.settings, second_seed, on_epoch),
            parts,
        )


def judge(task: Task, fitted: Fit, parts: Parts) -> dict[str, Any]:
    """Calibrate a classifier of two kinds on the second part and judge it on the third."""

    def scores(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = predict(fitted.network, task.features, rows, task.test.settings.pass_size)
        return logits[:, 0].double().numpy(), task.labels[torch.from_numpy(rows)].numpy()

    calibrate = metrics.Calibration(*scores(parts.validate))
    raw, truth = scores(parts.test)
    probabilities = calibrate(raw)
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
