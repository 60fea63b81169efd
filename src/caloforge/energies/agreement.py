"""Agreement of incident-energy spectra: whether two files are comparable, matching them, and drawing subsets.

Every histogram of showers depends on their incident energies. Two files are compared by the Kolmogorov–Smirnov
distance of their energies (rounded to six digits, so that storage in GeV or MeV makes no difference). If the files
share their spectrum, subsets are *stratified*: sorted by energy, divided into slices of equal size, with equally
many from each slice; otherwise they are drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.special import kolmogorov

from caloforge.errors import CaloforgeError, either, option
from caloforge.units import format_energy

SMALLEST_P = 1e-4
"""Two spectra differ if their Kolmogorov–Smirnov probability is smaller."""

PARTS_P = 1e-6
"""The same for files read as parts of one sample, of which there may be many."""

SHARED_DISTANCE = 0.3
"""√n_eff · D below which two spectra agree more closely than independent draws would (p ≈ 1 − 1e-5)."""

MATCHING_BINS = 200
"""Number of logarithmic bins in which continuous spectra are matched."""

MANY_ENERGIES = 64
"""Spectra with more distinct energies are treated as continuous."""

STRATUM, MOST_STRATA = 400, 64
"""Showers per stratum of a continuous spectrum, at least, and how many strata there are, at most."""

EnergyChoice = Sequence[float | tuple[float, float]]


def rounded(energies: np.ndarray) -> np.ndarray:
    """(N,) `energies` (MeV) rounded to six significant digits."""
    power = np.floor(np.log10(energies)) - 5
    digits = np.round(energies / 10.0**power)
    # A quotient by a power of ten is the nearest number to the decimal one; a product with 0.01 is not.
    return np.asarray(np.where(power < 0, digits / 10.0**-power, digits * 10.0**power))


def distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """(D, probability) of the Kolmogorov–Smirnov test on two samples of incident energies (n,), (m,) MeV."""
    a, b = np.sort(rounded(first)), np.sort(rounded(second))
    at = np.union1d(a, b)
    gap = np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)
    d = float(np.abs(gap).max())
    return d, float(kolmogorov(d * np.sqrt(len(a) * len(b) / (len(a) + len(b)))))


def share_spectrum(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the energies agree more closely than two independent draws from one spectrum would."""
    d, _ = distance(first, second)
    return bool(d * np.sqrt(len(first) * len(second) / (len(first) + len(second))) < SHARED_DISTANCE)


def check_same(generated: np.ndarray, reference: np.ndarray, name: str, reference_name: str) -> tuple[float, float]:
    """(D, probability) of two spectra that agree.

    Raises:
        CaloforgeError: they differ. The message advises matching only if they overlap, and asks about units if they
            would overlap with one of them in GeV.
    """
    d, p = distance(generated, reference)
    if p < SMALLEST_P:
        both = f"incident energies of {name} ({describe(generated)}) and {reference_name} ({describe(reference)})"
        remedy = either("generate with --energies like:REFERENCE", "generate at the energies of the reference")
        overlap = _overlap(generated, reference)
        if overlap:
            remedy += f", or add {option('match_energies', True)}"
        found = f"differ (Kolmogorov–Smirnov distance {d:.3f})" if overlap else "have no incident energy in common"
        unit = _unit_question(generated, reference, name, reference_name)
        raise CaloforgeError(f"{both} {found}: {unit or remedy}")
    return d, p


def check_parts(parts: Sequence[np.ndarray], names: Sequence[object]) -> None:
    """Check that files read together have the same spectrum.

    Args:
        parts: (n,) incident energies in MeV of each file.
        names: names of the files.

    Raises:
        CaloforgeError: the spectrum of a file differs from that of the first.
    """
    for energies, name in zip(parts[1:], names[1:], strict=True):
        d, p = distance(parts[0], energies)
        if p < PARTS_P:
            raise CaloforgeError(
                f"incident energies of {names[0]} ({describe(parts[0])}) and {name} ({describe(energies)}) differ "
                f"(Kolmogorov–Smirnov distance {d:.3f}): "
                + (
                    _unit_question(parts[0], energies, str(names[0]), str(name))
                    or "files that are read together must be parts of one sample"
                )
            )


