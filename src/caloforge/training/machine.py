"""Seeds and random states that make a training the same again."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch


def derived_seed(*words: int | str) -> int:
    """A seed made of several numbers and names, independent for each combination."""
    numbers = [zlib.crc32(word.encode()) if isinstance(word, str) else word for word in words]
    # The count goes in too: a seed sequence takes (1,) and (1, 0) for the same.
    return int(np.random.SeedSequence([len(numbers), *numbers]).generate_state(1, np.uint64)[0]) >> 1


def generator_states(device: torch.device) -> list[torch.Tensor]:
    """States of the global random-number generators: the CPU's, and a GPU's where the training is on one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_generators(states: Sequence[torch.Tensor], device: torch.device) -> None:
    """Go on with random numbers from where `generator_states` was called."""
    torch.set_rng_state(states[0].cpu())
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1].cpu(), device)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with the global random state seeded, and put the state back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
