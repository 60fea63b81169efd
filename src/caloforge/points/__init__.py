"""`PointClouds`: showers as lists of hits, and jets as lists of particles; ragged, in flat arrays with offsets.

Where a detector has far more cells than a shower has hits, a point cloud holds the hits alone: each a point with
coordinates and an energy, any number of them per shower. `PointFile` reads files of points in several formats by
chunks, `PointWriter` writes them; each format is a file of `exchange/`.
"""

from caloforge.points.clouds import HITS, JET, UNITS, PointClouds
from caloforge.points.point_file import PointFile, is_point_file, read_points
from caloforge.points.point_files import PointFiles
from caloforge.points.point_writer import PointWriter, write_points

__all__ = [
    "HITS",
    "JET",
    "UNITS",
    "PointClouds",
    "PointFile",
    "PointFiles",
    "PointWriter",
    "is_point_file",
    "read_points",
    "write_points",
]
