"""`PointClouds`: showers as lists of hits, and jets as lists of particles; ragged, in flat arrays with offsets.

Where a detector has far more cells than a shower has hits, a point cloud holds the hits alone: each a point with
coordinates and an energy, any number of them per shower.
"""

from caloforge.points.clouds import JET, UNITS, PointClouds

__all__ = ["JET", "UNITS", "PointClouds"]
