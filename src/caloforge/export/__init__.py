"""Export of a trained run for other programs: one file per format.

| format | consumer | voxels |
|---|---|---|
| `onnx` | any program with onnxruntime | MeV, caloforge's order |
| `atlas` | ATLAS's fast simulation (two named inputs) | fractions of E, per layer r outer, alpha inner |
| `atlas-binned` | the same, slot of `TFCSBinnedShowerONNX` (four named inputs) | MeV, caloforge's order |
| `par04` | Geant4's example Par04, slot of the VAE | fractions of E, r outer, phi, z inner |
| `calodit2` | Par04's newer slot (11.4), noise drawn in the graph | GeV, r outer, phi, z inner |
| `ddml-hdf5` | DDML's playback of showers from a file | MeV in Cartesian cells (shower, layer, y, x) |

`caloforge.export.graph` traces, checks and writes the graphs; `caloforge.export.engines` generates showers with them.
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
        "atlas-binned": "caloforge.export.atlas_binned.AtlasBinned",
        "par04": "caloforge.export.par04.Par04",
        "calodit2": "caloforge.export.calodit2.CaloDiT2",
    },
)
"""Formats that consist of one ONNX graph."""

FORMATS = (*GRAPHS, "ddml-hdf5")
