"""Analytic showers: an electromagnetic shower parametrisation. These are NOT Geant4 showers.

They are meant for tests, tutorials and load tests, not for conclusions about a detector. The mean of each voxel
follows from the formulae in `shower_shape`, after Grindhammer and Peters (hep-ex/0001020): a gamma distribution
in depth, whose ln T and ln α fluctuate from shower to shower with a correlation, and two radial components that
depend on the relative depth τ = (t/T) (α - 1)/α ᾱ/(ᾱ - 1), ᾱ = exp<ln α>. The integrals over voxels are exact
(incomplete gamma function in depth, r²/(r² + R²) in radius), except that τ is constant within slices of at most
1 X0 and taken at their middle.

The energy is deposited in spots: their number in a voxel is Poisson distributed, the energy of each spot
exponential with mean a²/2 GeV, so that a deposited energy E fluctuates by σ/E = a/sqrt(E/GeV), in every voxel
and in the sum. This differs from the paper, where the spots have a longitudinal profile of their own.
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
"""The attribute `source` of these showers."""

DS1_DEPTHS = {
    0: (0.0, 1.7),
    1: (1.7, 6.2),
    2: (6.2, 22.2),
    3: (22.2, 24.2),
    12: (24.2, 39.0),
    13: (39.0, 54.0),
    14: (54.0, 69.0),
}
"""Front and back, in X0, of the layers of a ds1-like detector: plausible values, not measured ones."""

DEFAULT_DEPTH = 25.0
"""Total depth in X0, divided equally among the layers, if the geometry has no depths."""

CONVERSION_LENGTH = 9 / 7
"""Mean depth in X0 at which a high-energy photon converts."""

# The widths of ln T and ln α diverge at a few E_c, and the formula for p breaks down far above any beam energy:
# outside these limits (ln y, MeV) a shower has the shape at the limit.
LN_Y_FLOOR, ENERGY_CEILING, MAX_ENERGY = 2.5, 1e8, 1e12
# α near 1 would put the centre of a shower at any depth; R_T grows exponentially with τ.
ALPHA_FLOOR, TAU_CEILING = 1.5, 10.0
# Maximum slice in X0 with constant τ; default number of voxels in a batch.
SLICE, BATCH_VALUES = 1.0, 4_000_000


def _is_ds1_like(geometry: Geometry) -> bool:
    ids = set(geometry.layer_ids)
    numbered = {0, 1, 2, 3, 12} <= ids <= DS1_DEPTHS.keys()
    return numbered and all(layer.z_edges is None for layer in geometry.layers)


@dataclass(frozen=True)
class ParametricShowers:
    """Analytic electromagnetic showers, NOT Geant4 (equations in the module docstring).

    Args:
        medium: the calorimeter's effective medium.
        conversion_length: mean depth in X0 of the shower start, drawn from an exponential; 0 for electrons,
            `CONVERSION_LENGTH` for photons.
        resolution: stochastic term a of σ/E = a/sqrt(E/GeV) ⊕ c; with 0 every voxel gets its mean.
        constant: constant term c, a gamma-distributed factor of mean 1 and width c on the whole shower.
        fluctuate: draw ln T and ln α for each shower; False uses their means.
        layer_depths: (front, back) of every layer in X0, front to back. None uses the geometry's z_edges,
            measured from the front of the first layer, divided by the medium's X0; without z_edges, `DS1_DEPTHS`
            for layers numbered as in ds1, otherwise equal parts of `DEFAULT_DEPTH`.

    Energy is conserved up to the resolution and leakage beyond the outer edges, behind the last layer and into
    gaps between layers. Below E = 12 E_c and above 100 TeV the shower has the shape at the limit.

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
        """Plausible parameters for a geometry; `changes` override fields of the class.

        ds1-like detectors: photons in lead and liquid argon, a = 0.10; `calogan`: electrons in its lead and argon,
        a = 0.05; everything else: electrons in the tungsten and silicon of ds2 and ds3, a = 0.13. The showers
        are electromagnetic for ds1-pions too.
        """
        if _is_ds1_like(geometry):
            made = cls(LEAD_ARGON, CONVERSION_LENGTH, resolution=0.10)
        elif geometry.name == "calogan":
            made = cls(CALOGAN_LEAD_ARGON, resolution=0.05)
        else:
            made = cls()
        return replace(made, **changes)

    def depths(self, geometry: Geometry) -> np.ndarray:
        """(n_layers, 2) front and back of each layer in X0.

        Raises:
            CaloforgeError: `layer_depths` has the wrong number of layers, only some layers have z_edges, or
                layers overlap.
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
        """Showers in batches, in the order of `energies`; one batch is in memory at a time.

        Args:
            energies: (N,) incident energies in MeV, in (0, 1e12].
            geometry: the voxels, polar or Cartesian.
            seed: at least 0. Batch k draws from SeedSequence(seed, spawn_key=(1, k)), so the same energies, seed
                and batch size give the same arrays; another batch size gives different showers of the same
                distribution.
            batch_size: showers per batch; by default `default_batch_size(geometry)`.

        Raises:
            CaloforgeError: an invalid energy, seed or batch size, or from `depths`; raised before the first batch.
        """
        energies = np.asarray(energies, dtype=np.float64)
        if energies.ndim != 1 or not len(energies):
            raise CaloforgeError(
                f"incident energies must be a non-empty one-dimensional array, not of shape {energies.shape}"
            )
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
        """All showers of `simulate`, in memory."""
        batches = list(self.simulate(energies, geometry, seed, batch_size))
        parts = [np.concatenate([getattr(b, name) for b in batches]) for name in ("energies", "voxels")]
        return Showers(parts[0], parts[1], geometry, batches[0].attributes)

    def attributes(self, geometry: Geometry, seed: int, batch_size: int) -> dict[str, Any]:
        """Provenance for a file: source (analytic, NOT Geant4), seed, batch size, and parameters as JSON."""
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
        """(B, V) float32 voxels in MeV, fluctuating about the means of the cells."""
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
    """Showers per batch: about 4 million voxels, at most 5000 showers."""
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
        raise CaloforgeError(f"{name} must increase from 0 without overlap; layer {k + 1} has {front:g} to {back:g} X0")
    return depths
