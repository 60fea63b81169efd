"""The chain: noise, zero suppression, clusters, identification variables; of the showers of one geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caloforge.geometry import Geometry
from caloforge.geometry.adjacency import in_space, within_layers
from caloforge.observables import above_threshold
from caloforge.reconstruction.identification import ClusteredCells, variables
from caloforge.reconstruction.recipe_file import Reconstruction
from caloforge.reconstruction.topoclusters import TopoClusters, local_maxima, significance, topoclusters
from caloforge.showers import Showers

CHUNK_VALUES = 500_000
"""Voxel values that are reconstructed at once: few enough for a processor's cache."""


@dataclass(frozen=True)
class Reconstructed:
    """N showers after reconstruction.

    Args:
        incident: (N,) E_inc in MeV.
        energies: (N,) sum of all clusters in MeV, not calibrated; 0 without clusters.
        variables: name → (N,) (see `identification`).
    """

    incident: np.ndarray
    energies: np.ndarray
    variables: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.incident)

    @property
    def found(self) -> np.ndarray:
        """(N,) which showers have a cluster."""
        return self.energies > 0

    def take(self, rows: np.ndarray) -> Reconstructed:
        """Some of the showers."""
        return Reconstructed(self.incident[rows], self.energies[rows], {k: v[rows] for k, v in self.variables.items()})

    @classmethod
    def joined(cls, parts: Sequence[Reconstructed]) -> Reconstructed:
        """Several parts, with the variables that all of them have."""
        names = [name for name in parts[0].variables if all(name in part.variables for part in parts)]
        return cls(
            np.concatenate([part.incident for part in parts]),
            np.concatenate([part.energies for part in parts]),
            {name: np.concatenate([part.variables[name] for part in parts]) for name in names},
        )


class Reconstructor:
    """A recipe on a geometry.

    Args:
        recipe: the settings.
        geometry: of the showers.

    Raises:
        CaloforgeError: the recipe has no noise for a layer.
    """

    def __init__(self, recipe: Reconstruction, geometry: Geometry) -> None:
        self.recipe, self.geometry = recipe, geometry
        self.noise = recipe.noise_of(geometry)

    def with_noise(self, voxels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n, V) float32 energies in MeV with noise, after zero suppression."""
        found = rng.standard_normal(voxels.shape, dtype=np.float32)
        found *= self.noise.astype(np.float32)
        found += voxels
        if self.recipe.suppression_sigma > 0:
            found[significance(found, self.noise) < self.recipe.suppression_sigma] = 0
        return found

    def clusters(self, voxels: np.ndarray) -> TopoClusters:
        """Of voxels (n, V) in MeV with noise."""
        thresholds = self.recipe.seed_sigma, self.recipe.growth_sigma, self.recipe.boundary_sigma
        return topoclusters(voxels, self.noise, in_space(self.geometry), *thresholds)

    def __call__(self, showers: Showers, rng: np.random.Generator, threshold: float | None = None) -> Reconstructed:
        """Reconstruct showers.

        Args:
            showers: of this geometry.
            rng: source of the noise.
            threshold: voxels below it (MeV) are set to zero first; None takes the geometry's.
        """
        cut = self.geometry.threshold if threshold is None else threshold
        rows = max(1, CHUNK_VALUES // self.geometry.n_voxels)
        starts = range(0, max(1, len(showers)), rows)
        return Reconstructed.joined([self._chunk(showers[k : k + rows], rng, cut) for k in starts])

    def _chunk(self, showers: Showers, rng: np.random.Generator, cut: float) -> Reconstructed:
        read = self.with_noise(above_threshold(showers.voxels, cut), rng)
        clusters = self.clusters(read)
        inside = clusters.of_voxel >= 0
        candidates = inside & (read > self.recipe.seed_sigma * self.noise)
        maxima = local_maxima(read, candidates, within_layers(self.geometry))
        cells = ClusteredCells(self.recipe, self.geometry, np.where(inside, read, np.float32(0)), maxima)
        incident = np.asarray(showers.energies, dtype=np.float64)
        return Reconstructed(incident, clusters.summed(), variables(cells, clusters))
