"""Compare whole events with fast showers to fully simulated ones: energies, layers, radii, hits, and CPU time.

    python benchmarks/fast_events.py fast.h5 full.h5 baseline.h5

The files are made by `caloforge simulate geant4 --gun …` with three seeds, the first with `--fast RUN`; the baseline is
a second full simulation. Prints the table of docs/geant4.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from caloforge.geometry import Layer
from caloforge.showers import ShowerFile, Showers
from caloforge.sources.geant4.simulation import CPU_COLUMN


def observables(events: Showers) -> dict[str, np.ndarray]:
    """Name → (N,) numbers of the events; voxels below the threshold of the geometry are not counted."""
    geometry = events.geometry
    voxels = np.where(events.voxels < geometry.threshold, 0.0, events.voxels.astype(np.float64))
    found = {"E_vis/E_inc": voxels.sum(axis=1) / events.energies}
    layers = list(zip(geometry.layers, geometry.slices, strict=True))
    for layer, part in layers:
        found[f"E(layer {layer.id})/E_inc"] = voxels[:, part].sum(axis=1) / events.energies
    for layer, part in layers:
        if isinstance(layer, Layer) and layer.n_alpha > 1:
            edges = np.array(layer.r_edges)
            r = np.tile((edges[1:] + edges[:-1]) / 2, layer.n_alpha)
            found[f"mean r in layer {layer.id}, mm"] = voxels[:, part] @ r / voxels[:, part].sum(axis=1)
    for layer, part in layers:
        found[f"hits in layer {layer.id}"] = (voxels[:, part] > 0).sum(axis=1).astype(np.float64)
    return found


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Difference of the means in units of its error."""
    error = np.hypot(*(x.std(ddof=1) / len(x) ** 0.5 for x in (first, second)))
    return float((first.mean() - second.mean()) / error)


def cpu_ms(path: str) -> np.ndarray:
    """(N,) CPU time of each event in ms."""
    with ShowerFile(path) as file:
        seconds = file.column(CPU_COLUMN)
    if seconds is None:
        raise SystemExit(f"{path} has no {CPU_COLUMN}: it was not simulated by caloforge")
    return 1e3 * seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fast")
    parser.add_argument("full")
    parser.add_argument("baseline")
    given = parser.parse_args()
    paths = [given.fast, given.full, given.baseline]
    fast, full, other = (observables(Showers.read(path)) for path in paths)
    print("| per event | fast | full | baseline | spread: fast, full, baseline | fast - full | baseline - full |")
    for name, values in fast.items():
        columns = (values, full[name], other[name])
        means = " | ".join(f"{x.mean():.4g} ± {x.std(ddof=1) / len(x) ** 0.5:.1g}" for x in columns)
        spreads = ", ".join(f"{x.std(ddof=1):.3g}" for x in columns)
        pulls = " | ".join(f"{difference(x, full[name]):+.1f} σ" for x in (values, other[name]))
        print(f"| {name} | {means} | {spreads} | {pulls} |")
    times = [cpu_ms(path) for path in paths]
    spent = ", ".join(f"{t.mean():.4g} ± {t.std(ddof=1) / len(t) ** 0.5:.1g} ms" for t in times)
    print(f"CPU time per event: {spent}; ratio {times[1].mean() / times[0].mean():.3g}")


if __name__ == "__main__":
    main()
