"""The voxels of a calorimeter: layers, edges and centres.

`layers` has the two kinds of layer, `description` the `Geometry` that consists of them, `entries` the schema of its
files, `loading` reads YAML, JSON and the CaloChallenge's binning XML, and `builtin` has the public geometries by name.
"""

from caloforge.geometry.builtin import BUILTIN, geometry_in_file, geometry_of_voxel_count, load_geometry
from caloforge.geometry.description import Geometry
from caloforge.geometry.layers import AnyLayer, CartesianLayer, Layer
from caloforge.geometry.loading import read_geometry
from caloforge.geometry.point_geometry import AnyGeometry, PointGeometry

__all__ = [
    "BUILTIN",
    "AnyGeometry",
    "AnyLayer",
    "CartesianLayer",
    "Geometry",
    "Layer",
    "PointGeometry",
    "geometry_in_file",
    "geometry_of_voxel_count",
    "load_geometry",
    "read_geometry",
]
