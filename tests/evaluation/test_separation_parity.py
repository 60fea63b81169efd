"""Separation powers worked out a second time, straight from the challenge's definitions and with plain loops.

Nothing of the package but the reader of showers is used for the expected values: bin ranges, voxel centres,
thresholds and sums are written out here.
"""

import bisect
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from caloforge import observables
from caloforge.distances.one_dimensional import separation_power
from caloforge.geometry import load_geometry
from caloforge.observables.binning import counts
from caloforge.showers import Showers

DS1 = {
    0: ("0 5 10 30 50 100 200 400 600", 1),
    1: ("0 2 4 6 8 10 12 15 20 30 40 50 70 90 120 150 200", 10),
    2: ("0 2 5 10 15 20 25 30 40 50 60 80 100 130 160 200 250 300 350 400", 10),
    3: ("0 50 100 200 400 600", 1),
    12: ("0 100 200 400 1000 2000", 1),
}
DS2 = {layer: (" ".join(f"{4.65 * k:.2f}" for k in range(10)), 16) for layer in range(45)}


def layout(name: str) -> tuple[dict[int, tuple[str, int]], float]:
    return (DS1, 1.0) if name == "ds1-photons" else (DS2, 0.5e-3 / 0.033)


def by_hand(row: list[float], e_inc: float, name: str) -> dict[str, float]:
    """All challenge observables of one shower."""
    layers, threshold = layout(name)
    found, total, start = {}, 0.0, 0
    for layer, (text, n_alpha) in layers.items():
        edges = [float(edge) for edge in text.split()]
        energy, zeros, voxels = 0.0, 0, 0
        first = {"eta": 0.0, "phi": 0.0, "r": 0.0}
        second = {"eta": 0.0, "phi": 0.0, "r": 0.0}
        for a in range(n_alpha):
            alpha = -math.pi + 2 * math.pi * (a + 0.5) / n_alpha
            for low, high in itertools.pairwise(edges):
                e = row[start + voxels]
                voxels += 1
                if e < threshold or e == 0:
                    zeros += 1
                    continue
                r = (low + high) / 2
                energy += e
                for axis, x in (("eta", r * math.cos(alpha)), ("phi", r * math.sin(alpha)), ("r", r)):
                    first[axis] += x * e
                    second[axis] += x * x * e
        start += voxels
        total += energy
        found[f"e_layer_{layer}"] = energy
        found[f"sparsity_{layer}"] = 1 - (voxels - zeros) / voxels  # 1 - mean(x > 0), as the script rounds
        for axis in ("eta", "phi", "r"):
            if axis != "r" and n_alpha == 1:
                continue
            centre = first[axis] / (energy + 1e-16)
            found[f"ec_{axis}_{layer}"] = centre
            found[f"width_{axis}_{layer}"] = math.sqrt(max(0.0, second[axis] / (energy + 1e-16) - centre**2))
    assert start == len(row)
    found["e_tot_over_e_inc"] = total / e_inc
    return found


def edges_by_hand(key: str, name: str, largest: float) -> list[float]:
    _, threshold = layout(name)
    if key == "voxel_energy" or key.startswith("e_layer"):
        n = 49 if key == "voxel_energy" else 39
        edges = [threshold * (largest / threshold) ** (k / n) for k in range(n)]
        return [*edges, largest]
    kind, number = key.rsplit("_", 1)
    ds2, wide = name == "ds2", number in ("12", "13", "14")
    if key == "e_tot_over_e_inc":
        low, high, n = 0.5, 1.5, 100
    elif kind == "sparsity":
        low, high, n = 0.0, 1.0, 20
    elif kind in ("ec_eta", "ec_phi"):
        low, high, n = (-30.0, 30.0, 100) if ds2 else (-500.0, 500.0, 100) if wide else (-100.0, 100.0, 100)
    elif kind in ("width_eta", "width_phi"):
        low, high, n = 0.0, 30.0 if ds2 else 400.0 if wide else 100.0, 100
    elif ds2:
        low, high, n = 0.0, 42.0 if kind == "ec_r" else 20.0, 100
    else:
        low, high, n = 0.0, 1500.0 if wide else 500.0, 100
    return [low + k * ((high - low) / n) for k in range(n)] + [high]


