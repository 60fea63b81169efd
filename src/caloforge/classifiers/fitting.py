"""Train a classifier: Adam on the cross-entropy, the epoch with the best validation accuracy kept.

Showers of kind k lie in one block of rows; each kind is split into a first part (training), a second (choice
of the epoch, calibration) and a third (results). Two kinds have one logit and the binary cross-entropy; more
have one logit each.

Everything random comes from generators made from the seed: the caller's global random state is neither used
nor moved.

Speed on a CPU. `challenge_low` on 2 × 30 000 showers of 368 voxels takes 6 flops per weight and shower in
training and 2 in validation: 9.2e6 × 50 × (36 000 × 6 + 12 000 × 2) = 1.1e14. Two cores with AVX-512 (2.5 GHz)
run these matrix products at 140 to 170 Gflop/s in float32: 320 ms per step of 1 000 showers, about a quarter of
an hour in all. Measured there too: bfloat16 is four times slower (no AMX, no AVX-512-BF16), so float32 stays;
Adam's fused update takes 8 ms instead of 26 to 45 ms. All features wait in one tensor, and batches are gathered
by index.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.errors import CaloforgeError


@dataclass(frozen=True)
class ClassifierSettings:
    """How a classifier is trained.

    Args:
        learning_rate: Adam's.
        batch_size: showers per step.
        epochs: passes over the first part, at most.
        patience: stop after so many epochs without a better validation accuracy; None goes on to the end.
        micro_batch: showers per forward and backward pass where a whole batch would not fit in memory;
            gradients are summed, so only batch-norm statistics (of `micro_batch` showers instead) differ.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int | None = None
    micro_batch: int | None = None

    @property
    def pass_size(self) -> int:
        """Showers that go through the network at once."""
        return self.micro_batch or self.batch_size


@dataclass(frozen=True)
class Parts:
    """Row numbers of the three parts, all kinds together."""

    train: np.ndarray
    validate: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Fit:
    """A trained classifier: the network with its best weights, and how it went."""

    network: nn.Module
    best_epoch: int
    epochs_run: int
    accuracy: float


def part_sizes(n: int, published_n: int | None = None) -> tuple[int, int]:
    """Sizes of the first (60 %) and second part (20 %) of `n` showers of a kind; the third takes the rest.

    Args:
        n: showers of each kind.
        published_n: the sample size that is split 80 000 / 20 000 / rest instead (121 000 in the challenge).
    """
    if n == published_n:
        return 80_000, 20_000
    return round(0.6 * n), round(0.2 * n)


def split(n: int, kinds: int, sizes: tuple[int, int], rng: np.random.Generator) -> Parts:
    """Split `kinds` blocks of `n` rows each into three parts of the same mixture."""
    first, second = sizes
    orders = [k * n + rng.permutation(n) for k in range(kinds)]
    cuts = [(0, first), (first, first + second), (first + second, n)]
    return Parts(*(np.concatenate([order[a:b] for order in orders]) for a, b in cuts))


def predict(network: nn.Module, features: Tensor, rows: np.ndarray, batch_size: int) -> Tensor:
    """(n, K) logits of `rows`, on the CPU; (n, 1) of two kinds."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        index = torch.from_numpy(rows)
        return torch.cat([network(features[part].to(device)).cpu() for part in index.split(batch_size)])


def cross_entropy(logits: Tensor, kinds: Tensor) -> Tensor:
    """Mean cross-entropy in nats of (n, 1) or (n, K) logits against (n,) kinds."""
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], kinds.to(logits.dtype))
    return functional.cross_entropy(logits, kinds)


def accuracy(logits: Tensor, kinds: Tensor) -> float:
    """Fraction of rows whose most probable kind is the true one."""
    guess = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
    return (guess == kinds).double().mean().item()


def make_optimiser(network: nn.Module, settings: ClassifierSettings) -> torch.optim.Optimizer:
    """Adam with PyTorch's other defaults."""
    return torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)


def step(
    network: nn.Module, optimiser: torch.optim.Optimizer, x: Tensor, kinds: Tensor, micro: int | None = None
) -> float:
    """One step of Adam on a batch; gives its mean loss."""
    pieces = math.ceil(len(x) / micro) if micro else 1
    optimiser.zero_grad(set_to_none=True)
    total = 0.0
    for x_part, kinds_part in zip(x.tensor_split(pieces), kinds.tensor_split(pieces), strict=True):
        loss = cross_entropy(network(x_part), kinds_part) * (len(x_part) / len(x))
        loss.backward()
        total += loss.item()
    optimiser.step()
    return total


def fit(
    network: nn.Module,
    features: Tensor,
    kinds: Tensor,
    parts: Parts,
    settings: ClassifierSettings,
    seed: int,
    on_epoch: Callable[[int, float, float], None] | None = None,
) -> Fit:
    """Train `network` in place and leave it with the weights of the epoch of best validation accuracy.

    Args:
        network: from (n, F) features to (n, 1) or (n, K) logits, on the device to train on.
        features: (N, F) float32, on the CPU.
        kinds: (N,) int64, 0 … K - 1.
        parts: rows of the three parts.
        settings: optimiser, batches, epochs.
        seed: of the order of the batches.
        on_epoch: called with epoch (from 1), mean loss (nats) and validation accuracy.

    Raises:
        CaloforgeError: the loss is no longer finite.
    """
    device = next(network.parameters()).device
    optimiser = make_optimiser(network, settings)
    generator = torch.Generator().manual_seed(seed)
    train = torch.from_numpy(parts.train)
    truth = kinds[torch.from_numpy(parts.validate)]
    best_accuracy, best_epoch, best_weights = -1.0, 0, copy.deepcopy(network.state_dict())
    epoch = 0
    for epoch in range(1, settings.epochs + 1):
        network.train()
        losses: list[float] = []
        for rows in train[torch.randperm(len(train), generator=generator)].split(settings.batch_size):
            if len(rows) < 2:  # batch norm has no variance of a single shower
                continue
            x, y = features[rows].to(device), kinds[rows].to(device)
            losses.append(step(network, optimiser, x, y, settings.micro_batch))
        loss = sum(losses) / len(losses)
        if not math.isfinite(loss):
            raise CaloforgeError(f"the classifier's loss became {loss} in epoch {epoch}; are all features finite?")
        reached = accuracy(predict(network, features, parts.validate, settings.pass_size), truth)
        if reached > best_accuracy:
            best_accuracy, best_epoch, best_weights = reached, epoch, copy.deepcopy(network.state_dict())
        if on_epoch is not None:
            on_epoch(epoch, loss, reached)
        waited_enough = settings.patience is not None and epoch - best_epoch >= settings.patience
        if waited_enough or best_accuracy == 1.0:  # no later epoch can be better than all right
            break
    network.load_state_dict(best_weights)
    return Fit(network, best_epoch, epoch, best_accuracy)
