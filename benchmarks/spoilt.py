"""Spoils a file of showers in a known way, to see which tests notice.

python benchmarks/spoilt.py TEST.h5 third-layer-turned -o spoilt.h5
caloforge evaluate spoilt.h5 --reference TRAIN.h5 -o report
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from caloforge.showers import Showers


def layer(showers: Showers, position: int) -> slice:
    return showers.geometry.slices[position]


def scaled(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    voxels = showers.voxels.copy()
    voxels[:, layer(showers, 1)] *= 1.02
    return voxels


def smeared(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    return showers.voxels * rng.normal(1, 0.02, (len(showers), 1)).astype(np.float32)


def exchanged(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    voxels, part = showers.voxels.copy(), layer(showers, 2)
    for energy in np.unique(showers.energies):
        rows = np.flatnonzero(showers.energies == energy)
        voxels[rows, part] = showers.voxels[rng.permutation(rows), part]
    return voxels


def turned(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    """The third layer turned about the axis by an angle of its own in each shower: every observable keeps its law."""
    voxels, part = showers.voxels.copy(), layer(showers, 2)
    n_alpha, n_r = showers.geometry.layers[2].shape
    rings = voxels[:, part].reshape(len(showers), n_alpha, n_r)
    by = rng.integers(n_alpha, size=len(showers))
    sectors = (np.arange(n_alpha) - by[:, None]) % n_alpha
    voxels[:, part] = rings[np.arange(len(showers))[:, None], sectors].reshape(len(showers), -1)
    return voxels


def thinned(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    """3 % of the voxels emptied, and the shower's energy kept."""
    voxels = np.where(rng.random(showers.voxels.shape) < 0.03, np.float32(0), showers.voxels)
    total = np.maximum(voxels.sum(axis=1, keepdims=True), 1e-6)
    return voxels * (showers.voxels.sum(axis=1, keepdims=True) / total)


def tailed(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    voxels, few = showers.voxels.copy(), rng.random(len(showers)) < 0.01
    voxels[few, layer(showers, 2)] *= 3
    return voxels


def copied(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    """Half of the showers replaced by copies of others of their energy."""
    voxels = showers.voxels.copy()
    for energy in np.unique(showers.energies):
        rows = rng.permutation(np.flatnonzero(showers.energies == energy))
        half = len(rows) // 2
        voxels[rows[:half]] = voxels[rows[half : 2 * half]]
    return voxels


def outliers(showers: Showers, rng: np.random.Generator) -> np.ndarray:
    """One shower in a thousand with thirty times its energy."""
    voxels = showers.voxels.copy()
    voxels[rng.random(len(showers)) < 1e-3] *= 30
    return voxels


SPOILT: dict[str, tuple[str, Callable[[Showers, np.random.Generator], np.ndarray]]] = {
    "second-layer": ("2 % more energy in the second layer", scaled),
    "smeared": ("every shower's energy times 1 ± 0.02", smeared),
    "third-layer-exchanged": ("third layer exchanged between showers of equal energy", exchanged),
    "third-layer-turned": ("third layer turned about the axis at random", turned),
    "thinned": ("3 % of the voxels emptied, energy kept", thinned),
    "tail": ("third layer times 3 in 1 % of the showers", tailed),
    "copies": ("half of the showers copies of the others", copied),
    "outliers": ("one shower in a thousand with thirty times its energy", outliers),
}
"""Name → (in words, what makes the voxels (N, V))."""


def spoilt(showers: Showers, name: str, rng: np.random.Generator) -> Showers:
    """The showers spoilt in the way called `name`."""
    return Showers(showers.energies, SPOILT[name][1](showers, rng).astype(np.float32), showers.geometry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("showers")
    parser.add_argument("way", choices=SPOILT)
    parser.add_argument("--out", "-o", required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    spoilt(Showers.read(options.showers), options.way, np.random.default_rng(options.seed)).write(options.out)


if __name__ == "__main__":
    main()