def separation_by_hand(generated: list[float], reference: list[float], edges: list[float]) -> float:
    histograms = []
    for values in (generated, reference):
        histogram = [0] * (len(edges) - 1)
        for value in values:
            if edges[0] <= value <= edges[-1]:
                histogram[min(bisect.bisect_right(edges, value), len(edges) - 1) - 1] += 1
        inside = sum(histogram)
        if inside == 0:
            return 1.0  # nothing of it in the range: no overlap with the other
        histograms.append([count / inside for count in histogram])
    result = 0.0
    for h, g in zip(*histograms, strict=True):
        if h + g > 0:
            result += 0.5 * (h - g) ** 2 / (h + g)
    return result


def check(name: str, generated: Showers, reference: Showers) -> dict[str, float]:
    """Compare every separation power of the challenge with its plain-loop value; return ours."""
    geometry, (_, threshold) = load_geometry(name), layout(name)
    hand = [
        [by_hand(row.tolist(), float(e), name) for row, e in zip(s.voxels, s.energies, strict=True)]
        for s in (generated, reference)
    ]
    ours = observables.compute(generated), observables.compute(reference)
    assert set(hand[0][0]) == set(ours[0])
    results = {}
    for key in [*ours[0], "voxel_energy"]:
        if key == "voxel_energy":
            lists = [[e for row in s.voxels.tolist() for e in row if e >= threshold] for s in (generated, reference)]
            ours_of_key = [np.array(values) for values in lists]
        else:
            lists = [[shower[key] for shower in showers] for showers in hand]
            ours_of_key = [values[key] for values in ours]
        edges = observables.find(geometry, key).edges(ours_of_key[1], threshold)
        if edges is None:
            assert max(lists[1]) <= threshold, key
            continue
        results[key] = separation_power(counts(ours_of_key[0], edges)[1:-1], counts(ours_of_key[1], edges)[1:-1])
        by_loops = separation_by_hand(lists[0], lists[1], edges_by_hand(key, name, max(lists[1])))
        assert results[key] == pytest.approx(by_loops, abs=1e-6), key
    return results


def made_up(name: str, n: int, seed: int, scale: float) -> Showers:
    """Sparse random voxels around the threshold and far above, so that thresholding matters."""
    geometry, rng = load_geometry(name), np.random.default_rng(seed)
    energies = rng.choice([256.0, 1024.0, 4096.0], n)
    shape = (n, geometry.n_voxels)
    shares = rng.exponential(1.0, shape) * (rng.random(shape) < 0.5) * np.exp(-geometry.r / 30.0)
    share = scale * rng.normal(0.95, 0.1, (n, 1))
    voxels = shares / shares.sum(axis=1, keepdims=True) * share * energies[:, None]
    return Showers(energies, voxels.astype(np.float32), geometry)


@pytest.mark.parametrize(("name", "n"), [("ds1-photons", 400), ("ds2", 25)])
def test_parity_on_made_up_showers(name: str, n: int) -> None:
    results = check(name, made_up(name, n, 1, 1.07), made_up(name, n, 2, 1.0))
    assert results["e_tot_over_e_inc"] > 0.01


@pytest.mark.parametrize(
    ("name", "folder", "n"), [("ds1-photons", "photons-atlas-like", 500), ("ds2", "electrons-w-si", 40)]
)
def test_parity_on_geant4_showers(name: str, folder: str, n: int, real: Callable[[str], Path]) -> None:
    paths = [real(f"{folder}/{part}.h5") for part in ("test", "train")]
    generated, reference = (Showers.read(path, stop=n) for path in paths)
    results = check(name, generated, reference)
    assert len(results) >= (30 if name == "ds1-photons" else 350)
