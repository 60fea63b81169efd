"""`rings`: boosted trees that also see every ring, and how hits lie together.

To the challenge's observables it adds pairs of neighbouring hits, isolated hits and clusters of each layer
(`caloforge.observables.clusters`), and of each ring (a row, in a Cartesian layer) with more than one voxel its
energy, its number of hits and its brightest voxel over its energy. A generator that gets the observables of layers
right one by one may still put hits where Geant4 does not.
"""

from __future__ import annotations

import numpy as np

from caloforge import observables
from caloforge.classifiers.base import register
from caloforge.classifiers.features import thresholded
from caloforge.classifiers.trees import FeatureTable, TreeTest
from caloforge.geometry import Geometry
from caloforge.observables.clusters import clusters, isolated, pairs_around, pairs_outwards
from caloforge.showers import Showers

NEIGHBOURS = (pairs_around, pairs_outwards, isolated, clusters)


def names(geometry: Geometry) -> list[str]:
    """The observables: the challenge's and those of neighbouring hits."""
    return [*observables.challenge_names(geometry), *observables.names_of(observables.select(geometry, NEIGHBOURS))]


def of_rings(showers: Showers) -> FeatureTable:
    """log10(E_ring + 1 MeV), number of hits, and brightest voxel / E_ring of each ring."""
    voxels, geometry = thresholded(showers), showers.geometry
    found: dict[str, tuple[str, np.ndarray]] = {}
    for layer, part in zip(geometry.layers, geometry.slices, strict=True):
        image = voxels[:, part].reshape(-1, *layer.shape)
        image = image if layer.kind == "polar" else image.transpose(0, 2, 1)  # (N, in the ring, rings)
        if image.shape[1] == 1:
            continue
        energy = image.sum(axis=1)
        values = {
            "e": ("energy", np.log10(energy + 1)),
            "hits": ("number of hits", np.count_nonzero(image, axis=1)),
            "brightest": ("brightest voxel / E", image.max(axis=1) / np.maximum(energy, 1e-6)),
        }
        word = "ring" if layer.kind == "polar" else "row"
        for name, (label, columns) in values.items():
            for k in range(image.shape[2]):
                key = f"{name}_{word}_{k}_{layer.id}"
                found[key] = f"{label} of {word} {k}, layer {layer.id}", columns[:, k].astype(np.float32)
    return found


register(
    TreeTest(
        "rings",
        "boosted trees, rings",
        "log10 E_inc, the challenge's observables, neighbouring hits and every ring; gradient-boosted trees",
        names=names,
        further=of_rings,
    )
)
