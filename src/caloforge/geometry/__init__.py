"""The voxels of a calorimeter: which layers, which edges, where each centre is.

`layers` has the two kinds of layer, `description` the `Geometry` that consists of them, `entries` the schema of its
files, `files` reads one from YAML, JSON or the challenge's binning XML, `builtin` has the public ones by name.
"""

from caloforge.geometry.builtin import BUILTIN, geometry_in_file, geometry_of_voxel_count, load_geometry
from caloforge.geometry.description import Geometry
from caloforge.geometry.layers import AnyLayer, CartesianLayer, Layer
from caloforge.geometry.loading import read_geometry

__all__ = [
    "BUILTIN",
    "AnyLayer",
    "CartesianLayer",
    "Geometry",
    "Layer",
    "geometry_in_file",
    "geometry_of_voxel_count",
    "load_geometry",
    "read_geometry",
]
