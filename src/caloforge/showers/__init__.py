"""`Showers`: the value that flows through everything, and the HDF5 files it lives in.

`ShowerFile` reads by chunks and checks every value it hands out, `ShowerWriter` appends by chunks, so neither
needs memory for the whole file. Two layouts are read (`layouts`); the challenge's is written, gzip-compressed, with
attributes that say where the showers came from.
"""

from caloforge.showers.reading import ShowerFile, Showers
from caloforge.showers.writing import ShowerWriter, geometry_attribute

__all__ = ["ShowerFile", "ShowerWriter", "Showers", "geometry_attribute"]
