"""Sum the voxels of ds2 to fewer, so that models train within minutes (docs/conditions.md).

    python benchmarks/coarser.py showers.h5 coarse.h5 --layers 3 --sectors 2 --rings 0,1,2,3,4,6,9

Voxels below the threshold of ds2 are left out before they are summed. Energies, conditions and attributes are kept.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np

from caloforge import Geometry, Layer
from caloforge.export.calodit2 import MESH
from caloforge.showers import Showers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("showers")
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=3, help="layers that become one")
    parser.add_argument("--sectors", type=int, default=2, help="bins of alpha that become one")
    parser.add_argument("--rings", default="0,1,2,3,4,6,9", help="edges of the new rings, as numbers of the old ones")
    parser.add_argument("-n", type=int, help="showers to take, from the first")
    chosen = parser.parse_args()
    fine = Showers.read(chosen.showers, stop=chosen.n)
    edges = [int(x) for x in chosen.rings.split(",")]
    voxels = np.where(fine.voxels < fine.geometry.threshold, 0, fine.voxels)
    mesh = voxels.reshape(
        len(voxels), MESH.n_z // chosen.layers, chosen.layers, MESH.n_alpha // chosen.sectors, chosen.sectors, MESH.n_r
    ).sum(axis=(2, 4))
    rings = np.stack([mesh[..., a:b].sum(axis=-1) for a, b in pairwise(edges)], axis=-1)
    old = fine.geometry.layers[:: chosen.layers]
    layers = tuple(
        Layer(i, tuple(layer.r_edges[e] for e in edges), rings.shape[2], (z, z + chosen.layers * 3.4))
        for i, layer in enumerate(old)
        for z in [round(i * chosen.layers * 3.4, 6)]
    )
    geometry = Geometry(f"ds2-{rings[0].size}", layers, fine.geometry.threshold)
    coarse = Showers(fine.energies, rings.reshape(len(rings), -1), geometry, conditions=fine.conditions)
    coarse.write(chosen.out, fine.attributes)


if __name__ == "__main__":
    main()