def _overlap(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two spectra have energies in common, so that `match` leaves more than an edge of them."""
    labels = _labels(first, second)
    return len(np.intersect1d(*labels)) > 0 and distance(first, second)[0] < 1


def _unit_question(first: np.ndarray, second: np.ndarray, name: str, second_name: str) -> str:
    """Question about units, if one of two spectra would match or overlap the other in GeV; otherwise empty."""
    (low, who), (high, _) = sorted([(first, name), (second, second_name)], key=lambda pair: float(np.median(pair[0])))
    d, p = distance(1e3 * low, high)
    if (d < 0.5 and p >= SMALLEST_P) or (_overlap(1e3 * low, high) and not _overlap(low, high)):
        return f"those of {who} are about 1000 times lower; are they GeV? Files hold incident energies in MeV"
    return ""


def describe(energies: np.ndarray) -> str:
    """A short description of a spectrum."""
    distinct = np.unique(rounded(energies))
    span = f"{format_energy(distinct[0])} … {format_energy(distinct[-1])}" if len(distinct) > 1 else ""
    return f"{len(distinct)} values, {span}" if span else format_energy(distinct[0])


def match(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two samples, as many as possible, that give both the same spectrum.

    For discrete spectra (up to 64 distinct energies) the smaller of the two numbers is kept at each energy; for
    continuous ones, in each of 200 logarithmic bins.

    Returns:
        two sorted arrays of rows, equally long.

    Raises:
        CaloforgeError: the spectra have no energy in common.
    """
    label_a, label_b = _labels(first, second)
    rows_a, rows_b = [], []
    for label in np.intersect1d(label_a, label_b):
        in_a, in_b = np.flatnonzero(label_a == label), np.flatnonzero(label_b == label)
        n = min(len(in_a), len(in_b))
        rows_a.append(rng.choice(in_a, n, replace=False))
        rows_b.append(rng.choice(in_b, n, replace=False))
    if not rows_a:
        unit = _unit_question(first, second, "the first", "the second")
        words = f"the files have no incident energy in common ({describe(first)} and {describe(second)})"
        raise CaloforgeError(f"{words}: {unit}" if unit else words)
    return np.sort(np.concatenate(rows_a)), np.sort(np.concatenate(rows_b))


def _labels(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) and (m,) labels; `match` treats energies with the same label as equal."""
    a, b = rounded(first), rounded(second)
    distinct = np.unique(np.concatenate([a, b]))
    if len(distinct) <= MANY_ENERGIES:
        return np.searchsorted(distinct, a), np.searchsorted(distinct, b)
    edges = np.geomspace(distinct[0], distinct[-1] * (1 + 1e-9), MATCHING_BINS + 1)
    return np.digitize(a, edges), np.digitize(b, edges)


def strata_of(energies: np.ndarray) -> np.ndarray:
    """(N,) integers: each energy (MeV) of a discrete spectrum, or bins of equal content of a continuous one."""
    distinct, index = np.unique(rounded(energies), return_inverse=True)
    if len(distinct) <= MANY_ENERGIES:
        return np.asarray(index)
    bins = max(1, min(MOST_STRATA, len(energies) // STRATUM))
    edges = np.quantile(energies, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, energies, side="right")


def groups(energies: np.ndarray) -> list[tuple[str, float, float]]:
    """(label, low, high) in MeV: each energy of a discrete spectrum, or octaves of a continuous one."""
    distinct = np.unique(rounded(energies))
    if len(distinct) <= MANY_ENERGIES:
        return [(format_energy(e), 0.999999 * e, 1.000001 * e) for e in distinct]
    n = max(1, int(np.ceil(np.log2(distinct[-1] / distinct[0]) - 1e-9)))
    edges = distinct[0] * 2.0 ** np.arange(n + 1)
    edges[-1] = max(edges[-1], distinct[-1] * 1.000001)
    return [(f"{format_energy(a)} … {format_energy(b)}", float(a), float(b)) for a, b in pairwise(edges)]


def select(energies: np.ndarray, wanted: EnergyChoice, name: str) -> np.ndarray:
    """Rows whose energy is one of `wanted` (MeV, within 0.1 %), or is in one of its (low, high) ranges.

    Raises:
        CaloforgeError: `wanted` is not a list of energies and ranges, or no shower matches an entry.
    """
    if not isinstance(wanted, Sequence | np.ndarray) or len(wanted) == 0 or any(isinstance(e, str) for e in wanted):
        raise CaloforgeError(f"give a list of energies in MeV and of (low, high) ranges, as in [512.0], not {wanted!r}")
    chosen = np.zeros(len(energies), dtype=bool)
    for entry in wanted:
        low, high = entry if isinstance(entry, tuple) else (0.999 * entry, 1.001 * entry)
        found = (energies >= low) & (energies <= high)
        if not found.any():
            text = f"{format_energy(low)} … {format_energy(high)}" if isinstance(entry, tuple) else format_energy(entry)
            raise CaloforgeError(f"{name} has no shower at {text}; it has {describe(energies)}")
        chosen |= found
    return np.flatnonzero(chosen)


def thin(energies: np.ndarray, n: int, rng: np.random.Generator, stratified: bool) -> np.ndarray:
    """(n,) sorted rows drawn without replacement; all rows if n is at least their number."""
    if n >= len(energies):
        return np.arange(len(energies))
    if not stratified:
        return np.sort(rng.permutation(len(energies))[:n])
    edges = np.arange(n + 1) * len(energies) // n
    picks = edges[:-1] + (rng.random(n) * np.diff(edges)).astype(int)
    return np.sort(_order(energies, rng)[picks])


def halves(energies: np.ndarray, n: int, rng: np.random.Generator, stratified: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of n sorted rows; if stratified, each gets one row of n pairs of neighbours in energy."""
    rows = thin(energies, 2 * n, rng, stratified)
    order = _order(energies[rows], rng) if stratified else rng.permutation(len(rows))
    pairs = rows[order][: 2 * n].reshape(n, 2)
    swapped = rng.random(n) < 0.5
    first, second = np.where(swapped, pairs[:, 1], pairs[:, 0]), np.where(swapped, pairs[:, 0], pairs[:, 1])
    return np.sort(first), np.sort(second)


def _order(energies: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) rows by increasing energy, with equal energies in random order."""
    # Sorting by rank plus a random fraction is several times faster than by two keys.
    return np.argsort(np.unique(energies, return_inverse=True)[1] + rng.random(len(energies)))
