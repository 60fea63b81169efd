"""Summary of a file of points, with probable mistakes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from caloforge.conditions import Columns
from caloforge.points import PointFile
from caloforge.points.validity import point_doubts
from caloforge.units import count


@dataclass
class PointContents:
    """Summary of the point clouds in a file.

    Args:
        noun: what each is, a shower or a jet.
        energies: (N,) incident energies in MeV.
        counts: (N,) numbers of points.
        deposited: (N,) sums of the energies of points in MeV, or of ptrel.
        ranges: column → least and largest value.
        zeros: points without energy.
        layers: numbers of layers with points, if there is such a column.
        conditions: of all showers.
    """

    noun: str
    energies: np.ndarray
    counts: np.ndarray
    deposited: np.ndarray
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    zeros: int = 0
    layers: np.ndarray | None = None
    conditions: Columns = field(default_factory=lambda: Columns.none(0))

    @property
    def response(self) -> np.ndarray:
        """(N,) E_dep / E_inc, or of jets the sum of ptrel."""
        return self.deposited if self.noun == "jet" else np.asarray(self.deposited / self.energies)

    @property
    def doubts(self) -> list[str]:
        """Probable mistakes in a readable file, one sentence each."""
        n, empty = len(self.counts), int(np.count_nonzero(self.counts == 0))
        if empty == n:
            return [f"no {self.noun} has any points"]
        found = [f"{empty} of {count(n, self.noun)} have no points"] if empty else []
        if self.zeros:
            found.append(f"{count(self.zeros, 'point')} have no energy")
        return found + point_doubts(self.noun, self.energies, self.deposited)


def point_contents(file: PointFile) -> PointContents:
    """Read a file once, chunk by chunk, check all values, and summarise it.

    Raises:
        CaloforgeError: the file cannot be read, or a value is invalid.
    """
    energies, counts, deposited, conditions = [], [], [], []
    ends: dict[str, list[float]] = {name: [] for name in file.names}
    zeros, layers, noun = 0, np.empty(0, dtype=np.int64), "shower"
    for chunk in file.chunks():
        noun = chunk.noun
        energies.append(chunk.energies)
        counts.append(chunk.counts)
        conditions.append(chunk.conditions)
        deposited.append(chunk.deposited)
        zeros += int(np.count_nonzero(chunk.weights == 0))
        for name in file.names if len(chunk.points) else ():
            values = chunk[name]
            ends[name] += [float(values.min()), float(values.max())]
        if "layer" in file.names:
            layers = np.union1d(layers, chunk["layer"].astype(np.int64))
    return PointContents(
        noun,
        np.concatenate(energies),
        np.concatenate(counts),
        np.concatenate(deposited),
        {name: (min(values), max(values)) for name, values in ends.items() if values},
        zeros,
        layers if "layer" in file.names else None,
        Columns.joined(conditions),
    )
