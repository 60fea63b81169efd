"""Pack freshly simulated showers into the embedded sample: `python -m caloforge.sources.sample.pack FOLDER`.

`make sample` runs Geant4 and then this module. Voxel energies are rounded to BITS bits of mantissa, a relative step of
at most 2⁻¹², far below any resolution here, so that gzip makes the files a third smaller.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from caloforge.showers import ShowerFile, ShowerWriter
from caloforge.sources.sample import FILES

BITS = 12
CPU_COLUMN = "geant4_cpu_seconds"


def rounded(values: np.ndarray, bits: int = BITS) -> np.ndarray:
    """`values` (float32, non-negative, finite) rounded to nearest with `bits` of the 24 mantissa bits."""
    drop = 24 - bits
    raw = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    kept = ((raw.astype(np.uint64) + (1 << (drop - 1))) >> drop) << drop
    return kept.astype(np.uint32).view(np.float32)


def pack(source: Path, target: Path) -> None:
    """Write `source` to `target` with rounded voxels and maximum compression; attributes and CPU times are kept."""
    with ShowerFile(source) as file:
        cpu_seconds = file.column(CPU_COLUMN)
        columns = () if cpu_seconds is None else (CPU_COLUMN,)
        attributes = {**file.attributes, "mantissa_bits": BITS}
        with ShowerWriter(
            target, file.geometry, attributes, compression=9, columns=columns, conditions=file.kinds
        ) as out:
            for chunk in file.chunks():
                rows = slice(len(out), len(out) + len(chunk))
                further = {} if cpu_seconds is None else {CPU_COLUMN: cpu_seconds[rows].round(5)}
                out.append(chunk.energies, rounded(chunk.voxels), chunk.conditions, **further)


if __name__ == "__main__":
    for name in FILES.values():
        pack(Path(sys.argv[1]) / name, Path(__file__).parent / name)
