"""Analytic showers: an electromagnetic shower parametrisation. These are NOT Geant4 showers.

For tests, tutorials and load of any size; nothing judged on them says anything about a detector. The mean of
each voxel comes from the closed forms in `shower_shape`, after Grindhammer and Peters (hep-ex/0001020): a
gamma distribution in depth, whose ln T and ln α fluctuate together from shower to shower, and two radial
components that depend on the relative depth τ = (t/T) (α - 1)/α ᾱ/(ᾱ - 1), ᾱ = exp<ln α>. The integrals over
voxels are exact (incomplete gamma function in depth, r²/(r² + R²) in radius) but for τ, which is held at the
middle of slices of at most 1 X0.

Around the mean the energy comes in spots: their number in a voxel is Poisson, the energy of each exponential
with the mean a²/2 GeV, so that a deposited energy E varies by σ/E = a/sqrt(E/GeV), in the sum as in every
voxel. Here we depart from the paper, whose spots have a longitudinal profile of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import gammainc

from caloforge.errors import CaloforgeError
from caloforge.geometry import Geometry
from caloforge.showers import Showers
from caloforge.sources.parametric.equal_mean import Cells, component_shares
from caloforge.sources.parametric.shower_shape import (
    CALOGAN_LEAD_ARGON,
    LEAD_ARGON,
    TUNGSTEN_SILICON,
    Medium,
    longitudinal_means,
    longitudinal_spread,
    radial_parameters,
)

SOURCE = "analytic shower parametrisation after Grindhammer and Peters (hep-ex/0001020), NOT Geant4"
"""What the attribute `source` of these showers says."""

DS1_DEPTHS = {
    0: (0.0, 1.7),
    1: (1.7, 6.2),
    2: (6.2, 22.2),
    3: (22.2, 24.2),
    12: (24.2, 39.0),
    13: (39.0, 54.0),
    14: (54.0, 69.0),
}
"""Front and back in X0 of the layers of a ds1-like detector: plausible numbers of ours, no measurement."""

DEFAULT_DEPTH = 25.0
"""X0 shared equally by the layers of a geometry of which no depth is known."""

CONVERSION_LENGTH = 9 / 7
"""Mean depth in X0 at which a high-energy photon converts."""

# The widths of ln T and ln α diverge at a few E_c, and the formula for p breaks down far above any beam:
# beyond these bounds (ln y, MeV) a shower keeps the shape of the border.
LN_Y_FLOOR, ENERGY_CEILING, MAX_ENERGY = 2.5, 1e8, 1e12
# α near 1 would put the centre of a shower at any depth; R_T grows exponentially with τ.
ALPHA_FLOOR, TAU_CEILING = 1.5, 10.0
# Longest slice in X0 over which τ is held; voxels in a batch by default.
SLICE, BATCH_VALUES = 1.0, 4_000_000


def _is_ds1_like(geometry: Geometry) -> bool:
    ids = set(geometry.layer_ids)
    numbered = {0, 1, 2, 3, 12} <= ids <= DS1_DEPTHS.keys()
    return numbered and all(layer.z_edges is None for layer in geometry.layers)


@dataclass(frozen=True)
class ParametricShowers:
    """Makes analytic electromagnetic showers, NOT Geant4 ones (the module's opening has the equations).

    Args:
        medium: what the calorimeter is made of.
        conversion_length: mean depth in X0 of the shower's start, drawn from an exponential; 0 for electrons,
            `CONVERSION_LENGTH` for photons.
        resolution: stochastic term a of σ/E = a/sqrt(E/GeV) ⊕ c; 0 gives every voxel its mean.
        constant: constant term c, a factor of mean 1 and width c on the whole shower (gamma distributed).
        fluctuate: draw ln T and ln α per shower; False takes their means.
        layer_depths: (front, back) of every layer in X0, front to back. None takes the geometry's z_edges,
            counted from the first layer's front, over the medium's X0; where it has none, `DS1_DEPTHS` for
            layers numbered like ds1's, else equal shares of `DEFAULT_DEPTH`.

    Energy is conserved up to what leaks sideways beyond the outer edges, behind the last layer or into gaps
    between layers, and up to the resolution. Below E = 12 E_c and above 100 TeV the shower keeps the shape of
    the border.

    Raises:
        CaloforgeError: a term is out of range, or depths are not in order.
    """

    medium: Medium = TUNGSTEN_SILICON
    conversion_length: float = 0.0
    resolution: float = 0.13
    constant: float = 0.01
    fluctuate: bool = True
    layer_depths: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.conversion_length < math.inf:
            raise CaloforgeError(f"conversion_length must be at least 0 X0, not {self.conversion_length}")
        for name in ("resolution", "constant"):
            value = getattr(self, name)
            if value != 0 and not 1e-4 <= value <= 1:
                raise CaloforgeError(f"{name} of analytic showers must be 0 or from 0.0001 to 1, not {value}")
        if self.layer_depths is not None:
            _check_depths(self.layer_depths, "layer_depths")

    @classmethod
    def for_geometry(cls, geometry: Geometry, **changes: Any) -> ParametricShowers:
        """Plausible parameters for a geometry; `changes` are fields of the class.

        ds1-like detectors: photons in lead and liquid argon, a = 0.10; `calogan`: its own lead and argon,
        a = 0.05; everything else: electrons in the tungsten and silicon of ds2 and ds3, a = 0.13. The showers
        are electromagnetic on ds1-pions too.
        """
        if _is_ds1_like(geometry):
            made = cls(LEAD_ARGON, CONVERSION_LENGTH, resolution=0.10)
        elif geometry.name == "calogan":
            made = cls(CALOGAN_LEAD_ARGON, resolution=0.05)
        else:
            made = cls()
        return replace(made, **changes)

    def depths(self, geometry: Geometry) -> np.ndarray:
        """(layers, 2) front and back of each layer in X0.

        Raises:
            CaloforgeError: `layer_depths` has another number of layers, z_edges are known for some layers
                only, or layers overlap.
        """
        layers = geometry.layers
        if self.layer_depths is not None:
            if len(self.layer_depths) != len(layers):
                raise CaloforgeError(
                    f"layer_depths has {len(self.layer_depths)} pairs, but geometry '{geometry.name}' has "
                    f"{len(layers)} layers"
                )
            return np.asarray(self.layer_depths, dtype=np.float64)
        known = [layer.z_edges for layer in layers if layer.z_edges is not None]
        if len(known) == len(layers):
            depths = (np.array(known) - known[0][0]) / self.medium.radiation_length
            return _check_depths(depths, f"z_edges of geometry '{geometry.name}'")
        if known:
            raise CaloforgeError(
                f"geometry '{geometry.name}' has z_edges for {len(known)} of {len(layers)} layers; "
                "give them for all, or layer_depths"
            )
        if _is_ds1_like(geometry):
            depths = np.array([DS1_DEPTHS[i] for i in geometry.layer_ids], dtype=np.float64)
            return _check_depths(depths, f"layers of geometry '{geometry.name}'")
        edges = np.linspace(0, DEFAULT_DEPTH, len(layers) + 1)
        return np.stack([edges[:-1], edges[1:]], axis=1)

    def draw_profiles(self, energies: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """T (X0), α and start (X0) of each shower, each (B,), for incident energies (B,) in MeV."""
        ln_y = np.log(self._shape_energies(energies) / self.medium.critical_energy)
        ln_t, ln_alpha = longitudinal_means(ln_y, self.medium.charge)
        start = self.conversion_length * rng.standard_exponential(len(energies))
        if self.fluctuate:
            sigma_t, sigma_alpha, rho = longitudinal_spread(ln_y)
            u, v = rng.standard_normal((2, len(energies)))
            plus, minus = np.sqrt((1 + rho) / 2), np.sqrt((1 - rho) / 2)
            ln_t = ln_t + sigma_t * (plus * u + minus * v)
            ln_alpha = ln_alpha + sigma_alpha * (plus * u - minus * v)
        return np.exp(ln_t), np.maximum(np.exp(ln_alpha), ALPHA_FLOOR), start

    def simulate(
        self, energies: np.ndarray, geometry: Geometry, seed: int = 0, batch_size: int | None = None
    ) -> Iterator[Showers]:
        """Showers in batches, in the order of `energies`; memory holds one batch.

        Args:
            energies: (N,) incident energies in MeV, from above zero to 1e12.
            geometry: the voxels, polar or Cartesian.
            seed: from 0. Batch k draws from SeedSequence(seed, spawn_key=(1, k)), so the same energies, seed
                and batch size give the same arrays; another batch size gives other showers of the same distribution.
            batch_size: showers per batch; by default `default_batch_size(geometry)`.

        Raises:
            CaloforgeError: a bad energy, seed or batch size, or what `depths` raises; before the first batch.
        """
        energies = np.asarray(energies, dtype=np.float64)
        if energies.ndim != 1 or not len(energies):
            raise CaloforgeError(f"incident energies must be a list of at least one, not of shape {energies.shape}")
        bad = ~((energies > 0) & (energies <= MAX_ENERGY))
        if bad.any():
            row = int(np.argmax(bad))
            raise CaloforgeError(
                f"incident energy {row} is {energies[row]:g} MeV; it must be from above 0 to {MAX_ENERGY:g}"
            )
        if seed < 0:
            raise CaloforgeError(f"the seed must be at least 0, not {seed}")
        size = default_batch_size(geometry) if batch_size is None else batch_size
        if size < 1:
            raise CaloforgeError(f"the batch size must be at least 1, not {size}")
        return self._batches(energies, geometry, self.depths(geometry), seed, size)

    def sample(self, energies: np.ndarray, geometry: Geometry, seed: int = 0, batch_size: int | None = None) -> Showers:
        """All showers of `simulate` in memory."""
        batches = list(self.simulate(energies, geometry, seed, batch_size))
        parts = [np.concatenate([getattr(b, name) for b in batches]) for name in ("energies", "voxels")]
        return Showers(parts[0], parts[1], geometry, batches[0].attributes)

    def attributes(self, geometry: Geometry, seed: int, batch_size: int) -> dict[str, Any]:
        """Provenance for a file: source (analytic, NOT Geant4), seed, batch size, parameters as JSON."""
        parameters = {**asdict(self), "layer_depths": self.depths(geometry).tolist()}
        return {
            "source": SOURCE,
            "seed": seed,
            "batch_size": batch_size,
            "parameters": json.dumps(parameters),
        }

    def _shape_energies(self, energies: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(energies, math.exp(LN_Y_FLOOR) * self.medium.critical_energy, ENERGY_CEILING))

    def _batches(
        self, energies: np.ndarray, geometry: Geometry, depths: np.ndarray, seed: int, size: int
    ) -> Iterator[Showers]:
        cells, attributes = Cells(geometry), self.attributes(geometry, seed, size)
        for k, start in enumerate(range(0, len(energies), size)):
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, k)))
            batch = energies[start : start + size]
            means = self._means(batch, geometry, depths, cells, rng)
            yield Showers(batch, self._fluctuated(means, cells, rng), geometry, attributes)

    def _means(
        self,
        energies: np.ndarray,
        geometry: Geometry,
        depths: np.ndarray,
        cells: Cells,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """(B, C) mean energy of each cell in MeV, given the drawn profile of each shower."""
        peak, alpha, start = self.draw_profiles(energies, rng)
        beta = (alpha - 1) / peak
        shape_energies, medium = self._shape_energies(energies), self.medium
        ln_y = np.log(shape_energies / medium.critical_energy)
        mean_alpha = np.exp(longitudinal_means(ln_y, medium.charge)[1])
        tau_per_depth = beta / alpha * mean_alpha / (mean_alpha - 1)
        means = np.zeros((len(energies), len(cells.first)))
        for layer, (front, back), part in zip(geometry.layers, depths, cells.slices, strict=True):
            edges = np.linspace(front, back, math.ceil((back - front) / SLICE) + 1)
            since = np.maximum(edges - start[:, None], 0)
            within = np.diff(gammainc(alpha[:, None], beta[:, None] * since), axis=1) * energies[:, None]
            taus = np.minimum((since[:, 1:] + since[:, :-1]) / 2 * tau_per_depth[:, None], TAU_CEILING)
            for energy, tau in zip(within.T, taus.T, strict=True):
                core, tail, weight = radial_parameters(tau, shape_energies, medium.charge)
                for share, radius in ((weight, core), (1 - weight, tail)):
                    shares = component_shares(layer, radius * medium.moliere_radius)
                    means[:, part] += (energy * share)[:, None] * shares
        # Differences of nearly equal integrals may round below zero.
        return np.maximum(means, 0)

    def _fluctuated(self, means: np.ndarray, cells: Cells, rng: np.random.Generator) -> np.ndarray:
        """(B, V) float32 voxels in MeV around the cells' means."""
        gain = np.ones(len(means))
        if self.constant:
            gain = rng.standard_gamma(self.constant**-2, len(means)) * self.constant**2
        if not self.resolution:
            return (cells.spread(means) * gain[:, None]).astype(np.float32)
        spot = self.resolution**2 / 2 * 1e3
        counts = cells.share(rng.poisson(means / spot), rng)
        voxels = np.zeros(counts.shape, dtype=np.float32)
        hit = np.flatnonzero(counts)
        # The sum of n exponential energies is gamma distributed with shape n.
        energies = rng.standard_gamma(counts.ravel()[hit]) * spot
        voxels.ravel()[hit] = energies * gain[hit // counts.shape[1]]
        return voxels


def default_batch_size(geometry: Geometry) -> int:
    """Showers per batch that make about 4 million voxels, at most 5000."""
    return max(1, min(5000, BATCH_VALUES // geometry.n_voxels))


def _check_depths(pairs: Any, name: str) -> np.ndarray:
    try:
        depths = np.asarray(pairs, dtype=np.float64).reshape(len(pairs), 2)
    except (TypeError, ValueError):
        raise CaloforgeError(f"{name} must be (front, back) pairs in X0, not {pairs!r}") from None
    wrong = ~(depths[:, 1] > depths[:, 0]) | ~np.isfinite(depths).all(axis=1) | (depths[:, 0] < 0)
    # Touching layers may differ by rounding.
    wrong[1:] |= depths[1:, 0] < depths[:-1, 1] - 1e-6
    if wrong.any():
        k = int(np.argmax(wrong))
        front, back = depths[k]
        raise CaloforgeError(
            f"{name} must rise from 0 without overlap; layer {k + 1} of them has {front:g} to {back:g} X0"
        )
    return depths
