"""Mean profiles at each angle of incidence, against Geant4's: of an exported graph, or of other showers from Geant4.

    python benchmarks/by_angle.py run.onnx at-0-30-60.h5
    python benchmarks/by_angle.py remade.h5 train.h5 test.h5 --edges 0,20,40,60

The first is a `calodit2` graph, called as Geant4's example Par04 does, shower by shower with the energies and angles of
the reference, or a file of showers. Profiles are the energies of the layers and rings of the mesh of ds2 over E_inc,
without voxels below its threshold. Deviations are in standard errors of the difference of the means, which for a graph
is that of the differences shower by shower. The probability is that of a largest deviation as great as this among the
45 layers and 9 rings if both were alike, from exchanging showers at random. See docs/conditions.md.
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from caloforge.export.calodit2 import MESH
from caloforge.showers import Showers

EXCHANGES = 1000


def profiles(showers: Showers) -> np.ndarray:
    """(N, 54) energy of each layer and of each ring over E_inc."""
    voxels = np.where(showers.voxels < showers.geometry.threshold, 0, showers.voxels.astype(np.float64))
    mesh = voxels.reshape(-1, MESH.n_z, MESH.n_alpha, MESH.n_r) / showers.energies[:, None, None, None]
    return np.concatenate([mesh.sum(axis=(2, 3)), mesh.sum(axis=(1, 2))], axis=1)


def means(rows: np.ndarray) -> np.ndarray:
    """(N, 3) response, and energy-weighted means of the numbers of layers and of rings, from profiles (N, 54)."""
    layers, rings = rows[:, : MESH.n_z], rows[:, MESH.n_z :]
    response = layers.sum(axis=1)
    return np.stack([response, layers @ np.arange(MESH.n_z) / response, rings @ np.arange(MESH.n_r) / response], axis=1)


def called(graph: str, like: Showers) -> Showers:
    """Showers of a graph with the energies and angles of others, one call each."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    voxels = np.empty((len(like.energies), like.geometry.n_voxels), np.float32)
    for i, (energy, theta) in enumerate(zip(like.energies, like.conditions["theta"], strict=True)):
        asked = np.array([[energy / 1000, 0, math.pi / 2 + theta, 0, 0, 0, 0, 1]], np.float32)
        (output,) = session.run(None, {"input": asked})
        voxels[i] = 1000 * output.reshape(MESH.n_r, MESH.n_alpha, MESH.n_z).transpose(2, 1, 0).ravel()
    return Showers(like.energies, voxels, like.geometry)


def mean_and_variance(sums: np.ndarray, squares: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A mean and the variance of it, from sums over n showers."""
    mean = sums / n
    return mean, (squares / n - mean**2) / (n - 1)


def deviations(first: np.ndarray, second: np.ndarray, paired: bool) -> tuple[np.ndarray, float]:
    """(F,) deviations of the means in standard errors, and the probability of the largest, from (N, F) and (M, F)."""
    rng, n, m = np.random.default_rng(0), len(first), len(second)
    if paired:
        values = first - second
        signs = np.concatenate([np.ones((1, n)), rng.choice([-1.0, 1.0], (EXCHANGES, n))])
        mean, variance = mean_and_variance(signs @ values, (values**2).sum(axis=0), n)
    else:
        values, mine = np.concatenate([first, second]), np.repeat([1.0, 0.0], [n, m])
        chosen = np.stack([mine, *(rng.permutation(mine) for _ in range(EXCHANGES))])
        a, of_a = mean_and_variance(chosen @ values, chosen @ values**2, n)
        b, of_b = mean_and_variance((1 - chosen) @ values, (1 - chosen) @ values**2, m)
        mean, variance = a - b, of_a + of_b
    z = mean / np.sqrt(variance.clip(1e-30))
    largest = np.abs(z).max(axis=1)
    return z[0], float((largest[1:] >= largest[0]).mean())


def row(label: str, first: np.ndarray, second: np.ndarray, paired: bool) -> str:
    """A line of the table."""
    z, probability = deviations(first, second, paired)
    of_means = deviations(means(first), means(second), paired)[0]
    cells = [label, f"{len(first)}, {len(second)}", f"{means(second)[:, 0].mean():.4f}"]
    cells += [f"{pull:+.1f} σ" for pull in of_means]
    for name, part in (("layer", slice(0, MESH.n_z)), ("ring", slice(MESH.n_z, None))):
        worst = int(np.abs(z[part]).argmax())
        mine, reference = first[:, part].mean(axis=0)[worst], second[:, part].mean(axis=0)[worst]
        cells.append(f"{name} {worst}: {z[part][worst]:+.1f} σ ({100 * (mine / reference - 1):+.1f} %)")
    cells += [f"{(np.abs(z) > 3).sum()}", f"{probability:.3f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", help="a graph (.onnx) or a file of showers")
    parser.add_argument("reference", nargs="+", help="showers from Geant4; of several files, all")
    parser.add_argument("--edges", help="of ranges of angles, in degrees; each angle by itself if left out")
    chosen = parser.parse_args()
    files = [Showers.read(path) for path in chosen.reference]
    reference = np.concatenate([profiles(each) for each in files])
    at = np.degrees(np.concatenate([each.conditions["theta"] for each in files]))
    paired = Path(chosen.first).suffix == ".onnx"
    if paired and len(files) > 1:
        parser.error("a graph is compared to one file")
    other = called(chosen.first, files[0]) if paired else Showers.read(chosen.first)
    first, of_first = profiles(other), at if paired else np.degrees(other.conditions["theta"])
    if chosen.edges:
        ranges = list(pairwise(float(edge) for edge in chosen.edges.split(",")))
    else:
        ranges = [(angle - 0.001, angle + 0.001) for angle in np.unique(at.round(3))]
    print("| theta | showers | response of the reference | response | depth | radius |", end=" ")
    print("layers, worst | rings, worst | beyond 3 σ of 54 | probability |\n" + "|---" * 10 + "|")
    for low, high in ranges:
        label = f"{low:g} to {high:g}°" if chosen.edges else f"{(low + high) / 2:g}°"
        print(row(label, first[(of_first >= low) & (of_first < high)], reference[(at >= low) & (at < high)], paired))


if __name__ == "__main__":
    main()
