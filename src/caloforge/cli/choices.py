"""Options with fixed choices: typer lists the values in --help and rejects others."""

from __future__ import annotations

from enum import StrEnum

MOST_SHARDS = 1_000_000
"""Largest number of parts, each a file of one folder."""

MOST_SEED = 2**63 - 1
"""Largest seed: files and PyTorch hold no larger ones."""


class EngineChoice(StrEnum):
    """Inference engine, as in `caloforge.export.engines.ENGINES`."""

    TORCH = "torch"
    COMPILE = "compile"
    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"


class PrecisionChoice(StrEnum):
    """Floating-point precision of a model."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class GraphPrecisionChoice(StrEnum):
    """Precision of the large matrix multiplications of an exported graph."""

    FLOAT32 = "float32"
    INT8 = "int8"


class FrameChoice(StrEnum):
    """What the mesh of a Geant4 simulation is aligned with."""

    DETECTOR = "detector"
    PARTICLE = "particle"


class FormatChoice(StrEnum):
    """Export format, as in `caloforge.export.FORMATS`."""

    ONNX = "onnx"
    ATLAS = "atlas"
    ATLAS_BINNED = "atlas-binned"
    PAR04 = "par04"
    CALODIT2 = "calodit2"
    DDML_HDF5 = "ddml-hdf5"


class PointFormatChoice(StrEnum):
    """Format of points or voxels, as in `caloforge.points.conversion.FORMATS`."""

    POINTS = "points"
    SHOWERDATA = "showerdata"
    CALOCLOUDS = "caloclouds"
    STEP2POINT = "step2point"
    JETNET = "jetnet"
    VOXELS = "voxels"


class ExporterChoice(StrEnum):
    """PyTorch's ONNX exporters."""

    LEGACY = "legacy"
    DYNAMO = "dynamo"


class ReferenceChoice(StrEnum):
    """Reference implementations that a benchmark can time."""

    NFLOWS = "nflows"
