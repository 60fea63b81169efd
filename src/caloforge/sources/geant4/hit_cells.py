"""Hits in square cells of each layer: what a simulation reads out in place of voxels, as points.

Cells have their centres at multiples of the pitch, in every layer. A hit has the energy that is deposited in the active
material of its cell, not divided by the sampling fraction, if that reaches the threshold: so many MeV, or so many MIP
(`caloforge.sources.geant4.minimum_ionising`) of the active slabs of the layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caloforge.errors import CaloforgeError, option
from caloforge.sources.geant4.detector import Detector
from caloforge.sources.geant4.minimum_ionising import MATERIALS, most_probable_loss
from caloforge.units import parse_energy

COLUMNS = ("x", "y", "layer", "energy")

_NUMBER = r"([-+0-9.]+(?:[eE][-+]?[0-9]+)?)"
_LENGTH = re.compile(rf"cell:{_NUMBER}\s*(mm|cm)?")
_MIP = re.compile(rf"{_NUMBER}\s*MIP", re.IGNORECASE)


@dataclass(frozen=True)
class HitCells:
    """Cells of all layers.

    Args:
        pitch: in mm.
        thresholds: (L,) least energy of a hit in each layer, MeV.
        layers: (L,) what the layers are called (`Layer.id`).
    """

    pitch: float
    thresholds: tuple[float, ...]
    layers: tuple[int, ...]

    @classmethod
    def parse(cls, points: str, threshold: str, detector: Detector) -> HitCells:
        """From words: `cell:5mm`, and a threshold such as `0.1MIP`, `20keV`, or none if empty.

        Raises:
            CaloforgeError: they are not of this form, or a material's MIP is not known.
        """
        found = _LENGTH.fullmatch(points.strip())
        pitch = _number(found[1]) * (10 if found[2] == "cm" else 1) if found else math.nan
        if math.isnan(pitch):
            raise CaloforgeError(f"{option('points')} '{points}' is not a size of cells in mm or cm: write cell:5mm")
        if not 0 < pitch < detector.half_width:
            raise CaloforgeError(
                f"{option('points')} '{points}': cells must be larger than 0 and smaller than half the detector's "
                f"width, {detector.half_width:g} mm"
            )
        layers = detector.geometry.layer_ids
        return cls(pitch, tuple(_threshold(threshold, layer, detector) for layer in layers), tuple(layers))

    def hits(self, deposits: Sequence[np.ndarray]) -> np.ndarray:
        """(h, 4) float32 x, y (mm), layer and energy (MeV) of the hits of one event, layer by layer.

        Args:
            deposits: for each layer (n, 3): energy (MeV) and *twice* the x and y of the middle of the step (mm).
        """
        found = [np.empty((0, len(COLUMNS)))]
        for layer, threshold, part in zip(self.layers, self.thresholds, deposits, strict=True):
            cells, cell_of = np.unique(np.rint(part[:, 1:3] / (2 * self.pitch)), axis=0, return_inverse=True)
            energy = np.bincount(cell_of.ravel(), weights=part[:, 0], minlength=len(cells))
            kept = (energy > 0) & (energy >= threshold)
            centres = cells[kept] * self.pitch
            found.append(np.column_stack([centres, np.full(len(centres), layer), energy[kept]]))
        return np.concatenate(found).astype(np.float32)

    def facts(self) -> dict[str, object]:
        """What a file says of them."""
        return {"cell_pitch_mm": self.pitch, "hit_threshold_mev": list(self.thresholds)}


def layer_pitch(detector: Detector) -> dict[str, float]:
    """The attribute `layer_pitch_mm`, where all layers are equally deep."""
    depths = np.diff(detector.layer_edges)
    return {"layer_pitch_mm": float(depths[0])} if np.allclose(depths, depths[0], rtol=1e-6) else {}


def _threshold(text: str, layer: int, detector: Detector) -> float:
    """In MeV."""
    if not text.strip():
        return 0.0
    in_mip = _MIP.fullmatch(text.strip())
    if in_mip is None:
        try:
            return parse_energy(text)
        except CaloforgeError as error:
            raise CaloforgeError(f"{option('threshold')}: {error}; or a number of MIP, as in 0.1MIP") from None
    if not (number := _number(in_mip[1])) > 0:
        raise CaloforgeError(f"{option('threshold')} '{text}' is not a positive number of MIP: write it as in 0.1MIP")
    slabs = [(slab.material, slab.thickness) for slab in detector.slabs if slab.layer == layer]
    if unknown := [material for material, _ in slabs if material not in MATERIALS]:
        raise CaloforgeError(f"the energy of a MIP is not known in {unknown[0]}: give {option('threshold')} in MeV")
    return number * most_probable_loss(slabs)


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
