"""A trained run in the form that other programs take: one file per format, and the table below.

| format | consumer | voxels leave as |
|---|---|---|
| `onnx` | anybody with onnxruntime | MeV, caloforge's order |
| `atlas` | ATLAS's fast simulation (two named inputs) | fractions of E, per layer r outer, alpha inner |
| `par04` | Geant4's example Par04, slot of the VAE | fractions of E, r outer, phi, z inner |
| `calodit2` | Par04's newer slot (11.4), noise drawn inside | GeV, r outer, phi, z inner |
| `ddml-hdf5` | DDML's playback of showers from a file | GeV on Cartesian cells (shower, x, y, z) |
"""

from __future__ import annotations

from caloforge.export.formats import GraphFormat
from caloforge.registry import Registry

GRAPHS: Registry[GraphFormat] = Registry(
    "export format",
    GraphFormat,
    {
        "onnx": "caloforge.export.onnx.Onnx",
        "atlas": "caloforge.export.atlas.Atlas",
        "par04": "caloforge.export.par04.Par04",
        "calodit2": "caloforge.export.calodit2.CaloDiT2",
    },
)
"""Formats that are one ONNX graph."""

FORMATS = (*GRAPHS, "ddml-hdf5")
