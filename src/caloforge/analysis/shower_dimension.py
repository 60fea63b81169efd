"""The intrinsic dimension of showers, in three representations (CaloMan, arXiv:2211.15380, Fig. 2).

| representation | content |
|---|---|
| `raw` | voxels in MeV |
| `preprocessed` | voxels over r_max E_inc, with E_dep / (r_max E_inc) appended; r_max is the largest E_dep / E_inc |
| `logit` | the logit of that, with α = 1e-6 |

Each is estimated from randomly chosen showers, of all incident energies together or of one. The Levina-Bickel estimates
for all k, TwoNN and local PCA share one neighbour search (`caloforge.manifold`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from caloforge.energies.agreement import distance
from caloforge.errors import CaloforgeError, option
from caloforge.geometry import Geometry
from caloforge.manifold import (
    DimensionEstimate,
    dimension_from_distances,
    distinct_points,
    local_pca_dimension,
    two_nn,
)
from caloforge.neighbours import nearest_neighbours
from caloforge.showers import ShowerFile, ShowerFiles
from caloforge.showers.checks import warn_of_doubts
from caloforge.transforms import AppendDepositedEnergy, Compose, IncidentEnergyFraction, Logit
from caloforge.units import format_energy

MAX_DISTINCT_ENERGIES = 20
"""Maximum number of incident energies for separate estimates."""

PCA_NEIGHBOURS = 100
"""Neighbours for local PCA; their number limits the estimate, so it is much larger than the expected dimension."""

LARGE_VALUES = 500_000_000
"""Files with more voxel values are not read completely."""

FEWEST_BLOCKS = 10
"""Minimum number of blocks from which showers of a large file are chosen."""

SAME_SPECTRUM = 1e-2
"""Kolmogorov–Smirnov probability below which the incident energies of blocks differ from those of the file."""

REPRESENTATIONS = ("raw", "preprocessed", "logit")


@dataclass(frozen=True)
class ShowerDimension:
    """All estimates for one representation of one group of showers; `energy` (MeV) is None for all together."""

    energy: float | None
    representation: str
    estimates: list[DimensionEstimate]
    two_nn: float
    local_pca: float

    @property
    def n_pca_neighbours(self) -> int:
        """Number of neighbours used by local PCA."""
        return min(PCA_NEIGHBOURS, self.estimates[0].n_points - 1)


@dataclass(frozen=True)
class ChosenShowers:
    """The showers of a file used to estimate dimensions.

    Args:
        geometry: of the file.
        n_showers: number of showers in the file or files.
        n_energies: number of distinct incident energies in them.
        r_max: largest E_dep / E_inc of the showers read: all, or the chosen ones of a large file.
        energies: (m,) incident energies of the chosen showers in MeV.
        voxels: (m, V) in MeV.
        groups: incident energy in MeV (None: all together) → (n,) rows of `energies` and `voxels`.
    """

    geometry: Geometry
    n_showers: int
    n_energies: int
    r_max: float
    energies: np.ndarray
    voxels: np.ndarray
    groups: Mapping[float | None, np.ndarray]

    @property
    def n_points(self) -> int:
        """Number of points in all groups and representations."""
        return len(REPRESENTATIONS) * sum(len(rows) for rows in self.groups.values())


def choose_showers(
    file: ShowerFile | ShowerFiles, points: int, *, per_energy: bool = False, seed: int = 0
) -> ChosenShowers:
    """Choose showers at random, from all incident energies together and, optionally, from each.

    Of a large file (`LARGE_VALUES`) only the parts with chosen showers are read. The showers of all energies together
    are then chosen in contiguous blocks, spread evenly over the file, if the energies of the blocks have the same
    distribution as those of the file: HDF5 files are compressed in chunks, and single showers from everywhere would
    require all of them.

    Args:
        file: one or several files; only chosen showers stay in memory.
        points: maximum number of showers per group.
        per_energy: also one group per incident energy.
        seed: random seed for the choice.

    Raises:
        CaloforgeError: too many incident energies for `per_energy`, or no shower deposits any energy.
    """
    energies = file.energies()
    rng = np.random.default_rng(seed)
    large = len(file) * file.geometry.n_voxels > LARGE_VALUES
    blocks = _choose_blocks(energies, points, file.chunk_rows, rng) if large else None
    together = _choose(np.arange(len(file)), points, rng) if blocks is None else blocks
    rows: dict[float | None, np.ndarray] = {None: together}
    distinct = np.unique(energies)
    if per_energy:
        if len(distinct) > MAX_DISTINCT_ENERGIES:
            raise CaloforgeError(
                f"{file.path} has {len(distinct)} distinct incident energies; at most {MAX_DISTINCT_ENERGIES} can be "
                f"estimated separately: omit {option('per_energy', True)}"
            )
        rows |= {float(e): _choose(np.flatnonzero(energies == e), points, rng) for e in distinct}
    chosen = np.unique(np.concatenate(list(rows.values())))
    if large:
        found = file.take(chosen)
        voxels, r_max = found.voxels, float((found.deposited / found.energies).max())
    else:
        voxels, r_max = _read(file, chosen)
    if r_max == 0:
        raise CaloforgeError(f"{file.path}: no shower deposits any energy")
    warn_of_doubts(file.path, energies[chosen], voxels.sum(axis=1, dtype=np.float64))
    groups = {energy: np.searchsorted(chosen, group) for energy, group in rows.items()}
    return ChosenShowers(file.geometry, len(file), len(distinct), r_max, energies[chosen], voxels, groups)


def shower_dimensions(
    showers: ChosenShowers,
    ks: Sequence[int],
    *,
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
) -> list[ShowerDimension]:
    """Estimate the dimension of every group in every representation.

    Args:
        showers: from `choose_showers`.
        ks: numbers of neighbours, in increasing order.
        seed: random seed for the bootstrap.
        progress: called with the number of points done since the last call, and the name of the current estimate.

    Raises:
        CaloforgeError: too few distinct showers for the largest k, with the group and the representation.
    """
    found = []
    for energy, rows in showers.groups.items():
        title = energy_title(energy)
        for name, x in _representations(showers.voxels[rows], showers.energies[rows], showers.r_max):
            tell = _Progress(progress, f"{title}, {name}")
            try:
                found.append(_estimate(energy, name, x, ks, seed, tell))
            except CaloforgeError as error:
                raise CaloforgeError(f"{title}, {name}: {error}") from None
            tell.finish(len(rows))  # repeated points are not searched
    return found


def energy_title(energy: float | None) -> str:
    """Title of a group of showers."""
    return "all energies" if energy is None else format_energy(energy)


class _Progress:
    def __init__(self, report: Callable[[int, str], None] | None, what: str) -> None:
        self.report, self.what, self.done = report, what, 0

    def __call__(self, n: int) -> None:
        self.done += n
        if self.report is not None:
            self.report(n, self.what)

    def finish(self, total: int) -> None:
        self(total - self.done)


def _choose(rows: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= n else np.sort(rng.choice(rows, n, replace=False))


def _choose_blocks(energies: np.ndarray, n: int, size: int, rng: np.random.Generator) -> np.ndarray | None:
    """About n of N rows in blocks of up to `size` consecutive rows, one from each of equal ranges of the file.

    None if single rows are as good, or if the energies of the blocks differ from those of the file (e.g. if sorted).
    """
    n_blocks = max(FEWEST_BLOCKS, -(-n // size))
    if size == 1 or n >= len(energies) or n_blocks * size > len(energies):
        return None
    stored = np.arange(0, len(energies) - size + 1, size)  # starts of compressed chunks
    ranges = np.array_split(stored, n_blocks)
    starts = [int(rng.choice(each)) for each in ranges if len(each)]
    length = -(-n // len(starts))
    rows = np.concatenate([np.arange(start, start + min(length, size)) for start in starts])[:n]
    return rows if distance(energies[rows], energies)[1] > SAME_SPECTRUM else None


def _read(file: ShowerFile | ShowerFiles, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """The voxels of the chosen rows (rising), and the largest E_dep/E_inc of the whole file; by chunks."""
    kept, r_max, start = [], 0.0, 0
    for chunk in file.chunks():
        low, high = np.searchsorted(chosen, [start, start + len(chunk)])
        kept.append(chunk.voxels[chosen[low:high] - start])
        r_max = max(r_max, float((chunk.deposited / chunk.energies).max()))
        start += len(chunk)
    return np.concatenate(kept), r_max


def _representations(voxels: np.ndarray, energies: np.ndarray, r_max: float) -> Iterator[tuple[str, Tensor]]:
    """The showers in three representations, one at a time: (n, V), (n, V + 1), (n, V + 1)."""
    # float64 throughout: in float32 the logit of values near 1 has coarse steps.
    x = torch.as_tensor(voxels, dtype=torch.float64)
    condition = torch.as_tensor(energies, dtype=torch.float64)[:, None]
    raw, preprocessed, logit = REPRESENTATIONS
    yield raw, x
    x, _ = Compose([IncidentEnergyFraction(maximum=r_max), AppendDepositedEnergy()]).double()(x, condition)
    yield preprocessed, x
    x, _ = Logit(alpha=1e-6)(x, condition)
    yield logit, x


def _estimate(
    energy: float | None, name: str, x: Tensor, ks: Sequence[int], seed: int, progress: Callable[[int], None]
) -> ShowerDimension:
    x, n_duplicates = distinct_points(x)
    n_neighbours = max(ks[-1], min(PCA_NEIGHBOURS, len(x) - 1))
    distances, indices = nearest_neighbours(x, n_neighbours, progress)
    return ShowerDimension(
        energy,
        name,
        dimension_from_distances(distances, ks, seed=seed, n_duplicates=n_duplicates),
        two_nn(distances),
        local_pca_dimension(x, indices[:, :PCA_NEIGHBOURS], seed=seed),
    )
